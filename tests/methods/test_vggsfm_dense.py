"""Depth of every pixel from photos and videos, end to end."""

import json

import cv2
import numpy as np
import pytest

import toolkit as tk
from tests.sfm.photo_set import photograph
from tests.stereo import corner
from tests.stereo.corner import LENS, SIZE
from toolkit.methods.vggsfm import VggsfmSettings
from toolkit.methods.vggsfm_dense import MOST_MPX, DenseChoice, result_side, with_depth

SEEN = corner.cameras(6, step=0.45)


@pytest.fixture(scope="module")
def pictures():
    return photograph(SEEN)


@pytest.fixture(scope="module")
def scene(pictures):
    return tk.reconstruct(pictures, K=LENS, dense=True, seed=0)


def test_depth_of_photos_is_right_up_to_the_one_scale_of_the_scene(scene):
    truth = np.stack([corner.depth_of(SEEN, t) for t in range(len(SEEN))])
    score = tk.evaluation.depth(scene.depth, truth, align="median_scale")
    assert scene.depth.unit == scene.unit == "relative"
    assert score["coverage"] > 0.75 and score["AbsRel"] < 0.02
    assert scene.report["dense"]["matched_frames"] == len(SEEN)
    assert scene.report["quality"]["pixels with depth"]["value"] > 75


def test_its_cloud_is_dense_coloured_and_on_the_surfaces(scene):
    assert len(scene.points) > 5000 and scene.points.rgb.std() > 20
    T = np.linalg.inv(scene.cameras.T_wc[2])
    xyz = scene.points.xyz @ T[:3, :3].T + T[:3, 3]
    # The walls are three planes: each point lies on one of them, in the axes of the true camera and the scale of the scene.
    own, truth = scene.depth.depth[2], corner.depth_of(SEEN, 2)
    scale = np.nanmedian(truth / own)
    world = scale * xyz @ SEEN.T_wc[2, :3, :3].T + SEEN.T_wc[2, :3, 3]
    off = np.min([np.abs(world[:, axis] - at) for axis, at in corner.WALLS], axis=0)
    assert np.median(off) < 0.03 and np.quantile(off, 0.95) < 0.2


def test_everything_that_depth_gives_is_exported(scene, tmp_path):
    written = tk.export(scene, tmp_path / "out", ["depth", "depth.mp4", "points.ply", "colmap", "scene.npz"])
    assert {"depth", "depth.mp4", "points.ply", "colmap"} <= set(written)
    assert len(list((tmp_path / "out" / "colmap" / "dense" / "stereo" / "depth_maps").iterdir())) == len(SEEN)
    scale = json.loads((tmp_path / "out" / "manifest.json").read_text())["files"]["depth"]["scale"]
    stored = cv2.imread(str(tmp_path / "out" / "depth" / "000002.png"), cv2.IMREAD_UNCHANGED) * scale
    known = np.isfinite(scene.depth.depth[2])
    np.testing.assert_allclose(stored[known], scene.depth.depth[2][known], atol=scale)


def test_masked_pixels_have_no_depth(pictures):
    masks = [np.zeros(SIZE[::-1], np.uint8) for _ in pictures]
    for mask in masks:
        mask[40:80, 60:120] = 255
    found = tk.reconstruct(pictures, cameras=SEEN, masks=masks, dense=True)
    assert found.depth is not None
    assert np.isnan(found.depth.depth[:, 42:78, 62:118]).all() and np.isfinite(found.depth.depth[:, 90:]).mean() > 0.6


def test_the_verb_gives_depth_when_asked_and_a_run_by_itself(pictures):
    assert tk.reconstruct(pictures, cameras=SEEN).depth is None
    assert VggsfmSettings().dense == "auto"
    two = corner.scene_of(corner.cameras(2), pictures[:2])
    assert with_depth(two, DenseChoice(dense="auto"), lambda event: None).depth is None  # nothing could check it


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"dense": "yes"}, "dense is 'yes', but True, False or auto"),
        ({"dense_side": 10}, "dense_side is 10, but a whole number from 64 to 2000"),
        ({"dense_views": 1.5}, "dense_views is 1.5, but a whole number from 2 to 1000"),
    ],
)
def test_settings_are_checked_before_anything_is_computed(option, sentence):
    with pytest.raises(tk.UserError, match=sentence):
        tk.reconstruct("no such folder", **option)


def test_pictures_shrink_where_depth_of_all_would_not_fit_into_memory():
    assert result_side(1600, [(4000, 3000)] * 10, DenseChoice()) == 1600
    side = result_side(1600, [(4000, 3000)] * 400, DenseChoice())
    assert 400 * side * side * 0.75 <= MOST_MPX * 1e6
    assert result_side(1600, [(4000, 3000)] * 400, DenseChoice(dense=False)) == 1600


def test_the_black_beside_a_smaller_photo_has_neither_depth_nor_colour(pictures):
    bright, width = [np.maximum(p, 40) for p in pictures[:4]], round(0.7 * SIZE[0])
    cut = [*bright[:2], np.ascontiguousarray(bright[2][:, :width]), bright[3]]
    scene = tk.reconstruct(cut, max_features=800, tracker="sift", dense=True, dense_side=160)
    assert scene.video and scene.cameras and scene.depth and scene.points and scene.tracks_3d and scene.tracks_2d
    assert scene.video.size == SIZE and scene.cameras.registered.all() and not scene.video.frames[2][:, width + 1 :].any()
    assert np.isfinite(scene.depth.depth[2][:, :width]).mean() > 0.3
    assert np.isnan(scene.depth.depth[2][:, width:]).all() and not scene.depth.confidence[2][:, width:].any()
    assert scene.points.rgb.max(1).min() >= 35 and scene.tracks_3d.rgb.max(1).min() >= 35
    assert scene.tracks_2d.xy[scene.tracks_2d.visible[:, 2], 2, 0].max() < width + 1
