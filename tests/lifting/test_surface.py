"""Depth maps from optimised tracks."""

from dataclasses import replace

import numpy as np
import pytest
from points_in_motion import camera_path
from published_files import tracks_3d

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov, project, unproject
from toolkit.geometry.sampling import pixel_centres
from toolkit.lifting import depth_from_tracks, refine_depth
from toolkit.scene import Cameras, DepthVideo


def still_cameras(frames=1, size=(64, 64)):
    return Cameras.from_poses(intrinsics_from_fov(60, size), np.tile(np.eye(4), (frames, 1, 1)), size)


def test_the_nearest_point_wins_a_pixel_whatever_the_order():
    cameras = still_cameras()
    xyz = unproject(np.full((2, 2), 20.4), np.array([5.0, 2.0]), cameras.K[0], np.eye(4))[:, None]
    for order in ([0, 1], [1, 0]):
        depth = depth_from_tracks(tracks_3d(xyz[order], np.ones((2, 1), bool)), cameras).depth
        assert depth[0, 20, 20] == pytest.approx(2.0)
        assert np.isfinite(depth).sum() == 1


def test_a_radius_covers_neighbouring_pixel_centres():
    cameras = still_cameras()
    xyz = unproject(np.array([[20.5, 20.5], [0.2, 0.2]]), np.array([3.0, 3.0]), cameras.K[0], np.eye(4))[:, None]
    known = np.isfinite(depth_from_tracks(tracks_3d(xyz, np.ones((2, 1), bool)), cameras, radius_px=1.1).depth[0])
    assert known[19:22, 19:22].sum() == 5
    assert known.sum() == 5 + 1


def test_points_behind_outside_and_unseen_leave_no_mark():
    cameras = still_cameras()
    xyz = np.array([[[0, 0, -2.0]], [[9, 0, 2.0]], [[0, 0, 2.0]], [[np.nan] * 3]])
    seen = np.array([[True], [True], [False], [True]])
    assert not np.isfinite(depth_from_tracks(tracks_3d(xyz, seen), cameras).depth).any()


def wall_and_ball(frames=6, seed=0):
    """A slanted wall and a ball in front, carried along by the camera; depth with smooth errors of disparity, exact tracks."""
    rng = np.random.default_rng(seed)
    cameras = camera_path(frames)
    K = cameras.K[0]
    grid = pixel_centres((512, 512))
    rays = np.concatenate([(grid - K[:2, 2]) / K[0, 0], np.ones((512, 512, 1))], axis=-1)
    truth, measured, tracks, seen = [], [], [], []
    xy = rng.uniform(0, 512, (2500, 2))
    for t in range(frames):
        z = 4.0 / (rays @ [0.2, 0.1, 1.0])
        z = np.where(np.hypot(grid[..., 0] - 250, grid[..., 1] - 250) < 80, 2.0, z)
        wave = 0.3 * np.sin(grid[..., 0] / 70 + 2 * t) * np.cos(grid[..., 1] / 90 + t)
        noisy = K[0, 0] * 0.063 / (K[0, 0] * 0.063 / z + wave + rng.normal(0, 0.05, z.shape))
        noisy[100:110, 100:200] = np.nan
        truth.append(z)
        measured.append(noisy)
        at = z[xy[:, 1].astype(int), xy[:, 0].astype(int)]
        tracks.append(unproject(xy, at, K, cameras.T_wc[t]))
        seen.append(np.ones(len(xy), bool))
    depth = DepthVideo(np.stack(measured).astype(np.float32), np.ones((frames, 512, 512), np.float32))
    moving = replace(tracks_3d(np.stack(tracks, 1), np.stack(seen, 1)), motion=np.ones(len(xy), np.float32))
    return np.stack(truth), depth, moving, cameras


def test_dense_depth_comes_closer_to_the_truth_and_holes_stay_holes():
    truth, depth, tracks, cameras = wall_and_ball()
    refined = refine_depth(depth, tracks, cameras)
    before, after = (np.abs(d.depth / truth - 1) for d in (depth, refined))
    assert np.nanmean(after) < 0.5 * np.nanmean(before)
    np.testing.assert_array_equal(np.isnan(refined.depth), np.isnan(depth.depth))
    # beside the ball's silhouette neither surface pulls the other
    grid = pixel_centres((512, 512))
    rim = np.abs(np.hypot(grid[..., 0] - 250, grid[..., 1] - 250) - 80) < 4
    assert np.nanmean(after[:, rim]) < 0.7 * np.nanmean(before[:, rim])
    assert project(tracks.xyz[:, 0], cameras.K[0], cameras.T_wc[0])[1].min() > 0


def test_a_few_wrong_tracks_do_no_harm():
    truth, depth, tracks, cameras = wall_and_ball(frames=2)
    xyz = tracks.xyz.copy()
    xyz[::20] = cameras.centres + 1.8 * (xyz[::20] - cameras.centres)
    refined = refine_depth(depth, tracks_3d(xyz, tracks.visible), cameras)
    assert np.nanmean(np.abs(refined.depth / truth - 1)) < 0.5 * np.nanmean(np.abs(depth.depth / truth - 1))


def test_without_tracks_depth_or_pose_nothing_changes():
    truth, depth, tracks, cameras = wall_and_ball(frames=2)
    none = tracks.select(np.zeros(len(tracks), bool))
    np.testing.assert_array_equal(refine_depth(depth, none, cameras).depth, depth.depth)
    nothing = DepthVideo(np.full_like(depth.depth, np.nan), depth.confidence)
    assert np.isnan(refine_depth(nothing, tracks, cameras).depth).all()
    T_wc = cameras.T_wc.copy()
    T_wc[1] = np.nan
    lost = Cameras(cameras.K, T_wc, cameras.size)
    refined = refine_depth(depth, tracks, lost).depth
    np.testing.assert_array_equal(refined[1], depth.depth[1])
    assert not np.isfinite(depth_from_tracks(tracks, lost).depth[1]).any()


def test_another_number_of_maps_is_told():
    _, depth, tracks, cameras = wall_and_ball(frames=2)
    with pytest.raises(UserError, match="1 depth maps, but 2 cameras"):
        refine_depth(DepthVideo(depth.depth[:1], depth.confidence[:1]), tracks, cameras)
