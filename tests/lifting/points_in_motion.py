"""Points with exact motion, seen by a moving camera whose two eyes measure disparity as wrongly as real ones do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.geometry.cameras import intrinsics_from_fov, project, unproject
from toolkit.scene import F64, B, Cameras, Tracks3D

BASELINE_M = 0.063
SIZE = (512, 512)


@dataclass(frozen=True)
class Truth:
    """A recording and what really happened.

    Attributes:
        tracks: What was measured.
        cameras: Exact cameras.
        xyz: (N, T, 3) true positions.
        moving: (N,) which points move.
        depth: (N, T) true z-depth.
    """

    tracks: Tracks3D
    cameras: Cameras
    xyz: F64
    moving: B
    depth: F64

    def error_m(self, tracks: Tracks3D, *, nearest: float = 2.0, farthest: float = 5.0) -> F64:
        """(N, T) distance from the truth, NaN where not measured or out of the range of depths."""
        error = np.linalg.norm(tracks.xyz - self.xyz, axis=-1)
        return np.where(tracks.visible & (self.depth >= nearest) & (self.depth <= farthest), error, np.nan)


def wander(rng: np.random.Generator, shape: tuple[int, int], frames: float) -> F64:
    """(N, T) unit-variance noise that is alike for about as many frames."""
    keep = np.exp(-1 / frames)
    out = rng.normal(size=shape)
    for t in range(1, shape[1]):
        out[:, t] = keep * out[:, t - 1] + np.sqrt(1 - keep**2) * out[:, t]
    return out


def camera_path(frames: int, *, sway_m: float = 0.3) -> Cameras:
    """A hand-held VR180 camera, 60 degrees over 512 pixels, at 30 frames per second."""
    s = np.arange(frames) / 30
    centre = np.stack([sway_m * np.sin(1.1 * s), 0.3 * sway_m * np.sin(1.7 * s), 0.7 * sway_m * (1 - np.cos(0.9 * s))], axis=1)
    turn = np.stack([8 * np.sin(0.8 * s), 4 * np.sin(1.3 * s), 2 * np.sin(s)], axis=1)
    T_wc = np.tile(np.eye(4), (frames, 1, 1))
    T_wc[:, :3, :3] = Rotation.from_euler("yxz", turn, degrees=True).as_matrix()
    T_wc[:, :3, 3] = centre
    return Cameras.from_poses(intrinsics_from_fov(60, SIZE), T_wc, SIZE)


def record(
    *,
    count: int = 300,
    frames: int = 60,
    moving: float = 0.4,
    white_px: float = 0.2,
    slow_px: float = 0.1,
    track_px: float = 0.3,
    wrong: float = 0.02,
    sway_m: float = 0.3,
    seed: int = 0,
) -> Truth:
    """Points 2 to 5 m away; the first `moving` share of them swings and travels like limbs and walkers.

    Args:
        count: Number of points.
        frames: Number of frames.
        moving: Share that moves.
        white_px: Error of each disparity, independent from frame to frame.
        slow_px: Error of each disparity that stays for about six frames.
        track_px: Error of each image position.
        wrong: Share of disparities that are anything.
        sway_m: How far the camera sways.
        seed: Of all of it.
    """
    rng = np.random.default_rng(seed)
    cameras = camera_path(frames, sway_m=sway_m)
    s = np.arange(frames)[None, :, None] / 30
    start = unproject(rng.uniform(60, 452, (count, 2)), 1 / rng.uniform(1 / 5, 1 / 2, count), cameras.K[0], cameras.T_wc[0])
    moves = np.arange(count) < moving * count
    swing = rng.normal(0, 0.5, (count, 1, 3)) * s
    for _ in range(3):
        rate = rng.uniform(0.2, 1.5, (count, 1, 1))
        swing = swing + rng.normal(0, 0.12, (count, 1, 3)) / np.maximum(rate, 0.4) * np.sin(
            2 * np.pi * (rate * s + rng.random((count, 1, 1)))
        )
    swing = swing - swing[:, frames // 2 : frames // 2 + 1]
    xyz = start[:, None] + np.where(moves[:, None, None], swing, 0.0)
    xy, depth = project(xyz, cameras.K, cameras.T_wc)
    focal_px = cameras.K[0, 0, 0]
    disparity_px = focal_px * BASELINE_M / depth + rng.normal(0, white_px, depth.shape) + slow_px * wander(rng, depth.shape, 6)
    disparity_px = np.where(rng.random(depth.shape) < wrong, rng.uniform(1.5, 20, depth.shape), disparity_px)
    seen_at = xy + rng.normal(0, track_px, xy.shape)
    visible = (
        (depth > 0.3) & (seen_at >= 0).all(-1) & (seen_at < SIZE[0]).all(-1) & (disparity_px > 1.5) & (wander(rng, depth.shape, 10) < 1.5)
    )
    z = np.where(visible, focal_px * BASELINE_M / np.maximum(disparity_px, 1), np.nan)
    sigma = z**2 / (focal_px * BASELINE_M) * np.hypot(white_px, slow_px)
    measured = unproject(seen_at, z, cameras.K, cameras.T_wc)
    tracks = Tracks3D(measured, visible, np.full((count, 3), 128, np.uint8), np.zeros(count, np.float32), sigma)
    return Truth(tracks, cameras, xyz, moves, depth)
