"""Rays meet shapes where geometry, written another way, says that they do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.synthetic import Body, Shape, World
from toolkit.synthetic.motions import pose

SIZE = {
    "box": (0.5, 0.3, 0.8),
    "ellipsoid": (0.6, 0.3, 0.9),
    "cylinder": (0.4, 0.7, 0.4),
    "capsule": (0.3, 0.5, 0.3),
    "gable": (0.7, 0.4, 0.6),
}


def depth_inside(kind: str, p: np.ndarray) -> np.ndarray:
    """Positive inside, negative outside, zero on the surface; p (..., 3) in the shape's axes."""
    a, b, c = SIZE[kind]
    x, y, z = np.moveaxis(p, -1, 0)
    if kind == "box":
        return np.minimum(np.minimum(a - abs(x), b - abs(y)), c - abs(z))
    if kind == "ellipsoid":
        return 1 - np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    if kind == "cylinder":
        return np.minimum(a - np.hypot(x, z), b - abs(y))
    if kind == "capsule":
        return a - np.sqrt(x**2 + z**2 + np.maximum(abs(y) - b, 0) ** 2)
    # A triangle in x and y with its base at y = b and its ridge at (0, -b).
    return np.minimum(np.minimum(b - y, c - abs(z)), (y + b) / (2 * b) - abs(x) / a)


@pytest.mark.parametrize("kind", list(SIZE))
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_ray_stops_on_the_surface_and_passes_only_outside(kind, seed):
    rng = np.random.default_rng(seed)
    T = pose(tuple(rng.uniform(-1, 1, 3)), yaw_deg=rng.uniform(0, 360), pitch_deg=rng.uniform(-90, 90), roll_deg=rng.uniform(0, 360))
    world = World((Body("thing", (Shape(kind, SIZE[kind]),), T),))
    o = rng.normal(size=(64, 3))
    o = 4 * o / np.linalg.norm(o, axis=1, keepdims=True) + T[:3, 3]
    d = (T[:3, 3] + rng.uniform(-0.8, 0.8, (64, 3)) - o) * rng.uniform(0.2, 3, (64, 1))
    hit = world.cast(o, d, 0.0)
    met = hit.object_id == 1
    local = (hit.xyz_w[met] - T[:3, 3]) @ T[:3, :3]
    assert np.abs(depth_inside(kind, local)).max(initial=0) < 1e-9
    # Walk along each ray up to its hit, or past the shape: never inside.
    end = np.where(met, hit.distance, 8 / np.linalg.norm(d, axis=1))
    walk = o[:, None] + np.linspace(0, 1 - 1e-6, 400)[None, :, None] * (end[:, None] * d)[:, None]
    assert depth_inside(kind, (walk - T[:3, 3]) @ T[:3, :3]).max() < 1e-6


def test_the_ground_is_met_where_a_falling_ray_reaches_height_zero():
    world = World((Body("ground", (Shape("ground", (1, 1, 1)),), pose()),))
    hit = world.cast((0.3, -1.6, 0), [[0, 1, 1], [0, 0.1, 1], [0, -0.1, 1], [0, 0, 1]], 0.0)
    np.testing.assert_allclose(hit.distance[:2], [1.6, 16.0])
    assert np.isinf(hit.distance[2:]).all() and (hit.object_id[2:] == 0).all() and np.isnan(hit.xyz_w[2:]).all()


def test_a_room_is_seen_from_inside():
    world = World((Body("room", (Shape("room", (2, 1, 3)),), pose()),))
    hit = world.cast((0.5, 0, 0), [[1, 0, 0], [-1, 0, 0], [0, 0, 2], [0, -1, 0]], 0.0)
    np.testing.assert_allclose(hit.distance, [1.5, 2.5, 1.5, 1.0])
