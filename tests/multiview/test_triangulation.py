import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.geometry.cameras import project
from toolkit.multiview.triangulation import projections, triangulate
from toolkit.scene import Cameras
from toolkit.synthetic.examples import Tripod

SIZE = (640, 480)
K = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])


def rig(count: int) -> tuple[Cameras, ...]:
    return tuple(Cameras.from_poses(K, Tripod(40.0 * v)(0.0)[None], SIZE) for v in range(count))


def seen_by(cameras: tuple[Cameras, ...], xyz: np.ndarray) -> np.ndarray:
    return np.stack([project(xyz, c.K[0], c.T_wc[0])[0] for c in cameras], axis=1)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), views=st.integers(2, 6))
def test_points_seen_exactly_are_found_exactly(seed, views):
    xyz = np.random.default_rng(seed).uniform(-0.8, 0.8, (10, 3)) + [0, -1, 0]
    cameras = rig(views)
    found = triangulate(seen_by(cameras, xyz), np.ones((10, views)), projections(cameras)[:, 0])
    np.testing.assert_allclose(found.xyz, xyz, atol=1e-6)
    assert found.inlier.all()


def test_a_view_that_sees_another_point_is_left_out():
    xyz = np.random.default_rng(0).uniform(-0.8, 0.8, (50, 3)) + [0, -1, 0]
    cameras = rig(4)
    xy = seen_by(cameras, xyz)
    xy[:, 2] += 30.0
    found = triangulate(xy, np.full((50, 4), 0.5), projections(cameras)[:, 0])
    np.testing.assert_allclose(found.xyz, xyz, atol=1e-5)
    assert not found.inlier[:, 2].any() and found.inlier[:, [0, 1, 3]].all()


def test_sigma_tells_the_error():
    rng = np.random.default_rng(1)
    xyz = rng.uniform(-0.8, 0.8, (800, 3)) + [0, -1, 0]
    cameras = rig(4)
    found = triangulate(seen_by(cameras, xyz) + 0.7 * rng.normal(size=(800, 4, 2)), np.full((800, 4), 0.7), projections(cameras)[:, 0])
    error = (found.xyz - xyz) / found.sigma[:, None]
    assert 0.8 < np.sqrt(np.nanmean(error**2)) < 1.15


def test_one_view_or_parallel_rays_tell_no_place():
    cameras = rig(3)
    xy = seen_by(cameras, np.array([[0.0, -1.0, 0.0]]))
    xy[:, 1:] = np.nan
    assert np.isnan(triangulate(xy, np.ones((1, 3)), projections(cameras)[:, 0]).xyz).all()
    twice = (cameras[0], cameras[0])
    assert np.isnan(triangulate(seen_by(twice, np.zeros((1, 3))), np.ones((1, 2)), projections(twice)[:, 0]).xyz).all()


@pytest.mark.parametrize("behind", [True, False])
def test_points_behind_a_camera_are_not_seen_by_it(behind):
    cameras = rig(2)
    axis = cameras[0].T_wc[0, :3, 2]
    xyz = (cameras[0].centres[0] + (-2.0 if behind else 2.0) * axis)[None]
    xy = seen_by(cameras, xyz)
    if behind:
        assert np.isnan(xy[:, 0]).all()
    assert np.isnan(triangulate(xy, np.ones((1, 2)), projections(cameras)[:, 0]).xyz).all() == behind
