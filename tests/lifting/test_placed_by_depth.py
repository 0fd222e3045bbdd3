"""Points without a place get that of the dense depth; those that have one, and those that no depth tells of, stay as they are."""

import numpy as np

from toolkit.lifting.placed_by_depth import placed_by_depth
from toolkit.scene import Cameras, DepthVideo, Scene, Tracks2D, Tracks3D


def scene_with(xyz: np.ndarray, queries: np.ndarray) -> Scene:
    """Two frames of 8 x 6 px whose depth is 2, unknown in the last column; the second camera stands one to the right."""
    T = np.tile(np.eye(4), (2, 1, 1))
    T[1, 0, 3] = 1.0
    depth = np.full((2, 6, 8), 2.0, np.float32)
    depth[:, :, -1] = np.nan
    seen = np.zeros((len(xyz), 2), bool)
    unsure, black = np.full(seen.shape, np.nan, np.float32), np.zeros((len(xyz), 3), np.uint8)
    return Scene(
        Cameras.from_poses(np.array([[4.0, 0, 4], [0, 4, 3], [0, 0, 1]]), T, (8, 6)),
        Tracks2D(np.zeros((len(xyz), 2, 2), np.float32), seen, seen.astype(np.float32), queries.astype(np.float32)),
        Tracks3D(xyz.astype(np.float32), seen, black, np.zeros(len(xyz), np.float32), unsure),
        DepthVideo(depth, np.full_like(depth, 0.6827), "relative"),
        unit="relative",
    )


def test_lost_points_stand_where_depth_says_and_others_stay():
    xyz = np.full((4, 2, 3), np.nan)
    xyz[0, 1] = [5.0, 6, 7]
    before = scene_with(xyz, np.array([[0, 4, 3], [0, 4, 3], [1, 6, 3], [0, 7.5, 3]]))
    tracks = placed_by_depth(before).tracks_3d
    assert tracks is not None and tracks.sigma is not None
    np.testing.assert_allclose(tracks.xyz[1], [[0, 0, 2]] * 2, atol=1e-6)
    np.testing.assert_allclose(tracks.xyz[2], [[2, 0, 2]] * 2, atol=1e-6)  # one to the right, and as far again by its pixel
    np.testing.assert_allclose(tracks.sigma[1:3], 0.2, rtol=1e-3)  # one sigma within a tenth of the depth
    assert np.isnan(tracks.xyz[0, 0]).all() and np.isnan(tracks.xyz[3]).all()


def test_a_scene_in_which_none_is_lost_stays_itself():
    before = scene_with(np.ones((2, 2, 3)), np.zeros((2, 3)))
    assert placed_by_depth(before) is before
