"""Scenes of nothing but points, with exact truth, in milliseconds each: to learn from, and to be judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.geometry.poses import invert, transform
from toolkit.scene import F64, B, Cameras, Tracks2D
from toolkit.synthetic.track_bodies import MOVER_KINDS, Ellipsoid, MoverKind, boulder, dot, mover
from toolkit.synthetic.track_paths import CAMERA_MOTIONS, CameraMotion, camera_path
from toolkit.synthetic.tracker_errors import TrackerErrors, tracked

HELD_OUT_SEEDS = range(10_000_000, 10_000_024)
"""Scenes to be judged on; nothing may be learned from a seed from here on."""
VALIDATION_SEEDS = range(9_990_000, 10_000_000)
"""Scenes that tell during training how it goes; smaller seeds may be learned from."""
NEAREST = 0.1  # share of the scene's distance; nearer points are not seen
MORE_MOVING, MORE_STILL = 4, 5  # so many points are tried for one that is kept
ATTEMPTS = 8  # to place what moves so that it is seen
OUTSIDE = 1.0  # a tracker's guess is at most so many widths and heights outside the picture


@dataclass(frozen=True)
class TrackRecipe:
    """What kinds of scenes are made.

    Attributes:
        size: (width, height) of the picture in pixels.
        focal: Range of the focal length, in widths of the picture.
        distance: Range of the distance to the middle of the scene; the unit is arbitrary.
        motions: What the camera does, each as likely.
        turning: Share of cameras that turn on the spot instead: depth can't be known then.
        still: Share of scenes where nothing moves.
        movers: Range of how many things move otherwise.
        moving: Range of the share of points that lie on them.
        grounded: Share of movers that stand on the floor.
        focal_error: Standard deviation of the logarithm of the focal length that is told, by the true one.
        errors: Of the tracker.
    """

    size: tuple[int, int] = (512, 384)
    focal: tuple[float, float] = (0.7, 1.3)
    distance: tuple[float, float] = (4.5, 7.5)
    motions: tuple[CameraMotion, ...] = CAMERA_MOTIONS[:4]
    turning: float = 0.05
    still: float = 0.05
    movers: tuple[int, int] = (1, 3)
    moving: tuple[float, float] = (0.1, 0.45)
    grounded: float = 0.7
    focal_error: float = 0.08
    errors: TrackerErrors = field(default_factory=TrackerErrors)


TRAINING = TrackRecipe()
HELD_OUT = replace(TRAINING, turning=0.0, still=0.0, focal_error=0.0)
"""Scenes of which everything can be known and scored: the camera moves, something else does too, the focal length is right."""


@dataclass(frozen=True, eq=False)
class TrackScene:
    """Tracks and the truth behind them; the world is the first camera.

    Attributes:
        tracks: N tracks of T frames in pixels, as a tracker tells them.
        K: (3, 3) intrinsics as told.
        cameras: True cameras, with the true intrinsics.
        xyz: (N, T, 3) float64 true points.
        visible: (N, T) whether a point is truly seen.
        moving: (N,) whether it lies on something that moves.
        body: (N,) 0 for what stands still, else the number of the mover.
        distance: From the first camera to about the middle of the scene.
        motion: What the camera does.
        movers: How each mover is made.
    """

    tracks: Tracks2D
    K: F64
    cameras: Cameras
    xyz: F64
    visible: B
    moving: B
    body: NDArray[np.int16]
    distance: float
    motion: CameraMotion
    movers: tuple[MoverKind, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture in pixels."""
        return int(self.cameras.size[0, 0]), int(self.cameras.size[0, 1])


