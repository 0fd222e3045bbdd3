"""A table of tracks in, cameras and points out."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

from dataclasses import replace

import numpy as np
import pytest

import toolkit as tk
from tests.sfm import photo_set
from tests.sfm.followed_points import followed
from toolkit.evaluation.cameras import cameras as score
from toolkit.geometry.cameras import project


def _error(tracks, truth, **options):
    scene = tk.reconstruct(tracks, size=photo_set.SIZE, **options)
    found = score(scene.cameras, truth)
    assert found["registered"] == 1
    return found["ate_extent"]


def test_tracks_alone_give_cameras_and_points_without_knowing_the_lens():
    tracks, truth = followed(24, 900)
    scene = tk.reconstruct(tracks, size=photo_set.SIZE)
    found = score(scene.cameras, truth)
    assert found["registered"] == 1 and found["ate_extent"] < 0.003
    assert abs(scene.cameras.K[0, 0, 0] / photo_set.FOCAL_PX - 1) < 0.02
    assert scene.tracks_3d.xyz.shape == (len(tracks), 24, 3)
    known = scene.tracks_3d.visible & np.isfinite(scene.tracks_3d.xyz[..., 0])
    assert known.sum() > 0.9 * tracks.visible.sum()
    for t in range(24):
        xy, _ = project(scene.tracks_3d.xyz[known[:, t], t], scene.cameras.K[t], scene.cameras.T_wc[t])
        assert np.median(np.linalg.norm(xy - scene.tracks_2d.xy[known[:, t], t], axis=1)) < 0.6
    assert (scene.points.rgb == 128).all()


def test_weighting_by_the_standard_deviation_lowers_the_error_of_the_cameras():
    weighted, plain = [], []
    for seed in range(2):
        tracks, truth = followed(noise_px=(0.1, 2.0), seed=seed)
        weighted.append(_error(tracks, truth, K=photo_set.K))
        plain.append(_error(replace(tracks, sigma_px=None), truth, K=photo_set.K))
    print("weighted", weighted, "plain", plain)
    assert np.mean(weighted) < 0.85 * np.mean(plain)


@pytest.fixture(scope="module")
def clean():
    return np.mean([_error(*followed(seed=s), K=photo_set.K) for s in range(2)])


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_gross_outliers_cost_less_than_a_third_more_error(share, clean):
    dirty = np.mean([_error(*followed(seed=s, outliers=share), K=photo_set.K) for s in range(2)])
    print("outliers", share, "ratio", dirty / clean)
    assert dirty < 1.3 * clean


def test_tracks_on_what_moves_get_no_place():
    tracks, truth = followed()
    xy = tracks.xy.copy()
    xy[:100] += np.cumsum(np.random.default_rng(0).normal(size=(100, 12, 2)) * 6, axis=1)  # 20 % of the points go their own ways
    scene = tk.reconstruct(replace(tracks, xy=xy), K=photo_set.K, size=photo_set.SIZE)
    assert score(scene.cameras, truth)["ate_extent"] < 0.003
    placed = np.isfinite(scene.tracks_3d.xyz[:, 0, 0])
    enough = tracks.visible.sum(1) >= 6
    assert placed[100:][enough[100:]].mean() > 0.9
    agree = scene.tracks_3d.visible.sum(1) / np.maximum(tracks.visible.sum(1), 1)
    assert agree[:100][enough[:100]].mean() < 0.5


def test_known_cameras_place_the_points_in_their_unit_whose_name_only_the_user_knows():
    tracks, truth = followed()
    scene = tk.reconstruct(tracks, cameras=truth)
    assert np.allclose(scene.cameras.T_wc, truth.T_wc, atol=1e-9)
    assert scene.unit == "relative"
    assert tk.reconstruct(tracks, cameras=truth, cameras_unit="metre").unit == "metre"


def test_the_same_tracks_give_the_same_scene_and_it_can_be_exported(tmp_path):
    tracks, _ = followed(8, 300)
    first, second = (tk.reconstruct(tracks, K=photo_set.K, size=photo_set.SIZE) for _ in range(2))
    assert np.array_equal(first.cameras.T_wc, second.cameras.T_wc)
    assert np.array_equal(first.tracks_3d.xyz, second.tracks_3d.xyz, equal_nan=True)
    written = tk.export(first, tmp_path, ["colmap", "points.ply", "cameras.tum", "scene.npz", "tracks.csv"])
    assert all(path.exists() for path in written.values())


def test_what_tracks_lack_is_told_in_one_sentence():
    tracks, truth = followed(6, 100)
    for options, told in (
        ({}, "give size="),
        ({"size": (480.5, 320)}, "whole pixels"),
        ({"size": photo_set.SIZE, "masks": np.zeros((2, 4, 4))}, "masks have shape"),
        ({"cameras": tk.Cameras(truth.K[:2], truth.T_wc[:2], truth.size[:2])}, "2 known cameras"),
    ):
        with pytest.raises(tk.UserError, match=told):
            tk.reconstruct(tracks, **options)
    with pytest.raises(tk.UserError, match="1 frame"):
        tk.reconstruct(Nothing, size=(10, 10))
    with pytest.raises(tk.UserError, match="hold on to|show the same"):
        tk.reconstruct(replace(tracks, visible=np.zeros_like(tracks.visible)), size=photo_set.SIZE)
    with pytest.raises(tk.UserError, match="size is for Tracks2D"):
        tk.reconstruct([np.zeros((8, 8, 3), np.uint8)] * 2, size=(8, 8))


Nothing = tk.Tracks2D(np.zeros((3, 1, 2)), np.ones((3, 1)), np.ones((3, 1)), np.zeros((3, 3)))


def test_exact_tracks_of_a_camera_that_goes_straight_leave_the_lens_open_and_that_is_told():
    rng, frames = np.random.default_rng(0), 7
    xyz = rng.uniform([-2, -1.5, 4], [2, 1.5, 8], (160, 3))
    xy = np.stack([500 * (xyz[:, :2] - [0.25 * t, 0]) / xyz[:, 2:] + [320, 240] for t in range(frames)], 1).astype(np.float32)
    seen = np.ones(xy.shape[:2], bool)
    scene = tk.reconstruct(tk.Tracks2D(xy, seen, seen.astype(np.float32), np.zeros((len(xy), 3), np.float32)), size=(640, 480))
    assert scene.cameras.registered.all()
    assert any("hardly tell the focal length" in told for told in scene.report["warnings"])
    assert "focal length" in scene.report["quality"]
