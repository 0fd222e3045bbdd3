"""Carrying tracks through a clip: forward from each query to the last frame, then backward to the first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from toolkit.disk_arrays import large_empty
from toolkit.parallel import workers
from toolkit.progress import Report, silent
from toolkit.scene import F32, U8
from toolkit.tracking.flow import FlowBank
from toolkit.tracking.merge import MergeSettings, TrackState, carry
from toolkit.tracking.patches import cut_queries
from toolkit.tracking.queries import grid_points, query_frames

_ROWS_PER_TASK = 2048  # enough work to outweigh handing it to a thread
_BLUR_SIGMA_PX = 1.0  # patches are compared a little blurred, so that half a pixel and noise do not matter

Seeding = Callable[[int, list[TrackState]], F32]
"""Positions (n, 2) of new queries in frame t, given all tracks so far."""


@dataclass(frozen=True)
class GridSettings:
    """How a dense grid is seeded.

    Attributes:
        cover_cells: A cell needs no new track when a visible one is this close to its centre, in cells. A grid of tracks that
            moved as a whole leaves no centre further than 0.71 from a track.
        jitter: Share of a cell by which grid points are moved, so that no column of texture is missed by every grid.
        most_samples: Tracks times frames at most (about 40 bytes each, on disk where they are many); beyond it a random part of the new
            cells is taken.
    """

    cover_cells: float = 0.8
    jitter: float = 0.0
    most_samples: int = 16_000_000


def track_queries(gray: U8, flows: FlowBank, queries: F32, settings: MergeSettings, *, report: Report = silent) -> TrackState:
    """Tracks of given queries, sorted by their frame.

    Args:
        gray: (T, H, W) uint8 working frames.
        flows: Flow between them.
        queries: (N, 3) (t, x, y) in pixels of the working frames, t not falling.
        settings: How hops are weighed.
        report: Called once per frame and direction.
    """
    return _sweep(gray, flows, lambda t, _: queries[queries[:, 0] == t, 1:], settings, report, total=len(queries))


def track_grid(
    gray: U8,
    flows: FlowBank,
    settings: MergeSettings,
    *,
    grid: tuple[int, int],
    every: int,
    seed: int,
    seeding: GridSettings | None = None,
    moments: range | None = None,
    most: int | None = None,
    covered: Callable[[int], F32] | None = None,
    report: Report = silent,
) -> TrackState:
    """Tracks of a grid in every `every`-th frame, without those that would only follow a track which is there already.

    Arguments as in `track_queries`; `grid`, `every` and `seed` as in `track_points`. A part of a clip has `moments` that are asked
    instead, `most` tracks (half of them at once, the others evenly), and places (n, 2) that earlier tracks are `covered` by in a frame.
    """
    chosen = seeding or GridSettings()
    frames, height, width = gray.shape
    moments = query_frames(frames, every=every) if moments is None else moments
    cell = np.array([width, height]) / np.asarray(grid, np.float64)
    most_tracks = max(1, chosen.most_samples // frames) if most is None else most
    rng = np.random.default_rng(seed)

    def uncovered(t: int, blocks: list[TrackState]) -> F32:
        if t not in moments:
            return np.zeros((0, 2), np.float32)
        points = grid_points((width, height), grid=grid, jitter=chosen.jitter, seed=seed + t)
        living = [b.xy[b.certain(settings, t), t] for b in blocks] + ([] if covered is None else [covered(t)])
        if any(len(xy) for xy in living):
            distance, _ = KDTree(np.concatenate(living) / cell).query(points / cell, distance_upper_bound=chosen.cover_cells)
            points = points[np.isinf(distance)]
        allowed = most_tracks if most is None else most * (len(moments) + moments.index(t) + 1) // (2 * len(moments))
        room = allowed - sum(len(b.start) for b in blocks)
        if len(points) > room:
            points = points[np.sort(rng.permutation(len(points))[: max(room, 0)])]
        return points

    return _sweep(gray, flows, uncovered, settings, report, give_up=True)


def _sweep(
    gray: U8,
    flows: FlowBank,
    seeding: Seeding,
    settings: MergeSettings,
    report: Report,
    *,
    total: int | None = None,
    give_up: bool = False,
) -> TrackState:
    """Seeds and carries forward in one pass, then backward; `total` tracks go into one block when their number is known.

    With `give_up`, tracks that will not be seen again are left where they are.
    """
    frames = len(gray)
    blocks = [TrackState.empty(total, frames)] if total is not None else []
    seeded = 0
    carrier = _Carrier(gray, flows, settings, give_up)
    with carrier.pool:
        for t in range(frames):
            for block in blocks:
                carrier.carry(block, t, +1, 0, seeded if total is not None else len(block.start))
            points = seeding(t, blocks)
            if len(points):
                if total is None:
                    blocks.append(TrackState.empty(len(points), frames))
                _plant(blocks[-1], seeded if total is not None else 0, t, points, carrier.images[t])
                seeded += len(points)
            report(t + 1, 2 * frames)
        for t in range(frames - 2, -1, -1):
            for block in blocks:
                carrier.carry(block, t, -1, int(np.searchsorted(block.start, t, side="right")), len(block.start))
            report(2 * frames - t - 1, 2 * frames)
    report(2 * frames, 2 * frames)
    return _joined(blocks, frames)


class _Carrier:
    """Runs the compiled loop over the rows of a state, in a few threads."""

    def __init__(self, gray: U8, flows: FlowBank, settings: MergeSettings, give_up: bool) -> None:
        self._flows = flows
        self.images = large_empty(gray.shape, np.uint8)
        for t, frame in enumerate(gray):
            self.images[t] = cv2.GaussianBlur(frame, (0, 0), _BLUR_SIGMA_PX)
        self._numbers = settings.packed()
        self._give_up = give_up
        self._strides = np.array(flows.strides, np.int64)
        self._workers = workers()
        self.pool = ThreadPoolExecutor(max_workers=self._workers)

    def carry(self, block: TrackState, t: int, direction: int, first: int, last: int) -> None:
        """Carries rows first..last-1 to frame `t`."""
        if last <= first:
            return
        there, back = self._flows.into(t, direction)
        state = (block.xy, block.drift, block.found, block.alike, block.link, block.agree, block.start, block.patches)
        arguments = (t, direction, self._strides, there, back, self.images, self._numbers, self._give_up)
        step = max(_ROWS_PER_TASK, -(-(last - first) // (4 * self._workers)))
        pieces = [(a, min(a + step, last)) for a in range(first, last, step)]
        if len(pieces) == 1:
            carry(*state, pieces[0], *arguments)
            return
        waiting: list[Future] = [self.pool.submit(carry, *state, piece, *arguments) for piece in pieces]
        for future in waiting:
            future.result()


def _plant(block: TrackState, first: int, t: int, points: NDArray, image: U8) -> None:
    rows = slice(first, first + len(points))
    block.xy[rows, t] = points
    block.drift[rows, t] = 0.02
    block.found[rows, t] = 1
    block.alike[rows, t] = 1
    block.start[rows] = t
    cut_queries(image, np.ascontiguousarray(points, np.float32), block.patches[rows])


def _joined(blocks: list[TrackState], frames: int) -> TrackState:
    """One state of all blocks, without what only the sweeps needed; empties the list, for both at once would fill the memory."""
    nothing = TrackState.empty(0, frames)
    names = ("start", "found", "drift", "xy")
    count = sum(len(block.start) for block in blocks)
    parts = {name: [getattr(block, name) for block in blocks] for name in names}
    blocks.clear()
    kept = {}
    for name in names:
        like = getattr(nothing, name)
        kept[name], first = large_empty((count, *like.shape[1:]), like.dtype), 0
        for part in parts.pop(name):
            kept[name][first : first + len(part)] = part
            first += len(part)
    return replace(nothing, **kept)
