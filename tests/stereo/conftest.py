"""What the tests of rectification share: pictures of a world that is known exactly, through any lens."""

from collections.abc import Callable

import numpy as np
import pytest

from toolkit.geometry.projections import Projection
from toolkit.geometry.sampling import pixel_centres


def colours(points, seed=0, octaves=(0.7, 1.6, 3.7, 8.1, 17.0), waves=10):
    """Smooth random RGB (..., 3) uint8 of points (..., 3): sums of waves of several lengths."""
    rng = np.random.default_rng(seed)
    value = np.zeros((*points.shape[:-1], 3))
    for octave in octaves:
        directions = rng.normal(size=(waves, 3))
        directions *= octave * 2 / np.linalg.norm(directions, axis=1, keepdims=True)
        phases = rng.uniform(0, 2 * np.pi, (waves, 3))
        along = points @ directions.T
        for channel in range(3):
            value[..., channel] += np.sin(along + phases[:, channel]).mean(-1)
    return np.clip(127.5 + 110 * value, 0, 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def paint_sky() -> Callable:
    """paint_sky(projection, R): the picture of an infinitely far sky, R taking its rays to the eye; black where nothing is imaged."""

    def paint(projection: Projection, R=None, octaves=(1.0, 3.0)):
        rays = projection.rays(pixel_centres(projection.size))
        picture = colours(np.nan_to_num(rays) @ (np.eye(3) if R is None else R), octaves=octaves)
        picture[~np.isfinite(rays).all(-1)] = 0
        return picture

    return paint


@pytest.fixture(scope="session")
def paint_room() -> Callable:
    """paint_room(projection, R_wc, centre): the picture of a room of 5 x 3 x 8 m around the origin, 6 m of it ahead."""

    def paint(projection: Projection, R_wc, centre):
        low, high = np.array([-2.5, -1.5, -2.0]), np.array([2.5, 1.5, 6.0])
        rays = projection.rays(pixel_centres(projection.size))
        d = np.nan_to_num(rays, nan=1.0) @ np.asarray(R_wc).T
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(d > 0, (high - centre) / d, np.where(d < 0, (low - centre) / d, np.inf)).min(-1)
        picture = colours(centre + d * distance[..., None], octaves=(2.0, 5.0, 13.0, 31.0))
        picture[~np.isfinite(rays).all(-1)] = 0
        return picture

    return paint
