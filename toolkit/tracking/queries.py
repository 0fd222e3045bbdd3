"""Where points are asked for: a dense grid, or a person's own clicks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.scene import F32


def grid_points(size: tuple[int, int], *, grid: tuple[int, int] = (128, 128), jitter: float = 0.0, seed: int = 0) -> F32:
    """Centres of the cells of a grid that spans the image, row by row.

    Args:
        size: (width, height) of the image in pixels.
        grid: (columns, rows) of cells.
        jitter: Each point is moved uniformly within this share of its cell, 0 (centres) to 1 (anywhere in the cell).
        seed: Of the jitter.

    Returns:
        (columns * rows, 2) float32 continuous pixels.

    Raises:
        UserError: For a grid without cells or a jitter outside 0..1.

    >>> grid_points((8, 4), grid=(2, 1)).tolist()
    [[2.0, 2.0], [6.0, 2.0]]
    """
    columns, rows = (int(n) for n in grid)
    if columns < 1 or rows < 1:
        raise UserError(f"The grid is {columns} x {rows}, but at least one column and one row are needed.")
    if not 0 <= jitter <= 1:
        raise UserError(f"The jitter is {jitter}, but a share of a cell between 0 and 1 is needed.")
    x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    cells = np.stack([x.ravel(), y.ravel()], axis=1)
    if jitter:
        cells += np.random.default_rng(seed).uniform(-0.5, 0.5, cells.shape) * jitter
    return (cells * (np.asarray(size) / (columns, rows))).astype(np.float32)


def grid_queries(
    size: tuple[int, int], frames: int, *, grid: tuple[int, int] = (128, 128), every: int = 10, jitter: float = 0.0, seed: int = 0
) -> F32:
    """A grid of queries in every `every`-th frame, as Stereo4D asks for them (128 x 128 every 10th frame at 512 x 512).

    Args:
        size: (width, height) of the image in pixels.
        frames: Number of frames of the clip.
        grid: (columns, rows) of cells, whatever the size of the image.
        every: Frames from one grid to the next.
        jitter: See `grid_points`; every grid is moved differently.
        seed: Of the jitter.

    Returns:
        (N, 3) float32 (t, x, y), frame by frame.
    """
    moments = query_frames(frames, every=every)
    points = [grid_points(size, grid=grid, jitter=jitter, seed=seed + i) for i, _ in enumerate(moments)]
    return np.concatenate([np.column_stack([np.full(len(p), t, np.float32), p]) for t, p in zip(moments, points, strict=True)])


def query_frames(frames: int, *, every: int = 10) -> range:
    """The frames that get a grid: 0, every, 2 * every, ..."""
    if every < 1:
        raise UserError(f"A grid every {every} frames was asked for, but at least 1 is needed.")
    return range(0, frames, int(every))


def checked_queries(queries: ArrayLike, *, frames: int, size: tuple[int, int]) -> F32:
    """A person's queries, once it is sure that each lies in the video.

    Args:
        queries: (N, 3) (t, x, y): frame index and continuous pixels.
        frames: Number of frames of the video.
        size: (width, height) of the video in pixels.

    Returns:
        (N, 3) float32.

    Raises:
        UserError: For another shape, values that are not finite, frames that do not exist or are not whole, or points outside.
    """
    try:
        q = np.asarray(queries, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"Queries must be numbers (t, x, y), but they could not be read as such: {error}.") from error
    if q.ndim != 2 or q.shape[1] != 3 or len(q) == 0:
        raise UserError(f"Queries have shape {q.shape}, but (N, 3) with rows (t, x, y) and at least one row is needed.")
    t, x, y = q.T
    width, height = size
    checks = (
        (~np.isfinite(q).all(1), "is not finite"),
        (t != np.floor(t), "is not at a whole frame"),
        ((t < 0) | (t >= frames), f"is outside the frames 0 to {frames - 1}"),
        ((x < 0) | (x > width) | (y < 0) | (y > height), f"is outside the image of {width} x {height} px"),
    )
    for wrong, what in checks:
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise UserError(f"Query {i} (t={t[i]:g}, x={x[i]:g}, y={y[i]:g}) {what}.")
    return q.astype(np.float32)
