"""Cameras and points grown from tracks: the window with most parallax from a flat scene, then outwards frame by frame, then all together.

No two-view geometry is needed: in continuous video a flat scene seen from one place is near enough for a robust adjustment whose scale
shrinks. Several flat starts find several minima; which one is right is for `track_hypotheses` to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.poses import nearest_rotation
from toolkit.scene import F64, B
from toolkit.sfm.bundle import State, adjust
from toolkit.sfm.bundle_single import resect
from toolkit.sfm.track_observed import LATE_PX, NEAREST, SHRINKING_PX, Observed, bounded, reseated, scaled


@dataclass(frozen=True)
class GrowthOptions:
    """How cameras are grown.

    Attributes:
        window: Frames of a first window.
        windows: First windows that are tried.
        starts: Flat scenes that each is started from: level, tilted either way, then random ones.
        extended: Minima that are grown over the whole clip.
        least_px: A track's robust scale is at least so large: what a good tracker is off by.
        together: Up to so many frames all cameras move whenever frames are added; beyond, those near the ends do, and all now and then.
        near_end: So many frames at either end.
        all_every: And all of them every so many times.
    """

    window: int = 9
    windows: int = 2
    starts: int = 4
    extended: int = 3
    least_px: float = 1.0
    together: int = 60
    near_end: int = 16
    all_every: int = 6


def grown(seen: Observed, options: GrowthOptions, rng: np.random.Generator) -> list[State]:
    """What the most promising minima become over the whole clip, each scaled to a median depth of one in its first window's middle.

    Args:
        seen: Tracks, all of them used in every step: some hundred.
        options: How.
        rng: Of the random starts.
    """
    first, parallax, length = _windows(seen, options.window)
    picked: list[int] = []
    for i in np.argsort(parallax)[::-1]:
        if len(picked) < options.windows and all(abs(first[i] - other) >= length // 2 for other in picked):
            picked.append(first[i])
    pool: list[tuple[float, State, B, int]] = []
    for begin in picked:
        different: list[tuple[float, State, B, int]] = []
        for cost, state, placed in sorted(_flat_starts(seen, begin, length, options, rng), key=lambda start: start[0]):
            if all(abs(cost - other[0]) > 2e-3 * abs(other[0]) for other in different):
                different.append((cost, state, placed, begin))
        pool += different[:2]
    pool.sort(key=lambda start: start[0])
    return [_extended(seen, state, placed, begin, options) for _, state, placed, begin in pool[: options.extended]]


def _windows(seen: Observed, window: int) -> tuple[list[int], list[float], int]:
    """First frames of windows, and for each how much its flow differs from an affine one, by the share of tracks that live through it."""
    count = len(seen.uv)
    length = min(window, count)
    first, parallax = list(range(0, count - length + 1, max(1, length // 3))), []
    for a in first:
        b = a + length - 1
        both = (seen.weight[a] > 0) & (seen.weight[b] > 0)
        if both.sum() < 8:
            parallax.append(0.0)
            continue
        A = np.column_stack([seen.uv[a, both], np.ones(both.sum())])
        flow = seen.uv[b, both] - seen.uv[a, both]
        rest = flow - A @ np.linalg.lstsq(A, flow, rcond=None)[0]
        parallax.append(float(np.median(np.linalg.norm(rest, axis=1)) * both.mean()))
    return first, parallax, length


def _flat_starts(seen: Observed, begin: int, length: int, options: GrowthOptions, rng: np.random.Generator) -> list[tuple[float, State, B]]:
    """Loss, state and placed tracks of a window from each start."""
    window, middle, points = slice(begin, begin + length), length // 2, seen.uv.shape[1]
    found = []
    for start in range(options.starts):
        R, c = np.repeat(np.eye(3)[None], length, 0), np.zeros((length, 3))
        X, placed = np.zeros((points, 3)), np.zeros(points, bool)
        part = replace(seen, uv=seen.uv[window], weight=seen.weight[window])
        _place(part, State(R, c, X), placed, sorted(range(length), key=lambda n: abs(n - middle)), 1.0)
        down = X[:, 1] - np.median(X[placed, 1])
        if start in (1, 2):
            X /= np.clip(1 + (1.2 if start == 1 else -1.2) * down, 0.4, 2.5)[:, None]
        elif start:
            X *= np.exp(0.35 * rng.normal(size=points))[:, None]
        state, weight, cost = State(R, c + 1e-3 * rng.normal(size=c.shape), X), part.weight * placed, 0.0
        for px in SHRINKING_PX:
            state, cost = adjust(state, part.uv, weight, px * seen.px, steps=15, floor=1e-3, beliefs=seen.beliefs)
        found.append((cost / max(weight.sum(), 1e-9), state, placed))
    return found


def _place(seen: Observed, state: State, placed: B, frames: Sequence[int], depth: float) -> None:
    """Tracks that no frame has placed yet go on their ray of the first of these frames that sees them; changes state.X and placed."""
    for n in frames:
        new = (seen.weight[n] > 0) & ~placed
        rays = np.column_stack([seen.uv[n, new] / state.factor, np.ones(new.sum())])
        state.X[new] = state.c[n] + depth * rays @ state.R[n].T
        placed |= new


def _extended(seen: Observed, start: State, placed: B, begin: int, options: GrowthOptions) -> State:
    """A window's cameras over the whole clip."""
    count, points = seen.weight.shape
    low, high = begin, begin + len(start.R) - 1
    R, c = np.repeat(np.eye(3)[None], count, 0), np.zeros((count, 3))
    R[low : high + 1], c[low : high + 1] = start.R, start.c
    state, placed = scaled(State(R, c, start.X.copy(), start.log_focal), begin + len(start.R) // 2), placed.copy()
    flat, rounds = np.full(points, LATE_PX[-1] * seen.px), 0
    while low > 0 or high < count - 1:
        R, c, new = state.R.copy(), state.c.copy(), []
        for _ in range(2):
            if low > 0:
                low -= 1
                R[low], c[low] = nearest_rotation(R[low + 1] @ (R[low + 2].T @ R[low + 1])), 2 * c[low + 1] - c[low + 2]
                new.append(low)
            if high < count - 1:
                high += 1
                R[high], c[high] = nearest_rotation(R[high - 1] @ (R[high - 2].T @ R[high - 1])), 2 * c[high - 1] - c[high - 2]
                new.append(high)
        Rn, cn, cost = R[new], c[new], np.empty(len(new))
        for px in LATE_PX:
            resect(Rn, cn, state.X, state.factor, seen.uv[new], seen.weight[new] * placed, np.full(points, px * seen.px), 8, cost)
        R[new], c[new] = Rn, cn
        state = replace(state, R=R, c=c)
        depth = ((state.X[None, placed] - cn[:, None]) * Rn[:, None, :, 2]).sum(-1)
        _place(seen, state, placed, new, max(float(np.median(depth)), NEAREST))
        rounds += 1
        active, free = slice(low, high + 1), None
        if high + 1 - low > options.together and rounds % options.all_every:
            ends = [n for n in range(low, high + 1) if (n < low + options.near_end and low > 0) or n > high - options.near_end]
            free = np.array(ends) - low
        part = _adjusted_part(seen, state, flat, active, placed, free)
        R, c = state.R.copy(), state.c.copy()
        R[active], c[active] = part.R, part.c
        state = replace(part, R=R, c=c)
    scale = flat
    for i in range(4):
        state = bounded(seen, state)
        if i in (1, 2):
            state = reseated(seen, state, scale)
        state = seen.adjusted(state, scale, steps=8, floor=1e-5)
        scale, _ = seen.scales(state, options.least_px)
    return state


def _adjusted_part(seen: Observed, state: State, scale: F64, frames: slice, placed: NDArray, free: NDArray | None) -> State:
    """Some frames adjusted, only the `free` ones of them moving; with few moving the focal length stays."""
    part = replace(state, R=state.R[frames], c=state.c[frames])
    fixed = {} if free is None else {"free_focal": False}
    return seen.adjusted(part, scale, frames=frames, seen=placed, steps=5, floor=1e-4, free=free, **fixed)
