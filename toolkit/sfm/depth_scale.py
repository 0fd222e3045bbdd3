"""Depths of one source on the scale of another: of a network or a depth map on that of an adjustment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F64

SLOPE_SAMPLES = 10
"""Still points are near each other, and wrong together: all of them tell the shape of depth no better than so many would."""


def log_linear(source: F64, target: F64, known: NDArray, *, slope_sigma: float = 1.0) -> F64:
    """Depths on the scale of others: target ~ exp(b) source^a, robustly on the `known`, unknown where these are few.

    Args:
        source: Depths of another scale.
        target: What they are on the right one.
        known: Where that is known.
        slope_sigma: How sure it is before looking that a is one; the known ones together tell it as well as `SLOPE_SAMPLES` alone.
    """
    use = known & (source > 0) & (target > 0)
    if use.sum() < 6:
        return np.full(source.shape, np.nan)
    x, y = np.log(source[use]), np.log(target[use])
    middle, spread = float(np.median(x)), 0.1
    x = x - middle
    believed = (spread / slope_sigma) ** 2 / SLOPE_SAMPLES
    weight = np.full(len(x), 1 / len(x))
    a, b = 1.0, float(np.median(y - x))
    for _ in range(10):
        A = np.column_stack([x, np.ones_like(x)])
        normal = (A * weight[:, None]).T @ A + np.diag([believed, 0.0])
        a, b = np.linalg.solve(normal, (A * weight[:, None]).T @ y + np.array([believed, 0.0]))
        weight = 1 / (1 + ((y - a * x - b) / spread) ** 2)
        weight /= weight.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.exp(a * (np.log(np.where(source > 0, source, np.nan)) - middle) + b)
