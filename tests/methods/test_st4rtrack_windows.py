"""Windows of a long clip, each in a world of its own, become one world; what can't be joined is told."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false, reportCallIssue=false
# The truth holds every part that is looked at here.

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import toolkit as tk
from toolkit.evaluation import cameras
from toolkit.geometry.poses import from_rotation
from toolkit.methods.st4rtrack import St4rtrackSettings
from toolkit.methods.st4rtrack_windows import LongScene, WindowOptions, handed_back, windows_of
from toolkit.scene import Cameras, DepthVideo, Scene, Tracks2D, Tracks3D, Video
from toolkit.synthetic.pointmap_clips import pointmap_clip
from toolkit.synthetic.pointmap_scenes import HELD_OUT

FRAMES = 30
SHORT = WindowOptions(frames=12, shared=4)


@pytest.fixture(scope="module")
def truth():
    """A generated clip whose camera walks, indoors."""
    return pointmap_clip(20_000_303, FRAMES, size=(96, 64), every_px=6, recipe=replace(HELD_OUT, way=(0.4, 0.5), outdoors=0.0))


def part_of(truth: Scene, window: slice, seed: int) -> Scene:
    """A window of the truth in a world of its own."""
    rng = np.random.default_rng(seed)
    scale, turn, way = rng.uniform(0.3, 3), Rotation.random(random_state=seed).as_matrix(), rng.normal(0, 2, 3)
    T = truth.cameras.T_wc[window]
    poses = from_rotation(turn @ T[:, :3, :3], scale * T[:, :3, 3] @ turn.T + way)
    tracks, flat = truth.tracks_3d, truth.tracks_2d
    xyz = scale * tracks.xyz[:, window].astype(np.float64) @ turn.T + way
    return Scene(
        Cameras(truth.cameras.K[window], poses, truth.cameras.size[window]),
        Tracks2D(flat.xy[:, window], flat.visible[:, window], flat.confidence[:, window], flat.queries),
        Tracks3D(xyz.astype(np.float32), flat.visible[:, window], tracks.rgb, tracks.motion, np.full(xyz.shape[:2], 0.01 * scale)),
        DepthVideo((scale * truth.depth.depth[window]).astype(np.float32), truth.depth.confidence[window], "relative"),
        unit="relative",
        video=Video(truth.video.frames[window], truth.video.times_s[window]),
        masks=np.zeros(truth.depth.depth[window].shape, bool),
    )


@pytest.mark.parametrize("count", [1, 12, 13, 29, 30, 200])
def test_windows_cover_the_clip_and_share_frames(count):
    windows = windows_of(count, SHORT)
    assert windows[0].start == 0 and windows[-1].stop == count
    assert len({w.stop - w.start for w in windows}) == 1 and windows[0].stop <= SHORT.frames
    shared = [before.stop - after.start for before, after in zip(windows, windows[1:], strict=False)]
    assert all(3 <= n <= 8 for n in shared)


def test_worlds_of_windows_become_one_and_their_tracks_go_on(truth):
    windows = windows_of(FRAMES, SHORT)
    long = LongScene(truth.video, windows, 0, SHORT)
    for k, window in enumerate(windows):
        part = truth if k == 0 else part_of(truth, window, k)
        long.add(k, part_of(truth, window, 0) if k == 0 else part, np.zeros(0, int))
    scene = long.scene()
    assert cameras(scene.cameras, truth.cameras)["ate_extent"] < 1e-3
    ratio = scene.depth.depth / truth.depth.depth
    assert np.ptp(np.nanquantile(ratio, [0.02, 0.98])) < 1e-3 * np.nanmedian(ratio)
    through = scene.tracks_2d.visible[:, 0] & scene.tracks_2d.visible[:, -1]
    assert through.any() and np.isfinite(scene.tracks_3d.xyz[through]).all()
    assert all(row["joined"] for row in long.told()) and max(row.get("scale_spread_percent", 0) for row in long.told()) < 0.1


def seen_only_once_begun(part: Scene) -> Scene:
    """A window whose tracks are those that it sees, as a tracker that starts a point wherever none is has them."""
    assert part.tracks_2d is not None and part.tracks_3d is not None
    rows = np.flatnonzero(part.tracks_2d.visible.any(1))
    first = part.tracks_2d.visible[rows].argmax(1)
    queries = np.column_stack([first, part.tracks_2d.xy[rows, first]]).astype(np.float32)
    return replace(part, tracks_2d=replace(part.tracks_2d.select(rows), queries=queries), tracks_3d=part.tracks_3d.select(rows))


def test_what_two_windows_both_see_is_one_track_even_where_it_comes_in_late(truth):
    rows = np.flatnonzero(truth.tracks_2d.visible.all(1))
    seen = np.ones((len(rows), FRAMES), bool)
    seen[::3, :10] = False  # comes into view after the second window took over
    flat, solid = truth.tracks_2d.select(rows), truth.tracks_3d.select(rows)
    moved = replace(truth, tracks_2d=replace(flat, visible=seen), tracks_3d=replace(solid, visible=seen))
    windows = windows_of(FRAMES, SHORT)
    long = LongScene(truth.video, windows, 0, SHORT)
    for k, window in enumerate(windows):
        long.add(k, seen_only_once_begun(part_of(moved, window, k)), np.zeros(0, int))
    scene = long.scene()
    assert len(rows) > 20 and len(scene.tracks_2d) == len(rows)
    assert np.array_equal(np.sort(scene.tracks_2d.visible.sum(1)), np.sort(seen.sum(1)))


def test_a_window_that_shares_no_camera_is_told_and_has_no_place(truth):
    windows = windows_of(FRAMES, SHORT)
    long = LongScene(truth.video, windows, 0, SHORT)
    long.add(0, part_of(truth, windows[0], 0), np.zeros(0, int))
    lost = part_of(truth, windows[1], 1)
    T = lost.cameras.T_wc.copy()
    T[:6] = np.nan
    long.add(1, replace(lost, cameras=Cameras(lost.cameras.K, T, lost.cameras.size)), np.zeros(0, int))
    assert not long.told()[1]["joined"]
    assert not long.scene().cameras.registered[windows[0].stop :].any()


def test_points_that_are_asked_for_late_are_handed_back_and_on(truth):
    windows = windows_of(FRAMES, SHORT)
    long = LongScene(truth.video, windows, 2, SHORT)
    rows = np.flatnonzero(truth.tracks_2d.visible.all(1))[:2]
    asked = np.column_stack([[FRAMES - 1, 2], truth.tracks_2d.xy[rows, [FRAMES - 1, 2]]]).astype(np.float32)

    def follow(part: Video, points: np.ndarray) -> Tracks2D:
        """True tracks of the window that the part begins with."""
        start = int(np.argmax(truth.video.times_s == part.times_s[0]))
        near = [int(np.linalg.norm(truth.tracks_2d.xy[rows, start + int(t)] - xy, axis=1).argmin()) for t, *xy in points]
        seen = np.ones((len(points), len(part)), bool)
        return Tracks2D(truth.tracks_2d.xy[rows[near], start : start + len(part)], seen, seen.astype(np.float32), points)

    early = handed_back(truth.video, asked, windows, long.anchor, follow)
    assert [len(part) for part in early] == [1] * (len(windows) - 1) + [0]
    assert all(part[0, 0] == 0 for part in early[:-1])
    which, points = long.starts(0, asked, early[0])
    assert which.tolist() == [0, 1] and points[1, 0] == 2 and (points[:, 0] < SHORT.frames).all()


def test_a_clip_of_several_windows_is_one_world_through_the_verb(truth):
    settings = St4rtrackSettings(tracker="draft", grid=(24, 16), every=6, weights="none", dense_side=96, dense_views=6, window=20)
    queries = np.array([[0, 40, 30], [FRAMES - 1, 50, 30]], np.float32)
    scene = tk.track_world(truth.video, queries, K=truth.cameras.K[0], settings=settings, weights="none")
    assert cameras(scene.cameras, truth.cameras)["ate_extent"] < 0.05
    assert [row["frames"] for row in scene.report["windows"]] == [[0, 19], [10, 29]]
    assert np.array_equal(scene.tracks_2d.queries, queries) and np.isfinite(scene.tracks_3d.xyz).all()
    assert len(scene.report["frames"]) == FRAMES and scene.report["evidence"]["pixels_percent"]["unknown"] < 5
