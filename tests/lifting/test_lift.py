"""Depth under tracks, and the positions it gives."""

import numpy as np
import pytest
from points_in_motion import camera_path
from published_files import cameras_of, depth_of, tracks_2d_of

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov, project
from toolkit.lifting import LiftOptions, lift_tracks
from toolkit.scene import Cameras, DepthVideo, Tracks2D, Video


def tracks_at(xy, frames=1, sigma_px=None):
    xy = np.repeat(np.asarray(xy, np.float32)[:, None], frames, axis=1)
    seen = np.ones(xy.shape[:2], bool)
    queries = np.concatenate([np.zeros((len(xy), 1)), xy[:, 0]], axis=1).astype(np.float32)
    sigma = None if sigma_px is None else np.full(seen.shape, sigma_px)
    return Tracks2D(xy, seen, seen.astype(np.float32), queries, sigma)


def still_cameras(size=(64, 64), frames=1):
    return Cameras.from_poses(intrinsics_from_fov(60, size), np.tile(np.eye(4), (frames, 1, 1)), size)


def maps(*depth):
    depth = np.stack(depth).astype(np.float32)
    return DepthVideo(depth, np.isfinite(depth).astype(np.float32))


def test_positions_are_the_published_ones(golden):
    file = np.load(golden / "stereo4d" / "lift.npz")
    lifted = lift_tracks(tracks_2d_of(file), depth_of(file), cameras_of(file), mode="reference")
    np.testing.assert_array_equal(lifted.visible, file["visible"])
    np.testing.assert_allclose(lifted.xyz, file["track3d"], atol=1e-5)


def test_depth_of_a_slanted_plane_is_exact_between_pixel_centres():
    size, cameras = (64, 64), still_cameras()
    K = cameras.K[0]
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    normal = np.array([0.2, 0.3, 0.9])
    rays = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)], axis=-1)
    plane = 3.0 / (rays @ normal)  # the inverse depth of a plane is linear in the image
    xy = np.random.default_rng(0).uniform(1, 63, (200, 2))
    lifted = lift_tracks(tracks_at(xy), maps(plane), cameras)
    np.testing.assert_allclose(lifted.xyz[:, 0] @ normal, 3.0, atol=2e-5)
    np.testing.assert_allclose(project(lifted.xyz[:, 0].astype(np.float64), K, np.eye(4))[0], xy, atol=1e-3)
    assert lifted.visible.all()
    assert size == (64, 64)


def test_no_depth_is_mixed_from_two_surfaces():
    step = np.full((64, 64), 2.0)
    step[:, 32:] = 6.0
    xy = np.column_stack([np.linspace(30, 34, 81), np.full(81, 20.3)])
    z = lift_tracks(tracks_at(xy), maps(step), still_cameras()).xyz[:, 0, 2]
    np.testing.assert_allclose(z, np.where(xy[:, 0] < 32, 2.0, 6.0), atol=1e-5)


def test_the_error_grows_beside_an_edge_with_distance_and_with_doubt():
    step = np.full((64, 64), 2.0)
    step[:, 32:] = 6.0
    sigma = lift_tracks(tracks_at([(10.5, 10.5), (31.5, 10.5), (50.5, 10.5)]), maps(step), still_cameras()).sigma
    assert sigma is not None
    inner, beside, far = sigma[:, 0]
    # z^2 / (f B) times the error of the disparity, plus the track's own
    assert inner == pytest.approx(2.0**2 / (55.4256 * 0.063) * 0.2, rel=0.02)
    assert beside == pytest.approx(2 * inner, rel=0.02)
    assert far == pytest.approx(9 * inner, rel=0.02)
    doubted = DepthVideo(maps(step).depth, np.full((1, 64, 64), 0.5))
    unsure = lift_tracks(tracks_at([(10.5, 10.5)]), doubted, still_cameras()).sigma
    assert unsure is not None
    assert unsure[0, 0] > 3 * inner


def test_a_wider_baseline_measures_better():
    plane = maps(np.full((64, 64), 3.0))
    near = lift_tracks(tracks_at([(20, 20)], sigma_px=0.0), plane, still_cameras()).sigma
    wide = lift_tracks(tracks_at([(20, 20)], sigma_px=0.0), plane, still_cameras(), options=LiftOptions(baseline_m=0.63)).sigma
    assert near is not None
    assert wide is not None
    assert near[0, 0] == pytest.approx(10 * wide[0, 0], rel=1e-4)


def test_unknown_far_outside_and_unregistered_samples_are_unknown():
    depth = np.full((64, 64), 3.0)
    depth[10:20, 10:20] = np.nan
    depth[30:40, 30:40] = 25.0
    depth[50, 50] = 0.0
    cameras = still_cameras(frames=2)
    cameras.T_wc[1] = np.nan
    lifted = lift_tracks(
        tracks_at([(15, 15), (35, 35), (50.5, 50.5), (-1, 5), (64, 5), (np.nan, 5), (5, 5)], frames=2), maps(depth, depth), cameras
    )
    np.testing.assert_array_equal(lifted.visible, [[False, False]] * 6 + [[True, False]])
    np.testing.assert_array_equal(np.isfinite(lifted.xyz).all(-1), lifted.visible)
    assert lifted.sigma is not None
    np.testing.assert_array_equal(np.isfinite(lifted.sigma), lifted.visible)


def test_a_hole_beside_the_sample_does_not_spread():
    depth = np.full((64, 64), 3.0)
    depth[20, 21] = np.nan
    assert lift_tracks(tracks_at([(20.9, 20.5)]), maps(depth), still_cameras()).xyz[0, 0, 2] == pytest.approx(3.0)


def test_colour_comes_from_the_query_frame():
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[1, 8, 10] = (200, 100, 50)
    tracks = tracks_at([(10.5, 8.5), (11.0, 8.5), (40.0, 40.0)], frames=2)
    tracks.queries[:, 0] = 1
    depth = maps(*[np.full((64, 64), 3.0)] * 2)
    rgb = lift_tracks(tracks, depth, still_cameras(frames=2), video=Video.from_frames(frames)).rgb
    np.testing.assert_array_equal(rgb, [(200, 100, 50), (100, 50, 25), (0, 0, 0)])
    assert (lift_tracks(tracks, depth, still_cameras(frames=2)).rgb == 128).all()


def test_relative_depth_has_an_error_in_proportion_to_it():
    depth = DepthVideo(np.full((1, 64, 64), 0.5, np.float32), np.ones((1, 64, 64), np.float32), "relative")
    sigma = lift_tracks(tracks_at([(20.5, 20.5)], sigma_px=0.0), depth, still_cameras()).sigma
    assert sigma is not None
    assert sigma[0, 0] == pytest.approx(0.5 * LiftOptions().relative_sigma, rel=1e-3)


def test_no_tracks_and_no_depth_work():
    cameras, nothing = still_cameras(), maps(np.full((64, 64), np.nan))
    assert len(lift_tracks(tracks_at(np.zeros((0, 2))), nothing, cameras)) == 0
    lifted = lift_tracks(tracks_at([(5, 5)]), nothing, cameras)
    assert not lifted.visible.any()
    assert lifted.motion[0] == 0


def test_parts_that_do_not_belong_together_are_told():
    depth = maps(np.full((64, 64), 3.0))
    with pytest.raises(UserError, match="2 frames, the depth 1 and the cameras 1"):
        lift_tracks(tracks_at([(5, 5)], frames=2), depth, still_cameras())
    with pytest.raises(UserError, match="64 x 64, but the cameras are 512 x 512"):
        lift_tracks(tracks_at([(5, 5)]), depth, camera_path(1))
