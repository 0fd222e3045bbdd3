"""One video in, world tracks and the depth of every pixel out; and what bad videos get."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false, reportCallIssue=false
# The method fills every part that is looked at here.

from dataclasses import replace

import numpy as np
import pytest

import toolkit as tk
from toolkit.errors import Cancelled
from toolkit.evaluation import cameras, depth, tracks_3d
from toolkit.evaluation.worldtrack import sequence_scores
from toolkit.lifting.pointmaps import pointmaps
from toolkit.methods.st4rtrack import St4rtrackSettings, held
from toolkit.scene import Tracks3D
from toolkit.synthetic.pointmap_clips import pointmap_clip
from toolkit.synthetic.pointmap_scenes import HELD_OUT
from toolkit.tracking.queries import grid_queries

QUICK = St4rtrackSettings(tracker="draft", grid=(24, 18), every=6, weights="none", dense_side=128, dense_views=12)


@pytest.fixture(scope="module")
def truth():
    """A generated clip whose camera walks, indoors."""
    return pointmap_clip(20_000_303, 12, size=(160, 128), every_px=8, recipe=replace(HELD_OUT, way=(0.4, 0.5), outdoors=0.0))


@pytest.fixture(scope="module")
def found(truth):
    return tk.track_world(truth.video, K=truth.cameras.K[0], settings=QUICK, weights="none")


def test_cameras_depth_and_tracks_are_found(truth, found):
    assert cameras(found.cameras, truth.cameras)["ate_extent"] < 0.02
    flat = depth(np.ones_like(truth.depth.depth), truth.depth, align="median_scale")
    assert depth(found.depth, truth.depth, align="median_scale")["AbsRel"] < 0.5 * flat["AbsRel"]
    assert found.unit == "relative" and found.method == "st4rtrack"
    np.testing.assert_allclose(found.cameras.T_wc[0], np.eye(4), atol=1e-9)


def test_depth_is_known_everywhere_and_sure_where_it_is_right(truth, found):
    assert np.isfinite(found.depth.depth).mean() > 0.99
    with np.errstate(invalid="ignore"):
        ratio = truth.depth.depth / found.depth.depth
        off = np.abs(ratio / np.nanmedian(ratio) - 1)
    sure = found.depth.confidence > 0.8
    assert sure.mean() > 0.3 and np.nanmedian(off[sure]) < 0.05
    assert np.nanmedian(off[sure]) < 0.5 * np.nanmedian(off[~sure])


def test_every_track_is_somewhere_at_every_moment(found):
    ever = np.isfinite(found.tracks_3d.xyz).all(-1)
    assert ever.all(1).mean() > 0.9 and (ever.all(1) | ~ever.any(1)).all()
    assert np.isfinite(found.tracks_3d.sigma[ever.all(1)]).all()


def test_points_that_are_asked_for_are_followed_both_ways_and_placed_no_worse_than_by_tracks_alone(truth):
    rows = np.flatnonzero(truth.tracks_2d.visible[:, 5])[::3]
    queries = np.column_stack([np.full(len(rows), 5), truth.tracks_2d.xy[rows, 5]])
    scene = tk.track_world(truth.video, queries, K=truth.cameras.K[0], settings=QUICK, weights="none")
    assert len(scene.tracks_3d) == len(rows) and np.array_equal(scene.tracks_2d.queries, queries.astype(np.float32))
    gt, seen = truth.tracks_3d.xyz[rows], truth.tracks_3d.visible[rows]
    support = grid_queries(truth.video.size, 12, grid=(24, 24), every=6)
    followed = tk.track_points(truth.video, np.concatenate([queries, support]), tracker="draft")
    alone = tk.reconstruct_tracks(followed, truth.cameras.K[0], size=truth.video.size)
    ours, theirs = (tracks_3d(one.tracks_3d.xyz[: len(rows)], gt, seen) for one in (scene, alone))
    assert ours["APD"] >= theirs["APD"] and ours["EPE"] < 1.02 * theirs["EPE"]


def test_the_report_says_what_carried_the_result(found):
    evidence = found.report["evidence"]
    shares = evidence["pixels_percent"]
    assert evidence["cameras"] == "bundle adjustment of tracks" and sum(shares.values()) == pytest.approx(100, abs=0.5)
    assert (
        shares["matched in other frames"] > 20
        and set(evidence) >= {"depth_from_elsewhere", "moving_percent"}
        and found.report["anchors"][0] == 0
        and len(found.report["anchors"]) > 1
    )
    assert "depth within 10 %" in found.report["quality"]


def test_two_pointmaps_of_a_moment_meet_where_both_see_the_same(truth, found):
    maps = pointmaps(found, 0, 8)
    height, width = truth.video.frames.shape[1:3]
    assert maps.tracked.shape == (height, width, 3) and maps.visible.mean() > 0.4
    K, pose = found.cameras.K[8], found.cameras.T_cw[8]
    local = maps.tracked[maps.visible] @ pose[:3, :3].T + pose[:3, 3]
    xy = (local[:, :2] / local[:, 2:]) @ K[:2, :2].T + K[:2, 2]
    apart = np.linalg.norm(maps.recon[xy[:, 1].astype(int), xy[:, 0].astype(int)] - maps.tracked[maps.visible], axis=1)
    assert np.median(apart / local[:, 2]) < 0.05
    with pytest.raises(tk.UserError, match="The moment is frame 99"):
        pointmaps(found, 0, 99)
    with pytest.raises(tk.UserError, match="cameras, depth and tracks"):
        pointmaps(replace(found, depth=None), 0, 1)


def test_depth_that_is_given_is_heard_where_it_fits_and_not_where_it_does_not(truth):
    options = {"K": truth.cameras.K[0], "settings": replace(QUICK, dense_side=0), "weights": "none"}
    good = tk.track_world(truth.video, depth=replace(truth.depth, depth=3 * truth.depth.depth), **options)
    assert good.report["evidence"]["depth_from_elsewhere"][0]["heard"]
    noise = np.exp(np.random.default_rng(0).normal(0, 1.0, truth.depth.depth.shape)).astype(np.float32)
    bad = tk.track_world(truth.video, depth=replace(truth.depth, depth=noise), **options)
    assert not bad.report["evidence"]["depth_from_elsewhere"][0]["heard"]
    assert any("given depth was not used" in line for line in bad.report["warnings"])


def test_tracks_are_held_where_they_are_no_longer_known():
    xyz = np.full((2, 5, 3), np.nan, np.float32)
    xyz[0, 1:4, 0] = [0.0, 1.0, 2.0]
    xyz[0, 1:4, 1:] = 0
    tracks = held(Tracks3D(xyz, np.isfinite(xyz[..., 0]), np.zeros((2, 3), np.uint8), np.ones(2), np.full((2, 5), 0.1)))
    assert tracks.xyz[0, :, 0].tolist() == [0, 0, 1, 2, 2] and np.isnan(tracks.xyz[1]).all()
    assert tracks.sigma[0, 4] > tracks.sigma[0, 3] == np.float32(0.1)


def test_the_same_seed_gives_the_same_scene_and_a_run_can_be_cancelled(truth):
    short = tk.Video(truth.video.frames[:6], truth.video.times_s[:6])
    scenes = [tk.run(short, "st4rtrack", preset="draft", weights="none", progress=lambda event: None) for _ in range(2)]
    assert scenes[0].tracks_3d.xyz.tobytes() == scenes[1].tracks_3d.xyz.tobytes()
    assert scenes[0].depth.depth.tobytes() == scenes[1].depth.depth.tobytes()

    def stop(event):
        if event.stage == "depth":
            raise Cancelled

    with pytest.raises(Cancelled):
        tk.run(short, "st4rtrack", preset="draft", weights="none", progress=stop)


def test_a_camera_that_stands_still_is_told_and_gives_no_false_depth(truth):
    frames = np.repeat(truth.video.frames[:1], 8, axis=0)
    scene = tk.track_world(tk.Video.from_frames(frames), settings=QUICK, weights="none")
    assert "rotations alone" in scene.report["evidence"]["cameras"]
    assert any("without parallax no depth can be known" in line for line in scene.report["warnings"])
    assert np.nanmax(scene.depth.confidence) < 0.4


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (np.zeros((1, 64, 64, 3), np.uint8), "1 frame, but at least 3"),
        (np.zeros((2, 64, 64, 3), np.uint8), "2 frames, but at least 3"),
    ],
)
def test_videos_that_show_too_little_are_told(frames, told):
    with pytest.raises(tk.UserError, match=told):
        tk.track_world(tk.Video.from_frames(frames), settings=QUICK, weights="none")


@pytest.mark.parametrize("level", [0, 255])
def test_a_video_of_one_colour_is_told(level):
    with pytest.raises(tk.UserError, match="All 5 frames of the video are of one colour each"):
        tk.track_world(tk.Video.from_frames(np.full((5, 64, 64, 3), level, np.uint8)), settings=QUICK, weights="none")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"weights": 3}, "weights is 3"),
        ({"weights": "nowhere.safetensors"}, "There is no file of weights"),
        ({"grid": (2, 2)}, "grid is 2"),
        ({"dense_side": -1}, "dense_side is -1"),
        ({"tracker": "best"}, "no tracker 'best'"),
    ],
)
def test_settings_that_cannot_be_are_told_before_anything_is_computed(truth, options, told):
    with pytest.raises(tk.UserError, match=told):
        tk.run(truth.video, "st4rtrack", progress=lambda event: None, **options)


def test_what_is_not_a_video_is_told(truth):
    with pytest.raises(tk.UserError, match="track_world takes a Video"):
        tk.track_world("clip.mp4")
    with pytest.raises(tk.UserError, match="finds the cameras itself"):
        tk.run(truth.video, "st4rtrack", cameras=truth.cameras, progress=lambda event: None)
    with pytest.raises(tk.UserError, match="The depth has 3 frames"):
        tk.track_world(truth.video, depth=tk.DepthVideo(truth.depth.depth[:3], truth.depth.confidence[:3]), weights="none")
    with pytest.raises(tk.UserError, match="The seed is -1"):
        tk.track_world(truth.video, seed=-1)


def test_worldtrack_scores_beat_those_of_one_depth_for_all(truth):
    K, queries = truth.cameras.K[0], truth.tracks_2d.queries
    scene = tk.track_world(truth.video, queries, K=K, settings=QUICK, weights="none")
    gt = truth.tracks_3d.xyz
    rays = np.column_stack([(queries[:, 1:] - K[:2, 2]) / K[0, 0], np.ones(len(queries))])
    flat = np.repeat(rays[:, None], gt.shape[1], 1)
    ours, theirs = (sequence_scores(pred, 3 * gt)["median_scale/all"]["APD"] for pred in (scene.tracks_3d.xyz, flat))
    assert ours > theirs + 0.1


def test_a_strip_that_the_network_can_not_see_is_reconstructed_without_it(truth):
    strip = tk.Video.from_frames(np.ascontiguousarray(np.tile(truth.video.frames[:, 48:80], (1, 1, 2, 1))))
    scene = tk.track_world(strip, settings=replace(QUICK, weights="auto"), weights="auto")
    assert any("network was not asked: the frames are 320 x 32 px" in line for line in scene.report["warnings"])
    with pytest.raises(tk.UserError, match="320 x 32 px"):
        tk.track_world(strip, settings=QUICK, weights="auto", adapt=True)
