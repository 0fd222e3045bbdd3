"""Photos of a fountain on a square, taken from an arc around it in no order with one bent lens, and the truth about all of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.poses import invert
from toolkit.geometry.sampling import pixel_centres
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, Cameras
from toolkit.synthetic.clips import look, look_pinhole
from toolkit.synthetic.figures import METAL, ball, bench, box, house, tree
from toolkit.synthetic.light import Light
from toolkit.synthetic.motions import pose
from toolkit.synthetic.textures import Texture
from toolkit.synthetic.world import Body, Shape, World

_ROUNDS = 20  # of undoing the distortion; ten are exact to a millionth of a pixel


@dataclass(frozen=True, eq=False)
class SyntheticPhotos:
    """Photos and the truth about them. The world's axes are those of the first photo's camera; units are metres.

    Attributes:
        photos: (H, W, 3) uint8 RGB each, as the lens bends them.
        cameras: The pose of each photo, with the K of the lens.
        k1: Radial distortion of the lens: a ray at distance r from the axis (z = 1) is seen at r (1 + k1 r^2).
        depth_m: (T, H, W) float32 z-depth of the flat picture that has the same K and no distortion, NaN in the sky.
        world: What was photographed.
    """

    photos: tuple[U8, ...]
    cameras: Cameras
    k1: float
    depth_m: F32
    world: World


def fountain_photos(
    count: int = 14,
    *,
    size: tuple[int, int] = (800, 600),
    fov_deg: float = 58.0,
    k1: float = -0.06,
    arc_deg: float = 120.0,
    noise: float = 1.5,
    seed: int = 0,
    report: Report = silent,
) -> SyntheticPhotos:
    """Photos of a stone fountain from an arc around it, in shuffled order.

    Args:
        count: How many.
        size: (width, height) in pixels.
        fov_deg: Horizontal field of view of the lens without its distortion.
        k1: Its radial distortion; 0 for none.
        arc_deg: How far around the fountain they are taken, evenly with some jitter.
        noise: Standard deviation of the camera's noise, in grey levels of 255 per channel.
        seed: Another seed builds another square and stands elsewhere.
        report: Called after each photo; may raise `Cancelled`.

    Raises:
        UserError: fewer than one photo was asked for.
    """
    if count < 1:
        raise UserError(f"{count} photos were asked for, but at least one is needed.")
    rng = np.random.default_rng(seed)
    T_sc = np.stack([_standing(angle, rng) for angle in rng.permutation(np.linspace(-0.5, 0.5, count) * arc_deg)])
    world, T_wc = fountain(seed).seen_from(T_sc[0]), invert(T_sc[0]) @ T_sc
    T_wc[0] = np.eye(4)  # exactly, not up to round-off
    K = intrinsics_from_fov(fov_deg, size)
    rays, photos, depth = _rays(K, size, k1), [], np.empty((count, size[1], size[0]), np.float32)
    for t in range(count):
        rgb = look(world, rays, T_wc[t], 0.0, pixel=1.0 / float(K[0, 0])).rgb.astype(np.float32)
        grain = noise * rng.standard_normal(rgb.shape, np.float32)
        photos.append(np.clip(np.rint(rgb + grain), 0, 255).astype(np.uint8))
        flat = look_pinhole(world, K, size, T_wc[t], 0.0, paint=False)
        depth[t] = np.where(flat.body >= 0, flat.distance, np.nan)
        report(t + 1, count)
    return SyntheticPhotos(tuple(photos), Cameras.from_poses(K, T_wc, size), k1, depth, world)


def fountain(seed: int = 0) -> World:
    """A square with a stone fountain in its middle: an eight-sided basin, two bowls, a column, balls; houses and trees around."""
    rng = np.random.default_rng(seed)
    paving = Texture("bricks", (0.66, 0.60, 0.52), (0.52, 0.47, 0.42), (0.34, 0.31, 0.28), (0.62, 0.37), 0.02, 0.9, 0.35)
    stone = Texture("plain", (0.72, 0.62, 0.50), (0.42, 0.35, 0.28), noise=1.2, grain_m=0.22)
    carved = Texture("picture", (0.74, 0.66, 0.55), (0.46, 0.38, 0.31), (0.30, 0.24, 0.20), (0.3, 0.3), 0.03, 1.0, 0.15)
    red = Texture("plain", (0.60, 0.32, 0.25), (0.36, 0.17, 0.14), noise=1.2, grain_m=0.18)
    water = Texture("plain", (0.16, 0.30, 0.33), (0.30, 0.44, 0.44), noise=0.8, grain_m=0.3)
    side = 1.55 * np.tan(np.pi / 8)
    basin = [Shape("cylinder", (1.5, 0.02, 1.5), water, pose((0, -0.42, 0)))]
    for k in range(8):
        angle = 45.0 * k
        at = (1.55 * float(np.sin(np.deg2rad(angle))), -0.3, 1.55 * float(np.cos(np.deg2rad(angle))))
        basin.append(box((side + 0.04, 0.3, 0.12), carved if k % 2 else stone, at, yaw_deg=angle))
        basin.append(box((side + 0.09, 0.05, 0.18), stone, (at[0], -0.63, at[2]), yaw_deg=angle))
    column = [
        box((0.42, 0.55, 0.42), carved, (0, -0.55, 0), yaw_deg=22),
        Shape("cylinder", (0.2, 0.42, 0.2), red, pose((0, -1.45, 0))),
        Shape("ellipsoid", (0.78, 0.16, 0.78), stone, pose((0, -1.9, 0))),
        Shape("cylinder", (0.13, 0.32, 0.13), red, pose((0, -2.3, 0))),
        Shape("ellipsoid", (0.42, 0.1, 0.42), stone, pose((0, -2.6, 0))),
        Shape("ellipsoid", (0.2, 0.27, 0.2), stone, pose((0, -2.9, 0))),
        *(Shape("ellipsoid", (0.15, 0.2, 0.15), red, pose((0.55 * x, -1.2, 0.55 * z))) for x in (-1, 1) for z in (-1, 1)),
        *(box((0.13, 0.5, 0.13), stone, (0.55 * x, -0.5, 0.55 * z), yaw_deg=45) for x in (-1, 1) for z in (-1, 1)),
    ]
    bodies = [
        Body("ground", (Shape("ground", (1.0, 1.0, 1.0), paving),), pose()),
        Body("basin", tuple(basin), pose()),
        Body("column", tuple(column), pose()),
        Body("bollards", tuple(Shape("capsule", (0.11, 0.3, 0.11), METAL, pose((x, -0.35, 2.5))) for x in (-2.4, 2.4)), pose()),
        ball("stone ball", 0.24, red, pose((2.6, -0.24, 0.4))),
        bench((-3.0, 0, 2.2), 60),
        Body(
            "crates",
            (box((0.34, 0.3, 0.3), Texture("rug", period_m=(0.3, 0.1)), (-2.3, -0.3, -0.6), yaw_deg=24),),
            pose(),
        ),
    ]
    for k in range(7):
        angle = float(np.deg2rad(24 * (k - 3) + rng.uniform(-5, 5)))
        at = (7.5 * np.sin(angle), 0.0, 7.5 * np.cos(angle))
        bodies.append(tree(at, rng.uniform(3.6, 4.8), rng) if k % 2 else _facing(house((0, 0, 0), 8.4, 3, rng, faces=-1), angle))
    return World(tuple(bodies), Light(), seed=seed)


def _facing(building: Body, angle: float) -> Body:
    """A house behind the square whose front looks to its middle."""
    at = (15.0 * float(np.sin(angle)), 0.0, 15.0 * float(np.cos(angle)))
    return Body(building.name, building.shapes, pose(at, yaw_deg=float(np.rad2deg(angle)) - 90.0))


def _standing(angle_deg: float, rng: np.random.Generator) -> F64:
    """Somebody on the arc who holds a camera towards the fountain."""
    angle = float(np.deg2rad(angle_deg + rng.uniform(-2, 2)))
    away, height = rng.uniform(4.6, 5.8), rng.uniform(1.2, 2.1)
    at = (away * float(np.sin(angle)), -height, -away * float(np.cos(angle)))
    aim = float(np.rad2deg(np.arctan2(1.15 - height, away)))
    turn, tilt, roll = rng.uniform(-4, 4), rng.uniform(-2, 2), rng.uniform(-2, 2)
    return pose(at, yaw_deg=-float(np.rad2deg(angle)) + turn, pitch_deg=aim + tilt, roll_deg=roll)


def _rays(K: F64, size: tuple[int, int], k1: float) -> F64:
    """(H, W, 3) rays with z = 1 of the pixels of a bent picture."""
    bent = (pixel_centres(size) - K[:2, 2]) / [K[0, 0], K[1, 1]]
    seen = np.linalg.norm(bent, axis=-1, keepdims=True)
    true = seen.copy()
    for _ in range(_ROUNDS):
        true = seen / (1 + k1 * true**2)
    flat = bent * np.where(seen > 0, true / np.maximum(seen, 1e-12), 1.0)
    return np.concatenate([flat, np.ones_like(seen)], axis=-1)
