"""Ellipsoids that stand, walk, swing and deform: what points of a track scene lie on, and what hides them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from toolkit.geometry.poses import from_rotation
from toolkit.scene import F64, B
from toolkit.synthetic.track_paths import smooth_path

MoverKind = Literal["rigid", "articulated", "deforming"]
CORE = 0.7  # of a body that deforms: points that sink in are not to be hidden by where it would be at rest
MOVER_KINDS: tuple[MoverKind, ...] = get_args(MoverKind)
SKIN = 0.995  # what is hit nearer than this share of the way to a point hides it; the rest is the surface that the point lies on


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """A solid over T frames.

    Attributes:
        axes: (3,) half axes.
        T_wb: (T, 4, 4) world-from-body.
        waves: (M, 3, 3) of a body that deforms: wave vector, shift and (phase, turns, phase over time) of M standing waves.
    """

    axes: F64
    T_wb: F64
    waves: F64

    def surface(self, rng: np.random.Generator, points: int) -> tuple[F64, F64]:
        """Random points on it in the world and the outward normals there, both (points, T, 3)."""
        unit = rng.normal(size=(points, 3))
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        own, normal = unit * self.axes, unit / self.axes
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        t = np.linspace(0, 1, len(self.T_wb))
        placed = np.repeat(own[:, None], len(t), axis=1)
        for vector, shift, (phase, turns, start) in self.waves:
            placed = placed + (np.sin(own @ vector + phase)[:, None] * np.sin(2 * np.pi * turns * t + start))[..., None] * shift
        turned = self.T_wb[:, :3, :3].swapaxes(1, 2)
        world = (placed.swapaxes(0, 1) @ turned + self.T_wb[:, None, :3, 3]).swapaxes(0, 1)
        return world, (normal @ turned).swapaxes(0, 1)

    def hides(self, eyes: NDArray, xyz: NDArray) -> B:
        """(N, T) whether it stands between eyes (T, 3) and points (N, T, 3); a point on its far side is hidden too."""
        axes = self.axes * (CORE if len(self.waves) else 1)
        into = self.T_wb[:, :3, :3] / axes  # where the solid is the unit ball
        start = ((eyes - self.T_wb[:, :3, 3])[:, None] @ into)[:, 0]
        way = ((xyz - eyes).swapaxes(0, 1) @ into).swapaxes(0, 1)
        a, b = dot(way, way), dot(way, start)
        inside = b * b - a * ((start * start).sum(-1) - 1)
        entry = (-b - np.sqrt(np.maximum(inside, 0))) / a
        return (inside > 0) & (entry > 0) & (entry < SKIN)


NO_WAVES = np.zeros((0, 3, 3))


def dot(a: NDArray, b: NDArray) -> NDArray:
    """Products of 3D vectors, summed; several times faster than einsum over so short an axis."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def boulder(rng: np.random.Generator, frames: int, distance: float, floor_y: float) -> Ellipsoid:
    """Something that stays where it is, on the floor or above it."""
    axes = distance * rng.uniform(0.04, 0.14, 3)
    at = np.array([rng.uniform(-0.7, 0.7) * distance, floor_y * rng.uniform(-0.3, 1), rng.uniform(0.7, 1.7) * distance])
    if rng.uniform() < 0.6:
        at[1] = floor_y - axes[1]
    R = Rotation.from_euler("y", rng.uniform(0, np.pi)).as_matrix()
    return Ellipsoid(axes, np.repeat(from_rotation(R, at)[None], frames, axis=0), NO_WAVES)


def mover(rng: np.random.Generator, frames: int, kind: MoverKind, distance: float, floor_y: float, *, grounded: bool) -> list[Ellipsoid]:
    """Something that moves: a body, with limbs if it is articulated.

    Args:
        rng: Source of chance.
        frames: T.
        kind: How it is made.
        distance: From the camera to the middle of the scene.
        floor_y: Height of the floor, y down.
        grounded: Whether it stands on the floor, heading where it goes, or floats and tumbles.
    """
    t = np.linspace(0, 1, frames)
    size = distance * rng.uniform(0.05, 0.13)
    axes = size * rng.uniform(0.5, 1.6, 3)
    speed = distance * rng.uniform(0.05, 0.3)
    start = np.array([rng.uniform(-0.28, 0.28), rng.uniform(-0.1, 0.2), rng.uniform(0.65, 1.05)]) * distance
    way = rng.normal(size=3) * (1, 0.25, 0.6) * speed
    wander = smooth_path(rng, frames, 3, 0.03 * distance)
    limbs = int(rng.integers(2, 5)) if kind == "articulated" else 0
    length = size * rng.uniform(0.8, 1.4) if limbs else 0.0
    if grounded:
        start[1], way[1] = floor_y - axes[1] - 0.6 * length, 0
        wander[:, 1] *= 0.15  # it bobs
    at = start + np.outer(t - 0.5, way) + wander
    yaw = np.linspace(0, np.deg2rad(rng.uniform(-90, 90)), frames) + smooth_path(rng, frames, 1, 0.15)[:, 0]
    tilt = smooth_path(rng, frames, 3, 0.03 if grounded else 0.08)
    facing = np.arctan2(way[0], way[2])
    R = (Rotation.from_euler("y", (facing + yaw)[:, None]) * Rotation.from_rotvec(tilt)).as_matrix()
    waves = np.stack([_wave(rng, size) for _ in range(rng.integers(1, 5))]) if kind == "deforming" else NO_WAVES
    body = Ellipsoid(axes, from_rotation(R, at), waves)
    steps = rng.uniform(0.5, 3.0)
    return [body, *(_limb(rng, body, length, steps, i, down=grounded) for i in range(limbs))]


def _wave(rng: np.random.Generator, size: float) -> F64:
    shift = rng.normal(size=3) * size * rng.uniform(0.05, 0.3)
    return np.stack([rng.normal(size=3) / size, shift, [rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 3), rng.uniform(0, 2 * np.pi)]])


def _limb(rng: np.random.Generator, body: Ellipsoid, length: float, steps: float, number: int, *, down: bool) -> Ellipsoid:
    """A slender part that swings about a hinge in the body; neighbours swing against each other."""
    t = np.linspace(0, 1, len(body.T_wb))
    side = np.array([0.3 * rng.normal(), 1.0, 0.3 * rng.normal()]) if down else rng.normal(size=3)
    side /= np.linalg.norm(side)
    hinge = side * body.axes * 0.8 + rng.normal(size=3) * body.axes * (0.25, 0, 0.25)
    swing = np.deg2rad(rng.uniform(10, 45)) * np.sin(2 * np.pi * steps * t + np.pi * number + rng.normal() * 0.3)
    hinge_axis = np.cross(side, [1.0, 0, 0]) if abs(side[0]) < 0.5 and not down else np.array([1.0, 0, 0])
    hinge_axis /= np.linalg.norm(hinge_axis)
    upright = Rotation.align_vectors(side[None], [[0.0, 1, 0]])[0]
    turned = (Rotation.from_rotvec(np.outer(swing, hinge_axis)) * upright).as_matrix()
    local = from_rotation(turned, hinge + 0.5 * length * turned[:, :, 1])
    thickness = length * rng.uniform(0.12, 0.25)
    return Ellipsoid(np.array([thickness, 0.5 * length, thickness]), body.T_wb @ local, NO_WAVES)
