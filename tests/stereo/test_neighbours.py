"""Which views are compared."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolkit.scene import Cameras
from toolkit.stereo.neighbours import NeighbourSettings, neighbours_of

K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
POINTS = np.random.default_rng(0).uniform([-2, -1.5, 7], [2, 1.5, 9], (200, 3))


def looking(centres, towards=(0, 0, 8)):
    T = np.tile(np.eye(4), (len(centres), 1, 1))
    for pose, centre in zip(T, np.asarray(centres, float), strict=True):
        z = np.asarray(towards) - centre
        z /= np.linalg.norm(z)
        x = np.cross([0, 1, 0], z)
        x /= np.linalg.norm(x)
        pose[:3, :3], pose[:3, 3] = np.stack([x, np.cross(z, x), z], 1), centre
    return Cameras.from_poses(K, T, (320, 240))


def test_views_from_both_sides_come_before_two_from_one():
    cameras = looking([[0, 0, 0], [1.1, 0, 0], [1.2, 0, 0], [1.0, 0, 0], [-1.4, 0, 0]])
    assert 4 in neighbours_of(0, cameras, POINTS, range(5), NeighbourSettings(count=2))


def test_a_view_from_the_same_place_or_far_too_wide_is_left_out():
    cameras = looking([[0, 0, 0], [0.001, 0, 0], [1.1, 0, 0], [7.5, 0, 7]])
    assert neighbours_of(0, cameras, POINTS, range(4), NeighbourSettings(least=0.2)) == [2]


def test_a_view_that_looks_elsewhere_or_has_no_pose_is_never_chosen():
    cameras = looking([[0, 0, 0], [1, 0, 0], [-1, 0, 0]])
    away = looking([[1.1, 0.1, 0]], towards=(1.1, 0, -8))
    T = np.concatenate([cameras.T_wc, away.T_wc, np.full((1, 4, 4), np.nan)])
    every = Cameras.from_poses(K, T, (320, 240))
    assert sorted(neighbours_of(0, every, POINTS, range(5))) == [1, 2]


@given(st.integers(1, 6), st.integers(0, 1000))
def test_at_most_so_many_and_never_itself(count, seed):
    centres = np.random.default_rng(seed).uniform(-2, 2, (8, 3))
    chosen = neighbours_of(3, looking(centres), POINTS, range(8), NeighbourSettings(count=count))
    assert len(chosen) <= count and 3 not in chosen and len(set(chosen)) == len(chosen)


def test_without_points_nobody_is_a_neighbour():
    assert neighbours_of(0, looking([[0, 0, 0], [1, 0, 0]]), np.empty((0, 3)), range(2)) == []
