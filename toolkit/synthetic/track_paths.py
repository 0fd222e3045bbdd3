"""Random but plausible paths over time: of hand-held cameras, and of what they are made of."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter
from scipy.spatial.transform import Rotation

from toolkit.geometry.poses import from_rotation
from toolkit.scene import F64

CameraMotion = Literal["slide", "orbit", "dolly", "hand", "turn"]
CAMERA_MOTIONS: tuple[CameraMotion, ...] = get_args(CameraMotion)
"""Sideways; around the middle of the scene; to it or back; held in the hand; turning on the spot, without any parallax."""


def smooth_path(rng: np.random.Generator, frames: int, axes: int, size: ArrayLike, *, waves: int = 3) -> F64:
    """(frames, axes) sums of slow cosines, zero at the first frame.

    Args:
        rng: Source of chance.
        frames: The whole path, however many frames it has, is a second or two of somebody's movement.
        axes: Numbers per frame.
        size: Standard size of the slowest wave, one or one per axis; each faster one is smaller by its number.
        waves: How many.
    """
    t = np.linspace(0, 1, frames)[:, None]
    out = np.zeros((frames, axes))
    for wave in range(1, waves + 1):
        turns = rng.uniform(0.25, 0.6) * wave
        out += rng.normal(size=axes) / wave * np.cos(2 * np.pi * turns * t + rng.uniform(0, 2 * np.pi, axes))
    return np.asarray(size) * (out - out[0])


def jitter(rng: np.random.Generator, frames: int, axes: int, sigma: float, *, kept: float = 0.8) -> F64:
    """(frames, axes) trembling of a standard deviation that stays, of which a share is kept from frame to frame."""
    pushes = rng.normal(size=(frames, axes)) * sigma * np.sqrt(1 - kept**2)
    return np.asarray(lfilter([1.0], [1.0, -kept], pushes, axis=0), np.float64)


def look_at(centres: NDArray, targets: NDArray, roll_rad: NDArray) -> F64:
    """World-from-camera poses (T, 4, 4) of cameras at `centres` (T, 3) that look at `targets` and are rolled; y is down."""
    z = targets - centres
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    upright = np.stack([x, np.cross(z, x), z], axis=-1)
    return from_rotation(upright @ Rotation.from_euler("z", roll_rad[:, None]).as_matrix(), centres)


def camera_path(rng: np.random.Generator, frames: int, motion: CameraMotion, distance: float) -> F64:
    """World-from-camera poses (T, 4, 4) of a hand-held camera that films what is `distance` before it.

    Args:
        rng: Source of chance.
        frames: T.
        motion: What the person does with it.
        distance: From the start to the middle of the scene at (0, 0, distance).
    """
    t = np.linspace(0, 1, frames)
    middle = np.array([0.0, 0.0, distance])
    centres, sway = np.zeros((frames, 3)), 0.025
    if motion == "orbit":
        angle = np.deg2rad(rng.uniform(15, 60)) * rng.choice([-1, 1]) * (t + 0.1 * np.sin(2 * np.pi * t))
        centres = middle - distance * np.stack([np.sin(angle), 0 * t, np.cos(angle)], axis=-1)
    elif motion == "slide":
        way = rng.normal(size=3) * (1, 0.35, 0.4)
        centres = np.outer(t, way / np.linalg.norm(way)) * distance * rng.uniform(0.15, 0.5)
    elif motion == "dolly":
        way = np.array([0.1 * rng.normal(), 0, rng.uniform(0.15, 0.4) * rng.choice([-1, 1])])
        centres = np.outer(t, way) * distance
    elif motion == "hand":
        sway = 0.07
    targets = middle + smooth_path(rng, frames, 3, 0.05 * distance) + jitter(rng, frames, 3, 0.004 * distance)
    roll = np.deg2rad(smooth_path(rng, frames, 1, 2.0)[:, 0])
    if motion == "turn":
        pan = np.deg2rad(rng.uniform(10, 35)) * rng.choice([-1, 1]) * (t - 0.5)
        targets = targets + distance * np.stack([np.tan(pan), 0 * t, 0 * t], axis=-1)
    else:
        centres = centres + smooth_path(rng, frames, 3, sway * distance) + jitter(rng, frames, 3, 0.002 * distance)
    return look_at(centres, targets, roll)
