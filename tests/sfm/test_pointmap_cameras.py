"""Cameras of pointmaps: found despite gross errors, as sure as they say, the same for the same seed, and NaN where none can be."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.geometry.cameras import project
from toolkit.geometry.poses import from_rotation, invert, rotation_angle_deg, transform
from toolkit.geometry.sampling import pixel_centres
from toolkit.sfm.pointmap_cameras import focal_of_pointmap, pose_by_pnp, pose_by_points

K = np.array([[120.0, 0, 64], [0, 120, 48], [0, 0, 1]])
T_WC = from_rotation(Rotation.from_rotvec([0.05, -0.2, 0.03]).as_matrix(), np.array([0.3, -0.1, 0.2]))


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.uniform([-1.5, -1, 2], [1.5, 1, 6], (400, 3))


def seen(points, noise_px=0.0, seed=0):
    xy, _ = project(points, K, T_WC)
    return xy + noise_px * np.random.default_rng(seed).normal(size=xy.shape)


def test_a_pose_is_found_among_gross_errors_and_again_the_same(points):
    xy = seen(points, 0.3)
    xy[::4] += np.random.default_rng(1).uniform(-40, 40, xy[::4].shape)
    found, again = (pose_by_pnp(points, xy, K, seed=3) for _ in range(2))
    assert not found.failure and 0.7 < found.inliers < 0.85
    assert np.array_equal(found.T_wc, again.T_wc)
    assert rotation_angle_deg(found.T_wc[:3, :3].T @ T_WC[:3, :3]) < 0.15
    assert np.linalg.norm(found.T_wc[:3, 3] - T_WC[:3, 3]) < 0.02


def test_covariances_tell_how_far_off_poses_are(points):
    errors, told = [], []
    for seed in range(30):
        found = pose_by_pnp(points[:60], seen(points[:60], 0.5, seed), K)
        shift = invert(found.T_wc)[:3, 3] - invert(T_WC)[:3, 3]
        errors.append(shift @ shift)
        told.append(np.trace(found.covariance[3:, 3:]))
    assert 0.4 < np.mean(errors) / np.mean(told) < 2.5


def test_no_pose_is_nan_with_a_reason_and_never_the_identity(points):
    nothing = pose_by_pnp(points, np.random.default_rng(0).uniform(0, 100, (400, 2)), K)
    few = pose_by_pnp(points[:4], seen(points[:4]), K)
    line = pose_by_points(np.linspace([0, 0, 1], [0, 0, 3], 20), np.linspace([0, 0, 1], [0, 0, 3], 20))
    unknown = pose_by_points(np.full((20, 3), np.nan), np.ones((20, 3)))
    for found in (nothing, few, line, unknown):
        assert found.failure and np.isnan(found.T_wc).all() and np.isnan(found.covariance).all()


def test_two_maps_of_the_same_points_tell_the_pose(points):
    own = transform(invert(T_WC), points)
    rng = np.random.default_rng(2)
    noisy = own * (1 + 0.01 * rng.normal(size=(400, 1)))
    noisy[::5] += rng.normal(size=noisy[::5].shape)
    found = pose_by_points(noisy, points)
    assert rotation_angle_deg(found.T_wc[:3, :3].T @ T_WC[:3, :3]) < 0.2 and np.linalg.norm(found.T_wc[:3, 3] - T_WC[:3, 3]) < 0.02


def test_the_focal_length_of_a_self_pair_is_found_among_errors():
    rays = np.concatenate([(pixel_centres((128, 96)) - K[:2, 2]) / 120, np.ones((96, 128, 1))], -1)
    rng = np.random.default_rng(0)
    points = rays * rng.uniform(1, 4, (96, 128, 1))
    assert focal_of_pointmap(points) == pytest.approx(120, rel=1e-6)
    points[::3, ::3] += rng.normal(size=points[::3, ::3].shape)
    assert focal_of_pointmap(points) == pytest.approx(120, rel=0.03)
    assert np.isnan(focal_of_pointmap(np.full((96, 128, 3), np.nan)))
