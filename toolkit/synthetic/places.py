"""The named worlds: a street, a room, a stage; what stands where is drawn from a seed."""

from __future__ import annotations

import numpy as np

from toolkit.synthetic.figures import (
    BARK,
    DARK_WOOD,
    LEAVES,
    METAL,
    WOOD,
    ball,
    ball_texture,
    balloon,
    bench,
    box,
    car,
    cat,
    house,
    lamp_post,
    tree,
    walker,
)
from toolkit.synthetic.light import Light
from toolkit.synthetic.motions import Bounce, Circle, Drive, Roll, Sway, pose
from toolkit.synthetic.textures import Texture
from toolkit.synthetic.world import Body, Shape, World

_FLAT = (1.0, 1.0, 1.0)  # The ground is endless; its size only scales patterns that need one.


def street(seed: int = 0) -> World:
    """A street with houses, trees and parked things along z; walkers, a car, a cat, balls and a balloon move 2 to 12 m ahead."""
    rng = np.random.default_rng(seed)
    road = Texture("road", (0.34, 0.34, 0.36), (0.66, 0.62, 0.56), (0.36, 0.47, 0.22), (3.1, 2.9), 0.02, 0.6, 0.1)
    bodies = [Body("ground", (Shape("ground", _FLAT, road),), pose())]
    for side in (-1, 1):
        z = -16.0 + rng.uniform(-2, 2)
        while z < 42:
            width, storeys = float(rng.choice([6.4, 8.4, 10.4])), int(rng.integers(2, 4))
            bodies.append(house((side * 10.2, 0, z + 0.5 * width), width, storeys, rng, faces=-side))
            z += width + float(rng.choice([0.02, 1.8]))
        for k, z in enumerate(np.arange(-10.0, 36, 7.5) + rng.uniform(-1, 1)):
            bodies.append(
                tree((side * 5.4, 0, float(z)), rng.uniform(4.2, 5.6), rng)
                if (k + side) % 3
                else lamp_post((side * 3.6, 0, float(z)), -side)
            )
    bodies.append(house((0, 0, 52), 9.0, 3, rng, faces=-1))
    speed, pace = float(rng.uniform(2.0, 3.2)), float(rng.choice([-1, 1]) * rng.uniform(0.8, 1.2))
    start = -np.sign(pace) * rng.uniform(0.5, 1.4)
    hedge = Texture("plain", (0.16, 0.30, 0.10), (0.42, 0.56, 0.20), noise=1.3, grain_m=0.3)
    bodies += [
        bench((4.9, 0, 4.2), -90),
        Body("hedge", (box((0.35, 0.5, 2.4), hedge, (-5.7, -0.5, 3.2)), box((0.35, 0.5, 1.8), hedge, (5.7, -0.5, 9.5))), pose()),
        Body(
            "crates",
            (box((0.3, 0.3, 0.3), WOOD, (-4.0, -0.3, 4.6), yaw_deg=20), box((0.22, 0.22, 0.22), WOOD, (-4.0, -0.82, 4.65), yaw_deg=48)),
            pose(),
        ),
        *car("parked car", (0.62, 0.16, 0.14), pose((2.2, 0, 8.5))),
        *car("parked van", (0.80, 0.80, 0.76), pose((2.2, 0, -4.5))),
        *car("car", (0.16, 0.36, 0.60), Drive((-1.7, 0, 14.5), (0.0, 0.0, -speed)), speed=speed),
        *walker("walker", Drive((start, 0, rng.uniform(3.8, 4.8)), (pace, 0, 0.12)), int(rng.integers(5)), period_s=1.1 / abs(pace)),
        *walker("far walker", Drive((4.3, 0, 10.5), (-0.05, 0, -1.2)), int(rng.integers(5)), period_s=1.05, phase_deg=70),
        ball(
            "beach ball",
            0.22,
            ball_texture(0),
            Bounce(
                (0.75, -0.22, rng.uniform(2.4, 3.2)), (-0.22, 0, 0.15), rng.uniform(0.5, 0.9), 0.85, rng.uniform(0, 1), (1.2, 0.9, -0.8)
            ),
        ),
        ball("ball", 0.16, ball_texture(1), Roll((-1.9, -0.16, 2.6), (rng.uniform(0.3, 0.8), 0, 0.25), 0.16)),
        balloon(Sway((1.5, -2.0, 3.9), (0.35, 0.22, 0.3), (3.1, 2.3, 4.2), 40)),
        *cat(Drive((-3.45, 0, 5.0), (0.05, 0, -0.6))),
    ]
    return World(tuple(bodies), Light(), seed=seed)


