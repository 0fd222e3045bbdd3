"""A world of textured shapes that move rigidly, and exact answers to what a ray meets in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.geometry.poses import invert, transform
from toolkit.scene import F64, U8, B
from toolkit.synthetic import raycast
from toolkit.synthetic.light import Light, Moment, illuminate
from toolkit.synthetic.motions import Motion
from toolkit.synthetic.surfaces import LATTICE, SHAPE
from toolkit.synthetic.textures import Texture

Kind = Literal["ground", "box", "room", "ellipsoid", "cylinder", "capsule", "gable"]
_KINDS: tuple[Kind, ...] = ("ground", "box", "room", "ellipsoid", "cylinder", "capsule", "gable")


@dataclass(frozen=True, eq=False)
class Shape:
    """One textured surface.

    Attributes:
        kind: "ground" is the plane y = 0 of its own axes, "room" a box seen from inside, "gable" a roof with its ridge along z.
        size_m: Half extents or radii; cylinder and capsule stand along y: (radius, half length without caps, radius).
        texture: What it looks like.
        T_bs: (4, 4) where it sits on its body.
        shadow: Whether it shades others.
    """

    kind: Kind
    size_m: tuple[float, float, float]
    texture: Texture = Texture()
    T_bs: NDArray = field(default_factory=lambda: np.eye(4))
    shadow: bool = True

    @property
    def bound_m(self) -> float:
        """Radius of a ball around its centre that holds it."""
        x, y, z = self.size_m
        return {"ground": np.inf, "room": np.inf, "ellipsoid": max(x, y, z), "cylinder": np.hypot(x, y), "capsule": x + y}.get(
            self.kind, float(np.linalg.norm(self.size_m))
        )


@dataclass(frozen=True, eq=False)
class Body:
    """Shapes that move together.

    Attributes:
        name: Bodies of one name are one object (the limbs of a walker).
        shapes: Its surfaces.
        motion: A fixed pose (4, 4), or a function of seconds that answers with one.
    """

    name: str
    shapes: tuple[Shape, ...]
    motion: NDArray | Motion

    @property
    def moves(self) -> bool:
        """Whether it ever moves."""
        return callable(self.motion)

    def pose(self, time_s: float) -> F64:
        """(4, 4) its pose in the world's own axes."""
        return self.motion(time_s) if callable(self.motion) else np.asarray(self.motion, np.float64)


@dataclass(frozen=True, eq=False)
class Hit:
    """What rays met.

    Attributes:
        distance: (...) float64 multiple of the direction: metres for unit directions, z-depth for directions with z = 1; inf in the sky.
        object_id: (...) int16, 0 in the sky.
        body: (...) int64 index of the rigid body, -1 in the sky.
        xyz_w: (..., 3) float64 world point, NaN in the sky.
        rgb: (..., 3) uint8 colour.
    """

    distance: F64
    object_id: NDArray[np.int16]
    body: NDArray[np.int64]
    xyz_w: F64
    rgb: U8


