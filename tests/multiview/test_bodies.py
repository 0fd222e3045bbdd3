import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.multiview.bodies import find_bodies, poses_of, supposed_bodies
from toolkit.multiview.fusing import fuse


def moving(shape: np.ndarray, frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    R = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.1, (frames, 3)), axis=0)).as_matrix()
    t = np.cumsum(rng.normal(0, 0.05, (frames, 3)), axis=0)
    return np.einsum("tij,mj->mti", R, shape) + t, np.concatenate([R, t[..., None]], -1)


def test_two_things_that_move_apart_are_two_bodies_and_a_loner_is_none():
    rng = np.random.default_rng(0)
    a, _ = moving(rng.uniform(-0.3, 0.3, (8, 3)), 20, 1)
    b, _ = moving(rng.uniform(-0.3, 0.3, (5, 3)) + [1, 0, 0], 20, 2)
    loner = np.cumsum(rng.normal(0, 0.1, (1, 20, 3)), axis=1)
    xyz = np.concatenate([a, b, loner]) + rng.normal(0, 0.001, (14, 20, 3))
    bodies = find_bodies(xyz, np.full((14, 20), 0.001))
    assert [set(body.members) for body in bodies] == [set(range(8)), set(range(8, 13))]


def test_a_body_tells_where_its_lost_points_are():
    shape = np.random.default_rng(3).uniform(-0.3, 0.3, (8, 3))
    truth, _ = moving(shape, 20, 4)
    xyz = truth.copy()
    xyz[0, 8:] = np.nan
    sigma = np.where(np.isfinite(xyz[..., 0]), 0.001, np.nan)
    found, spread, _ = fuse(xyz, sigma, find_bodies(xyz, sigma))
    assert np.linalg.norm(found[0] - truth[0], axis=1).max() < 1e-3
    assert np.isfinite(spread).all()


def test_a_track_that_slips_is_put_back_by_its_body():
    truth, _ = moving(np.random.default_rng(5).uniform(-0.3, 0.3, (8, 3)), 20, 6)
    xyz = truth.copy()
    xyz[2, 17:] += 0.1
    sigma = np.full((8, 20), 0.001)
    found, _, believed = fuse(xyz, sigma, find_bodies(xyz, sigma))
    assert np.linalg.norm(found - truth, axis=-1).max() < 5e-3
    assert not believed[2, 17:].any() and believed[2, :17].all()


def test_poses_need_three_points():
    shape = np.random.default_rng(7).uniform(-0.3, 0.3, (4, 3))
    xyz, pose = moving(shape, 5, 8)
    xyz[:2, 3] = np.nan
    T_wb = poses_of(shape, xyz)
    assert np.isnan(T_wb[3]).all()
    np.testing.assert_allclose(T_wb[[0, 1, 2, 4], :3], pose[[0, 1, 2, 4]], atol=1e-9)


def test_points_asked_for_together_are_supposed_to_be_one_thing():
    near = np.random.default_rng(9).uniform(0, 0.2, (6, 3))
    queries = np.column_stack([np.zeros(12), np.concatenate([near, near + 5])])
    bodies = supposed_bodies(queries, 4, np.ones(12, bool))
    assert sorted(len(body.members) for body in bodies) == [6, 6]
    assert all(np.isfinite(body.T_wb[:, 0, 0]).sum() == 1 for body in bodies)