def room(seed: int = 0) -> World:
    """A living room of 6 x 7 x 2.7 m with furniture; a toy train, balls, a balloon and a cat move in it."""
    rng = np.random.default_rng(seed)
    plaster = Texture("plain", (0.84, 0.80, 0.71), (0.76, 0.72, 0.63), noise=0.16, grain_m=0.12)
    floor = Texture("bricks", (0.66, 0.46, 0.28), (0.52, 0.35, 0.20), (0.25, 0.16, 0.1), (1.4, 0.16), 0.005, 0.6, 0.12, 5.0)
    rug = Texture("rug", (0.56, 0.16, 0.15), (0.82, 0.70, 0.46), (0.15, 0.22, 0.38), (0.5, 0.12), 0.02, 0.6, 0.06)
    sofa_colours = (
        ((0.24, 0.40, 0.48), (0.16, 0.28, 0.35)),
        ((0.55, 0.22, 0.18), (0.42, 0.15, 0.13)),
        ((0.42, 0.46, 0.30), (0.30, 0.34, 0.20)),
    )
    sofa = Texture("plain", *sofa_colours[seed % 3], noise=0.6, grain_m=0.05)
    cushion = Texture("checker", (0.85, 0.62, 0.20), (0.93, 0.88, 0.76), period_m=(0.11, 0.11), noise=0.5, grain_m=0.05)
    books = Texture("books", (0.45, 0.30, 0.18), period_m=(0.06, 0.36), line_m=0.03, noise=0.4, grain_m=0.1)
    shade = Texture("stripes", (0.95, 0.88, 0.68), (0.86, 0.72, 0.46), period_m=(0.03, 0.03), noise=0.2, grain_m=0.1)
    pot = Texture("stripes", (0.70, 0.36, 0.22), (0.82, 0.55, 0.38), period_m=(0.06, 0.06), noise=0.5, grain_m=0.08)
    paint = [
        Texture("picture", *(tuple(rng.uniform(0.1, 0.9, 3)) for _ in range(3)), line_m=0.05, noise=0.2, grain_m=0.3) for _ in range(4)
    ]
    legs = [box((0.03, 0.2, 0.03), DARK_WOOD, (x, -0.2, z)) for x in (-0.5, 0.5) for z in (-0.27, 0.27)]
    table = (*legs, box((0.6, 0.02, 0.36), WOOD, (0, -0.42, 0)), box((0.11, 0.03, 0.15), ball_texture(3), (0.25, -0.47, 0.05), yaw_deg=25))
    vase = Shape("ellipsoid", (0.08, 0.13, 0.08), pot, pose((-0.25, -0.57, 0.0)))
    seat = (
        box((0.95, 0.2, 0.4), sofa, (0, -0.25, 0)),
        box((0.95, 0.32, 0.12), sofa, (0, -0.55, 0.4), pitch_deg=8),
        *(box((0.12, 0.3, 0.42), sofa, (x, -0.32, 0)) for x in (-1.0, 1.0)),
        *(box((0.2, 0.2, 0.06), cushion, (x, -0.62, 0.2), yaw_deg=6 * x, pitch_deg=18) for x in (-0.6, 0.55)),
    )
    plant = [
        Shape("cylinder", (0.16, 0.17, 0.16), pot, pose((0, -0.17, 0))),
        Shape("cylinder", (0.025, 0.4, 0.025), BARK, pose((0, -0.6, 0))),
    ]
    for _ in range(8):
        x, y, z = rng.uniform(-0.24, 0.24), rng.uniform(-1.35, -0.8), rng.uniform(-0.24, 0.24)
        plant.append(
            Shape("ellipsoid", (0.2, 0.12, 0.16), LEAVES, pose((x, y, z), yaw_deg=rng.uniform(0, 180), roll_deg=rng.uniform(-40, 40)))
        )
    walls = Shape("room", (3.0, 1.35, 3.5), plaster, pose((0, -1.35, 1.5)))
    bodies = [
        Body(
            "room",
            (
                walls,
                box((3.5, 0.004, 3.0), floor, (0, -0.004, 1.5), yaw_deg=90),
                *(box((0.07, 0.08, 3.5), DARK_WOOD, (x, -2.62, 1.5)) for x in (-2.4, -1.2, 0.0, 1.2, 2.4)),
                *(box((0.015, 0.05, 3.5), DARK_WOOD, (x, -0.05, 1.5)) for x in (-2.99, 2.99)),
                box((3.0, 0.05, 0.015), DARK_WOOD, (0, -0.05, 4.99)),
            ),
            pose(),
        ),
        Body("rug", (box((1.5, 0.006, 1.0), rug, (0, -0.014, 2.5)),), pose()),
        Body("table", (*table, vase), pose((0.1, 0, 2.6), yaw_deg=rng.uniform(-12, 12))),
        Body("sofa", seat, pose((-0.4, 0, 4.2))),
        Body("bookcase", (box((0.16, 1.1, 0.8), DARK_WOOD, (2.84, -1.1, 3.2)), box((0.02, 1.08, 0.76), books, (2.67, -1.1, 3.2))), pose()),
        Body("plant", tuple(plant), pose((1.75, 0, 4.35))),
        Body(
            "floor lamp",
            (
                Shape("cylinder", (0.16, 0.015, 0.16), METAL, pose((0, -0.02, 0))),
                Shape("cylinder", (0.018, 0.75, 0.018), METAL, pose((0, -0.75, 0))),
                Shape("cylinder", (0.2, 0.15, 0.2), shade, pose((0, -1.55, 0))),
            ),
            pose((-2.1, 0, 4.4)),
        ),
        Body(
            "pictures",
            (
                box((0.55, 0.38, 0.02), paint[0], (-0.6, -1.6, 4.97)),
                box((0.3, 0.4, 0.02), paint[1], (0.55, -1.62, 4.97)),
                box((0.02, 0.4, 0.6), paint[2], (-2.97, -1.6, 2.6)),
                box((0.02, 0.3, 0.3), paint[3], (-2.97, -1.55, 3.9)),
            ),
            pose(),
        ),
        Body(
            "cabinet",
            (
                box((0.24, 0.4, 0.7), WOOD, (-2.74, -0.4, 2.4)),
                Shape("ellipsoid", (0.12, 0.16, 0.12), pot, pose((-2.72, -0.95, 2.1))),
                box((0.1, 0.13, 0.14), books, (-2.72, -0.93, 2.75)),
            ),
            pose(),
        ),
        ball(
            "ball",
            0.13,
            ball_texture(0),
            Bounce((-0.75, -0.15, 1.9), (rng.uniform(0.2, 0.5), 0, 0.05), 0.5, 0.8, rng.uniform(0, 1), (0.6, 1.1, -1.3)),
        ),
        ball("red ball", 0.11, ball_texture(1), Roll((0.95, -0.13, 1.75), (-0.3, 0, 0.12), 0.11)),
        balloon(Sway((0.75, -1.45, 2.3), (0.16, 0.08, 0.14), (2.6, 1.9, 3.4), 60), radius=0.14),
        *cat(Drive((0.75, 0, 1.15), (-0.5, 0, 0.05))),
    ]
    train = Circle((0.05, -0.02, 2.55), 0.95, 7.0, rng.uniform(170, 230))
    for k, colour in enumerate(((0.75, 0.2, 0.15), (0.2, 0.4, 0.7), (0.85, 0.65, 0.2))):
        coach = Circle(train.centre, train.radius, train.period_s, train.phase_deg - 19 * k)
        body = Texture("facade", colour, (0.2, 0.25, 0.3), (0.95, 0.93, 0.85), (0.09, 0.14), 0.008, 0.5, 0.05)
        wheels = [
            Shape("cylinder", (0.035, 0.01, 0.035), DARK_WOOD, pose((x, -0.035, z), roll_deg=90))
            for x in (-0.065, 0.065)
            for z in (-0.07, 0.07)
        ]
        chimney = (Shape("cylinder", (0.025, 0.05, 0.025), METAL, pose((0, -0.23, 0.06))),) if k == 0 else ()
        bodies.append(Body("toy train", (box((0.06, 0.07, 0.12), body, (0, -0.12, 0)), *wheels, *chimney), coach))
    light = Light(
        sun=(-0.45, -0.75, -0.55),
        sun_rgb=(0.84, 0.77, 0.63),
        above_rgb=(0.58, 0.57, 0.55),
        below_rgb=(0.46, 0.41, 0.35),
        haze_rgb=(0.85, 0.82, 0.76),
        zenith_rgb=(0.95, 0.93, 0.88),
        haze_m=1e6,
    )
    return World(tuple(bodies), light, seed=seed)


