"""Things to put in a world: houses, trees, cars, walkers, furniture, balls."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from toolkit.scene import F64
from toolkit.synthetic.motions import Chain, Joint, Motion, Vector, pose
from toolkit.synthetic.textures import Texture
from toolkit.synthetic.world import Body, Shape

_WALLS = ((0.82, 0.72, 0.56), (0.78, 0.55, 0.42), (0.74, 0.74, 0.68), (0.66, 0.72, 0.74), (0.85, 0.78, 0.66), (0.72, 0.48, 0.40))
_CLOTHES = ((0.75, 0.18, 0.16), (0.16, 0.34, 0.66), (0.85, 0.65, 0.18), (0.22, 0.52, 0.34), (0.62, 0.28, 0.55))
WOOD = Texture("bricks", (0.58, 0.40, 0.24), (0.47, 0.31, 0.18), (0.2, 0.12, 0.07), (1.2, 0.14), 0.004, 0.6, 0.12, 5.0)
DARK_WOOD = Texture("plain", (0.40, 0.26, 0.15), (0.28, 0.17, 0.1), noise=0.8, grain_m=0.1, stretch=5.0)
METAL = Texture("plain", (0.30, 0.32, 0.34), (0.22, 0.24, 0.26), noise=0.5, grain_m=0.1, gloss=0.4)
LEAVES = Texture("plain", (0.20, 0.36, 0.10), (0.50, 0.62, 0.22), noise=1.3, grain_m=0.35)
BARK = Texture("plain", (0.36, 0.27, 0.19), (0.22, 0.16, 0.11), noise=1.0, grain_m=0.12)


def _darker(colour: Vector, share: float) -> Vector:
    return colour[0] * share, colour[1] * share, colour[2] * share


def box(half: Vector, texture: Texture, at: Vector = (0, 0, 0), **turn: float) -> Shape:
    """A box of half extents `half` metres at a place of its body, turned by `pose`'s angles."""
    return Shape("box", half, texture, pose(at, **turn))