def track_scene(seed: int, frames: int, points: int, *, recipe: TrackRecipe = TRAINING) -> TrackScene:
    """One scene: a hand-held camera before a floor, a wall and things that stand, and things that move.

    Args:
        seed: The same seed, sizes and recipe give the same scene.
        frames: T, at least 3.
        points: N, at least 8.
        recipe: What kind of scene.

    Raises:
        UserError: fewer frames or points.
    """
    if frames < 3 or points < 8:  # noqa: PLR2004
        raise UserError(f"A scene of {frames} frames and {points} points was asked for, but at least 3 and 8 are needed.")
    rng = np.random.default_rng(seed)
    width = recipe.size[0]
    focal = width * rng.uniform(*recipe.focal)
    distance = rng.uniform(*recipe.distance)
    floor_y = distance * rng.uniform(0.2, 0.35)
    motion: CameraMotion = "turn" if rng.uniform() < recipe.turning else recipe.motions[rng.integers(len(recipe.motions))]
    T_wc = camera_path(rng, frames, motion, distance)
    count = 0 if rng.uniform() < recipe.still else int(rng.integers(recipe.movers[0], recipe.movers[1] + 1))
    each = int(points * rng.uniform(*recipe.moving)) // count if count else 0
    standing = [boulder(rng, frames, distance, floor_y) for _ in range(rng.integers(3, 8))]
    for _ in range(ATTEMPTS):
        kinds = tuple(MOVER_KINDS[i] for i in rng.integers(len(MOVER_KINDS), size=count))
        movers = [mover(rng, frames, kind, distance, floor_y, grounded=rng.uniform() < recipe.grounded) for kind in kinds]
        solids = [*standing, *(part for parts in movers for part in parts)]
        view = _View(T_wc, focal, recipe.size, NEAREST * distance, solids)
        chosen = [view.chosen(rng, *_on(rng, parts, MORE_MOVING * each), each) for parts in movers]
        if all(2 * len(xyz) >= each for xyz, _ in chosen):  # else somebody walked out of the picture
            break
    still = points - sum(len(xyz) for xyz, _ in chosen)
    background = _background(rng, standing, MORE_STILL * still, distance, floor_y, frames)
    chosen.append(view.chosen(rng, *background, still, fill=True))
    body = np.repeat([*range(1, count + 1), 0], [len(xyz) for xyz, _ in chosen]).astype(np.int16)
    order = rng.permutation(points)
    xyz, visible = (np.concatenate(parts)[order] for parts in zip(*chosen, strict=True))
    body = body[order]
    xy, told = tracked(rng, view.projected(xyz)[0], visible, recipe.errors)
    xy = np.clip(xy, np.multiply(-OUTSIDE, recipe.size), np.multiply(1 + OUTSIDE, recipe.size)).astype(np.float32)
    first = np.argmax(told, axis=1)
    queries = np.column_stack([first, xy[np.arange(points), first]]).astype(np.float32)
    K_true, K_told = (_intrinsics(f, recipe.size) for f in (focal, focal * np.exp(recipe.focal_error * rng.normal())))
    into_first = invert(T_wc[0])
    return TrackScene(
        tracks=Tracks2D(xy, told, told.astype(np.float32), queries),
        K=K_told,
        cameras=Cameras.from_poses(K_true, into_first @ T_wc, recipe.size),
        xyz=transform(into_first, xyz),
        visible=visible,
        moving=body > 0,
        body=body,
        distance=float(distance),
        motion=motion,
        movers=kinds,
    )


def heldout_scenes(frames: int, points: int, *, recipe: TrackRecipe = HELD_OUT) -> Iterator[TrackScene]:
    """The 24 scenes of this size that results are judged on."""
    for seed in HELD_OUT_SEEDS:
        yield track_scene(seed, frames, points, recipe=recipe)


def random_size(
    rng: np.random.Generator, *, frames: tuple[int, int] = (8, 60), points: tuple[int, int] = (48, 300), small: float = 1.0
) -> tuple[int, int]:
    """Frames and points of a scene to learn from: evenly over the logarithms of the ranges, so that small ones are not rare.

    Args:
        rng: Source of chance.
        frames: Fewest and most.
        points: Fewest and most.
        small: Above 1, small scenes are more frequent: the place in the range is an even chance to this power.
    """
    t, n = (np.exp(np.log(low) + np.log((high + 1) / low) * rng.uniform() ** small) for low, high in (frames, points))
    return int(t), int(n)