def stage(seed: int = 0) -> World:
    """A paved square to be filmed from all around: two walkers and a cat on circles, balls and a balloon within 2 m of its middle."""
    rng = np.random.default_rng(seed)
    paving = Texture("bricks", (0.70, 0.62, 0.52), (0.56, 0.50, 0.44), (0.36, 0.33, 0.30), (0.6, 0.3), 0.02, 0.6, 0.12)
    bodies = [
        Body("ground", (Shape("ground", _FLAT, paving),), pose()),
        *walker("walker", Circle((0, 0, 0), 1.3, 9.0, float(rng.uniform(0, 360))), 0),
        *walker("other walker", Circle((0.2, 0, 0), 0.7, -6.5, float(rng.uniform(0, 360))), 3, phase_deg=120),
        ball("beach ball", 0.22, ball_texture(0), Bounce((-1.0, -0.22, -1.1), (0.3, 0, 0.1), 0.8, 0.9, 0.2)),
        ball("ball", 0.16, ball_texture(1), Roll((1.5, -0.16, 0.8), (-0.4, 0, -0.2), 0.16)),
        balloon(Sway((0.3, -2.2, 0.2), (0.5, 0.2, 0.4), (3.1, 2.3, 4.2), 40), radius=0.26),
        *cat(Circle((0.9, 0, -0.5), 0.55, 5.5, float(rng.uniform(0, 360)))),
        Body("crates", (box((0.3, 0.3, 0.3), WOOD, (-1.3, -0.3, 1.2), yaw_deg=20),), pose()),
    ]
    for k in range(8):
        angle = np.deg2rad(45 * k + rng.uniform(-8, 8))
        at = (9.0 * float(np.sin(angle)), 0.0, 9.0 * float(np.cos(angle)))
        bodies.append(tree(at, rng.uniform(4.2, 5.6), rng) if k % 2 else house((2.0 * at[0], 0, 2.0 * at[2]), 8.4, 2, rng, faces=-1))
    return World(tuple(bodies), Light(), seed=seed)