def house(at: Vector, width: float, storeys: int, rng: Generator, *, faces: int) -> Body:
    """A house along the street: `faces` +1 or -1 is the side of x that its front looks to."""
    storey, depth = 2.9, 4.0
    # Windows repeat from the middle of a wall: an even number of bays, and of storeys (a hidden one below), leaves none cut.
    bays, top = 2 * max(1, round(width / 4.2)), -storeys * storey
    half = 0.5 * (storeys + storeys % 2) * storey
    wall = _WALLS[rng.integers(len(_WALLS))]
    front = Texture("facade", wall, (0.25, 0.33, 0.40), (0.93, 0.91, 0.86), (width / bays, storey), 0.07, 0.35, 0.3)
    brick = Texture("bricks", (0.60, 0.33, 0.25), (0.50, 0.25, 0.19), (0.70, 0.66, 0.60), (0.5, 0.16), 0.02, 0.4, 0.5)
    tiles = Texture("bricks", (0.55, 0.26, 0.18), (0.42, 0.19, 0.14), (0.2, 0.1, 0.08), (0.34, 0.26), 0.025, 0.6, 0.6)
    door = Texture("plain", _CLOTHES[rng.integers(len(_CLOTHES))], (0.1, 0.1, 0.1), noise=0.4, grain_m=0.3, stretch=0.3)
    stone = Texture("plain", (0.9, 0.88, 0.82), (0.62, 0.6, 0.56), noise=0.5, grain_m=0.2)
    out, entry = faces * depth, (rng.integers(bays) - bays // 2) * width / bays  # Between two windows.
    parts = (
        Shape("box", (depth, half, 0.5 * width), front, pose((0, top + half, 0))),
        box((depth + 0.03, 0.28, 0.5 * width + 0.03), brick, (0, -0.28, 0)),
        box((0.12, 0.09, 0.5 * width + 0.1), stone, (out, top + 0.05, 0)),
        Shape("gable", (depth + 0.35, 1.25, 0.5 * width + 0.2), tiles, pose((0, top - 1.25, 0))),
        box((0.3, 0.8, 0.35), brick, (-0.5 * depth, top - 2.2, 0.25 * width)),
        box((0.04, 1.15, 0.62), stone, (out, -1.15, entry)),
        box((0.06, 1.06, 0.48), door, (out, -1.06, entry)),
        box((0.35, 0.09, 0.75), stone, (out + faces * 0.25, -0.09, entry)),
    )
    return Body("house", parts, pose(at))


def tree(at: Vector, height: float, rng: Generator) -> Body:
    """A leafy tree."""
    crown = 0.3 * height
    parts = [Shape("cylinder", (0.035 * height, 0.36 * height, 0.035 * height), BARK, pose((0, -0.36 * height, 0)))]
    for k in range(7):
        angle = 2 * np.pi * k / 6 + rng.uniform(-0.4, 0.4)
        reach = crown * (0.55 if k < 6 else 0.0)
        r = crown * rng.uniform(0.55, 0.8)
        y = -0.72 * height + crown * (rng.uniform(-0.35, 0.35) if k < 6 else -0.5)
        parts.append(Shape("ellipsoid", (r, 0.85 * r, r), LEAVES, pose((reach * np.sin(angle), y, reach * np.cos(angle)))))
    return Body("tree", tuple(parts), pose(at))


def lamp_post(at: Vector, towards: float) -> Body:
    """A street lamp whose arm points along x by the sign of `towards`."""
    parts = (
        Shape("cylinder", (0.11, 0.4, 0.11), METAL, pose((0, -0.4, 0))),
        Shape("cylinder", (0.06, 2.1, 0.06), METAL, pose((0, -2.1, 0))),
        box((0.5, 0.04, 0.04), METAL, (0.45 * towards, -4.2, 0)),
        Shape("ellipsoid", (0.28, 0.12, 0.16), Texture("plain", (0.95, 0.93, 0.84), (0.85, 0.82, 0.7)), pose((0.95 * towards, -4.12, 0))),
    )
    return Body("lamp post", parts, pose(at))


def bench(at: Vector, yaw_deg: float) -> Body:
    """A wooden bench that looks along its z."""
    legs = [box((0.04, 0.22, 0.2), METAL, (x, -0.22, 0)) for x in (-0.7, 0.7)]
    seat = [box((0.85, 0.025, 0.06), WOOD, (0, -0.46, z)) for z in (-0.15, 0.0, 0.15)]
    back = [box((0.85, 0.06, 0.02), WOOD, (0, y, -0.24)) for y in (-0.66, -0.84)]
    return Body("bench", (*legs, *seat, *back), pose(at, yaw_deg=yaw_deg))


def ball(name: str, radius: float, texture: Texture, motion: F64 | Motion) -> Body:
    """A textured ball."""
    return Body(name, (Shape("ellipsoid", (radius, radius, radius), texture),), motion)


def balloon(motion: F64 | Motion, *, radius: float = 0.24, colour: Vector = (0.80, 0.14, 0.16)) -> Body:
    """A shiny balloon on a string; the pose is that of its middle."""
    skin = Texture("plain", colour, _darker(colour, 0.82), noise=0.35, grain_m=0.12, gloss=0.8)
    parts = (
        Shape("ellipsoid", (radius, 1.18 * radius, radius), skin),
        Shape("gable", (0.16 * radius, 0.12 * radius, 0.1 * radius), skin, pose((0, 1.27 * radius, 0))),
        Shape("cylinder", (0.006, 0.55, 0.006), Texture("plain", (0.9, 0.9, 0.88), (0.8, 0.8, 0.78)), pose((0, 1.35 * radius + 0.55, 0))),
    )
    return Body("balloon", parts, motion)


def cat(motion: Motion, *, period_s: float = 0.7, coat: Vector = (0.80, 0.46, 0.18)) -> tuple[Body, ...]:
    """A cat with its tail up that walks along the z of `motion`, the spot on the ground under it."""
    fur = Texture("plain", coat, _darker(coat, 0.62), noise=0.7, grain_m=0.07, stretch=0.4)
    white = Texture("plain", (0.93, 0.90, 0.84), (0.82, 0.76, 0.68), noise=0.3, grain_m=0.04)
    eye = Texture("plain", (0.45, 0.66, 0.20), (0.35, 0.55, 0.15), gloss=1.0)
    dark = Texture("plain", (0.30, 0.16, 0.12), (0.22, 0.12, 0.1))
    trunk = (
        Shape("ellipsoid", (0.072, 0.085, 0.17), fur, pose((0, -0.235, -0.02))),
        Shape("ellipsoid", (0.066, 0.088, 0.10), fur, pose((0, -0.24, 0.12))),
        Shape("ellipsoid", (0.045, 0.055, 0.04), white, pose((0, -0.235, 0.19))),
        Shape("capsule", (0.04, 0.05, 0.04), fur, pose((0, -0.29, 0.18), pitch_deg=-40)),
        Shape("ellipsoid", (0.064, 0.056, 0.058), fur, pose((0, -0.345, 0.23))),
        Shape("ellipsoid", (0.032, 0.024, 0.026), white, pose((0, -0.328, 0.278))),
        Shape("ellipsoid", (0.009, 0.007, 0.008), dark, pose((0, -0.336, 0.303))),
        *(Shape("ellipsoid", (0.011, 0.012, 0.008), eye, pose((x, -0.355, 0.279))) for x in (-0.026, 0.026)),
        *(Shape("gable", (0.024, 0.03, 0.012), fur, pose((x, -0.412, 0.22), roll_deg=200 * x)) for x in (-0.037, 0.037)),
    )

    def limb(radius: float, length: float, texture: Texture) -> Shape:
        return Shape("capsule", (radius, 0.5 * length, radius), texture, pose((0, 0.5 * length, 0)))

    parts = [Body("cat", trunk, motion)]
    for k, (x, z) in enumerate(((-0.04, 0.13), (0.04, 0.13), (0.04, -0.13), (-0.04, -0.13))):
        hip = Joint((x, -0.19, z), 0, 20, period_s, 180.0 * k)
        paw = Shape("ellipsoid", (0.024, 0.018, 0.034), white, pose((0, 0.172, 0.012)))
        parts.append(Body("cat", (limb(0.024, 0.15, fur), paw), Chain(motion, (hip,))))
    root = Joint((0, -0.27, -0.17), -150, 8, 1.9 * period_s)
    tip = Joint((0, 0.17, 0), -25, 16, 1.9 * period_s, 60)
    parts.append(Body("cat", (limb(0.02, 0.17, fur),), Chain(motion, (root,))))
    parts.append(Body("cat", (limb(0.017, 0.12, fur),), Chain(motion, (root, tip))))
    return tuple(parts)


def ball_texture(index: int) -> Texture:
    """One of a few lively balls."""
    a = _CLOTHES[index % len(_CLOTHES)]
    pattern = ("sectors", "checker", "plain")[index % 3]
    b = (0.93, 0.91, 0.86) if pattern != "plain" else _CLOTHES[(index + 1) % len(_CLOTHES)]
    return Texture(pattern, a, b, (0.9, 0.78, 0.2), (0.16, 0.16), noise=0.3, grain_m=0.14, gloss=0.35)


def car(name: str, colour: Vector, motion: F64 | Motion, *, speed: float = 0.0) -> tuple[Body, ...]:
    """A small car that looks along its z; its wheels turn as its speed (m/s) asks."""
    paint = Texture("plain", colour, _darker(colour, 0.8), noise=0.4, grain_m=0.15, gloss=0.6)
    glass = Texture("plain", (0.20, 0.26, 0.32), (0.10, 0.13, 0.17), noise=0.6, grain_m=0.3, gloss=1.0)
    dark = Texture("plain", (0.12, 0.12, 0.13), (0.05, 0.05, 0.05), noise=0.5, grain_m=0.2)
    light, red = Texture("plain", (0.98, 0.96, 0.86), (0.8, 0.8, 0.75)), Texture("plain", (0.8, 0.12, 0.1), (0.5, 0.05, 0.05))
    body = [
        box((0.86, 0.30, 2.0), paint, (0, -0.62, 0)),
        Shape("ellipsoid", (0.86, 0.34, 0.5), paint, pose((0, -0.60, 1.9))),
        Shape("box", (0.74, 0.30, 1.05), glass, pose((0, -1.16, -0.25))),
        box((0.76, 0.04, 1.02), paint, (0, -1.47, -0.25)),
        *(box((0.04, 0.3, 0.05), paint, (x, -1.16, z)) for x in (-0.72, 0.72) for z in (-1.27, -0.35, 0.77)),
        box((0.80, 0.1, 2.1), dark, (0, -0.34, 0)),
        *(Shape("ellipsoid", (0.14, 0.1, 0.08), light, pose((x, -0.66, 2.28))) for x in (-0.55, 0.55)),
        *(box((0.14, 0.07, 0.03), red, (x, -0.74, -2.0)) for x in (-0.62, 0.62)),
    ]
    rim = Texture("sectors", (0.62, 0.64, 0.66), (0.16, 0.16, 0.17), (0.4, 0.4, 0.4), noise=0.4, grain_m=0.1)
    parts = [Body(name, tuple(body), motion)]
    for x in (-0.80, 0.80):
        for z in (-1.25, 1.25):
            tyre = Shape("cylinder", (0.33, 0.11, 0.33), dark, pose(roll_deg=90))
            hub = Shape("cylinder", (0.21, 0.12, 0.21), rim, pose(roll_deg=90))
            at = (x, -0.33, z)
            # A wheel that rolls forward turns its top to +z: a falling pitch.
            hang = np.asarray(motion) @ pose(at) if isinstance(motion, np.ndarray) else Chain(motion, (_Spin(at, -speed / 0.33),))
            parts.append(Body(name, (tyre, hub), hang))
    return tuple(parts)


class _Spin:
    """An axle along x at a place, turning steadily."""

    def __init__(self, at: Vector, radians_per_s: float) -> None:
        self.at, self.radians_per_s = at, radians_per_s

    def __call__(self, time_s: float) -> F64:
        """Pose on its parent at a time."""
        return pose(self.at, pitch_deg=float(np.rad2deg(self.radians_per_s * time_s)))


def walker(name: str, motion: Motion, index: int, *, period_s: float = 1.1, phase_deg: float = 0.0) -> tuple[Body, ...]:
    """A person of 1.75 m who walks along the z of `motion`, which is the spot on the ground; arms and legs swing."""
    shirt_colour, trousers = _CLOTHES[index % len(_CLOTHES)], (0.20, 0.22, 0.32) if index % 2 == 0 else (0.42, 0.36, 0.27)
    shirt = Texture("stripes", shirt_colour, (0.92, 0.9, 0.84), period_m=(0.07, 0.07), noise=0.5, grain_m=0.15)
    cloth = Texture("plain", trousers, _darker(trousers, 0.7), noise=0.9, grain_m=0.12)
    skin = Texture("plain", (0.86, 0.64, 0.50), (0.72, 0.50, 0.38), noise=0.35, grain_m=0.08)
    hair = Texture("plain", (0.24, 0.15, 0.09), (0.14, 0.08, 0.05), noise=0.9, grain_m=0.06, stretch=0.3)
    shoe = Texture("plain", (0.85, 0.83, 0.8), (0.5, 0.2, 0.2), noise=0.6, grain_m=0.08)

    def limb(radius: float, length: float, texture: Texture) -> Shape:
        return Shape("capsule", (radius, 0.5 * length, radius), texture, pose((0, 0.5 * length, 0)))

    foot = Shape("ellipsoid", (0.05, 0.045, 0.13), shoe, pose((0, 0.43, 0.06)))
    trunk = Body(
        name,
        (
            Shape("ellipsoid", (0.21, 0.34, 0.13), shirt, pose((0, -1.17, 0))),
            Shape("ellipsoid", (0.17, 0.16, 0.13), cloth, pose((0, -0.92, 0))),
            Shape("capsule", (0.055, 0.06, 0.055), skin, pose((0, -1.5, 0))),
            Shape("ellipsoid", (0.095, 0.125, 0.11), skin, pose((0, -1.62, 0.01))),
            Shape("ellipsoid", (0.105, 0.10, 0.115), hair, pose((0, -1.67, -0.02))),
            Shape("ellipsoid", (0.017, 0.03, 0.025), skin, pose((0, -1.60, 0.115))),
            *(Shape("ellipsoid", (0.014, 0.017, 0.012), hair, pose((x, -1.64, 0.098))) for x in (-0.035, 0.035)),
        ),
        motion,
    )
    parts = [trunk]
    for side, lead in ((-1, 0.0), (1, 180.0)):
        hip = Joint((0.09 * side, -0.90, 0), 2, 26, period_s, phase_deg + lead)
        knee = Joint((0, 0.42, 0), -24, 22, period_s, phase_deg + lead + 80)
        shoulder = Joint((0.25 * side, -1.40, 0), 0, 24, period_s, phase_deg + lead + 180)
        elbow = Joint((0, 0.28, 0), 28, 14, period_s, phase_deg + lead + 180)
        parts += [
            Body(name, (limb(0.075, 0.42, cloth),), Chain(motion, (hip,))),
            Body(
                name,
                (limb(0.055, 0.38, cloth), foot),
                Chain(motion, (hip, knee)),
            ),
            Body(name, (limb(0.055, 0.28, shirt),), Chain(motion, (shoulder,))),
            Body(name, (limb(0.042, 0.24, skin),), Chain(motion, (shoulder, elbow))),
        ]
    return tuple(parts)
