"""Tracks as an adjustment sees them, and what mends a state between adjustments: its unit, runaway points, lost frames, missing points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from toolkit.scene import F64
from toolkit.sfm.bundle import Beliefs, State, adjust
from toolkit.sfm.bundle_single import intersect, resect, track_scales

SHRINKING_PX = (30.0, 10.0, 4.0)
"""Robust scales of a start that is far off."""
LATE_PX = (15.0, 4.0)
"""Of a start that is near."""
NEAREST, FARTHEST = 0.2, 5.0
"""Depths of points in median ones; beyond, they are taken for runaways."""


@dataclass(frozen=True, eq=False)
class Observed:
    """Tracks for the adjustment.

    Attributes:
        uv: (T, N, 2) normalised coordinates, finite everywhere.
        weight: (T, N) weight of each observation, 0 where there is none.
        px: One pixel in normalised coordinates.
        beliefs: About the focal length.
        free_focal: Whether it is found.
        slip: (N,) pixels that each track may stray by for want of texture; None where no picture tells.
    """

    uv: F64
    weight: F64
    px: float
    beliefs: Beliefs
    free_focal: bool = False
    slip: NDArray | None = None

    def of(self, tracks: NDArray) -> Observed:
        """Only these tracks."""
        uv, weight = (np.ascontiguousarray(part[:, tracks]) for part in (self.uv, self.weight))
        return replace(self, uv=uv, weight=weight, slip=None if self.slip is None else self.slip[tracks])

    def weighted(self, by_track: NDArray) -> Observed:
        """With the weights of each track multiplied."""
        return replace(self, weight=self.weight * by_track)

    def adjusted(self, state: State, scale: F64 | float, *, frames: slice = slice(None), seen: NDArray | None = None, **options) -> State:
        """Everything of some frames adjusted, on the tracks that are `seen`."""
        weight = self.weight[frames] if seen is None else self.weight[frames] * seen
        return adjust(state, self.uv[frames], weight, scale, beliefs=self.beliefs, **{"free_focal": self.free_focal, **options})[0]

    def scales(self, state: State, least_px: float) -> tuple[F64, F64]:
        """(N,) robust scale of each track and (T, N) squared residuals."""
        r2, scale = state.errors(self.uv), np.empty(self.uv.shape[1])
        track_scales(r2, self.weight, least_px * self.px, 8, scale)
        return scale, r2


def scaled(state: State, frame: int) -> State:
    """The same with this camera as the world and a median depth of one in it."""
    Q, origin = state.R[frame].copy(), state.c[frame].copy()
    unit = 1 / max(float(np.median((state.X - origin) @ Q[:, 2])), 1e-3)
    return replace(state, R=Q.T @ state.R, c=unit * (state.c - origin) @ Q, X=unit * (state.X - origin) @ Q)


def bounded(seen: Observed, state: State) -> State:
    """Points behind a camera that sees them, or run away, go back on the ray of a middle frame."""
    depth = np.where(seen.weight > 0, state.depth, np.nan)
    any_seen = np.isfinite(depth).any(0)
    near, own = np.full(depth.shape[1], np.nan), np.full(depth.shape[1], np.nan)
    near[any_seen], own[any_seen] = np.nanmin(depth[:, any_seen], 0), np.nanmedian(depth[:, any_seen], 0)
    middle = float(np.nanmedian(depth))
    X = state.X.copy()
    for p in np.flatnonzero(any_seen & ~((near > NEAREST * middle) & (own < FARTHEST * middle))):
        rows = np.flatnonzero(seen.weight[:, p] > 0)
        n = rows[len(rows) // 2]
        share = FARTHEST if own[p] >= FARTHEST * middle else np.clip(own[p] / middle, NEAREST, 1.0)
        share = share if near[p] > 0 else min(share, 1.0)
        X[p] = state.c[n] + share * middle * state.R[n] @ np.append(seen.uv[n, p] / state.factor, 1.0)
    return replace(state, X=X)


def reseated(seen: Observed, state: State, scale: F64) -> State:
    """Frames whose pose got lost start again from between their neighbours; a pose that fits better replaces the old one."""
    count = len(state.R)
    R, c, least = state.R.copy(), state.c.copy(), np.empty(count)
    resect(R, c, state.X, state.factor, seen.uv, seen.weight, scale, 1, least)
    rows = np.arange(count)
    for gap in (1, 2, 4):
        if 2 * gap >= count:
            break
        before, after = np.where(rows < gap, rows + gap, rows - gap), np.where(rows + gap >= count, rows - gap, rows + gap)
        turn = Rotation.from_matrix(state.R[before])
        R2 = (turn * Rotation.from_rotvec(0.5 * (turn.inv() * Rotation.from_matrix(state.R[after])).as_rotvec())).as_matrix()
        c2, cost = 0.5 * (state.c[before] + state.c[after]), np.empty(count)
        for px in (*SHRINKING_PX[:2], 0.0):
            resect(R2, c2, state.X, state.factor, seen.uv, seen.weight, np.maximum(scale, px * seen.px), 12, cost)
        better = cost < least * (1 - 1e-3)
        R[better], c[better], least[better] = R2[better], c2[better], cost[better]
    return replace(state, R=R, c=c)


def with_all_points(seen: Observed, state: State, known: NDArray) -> State:
    """Points of all tracks from cameras that some of them gave.

    Args:
        seen: All tracks.
        state: Cameras, and the points of the `known` ones.
        known: Their rows.
    """
    points = seen.uv.shape[1]
    first = np.argmax(seen.weight > 0, axis=0)
    rays = np.concatenate([seen.uv[first, np.arange(points)] / state.factor, np.ones((points, 1))], axis=1)
    rays = np.einsum("pij,pj->pi", state.R[first], rays)
    usual = float(np.median(state.depth[seen.weight[:, known] > 0]))
    X, least, cost = np.zeros((points, 3)), np.full(points, np.inf), np.empty(points)
    for share in (0.5, 1.0, 2.0):
        trial = state.c[first] + share * usual * rays
        trial[known] = state.X
        for px in LATE_PX:
            intersect(state.R, state.c, trial, state.factor, seen.uv, seen.weight, np.full(points, px * seen.px), 10, cost)
        better = cost < least - 1e-3 * np.maximum(seen.weight.sum(0), 1e-9)
        X[better], least[better] = trial[better], cost[better]
    return replace(state, X=X)