@dataclass(frozen=True, eq=False)
class World:
    """Everything there is.

    Attributes:
        bodies: What stands and moves in it.
        light: Sun and sky.
        T_ws: (4, 4) from the axes in which bodies and light are written (y down, ground at y = 0) to the world's.
        seed: Of the noise.
    """

    bodies: tuple[Body, ...]
    light: Light = Light()
    T_ws: NDArray = field(default_factory=lambda: np.eye(4))
    seed: int = 0

    def seen_from(self, T_sc: NDArray) -> World:
        """The same world in the axes of a camera that stands at `T_sc` (4, 4) in the world's own axes: there it is the identity."""
        return replace(self, T_ws=invert(T_sc))

    @cached_property
    def object_names(self) -> tuple[str, ...]:
        """Name of each object id; id 0 is the sky."""
        return ("sky", *dict.fromkeys(body.name for body in self.bodies))

    @cached_property
    def object_of_body(self) -> NDArray[np.int16]:
        """(bodies,) object id of each body."""
        ids = {name: i for i, name in enumerate(self.object_names)}
        return np.array([ids[body.name] for body in self.bodies], np.int16)

    @cached_property
    def moves(self) -> B:
        """(bodies,) which bodies ever move."""
        return np.array([body.moves for body in self.bodies])

    @cached_property
    def body_of_shape(self) -> NDArray[np.int64]:
        """(shapes,) body of each shape."""
        return np.repeat(np.arange(len(self.bodies)), [len(body.shapes) for body in self.bodies])

    def body_poses(self, time_s: float) -> F64:
        """(bodies, 4, 4) world-from-body at a time in seconds."""
        return self.T_ws @ np.stack([body.pose(time_s) for body in self.bodies])

    @cached_property
    def _still_parts(self) -> tuple[NDArray, F64, NDArray[np.float32]]:
        """What of the shapes does not change, where they sit on their bodies, and the numbers of the noise."""
        shapes = [shape for body in self.bodies for shape in body.shapes]
        rng = np.random.default_rng(self.seed)
        rows = []
        for s, offset_m in zip(shapes, rng.uniform(0, 40, len(shapes)), strict=True):
            place = (_KINDS.index(s.kind), s.texture.kind, int(s.shadow), *s.size_m, *[np.nan] * 12, s.bound_m)
            rows.append((*place, *s.texture.row(offset_m)))
        lattice = rng.uniform(0, 1, LATTICE**3).astype(np.float32)
        return np.array(rows, SHAPE), np.stack([np.asarray(s.T_bs, np.float64) for s in shapes]), lattice

    def at(self, time_s: float) -> Moment:
        """Shapes and light at a time in seconds, for compiled code."""
        still, T_bs, lattice = self._still_parts
        T, shapes = self.body_poses(time_s)[self.body_of_shape] @ T_bs, still.copy()
        for i, axis in enumerate("xyz"):
            shapes[f"c{axis}"] = T[:, i, 3]
            for j in range(3):
                shapes[f"r{i}{j}"] = T[:, i, j]
        return illuminate(self.light, shapes, lattice, np.asarray(self.T_ws, np.float64))

    def cast(self, origins: ArrayLike, directions: ArrayLike, time_s: float, *, pixel: float = 0.0) -> Hit:
        """What rays meet at a time.

        Args:
            origins: (..., 3) or (3,) start of each ray in the world, in metres.
            directions: (..., 3) any length but zero.
            time_s: Seconds.
            pixel: Width of a pixel per unit of distance: textures are filtered by it; 0 shows every grain.
        """
        d = np.asarray(directions, np.float64)
        shape = d.shape[:-1]
        flat = np.ascontiguousarray(d.reshape(-1, 3))
        o = np.ascontiguousarray(np.broadcast_to(np.asarray(origins, np.float64), d.shape).reshape(-1, 3))
        moment = self.at(time_s)
        distance, key, rgb = np.empty(len(flat)), np.empty(len(flat), np.int64), np.empty((len(flat), 3), np.uint8)
        raycast.trace_rays(moment, o, flat, distance, key)
        raycast.paint_rays(moment, o, flat, pixel, distance, key, rgb)
        body, object_id = self.owners(key)
        with np.errstate(invalid="ignore"):
            xyz_w = np.where(body[:, None] >= 0, o + distance[:, None] * flat, np.nan)
        return Hit(distance.reshape(shape), object_id.reshape(shape), body.reshape(shape), xyz_w.reshape(d.shape), rgb.reshape(d.shape))

    def reaches(self, origins: NDArray, xyz_w: NDArray, time_s: float) -> B:
        """Which points (N, 3) on surfaces can be seen from `origins` (N, 3) at a time in seconds."""
        o, d = np.ascontiguousarray(origins, np.float64), np.ascontiguousarray(xyz_w - origins, np.float64)
        distance, key = np.empty(len(d)), np.empty(len(d), np.int64)
        raycast.trace_rays(self.at(time_s), o, d, distance, key)
        # A point on a surface is met at 1 up to round-off; whatever hides it is nearer by more than 10 micrometres a metre.
        return distance > 1 - 1e-5

    def owners(self, key: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """Rigid body (-1 in the sky) and object id (0 in the sky) of the keys that `raycast` writes."""
        body = np.where(key >= 0, self.body_of_shape[np.maximum(key, 0) // 8], -1)
        return body, np.where(body >= 0, self.object_of_body[np.maximum(body, 0)], 0).astype(np.int16)

    def moved(self, xyz_w: NDArray, body: NDArray[np.int64], before: NDArray, after: NDArray) -> F64:
        """Where surface points (N, 3) of bodies (N,) go between two `body_poses`; NaN for body -1."""
        change = after @ invert(before)
        change[~self.moves] = np.eye(4)
        return np.where(body[:, None] >= 0, transform(change[np.maximum(body, 0)], xyz_w), np.nan)
