"""Generated scenes for pairs of pointmaps: what each is made of, where its parts and its camera are at any moment.

Every part is a ball or a box that is stretched, carried along and swung about a joint, so where any point of its surface is at any
moment is known exactly, hidden or not. `pointmap_rendering` casts rays at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from torch import Tensor

HELD_OUT_SEEDS = range(20_000_000, 20_000_064)
"""Scenes to be judged on; nothing may be learned from a seed from `VALIDATION_SEEDS` on."""
VALIDATION_SEEDS = range(19_990_000, 20_000_000)
CLEAR = 0.7  # of the distance to the middle of the scene: nothing stands nearer to the camera's way
ROOM = 0  # the first part of each scene is the room around it, seen from inside
CLOSING = 1e-6


@dataclass(frozen=True)
class PointmapRecipe:
    """What kinds of scenes are made.

    Attributes:
        balls: Parts that are balls, at most: stretched ones, and limbs of figures.
        boxes: Parts that are boxes, at most.
        focal: Range of the focal length, in widths of the picture.
        distance: Range of the distance to the middle of the scene; the unit is arbitrary.
        way: Range of how far the camera goes over the whole clip, in distances.
        turn_deg: How far it turns besides, standard deviation.
        standing: Share of cameras that stand still.
        still: Share of scenes where nothing moves.
        moving: Share of the things that move, elsewhere.
        figures: Share of scenes with a figure that swings its limbs.
        outdoors: Share of scenes whose walls are far away.
        textures: Seed of the noise that textures are cut from: other seeds, other textures.
    """

    balls: int = 9
    boxes: int = 6
    focal: tuple[float, float] = (0.7, 1.4)
    distance: tuple[float, float] = (2.0, 5.0)
    way: tuple[float, float] = (0.05, 0.5)
    turn_deg: float = 6.0
    standing: float = 0.1
    still: float = 0.2
    moving: float = 0.4
    figures: float = 0.5
    outdoors: float = 0.4
    textures: int = 1


TRAINING = PointmapRecipe()
HELD_OUT = replace(TRAINING, still=0.0, standing=0.0, way=(0.1, 0.5), textures=2)
"""Scenes of which everything can be known and scored, in textures that were never shown."""


@dataclass(frozen=True, eq=False)
class PointmapScenes:
    """B scenes of N parts each, float32. The world is that of each scene's middle: y down, z ahead.

    A part's point q of its own unit ball or box is, at moment s, at C(s) (pivot + S(s) (size * q turned + offset - pivot)).

    Attributes:
        box: (N,) whether the part is a box; the first is the room, a box seen from inside.
        present: (B, N) whether it is there.
        size: (B, N, 3) half sizes.
        tilt: (B, N, 3, 3) how it lies in what carries it.
        offset: (B, N, 3) where it lies in there.
        pivot: (B, N, 3) joint that it swings about.
        swing_axis: (B, N, 3) unit axis of the swing.
        swing: (B, N, 3) amplitude in radians, turns over the clip, phase.
        carrier: (B, N, 3) where what carries it is at s = 0.
        velocity: (B, N, 3) how far that goes over the clip.
        wobble: (B, N, 3) amplitude of what it goes besides.
        wobble_phase: (B, N, 2) turns over the clip and phase of that.
        spin: (B, N, 3) rotation vector of what carries it, over the clip.
        moves: (B, N) whether it moves at all.
        colours: (B, N, 2, 3) the two colours of its texture.
        pattern: (B, N, 8) frequency, sharpness, stripes, checks, contrast, and where in the noise it is cut.
        light: (B, 4) direction of the light and how much comes from all around.
        focal: (B,) in widths of the picture.
        camera: (B, 3, 3) the camera's way: where it is at s = 0, how far it goes, wobble.
        look: (B, 2, 3) what it looks at at s = 0 and how far that goes.
        roll: (B, 2) how it is turned about its axis, and how far over the clip, radians.
        textures: Seed of the noise.
    """

    box: Tensor
    present: Tensor
    size: Tensor
    tilt: Tensor
    offset: Tensor
    pivot: Tensor
    swing_axis: Tensor
    swing: Tensor
    carrier: Tensor
    velocity: Tensor
    wobble: Tensor
    wobble_phase: Tensor
    spin: Tensor
    moves: Tensor
    colours: Tensor
    pattern: Tensor
    light: Tensor
    focal: Tensor
    camera: Tensor
    look: Tensor
    roll: Tensor
    textures: int

    def __len__(self) -> int:
        """Number of scenes, B."""
        return len(self.present)

    def to(self, device: torch.device | str) -> PointmapScenes:
        """The same on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "textures"})

    def of(self, rows: Sequence[int]) -> PointmapScenes:
        """Some of the scenes, in this order."""
        moved = {f.name: getattr(self, f.name)[list(rows)] for f in fields(self) if f.name not in ("textures", "box")}
        return replace(self, **moved)

    def parts(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """Where all parts are: rotations (B, N, 3, 3) and places (B, N, 3) at the moment s (B,) of each scene, 0..1."""
        s = s[:, None, None]
        carried = rotations(self.spin * s)
        angle = self.swing[..., :1] * (torch.sin(6.2832 * (self.swing[..., 1:2] * s + self.swing[..., 2:])))
        swung = rotations(self.swing_axis * angle)
        turns, phase = self.wobble_phase[..., :1], self.wobble_phase[..., 1:]
        way = self.carrier + self.velocity * s + self.wobble * (torch.sin(6.2832 * (turns * s + phase)) - torch.sin(6.2832 * phase))
        inner = self.pivot + (swung @ (self.offset - self.pivot)[..., None])[..., 0]
        return carried @ swung @ self.tilt, (carried @ inner[..., None])[..., 0] + way

    def cameras(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """World-from-camera rotations (B, 3, 3) and centres (B, 3) at the moment s (B,)."""
        s = s[:, None]
        c = self.camera[:, 0] + self.camera[:, 1] * s + self.camera[:, 2] * torch.sin(9.0 * s + self.roll[:, :1] * 40)
        ahead = torch.nn.functional.normalize(self.look[:, 0] + self.look[:, 1] * s - c, dim=-1)
        up = torch.zeros_like(ahead)
        up[:, 1] = -1.0
        right = torch.nn.functional.normalize(torch.linalg.cross(ahead, up, dim=-1), dim=-1)
        down = torch.linalg.cross(ahead, right, dim=-1)
        level = torch.stack([right, down, ahead], dim=-1)
        axis = torch.zeros_like(ahead)
        axis[:, 2] = (self.roll[:, :1] + self.roll[:, 1:] * s)[:, 0]
        return level @ rotations(axis), c


def rotations(vectors: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3)."""
    angle = (vectors.square().sum(-1, keepdim=True) + CLOSING**2).sqrt()[..., None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape[:-1], 3, 3)
    eye = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return eye + torch.sin(angle) / angle * K + (1 - torch.cos(angle)) / angle.square() * (K @ K)


def pointmap_scenes(seeds: Sequence[int], *, recipe: PointmapRecipe = TRAINING) -> PointmapScenes:
    """The scenes of these seeds; each depends on its own seed and the recipe alone."""
    made = [_scene(np.random.default_rng(seed), recipe) for seed in seeds]
    stacked = {name: torch.from_numpy(np.stack([one[name] for one in made])) for name in made[0]}
    box = torch.tensor([True] + [False] * recipe.balls + [True] * recipe.boxes)
    return PointmapScenes(box=box, textures=recipe.textures, **stacked)


def _scene(rng: np.random.Generator, recipe: PointmapRecipe) -> dict[str, NDArray]:
    """One scene; parts are the room, then balls, then boxes."""
    count = 1 + recipe.balls + recipe.boxes
    p = _nothing(count)
    distance = rng.uniform(*recipe.distance)
    eye = distance * rng.uniform(0.15, 0.4)  # of the camera over the floor
    middle = np.array([0.0, 0.0, 0.0])
    camera, look = _camera(rng, recipe, distance, eye)
    _room(p, rng, distance, eye, outdoors=bool(rng.random() < recipe.outdoors))
    still = bool(rng.random() < recipe.still)
    free_balls, free_boxes = list(range(1, 1 + recipe.balls)), list(range(1 + recipe.balls, count))
    if rng.random() < recipe.figures:
        _figure(p, rng, free_balls[:6], middle + _place(rng, distance, 0.5), distance, eye, still=still)
        free_balls = free_balls[6:]
    for n in rng.permutation(free_balls + free_boxes)[: rng.integers(4, len(free_balls + free_boxes) + 1)]:
        _thing(p, rng, int(n), distance, eye, camera, moving=not still and bool(rng.random() < recipe.moving))
    p["moves"] = (np.abs(p["velocity"]).sum(1) + np.abs(p["wobble"]).sum(1) + np.abs(p["spin"]).sum(1) + np.abs(p["swing"][:, 0])) > 0
    light = rng.normal(size=3) + [0.0, -1.5, -0.5]
    p["light"] = np.append(light / np.linalg.norm(light), rng.uniform(0.35, 0.65))
    p["focal"] = np.array(rng.uniform(*recipe.focal))
    p["camera"], p["look"] = camera, look
    p["roll"] = np.deg2rad(rng.normal(0, 3, 2))
    if not np.abs(camera[1]).sum():
        p["roll"][1] = 0
    return {name: value.astype(bool if name in ("present", "moves") else np.float32) for name, value in p.items()}


def _nothing(count: int) -> dict[str, NDArray]:
    def of(*shape: int) -> NDArray:
        return np.zeros((count, *shape))

    return {
        "present": np.zeros(count, bool), "size": np.ones((count, 3)), "tilt": np.tile(np.eye(3), (count, 1, 1)), "offset": of(3),
        "pivot": of(3), "swing_axis": np.tile([1.0, 0, 0], (count, 1)), "swing": of(3), "carrier": of(3), "velocity": of(3),
        "wobble": of(3), "wobble_phase": of(2), "spin": of(3), "colours": of(2, 3), "pattern": of(8),
    }  # fmt: skip


def _camera(rng: np.random.Generator, recipe: PointmapRecipe, distance: float, eye: float) -> tuple[NDArray, NDArray]:
    start = np.array([0.0, 0.0, -distance]) + rng.normal(0, 0.08, 3) * distance * [1, 0.5, 1]
    start[1] = min(start[1], 0.6 * eye)
    target = rng.normal(0, 0.1, 3) * distance * [1, 0.5, 1]
    if rng.random() < recipe.standing:
        return np.stack([start, np.zeros(3), np.zeros(3)]), np.stack([target, np.zeros(3)])
    way = rng.normal(size=3) * [1.0, 0.25, 0.6]
    way *= distance * rng.uniform(*recipe.way) / max(float(np.linalg.norm(way)), CLOSING)
    way[1] = min(way[1], 0.3 * eye)
    turn = distance * np.tan(np.deg2rad(rng.normal(0, recipe.turn_deg, 3))) * [1, 0.4, 0]
    return np.stack([start - 0.5 * way, way, rng.normal(0, 0.006, 3) * distance]), np.stack([target - 0.5 * turn, turn + 0.5 * way])


def _room(p: dict[str, NDArray], rng: np.random.Generator, distance: float, eye: float, *, outdoors: bool) -> None:
    far = rng.uniform(4.0, 12.0) if outdoors else rng.uniform(0.9, 2.2)
    side = far * rng.uniform(0.7, 1.3)
    high = (far if outdoors else rng.uniform(0.5, 1.0)) * distance + eye
    p["present"][ROOM] = True
    p["size"][ROOM] = 0.5 * np.array([2 * side * distance + 2 * distance, high, (far + 2.2) * distance])
    p["offset"][ROOM] = [0.0, eye - 0.5 * high, far * distance - 0.5 * (far + 2.2) * distance]
    turn = Rotation.from_euler("y", rng.normal(0, 8), degrees=True).as_matrix()
    p["tilt"][ROOM] = turn
    _paint(p, rng, ROOM, size=distance)


def _place(rng: np.random.Generator, distance: float, depth: float) -> NDArray:
    return np.array([rng.normal(0, 0.35), 0.0, rng.uniform(-0.45, depth)]) * distance


def _thing(p: dict[str, NDArray], rng: np.random.Generator, n: int, distance: float, eye: float, camera: NDArray, *, moving: bool) -> None:
    size = distance * rng.uniform(0.05, 0.22) * np.exp(rng.normal(0, 0.35, 3))
    size = np.minimum(size, 0.3 * distance)
    for _ in range(6):
        place = _place(rng, distance, 1.0)
        if np.linalg.norm((place - camera[0] - 0.5 * camera[1])[[0, 2]]) > (1 - CLEAR + 0.15) * distance + size.max():
            break
    upright = rng.random() < 0.7
    place[1] = eye - size[1] if upright else rng.uniform(-0.4 * distance, 0.7 * eye)
    turn = Rotation.from_euler("y", rng.uniform(0, 360), degrees=True) if upright else Rotation.random(rng=rng)
    p["present"][n], p["size"][n], p["tilt"][n], p["carrier"][n] = True, size, turn.as_matrix(), place
    if moving:
        _move(p, rng, [n], distance, upright=bool(upright))
    _paint(p, rng, n, size=float(size.mean()))


def _move(p: dict[str, NDArray], rng: np.random.Generator, rows: Sequence[int], distance: float, *, upright: bool) -> None:
    flat = np.array([1.0, 0.05 if upright else 0.6, 0.8])
    velocity = rng.normal(0, 0.22, 3) * distance * flat
    wobble = rng.normal(0, 0.05, 3) * distance * flat * (rng.random() < 0.5)
    spin = rng.normal(0, 0.9, 3) * ([0, 1, 0] if upright else [1, 1, 1])
    for n in rows:
        p["velocity"][n], p["wobble"][n], p["spin"][n] = velocity, wobble, spin
        p["wobble_phase"][n] = rng.uniform(0.5, 2.0), 0.0


def _figure(
    p: dict[str, NDArray], rng: np.random.Generator, rows: Sequence[int], place: NDArray, distance: float, eye: float, *, still: bool
) -> None:
    """A trunk, a head and four limbs that swing, on one carrier."""
    tall = min(distance * rng.uniform(0.3, 0.55), 1.6 * eye)
    trunk, limb = 0.22 * tall, np.array([0.055, 0.2, 0.055]) * tall
    sizes = [np.array([0.13, 0.22, 0.09]) * tall, np.full(3, 0.09 * tall), limb, limb, limb * [1, 1.2, 1], limb * [1, 1.2, 1]]
    hips, neck = trunk * 0.9, -trunk
    places = [[0, 0, 0], [0, neck - 0.1 * tall, 0]]
    places += [[side * 0.17 * tall, neck + limb[1], 0] for side in (-1, 1)] + [
        [side * 0.07 * tall, hips + 1.2 * limb[1], 0] for side in (-1, 1)
    ]
    joints = (
        [[0, 0, 0], [0, neck, 0]]
        + [[side * 0.17 * tall, neck, 0] for side in (-1, 1)]
        + [[side * 0.07 * tall, hips, 0] for side in (-1, 1)]
    )
    place = place + [0.0, eye - hips - 2.4 * limb[1], 0.0]
    turn = Rotation.from_euler("y", rng.uniform(0, 360), degrees=True).as_matrix()
    turns, phase, amplitude = rng.uniform(0.7, 3.0), rng.random(), rng.uniform(0.2, 0.8)
    for i, n in enumerate(rows):
        p["present"][n], p["size"][n] = True, sizes[i] * np.exp(rng.normal(0, 0.1))
        p["tilt"][n], p["offset"][n], p["pivot"][n] = turn, turn @ places[i], turn @ joints[i]
        p["carrier"][n], p["swing_axis"][n] = place, turn @ [1.0, 0, 0]
        if not still:
            swing = 0.15 * amplitude if i < 2 else amplitude
            p["swing"][n] = swing, turns, phase + 0.5 * (i % 2) + (0.5 if i > 3 else 0)
        _paint(p, rng, n, size=0.15 * tall)
    if not still:
        _move(p, rng, rows, distance, upright=True)
        turns_of = p["wobble_phase"][rows[0]]
        for n in rows:
            p["wobble_phase"][n] = turns_of


def _paint(p: dict[str, NDArray], rng: np.random.Generator, n: int, *, size: float) -> None:
    p["colours"][n] = rng.uniform(0.05, 0.95, (2, 3))
    if rng.random() < 0.5:  # two shades of one colour
        p["colours"][n, 1] = np.clip(p["colours"][n, 0] * rng.uniform(0.3, 1.8), 0, 1)
    kind = rng.random()
    frequency = rng.uniform(0.8, 3.0) / max(size, CLOSING)
    p["pattern"][n] = [frequency, rng.choice([1.0, 3.0, 8.0]), kind < 0.12, 0.12 < kind < 0.2, rng.uniform(0.5, 1.0), *rng.random(3)]
