"""Choosing a few tracks that cover the picture and the clip evenly, moving ones first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.scene import I64, B


def spread_tracks(
    xy: NDArray,
    visible: B,
    size: tuple[int, int],
    count: int,
    *,
    moving: B | None = None,
    spacing_px: float = 0.0,
    seed: int = 0,
) -> I64:
    """Indices of at most `count` tracks that leave no part of the picture and of the clip empty.

    Every few frames, each cell of a grid that has no chosen track in or beside it takes its longest-lived one; the cell size is
    the smallest that stays within the count. Moving tracks get up to two thirds of the count, on a grid of their own.

    Args:
        xy: (N, T, 2) pixels.
        visible: (N, T).
        size: (width, height) of the picture.
        count: Largest number of tracks.
        moving: (N,) which tracks move; None for none.
        spacing_px: Smallest cell: closer together, dots would hide what they sit on.
        seed: Decides between equals.

    Returns:
        Rising indices; without a spacing, all tracks that are ever visible where they are no more than `count`.
    """
    ever = visible.any(1) if visible.size else np.zeros(len(xy), bool)
    if spacing_px <= 0 and ever.sum() <= count:
        return np.flatnonzero(ever)
    moving = np.zeros(len(xy), bool) if moving is None else np.asarray(moving, bool)
    moving_now, still_now = np.flatnonzero(ever & moving), np.flatnonzero(ever & ~moving)
    share = min(len(moving_now), max(2 * count // 3, count - len(still_now)))
    chosen_moving = _spread(xy, visible, size, moving_now, share, spacing_px, seed)
    chosen_still = _spread(xy, visible, size, still_now, count - len(chosen_moving), spacing_px, seed)
    return np.sort(np.concatenate([chosen_moving, chosen_still]))


def _spread(xy: NDArray, visible: B, size: tuple[int, int], which: I64, limit: int, spacing_px: float, seed: int) -> I64:
    if limit <= 0 or (len(which) <= limit and spacing_px <= 0):
        return which[: max(limit, 0)]
    frames = np.linspace(0, xy.shape[1] - 1, min(xy.shape[1], 16)).round().astype(int)
    at, seen = xy[np.ix_(which, frames)], visible[np.ix_(which, frames)]
    life = visible[which].sum(1) + np.random.default_rng(seed).random(len(which))
    order = np.argsort(-life)
    at, seen = at[order], seen[order]
    # The number of chosen tracks falls as cells grow: bisect the cell size.
    small, large = max(spacing_px, 0.25), float(max(size))
    best = _one_per_cell(at, seen, size, small)
    if len(best) <= limit:
        return which[order[best]]
    best = np.arange(limit)  # the longest-lived ones, where not even one cell of the whole picture is few enough
    for _ in range(12):
        cell = np.sqrt(small * large)
        chosen = _one_per_cell(at, seen, size, cell)
        if len(chosen) <= limit:
            large, best = cell, chosen
        else:
            small = cell
        if 0.97 * limit <= len(chosen) <= limit:
            break
    return which[order[best]]


def _one_per_cell(at: NDArray, seen: B, size: tuple[int, int], cell: float) -> I64:
    """Of tracks in the order of their worth: indices of those that were first in an empty cell of some frame."""
    chosen = np.zeros(len(at), bool)
    _choose(
        np.ascontiguousarray(at, np.float32), np.ascontiguousarray(seen), int(size[0] / cell) + 1, int(size[1] / cell) + 1, cell, chosen
    )
    return np.flatnonzero(chosen)


@compiled()
def _choose(at, seen, columns, rows, cell, chosen):  # pragma: no cover - compiled
    """Marks in `chosen`; a cell is empty where no track chosen in an earlier frame lies in it or beside it."""
    near = np.empty((rows + 2, columns + 2), np.bool_)
    taken = np.empty((rows, columns), np.bool_)
    for f in range(at.shape[1]):
        near[:] = False
        taken[:] = False
        for i in range(len(at)):
            if chosen[i] and seen[i, f]:
                column, row = int(np.floor(at[i, f, 0] / cell)), int(np.floor(at[i, f, 1] / cell))
                if 0 <= column < columns and 0 <= row < rows:
                    near[row : row + 3, column : column + 3] = True
        for i in range(len(at)):
            if not seen[i, f] or chosen[i]:
                continue
            column, row = int(np.floor(at[i, f, 0] / cell)), int(np.floor(at[i, f, 1] / cell))
            if 0 <= column < columns and 0 <= row < rows and not near[row + 1, column + 1] and not taken[row, column]:
                taken[row, column] = True
                chosen[i] = True
