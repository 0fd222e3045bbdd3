"""Which features of two photos look alike: nearest in both directions, clearly nearer than the second nearest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.scene import F32, F64, U8

Pairs = NDArray[np.uint32]
"""(M, 2) rows of the first and the second photo's features."""

_ROWS = 256  # compared at a time: the products stay in the processor's cache


@dataclass(frozen=True)
class MatchOptions:
    """When two features are taken for the same.

    Attributes:
        ratio: Nearest distance over the second nearest, angles on the unit sphere; COLMAP's.
        angle_rad: Largest angle between two descriptors; COLMAP's .7 is seldom reached.
        near_line_px: Distance to the epipolar line within which a second look searches, in pixels at `max_side`.
        guided_ratio: The same ratio among features near the epipolar line, where there are few to be confused with.
    """

    ratio: float = 0.8
    angle_rad: float = 0.7
    near_line_px: float = 3.0
    guided_ratio: float = 0.85


def match(first: U8, second: U8, options: MatchOptions) -> Pairs:
    """Features that are each other's nearest and pass the ratio test both ways.

    Args:
        first: (K, 128) uint8 descriptors of one photo.
        second: (L, 128) uint8 of the other.
        options: How alike they must be.

    Returns:
        (M, 2) uint32 rows of both.
    """
    return _mutual(first, second, options.ratio, options.angle_rad, None)


def match_guided(first: U8, second: U8, xy_first: F32, xy_second: F32, F: F64, near_px: float, options: MatchOptions) -> Pairs:
    """The same among features that lie on each other's epipolar line.

    Args:
        first: (K, 128) uint8 descriptors of one photo.
        second: (L, 128) uint8 of the other.
        xy_first: (K, 2) where they are, in pixels.
        xy_second: (L, 2).
        F: (3, 3) fundamental matrix, x_second^T F x_first = 0.
        near_px: Largest Sampson distance.
        options: How alike they must be.
    """
    a = np.column_stack([xy_first, np.ones(len(xy_first))]).astype(np.float64)
    b = np.column_stack([xy_second, np.ones(len(xy_second))]).astype(np.float64)
    return _mutual(first, second, options.guided_ratio, options.angle_rad, (a @ F.T, b @ F, b, near_px))


def _mutual(first: U8, second: U8, ratio: float, angle_rad: float, lines: tuple[F64, F64, F64, float] | None) -> Pairs:
    if min(len(first), len(second)) < 2 or first.shape[1] == 0:
        return np.empty((0, 2), np.uint32)
    # Lengths are 1 up to rounding, so products are cosines.
    a, b = first.astype(np.float32) / 512, second.astype(np.float32) / 512
    best, best_at = np.zeros((2, len(a)), np.float32), np.zeros(len(a), np.int64)
    back, back_at = np.zeros((2, len(b)), np.float32), np.zeros(len(b), np.int64)
    for start in range(0, len(a), _ROWS):
        alike = a[start : start + _ROWS] @ b.T
        if lines is not None:
            _blank_far(alike, lines[0][start : start + _ROWS], lines[1], lines[2], lines[3] ** 2)
        _best_two(alike, start, best, best_at, back, back_at)
    rows = np.flatnonzero(best[0] > 0)
    mutual = rows[back_at[best_at[rows]] == rows]
    there = best_at[mutual]
    with np.errstate(invalid="ignore"):
        near = np.arccos(np.minimum(best[0, mutual], 1))
        second_near = np.arccos(np.minimum(np.maximum(best[1, mutual], back[1, there]), 1))
    good = (near <= angle_rad) & (near <= ratio * second_near)
    return np.column_stack([mutual[good], there[good]]).astype(np.uint32)


@compiled(fastmath=True)
def _best_two(alike, start, best, best_at, back, back_at):  # pragma: no cover  (compiled)
    """Takes some rows of the table of cosines into the best and second best of each row and of each column."""
    for i in range(alike.shape[0]):
        top, next_, at = np.float32(0), np.float32(0), 0
        for j in range(alike.shape[1]):
            value = alike[i, j]
            if value > next_:
                if value > top:
                    next_ = top
                    top = value
                    at = j
                else:
                    next_ = value
            if value > back[1, j]:
                if value > back[0, j]:
                    back[1, j] = back[0, j]
                    back[0, j] = value
                    back_at[j] = start + i
                else:
                    back[1, j] = value
        best[0, start + i], best[1, start + i], best_at[start + i] = top, next_, at


@compiled()
def _blank_far(alike, lines, back_lines, points, limit):  # pragma: no cover  (compiled)
    """Sets the cosine of features far from each other's epipolar line to zero (squared Sampson distance over the limit)."""
    for i in range(alike.shape[0]):
        u, v, w = lines[i, 0], lines[i, 1], lines[i, 2]
        own = u * u + v * v
        for j in range(alike.shape[1]):
            off = points[j, 0] * u + points[j, 1] * v + w
            spread = own + back_lines[j, 0] * back_lines[j, 0] + back_lines[j, 1] * back_lines[j, 1]
            if off * off > limit * spread:
                alike[i, j] = 0
