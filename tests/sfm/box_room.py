"""A walk through a box room: still points on its walls, a few moving things, noise, and outliers, all with their truth."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.scene import Cameras, DepthVideo, Tracks2D

SIZE = (512, 512)
FOCAL_PX, BASELINE_M = 443.4, 0.063
K = np.array([[FOCAL_PX, 0, 256.0], [0, FOCAL_PX, 256.0], [0, 0, 1.0]])


@dataclass(frozen=True)
class Walk:
    tracks: Tracks2D
    depth: DepthVideo
    cameras: Cameras
    disturbed: np.ndarray  # (N,) moving or wrongly tracked


def walk(frames=40, *, pan=False, points=1200, moving=0.15, outliers=0.05, noise_px=0.2, half_room_m=8.0, farthest_m=20.0, seed=0):
    """Tracks of a room of half width `half_room_m` seen on a walk, or on a pan from one place."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)
    if pan:
        centres = np.stack([0.002 * np.sin(t / 9), 0.002 * np.sin(t / 7), 0.0001 * t], 1)
        turns = np.stack([0.02 * np.sin(t / 11), 0.008 * t, 0.02 * np.sin(t / 7)], 1)
    else:
        centres = np.stack([0.012 * t + 0.05 * np.sin(t / 9), 0.02 * np.sin(t / 5), 0.016 * t], 1)
        turns = np.stack([0.03 * np.sin(t / 11), 0.2 * np.sin(t / 40), 0.02 * np.sin(t / 7)], 1)
    R = Rotation.from_rotvec(turns).as_matrix()
    centres = centres - centres[0]
    walls = np.array([1.0, 0.3, 1.0]) * half_room_m
    xyz = rng.uniform(-1, 1, (5 * points, 3)) * walls
    side = rng.integers(0, 3, len(xyz))
    xyz[np.arange(len(xyz)), side] = rng.choice([-1, 1], len(xyz)) * walls[side]
    moves = rng.random(len(xyz)) < moving
    xyz[moves] *= rng.uniform(0.3, 0.7, (moves.sum(), 1))
    thing = rng.integers(0, 5, len(xyz))
    velocity, phase = rng.normal(size=(5, 3)) * 0.012, rng.uniform(0, 6, 5)
    path = velocity[thing][:, None] * t[:, None] + 0.03 * np.sin(t / 6 + phase[thing][:, None])[..., None]
    world = xyz[:, None] + np.where(moves[:, None, None], path, 0)
    in_camera = np.einsum("tji,ntj->nti", R, world - centres)
    z = in_camera[..., 2]
    xy = FOCAL_PX * in_camera[..., :2] / np.maximum(z, 1e-3)[..., None] + 256 + rng.normal(size=(*z.shape, 2)) * noise_px
    slips = rng.random(len(xyz)) < outliers
    xy[slips] += np.cumsum(rng.normal(size=xy[slips].shape) * 0.7, 1)
    inside = (z > 0.3) & (xy > 2).all(2) & (xy < 510).all(2)
    # A track ends where it first leaves the image.
    begun = np.cumsum(inside, 1) > 0
    visible = np.cumprod(np.where(begun, inside, True), 1).astype(bool) & inside
    keep = visible.sum(1) > 3
    xy, visible, z, disturbed = xy[keep], visible[keep], z[keep], (moves | slips)[keep]
    depth = np.full((frames, *SIZE[::-1]), np.nan, np.float32)
    for f in range(frames):
        for n in np.flatnonzero(visible[:, f])[np.argsort(-z[visible[:, f], f])]:
            disparity = FOCAL_PX * BASELINE_M / z[n, f] + rng.normal() * 0.2
            column, row = int(xy[n, f, 0]), int(xy[n, f, 1])
            value = FOCAL_PX * BASELINE_M / disparity if disparity > FOCAL_PX * BASELINE_M / farthest_m else np.nan
            depth[f, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = value
    first = visible.argmax(1)
    queries = np.column_stack([first, xy[np.arange(len(xy)), first]])
    T_wc = np.tile(np.eye(4), (frames, 1, 1))
    T_wc[:, :3, :3], T_wc[:, :3, 3] = R[0].T @ R, centres @ R[0]
    tracks = Tracks2D(xy.astype(np.float32), visible, visible.astype(np.float32), queries.astype(np.float32))
    return Walk(tracks, DepthVideo(depth, np.isfinite(depth).astype(np.float32)), Cameras.from_poses(K, T_wc, SIZE), disturbed)