@dataclass(frozen=True, eq=False)
class _View:
    """What the cameras (T, 4, 4) see, past solids that hide what is behind them."""

    T_wc: F64
    focal: float
    size: tuple[int, int]
    nearest: float
    solids: list[Ellipsoid]

    def projected(self, xyz: NDArray) -> tuple[F64, F64]:
        """Pixels (N, T, 2), finite also behind the camera, and depths (N, T)."""
        xyz_c = ((xyz - self.T_wc[:, :3, 3]).swapaxes(0, 1) @ self.T_wc[:, :3, :3]).swapaxes(0, 1)
        uv = xyz_c[..., :2] / np.maximum(xyz_c[..., 2:], 0.5 * self.nearest)
        return uv * self.focal + np.multiply(0.5, self.size), xyz_c[..., 2]

    def chosen(self, rng: np.random.Generator, xyz: F64, normals: F64, count: int, *, fill: bool = False) -> tuple[F64, B]:
        """Of points (N, T, 3), `count` that are seen for long, and when; normals of zero look everywhere.

        Where there are too few, fewer come, or those that are seen longest make up for them (`fill`).
        """
        xy, depth = self.projected(xyz)
        eyes = self.T_wc[:, :3, 3]
        least = max(min(6, len(eyes)), len(eyes) // 5)
        inside = (xy >= 0) & (xy <= self.size)
        visible = (depth > self.nearest) & inside[..., 0] & inside[..., 1]
        visible &= dot(normals, eyes - xyz) >= 0
        order = rng.permutation(len(xyz))
        candidates = order[visible[order].sum(1) >= least]
        best, tried = order[:0], 0
        while len(best) < count and tried < len(candidates):  # few of them are needed, and what hides them takes long to find
            some = candidates[tried : tried + count + count // 2]
            tried += len(some)
            for solid in self.solids:
                at = some[visible[some].sum(1) >= least]
                visible[at] &= ~solid.hides(eyes, xyz[at])
            best = np.concatenate([best, some[visible[some].sum(1) >= least]])
        if fill and len(best) < count:
            frames = visible.sum(1)
            rest = order[frames[order] < least]
            best = np.concatenate([best, rest[np.argsort(-frames[rest], kind="stable")]])
        return xyz[best[:count]], visible[best[:count]]


def _on(rng: np.random.Generator, parts: list[Ellipsoid], count: int) -> tuple[F64, F64]:
    """`count` points on solids by their size, and their normals."""
    area = np.array([np.sort(part.axes)[1:].prod() for part in parts])
    counts = rng.multinomial(count, area / area.sum())
    made = [part.surface(rng, int(n)) for part, n in zip(parts, counts, strict=True)]
    return np.concatenate([xyz for xyz, _ in made]), np.concatenate([normal for _, normal in made])


def _background(
    rng: np.random.Generator, standing: list[Ellipsoid], count: int, distance: float, floor_y: float, frames: int
) -> tuple[F64, F64]:
    """`count` points on the floor, a wavy wall and what stands before it, and their normals; floor and wall have none."""
    floor, wall, things = rng.multinomial(count, (0.3, 0.35, 0.35))
    far = distance * rng.uniform(1.5, 3.0)
    x = rng.uniform(-1.3, 1.3, wall) * distance
    flat = np.concatenate(
        [
            np.column_stack([rng.uniform(-1, 1, floor) * distance, np.full(floor, floor_y), rng.uniform(0.45 * distance, far, floor)]),
            np.column_stack([x, rng.uniform(-1.8, 1, wall) * floor_y, far + 0.15 * distance * np.sin(3 * x / distance)]),
        ]
    )
    xyz, normals = _on(rng, standing, things)
    flat_over_time = np.repeat(flat[:, None], frames, axis=1)
    return np.concatenate([flat_over_time, xyz]), np.concatenate([np.zeros_like(flat_over_time), normals])


def _intrinsics(focal: float, size: tuple[int, int]) -> F64:
    return np.array([[focal, 0, 0.5 * size[0]], [0, focal, 0.5 * size[1]], [0, 0, 1.0]])
