"""A textured corner of a room from several places, with exact depth: a floor, a far wall, a wall at the side, a box in front."""

import numpy as np

from tests.sfm import photo_set
from toolkit.geometry.cameras import project
from toolkit.scene import PointCloud, Scene, Tracks2D, Tracks3D, Video

SIZE = (224, 160)
LENS = np.array([[200.0, 0, 112.0], [0, 200.0, 80.0], [0, 0, 1.0]])
WALLS = ((2, 6.0), (1, 1.5), (0, 3.0))  # as in photo_set: axis, where


def cameras(count=5, step=0.4):
    return photo_set.cameras(count, step=step, turn_deg=2.5, size=SIZE, lens=LENS)


def depth_of(seen, t):
    """(H, W) float32 exact z-depth."""
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    rays = np.stack([(x - LENS[0, 2]) / LENS[0, 0], (y - LENS[1, 2]) / LENS[1, 1], np.ones_like(x)], -1) @ seen.T_wc[t, :3, :3].T
    nearest = np.full(x.shape, np.inf)
    for axis, at in WALLS:
        with np.errstate(divide="ignore"):
            z = (at - seen.T_wc[t, axis, 3]) / rays[..., axis]
        nearest = np.where((z > 0) & (z < nearest), z, nearest)
    return nearest.astype(np.float32)


def scene_of(seen, pictures, *, points=300, seed=0):
    """A scene with video, cameras and tracks of points on the surfaces, as a reconstruction would give it."""
    rng = np.random.default_rng(seed)
    t = len(seen) // 2
    z = depth_of(seen, t)
    column, row = rng.integers(0, SIZE[0], points), rng.integers(0, SIZE[1], points)
    rays = np.stack([(column + 0.5 - LENS[0, 2]) / LENS[0, 0], (row + 0.5 - LENS[1, 2]) / LENS[1, 1], np.ones(points)], -1)
    xyz = (rays * z[row, column, None]) @ seen.T_wc[t, :3, :3].T + seen.T_wc[t, :3, 3]
    count = len(seen)
    xy = np.stack([project(xyz, LENS, np.nan_to_num(seen.T_wc[k], nan=0.0))[0] for k in range(count)], 1)
    visible = (xy > 0).all(-1) & (xy < SIZE).all(-1) & seen.registered
    xy = np.nan_to_num(xy).astype(np.float32)
    queries = np.column_stack([np.full(points, t), xy[:, t]]).astype(np.float32)
    tracks_2d = Tracks2D(xy, visible, visible.astype(np.float32), queries)
    rgb = np.zeros((points, 3), np.uint8)
    tracks_3d = Tracks3D(np.repeat(xyz[:, None].astype(np.float32), count, 1), visible, rgb, np.zeros(points, np.float32))
    video = Video.from_frames(np.stack(pictures), 2.0)
    return Scene(seen, tracks_2d, tracks_3d, None, PointCloud(xyz.astype(np.float32), rgb), "metre", "vggsfm", video=video)
