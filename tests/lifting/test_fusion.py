"""Depth of what stands still, averaged over frames."""

import numpy as np
import pytest
from points_in_motion import camera_path

from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.sampling import pixel_centres
from toolkit.lifting.fusion import fuse_still
from toolkit.scene import Cameras

SIZE = (96, 96)
POST = (0.25, 2.0)  # half width and distance of a post before a wall, in metres
WALL = 4.0


def post_before_wall(frames=30, sideways_m=0.02, noise_px=0.2, seed=0):
    """True depth, depth as stereo measures it, and cameras that move sideways."""
    rng = np.random.default_rng(seed)
    K = intrinsics_from_fov(60, SIZE)
    T_wc = np.tile(np.eye(4), (frames, 1, 1))
    T_wc[:, 0, 3] = sideways_m * np.arange(frames)
    x = (pixel_centres(SIZE)[..., 0] - K[0, 2]) / K[0, 0]
    true, measured = [], []
    for centre in T_wc[:, 0, 3]:
        true.append(np.where(np.abs(centre + POST[1] * x) < POST[0], POST[1], WALL))
        focal_baseline = 443.4 * 0.063  # errors as of a full-size picture
        measured.append(focal_baseline / (focal_baseline / true[-1] + rng.normal(0, noise_px, x.shape)))
    return np.stack(true), np.stack(measured).astype(np.float32), Cameras.from_poses(K, T_wc, SIZE)


def test_independent_errors_shrink_with_the_number_of_frames():
    true, measured, cameras = post_before_wall()
    fused = measured.copy()
    fuse_still(fused, cameras, lambda t: np.ones(SIZE, bool))
    before, after = (np.nanmedian(np.abs(d / true - 1)) for d in (measured, fused))
    assert after < 0.45 * before  # nine samples would give a third, were they all in view


def test_what_other_frames_see_through_becomes_unknown():
    true, measured, cameras = post_before_wall()
    measured[12, 30:40, 5:15] = POST[1]  # hangs in free air
    fused = measured.copy()
    fuse_still(fused, cameras, lambda t: np.ones(SIZE, bool))
    assert np.isnan(fused[12, 30:40, 5:15]).mean() > 0.9
    assert np.isfinite(fused).mean() > 0.98
    wall = (true == WALL) & np.isfinite(fused)
    assert np.median(np.abs(fused - true)[wall]) < 0.03 * WALL


def test_what_moves_and_frames_without_pose_stay_as_they_are():
    _, measured, cameras = post_before_wall()
    fused = measured.copy()
    fuse_still(fused, cameras, lambda t: np.zeros(SIZE, bool))
    np.testing.assert_array_equal(fused, measured)
    T_wc = cameras.T_wc.copy()
    T_wc[7] = np.nan
    fuse_still(fused, Cameras(cameras.K, T_wc, cameras.size), lambda t: np.ones(SIZE, bool))
    np.testing.assert_array_equal(fused[7], measured[7])
    assert (fused[8] != measured[8]).any()


def test_unknown_stays_unknown():
    _, measured, cameras = post_before_wall()
    measured[:, 20:30, 40:60] = np.nan
    fuse_still(fused := measured.copy(), cameras, lambda t: np.ones(SIZE, bool))
    assert np.isnan(fused[:, 20:30, 40:60]).all()


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_the_shortest_clips_work(frames):
    depth = np.ones((frames, *SIZE[::-1]), np.float32)
    cameras = camera_path(max(frames, 1))
    cameras = Cameras(cameras.K[:frames], cameras.T_wc[:frames], cameras.size[:frames])
    fuse_still(depth, cameras, lambda t: np.ones(SIZE, bool))
    assert (depth == 1).all()
