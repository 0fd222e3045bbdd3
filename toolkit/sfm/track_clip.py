"""Cameras and still points of a whole clip from any number of tracks: windows of it from some tracks, joined, then every track placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F64, I64, B
from toolkit.sfm.bundle import State
from toolkit.sfm.bundle_single import resect
from toolkit.sfm.depth_scale import log_linear
from toolkit.sfm.track_company import company_of
from toolkit.sfm.track_hypotheses import Explanation, HypothesisOptions, area_loss, explain, far_apart, track_area
from toolkit.sfm.track_motion import LEAST_WEIGHT, MotionOptions, motion_of, told_apart
from toolkit.sfm.track_observed import Observed, bounded, scaled, with_all_points
from toolkit.sfm.track_prior import Belief, PriorOptions, believed, settled
from toolkit.sfm.track_rivals import RivalOptions, without_parts
from toolkit.wording import counted


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is taken apart.

    Attributes:
        hypotheses: How a window is explained.
        prior: How a network's belief is used.
        motion: What is taken for motion.
        tracks: Tracks that a window is explained with, at most.
        window: Frames that are explained together; longer clips are taken apart.
        overlap: Frames that two windows share.
        joint_frames: Up to so many frames are adjusted together once windows are joined, ...
        joint_tracks: ... on so many tracks of each window.
        rivals: Which parts of the tracks are left out to see whether the rest then fits better.
        agreed: Where another start leads to the same loss as the belief, but for so much, no further one is tried.
    """

    hypotheses: HypothesisOptions = field(default_factory=HypothesisOptions)
    prior: PriorOptions = field(default_factory=PriorOptions)
    motion: MotionOptions = field(default_factory=MotionOptions)
    rivals: RivalOptions = field(default_factory=RivalOptions)
    tracks: int = 300
    window: int = 60
    overlap: int = 20
    joint_frames: int = 320
    joint_tracks: int = 160
    agreed: float = 0.01


@dataclass(frozen=True, eq=False)
class Solved:
    """A clip explained.

    Attributes:
        state: Cameras of all frames and a still point for every track.
        scale: (N,) robust scale of each track: how far it strays from its still point.
        adjusted: (N,) tracks that the cameras were found with.
        windows: First and last frame of each window, the explanation that won, and how the next ones did.
        joints: Of neighbouring windows, how much their scales disagree, as a standard deviation of its logarithm.
        believed: (T, N) depth that the network believed moving points at, in the unit of the state; NaN where nothing is known.
        stray: (N,) how far the network believed each track to stray from a still point, as `scale` where tracks stand still; NaN where
            it was not asked.
        spread: How far the network's depth of still points is off, as a logarithm; NaN without a network.
        leaning: (N,) how much a track's part speaks for its motion, as a logarithm of straying; None for not at all.
    """

    state: State
    scale: F64
    adjusted: B
    windows: tuple[dict, ...]
    joints: tuple[float, ...]
    believed: F64 | None = None
    stray: F64 | None = None
    spread: float = float("nan")
    leaning: F64 | None = None


LEAST_TRACKS = 8
"""Of a window; a camera has six numbers, of which the first frame's are free."""
SLOPE_SIGMA = 0.1
"""How sure it is that a network's depths differ from the right ones by one factor: logarithm by logarithm."""
Network = Callable[[NDArray, slice], Belief | None]
"""What a network believes of some tracks (rows) in some frames."""


@dataclass(frozen=True, eq=False)
class _Window:
    frames: slice
    rows: I64
    state: State
    scale: F64
    told: dict
    belief: Belief | None
    chance: F64
    leaning: F64
    spread: float = float("nan")


def solve_clip(seen: Observed, options: ClipOptions, *, network: Network | None = None, seed: int = 0, report: Report = silent) -> Solved:
    """Cameras, still points and how far each track strays from one.

    Args:
        seen: All tracks.
        options: How.
        network: Asked for a further explanation of each window.
        seed: Of the random starts.
        report: Called per step.
    """
    count, points = seen.weight.shape
    spans = windows_of(count, options.window, options.overlap)
    steps = 5 * len(spans) + 2
    found: list[_Window] = []
    for n, frames in enumerate(spans):
        found.append(_solved(seen, frames, options, network, seed + 101 * n, lambda done, total, n=n: report(5 * n + done, steps)))
    state, joints = _joined(seen, found)
    report(steps - 2, steps)
    rows = np.unique(np.concatenate([w.rows for w in found]))
    if len(found) > 1:
        state, rows = _adjusted(seen, state, found, options)
    report(steps - 1, steps)
    least = options.hypotheses.growth.least_px
    known = np.zeros(points, bool)
    known[rows] = True
    if len(rows) < points:
        state = bounded(seen, with_all_points(seen, state, rows))
    scale, _ = seen.scales(state, least)
    report(steps, steps)
    solved = Solved(state, scale, known, tuple(w.told for w in found), joints, leaning=_leanings(found, points))
    if all(w.belief is None for w in found):
        return solved
    spread = float(np.nanmedian([w.spread for w in found]))
    return replace(solved, believed=_beliefs(found, state, count, points), stray=_strays(found, points), spread=spread)


def windows_of(frames: int, window: int, overlap: int) -> list[slice]:
    """Windows that cover all frames and share `overlap` with their neighbours, all of about one length.

    >>> windows_of(100, 60, 20)
    [slice(0, 60, None), slice(40, 100, None)]
    """
    if frames <= window:
        return [slice(0, frames)]
    count = -(-(frames - overlap) // (window - overlap))
    firsts = np.linspace(0, frames - window, count).round().astype(int)
    return [slice(int(a), int(a) + window) for a in firsts]


def _solved(seen: Observed, frames: slice, options: ClipOptions, network: Network | None, seed: int, report: Report) -> _Window:
    part = replace(seen, uv=seen.uv[frames], weight=seen.weight[frames])
    rows = np.sort(far_apart(part, _lasting(part), options.tracks))
    few = part.of(rows)
    belief = network(rows, frames) if network is not None else None
    own = believed(few, belief, options.hypotheses, options.prior) if belief is not None else None
    found = explain(few, options.hypotheses, seed=seed, report=report, agreed=own and (own.loss, options.agreed))
    found = found if own is None else [*found, own]
    losses = {e.name: round(e.loss, 4) for e in found}
    area, company = track_area(few), company_of(few.uv, few.weight > 0, options.motion.company)
    stray = None if belief is None else belief.stray
    best = min(found, key=lambda e: e.loss)
    if stray is not None:
        # A network that is right about what moves tells which tracks an explanation has to fit.
        heard = motion_of(few, best.state, company, area, options.motion, believed=stray).heard
        worth = area * (1 - heard + heard / (1 + (stray / options.prior.moving_stray) ** 2))
        best = min(found, key=lambda e: area_loss(few, e.state, e.scale, worth))
    state, motion = told_apart(few, best.state, company, area, options.motion, believed=stray)
    apart = without_parts(few, state, motion, company, area, options.rivals, options.motion, believed=stray)
    state, motion = apart.state, apart.motion
    spread = float("nan")
    if belief is not None:
        still = few.weighted(1 - motion.chance + LEAST_WEIGHT)
        best, spread = settled(still, _of(few, state, best, options), belief, options.hypotheses, options.prior)
        state = best.state
    state = scaled(bounded(few, state), len(few.uv) // 2)
    scale, _ = few.scales(state, options.hypotheses.growth.least_px)
    told = {
        "frames": [frames.start, frames.stop - 1],
        "explanation": best.name,
        "losses": losses,
        "told_by_their_part": int((apart.leaning > 0).sum()),
        "rival_gap": round(apart.rival_gap, 4) if np.isfinite(apart.rival_gap) else None,
    }
    return _Window(frames, rows, state, scale, told, belief, motion.chance, apart.leaning, spread)


def _lasting(part: Observed) -> I64:
    """Rows of tracks that are seen in four frames of a window, or in fewer where there are no such tracks."""
    length = (part.weight > 0).sum(0)
    for least in range(min(4, max(2, len(part.uv) // 2)), 1, -1):
        rows = np.flatnonzero(length >= least)
        if len(rows) >= LEAST_TRACKS:
            return rows
    raise UserError(
        f"Only {counted(int((length > 1).sum()), 'track')} can be followed through a part of the clip, but at least {LEAST_TRACKS} are "
        f"needed in each {counted(len(part.uv), 'frame')} that are explained together; track more points, or leave that part out."
    )


def _of(seen: Observed, state: State, before: Explanation, options: ClipOptions) -> Explanation:
    scale, _ = seen.scales(state, options.hypotheses.growth.least_px)
    return Explanation(state, scale, before.loss, before.name)


def _joined(seen: Observed, found: list[_Window]) -> tuple[State, tuple[float, ...]]:
    """All windows in the unit and world of the first, and how well their scales agree; points of the window that fits each best."""
    first = found[0]
    count = len(seen.uv)
    R, c = np.repeat(np.eye(3)[None], count, 0), np.zeros((count, 3))
    R[first.frames], c[first.frames] = first.state.R, first.state.c
    points = dict(zip(first.rows.tolist(), first.state.X, strict=True))
    stray = dict(zip(first.rows.tolist(), first.scale, strict=True))
    joints, before = [], first
    log_focal = [first.state.log_focal]
    for window in found[1:]:
        state, spread = _fitted(seen, before, window)
        middle = (window.frames.start + before.frames.stop) // 2
        own = slice(middle - window.frames.start, None)
        R[middle : window.frames.stop], c[middle : window.frames.stop] = state.R[own], state.c[own]
        for p, x, s in zip(window.rows.tolist(), state.X, window.scale, strict=True):
            if s < stray.get(p, np.inf):
                points[p], stray[p] = x, s
        joints.append(spread)
        log_focal.append(state.log_focal)
        before = replace(window, state=state)
    rows = np.array(sorted(points))
    X = np.stack([points[p] for p in rows])
    return State(R, c, X, float(np.median(log_focal))), tuple(joints)


def _fitted(seen: Observed, before: _Window, window: _Window) -> tuple[State, float]:
    """A window in the unit and world of the one before, by the frames and the still points that both know."""
    a, b = slice(window.frames.start - before.frames.start, None), slice(0, before.frames.stop - window.frames.start)
    _, mine, theirs = np.intersect1d(before.rows, window.rows, return_indices=True)
    good = (before.scale[mine] < 3 * seen.px) & (window.scale[theirs] < 3 * seen.px)
    mine, theirs = mine[good], theirs[good]
    known = seen.weight[window.frames.start : before.frames.stop][:, before.rows[mine]] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(before.state.depth[a][:, mine] / window.state.depth[b][:, theirs])
    ratio = ratio[known & np.isfinite(ratio)]
    if len(ratio) < 8:  # by the ways of the cameras, for want of points
        ways = [np.linalg.norm(c - c.mean(0), axis=1).mean() for c in (before.state.c[a], window.state.c[b])]
        log_scale, spread = float(np.log(max(ways[0], 1e-9) / max(ways[1], 1e-9))), float("inf")
    else:
        log_scale = float(np.median(ratio))
        spread = float(1.4826 * np.median(abs(ratio - log_scale)) / np.sqrt(max(len(mine), 1)))
    s = np.exp(log_scale)
    Q = (Rotation.from_matrix(before.state.R[a]) * Rotation.from_matrix(window.state.R[b]).inv()).mean().as_matrix()
    shift = np.median(before.state.c[a] - s * window.state.c[b] @ Q.T, axis=0)
    state = window.state
    return replace(state, R=Q @ state.R, c=s * state.c @ Q.T + shift, X=s * state.X @ Q.T + shift), spread


def _adjusted(seen: Observed, state: State, found: list[_Window], options: ClipOptions) -> tuple[State, I64]:
    """All frames on some tracks of every window: together, or of very long clips frame by frame."""
    rows = np.unique(np.concatenate([w.rows for w in found]))
    order = np.sort(np.unique(np.concatenate([w.rows[np.argsort(w.scale, kind="stable")[: options.joint_tracks]] for w in found])))
    few = seen.of(order)
    moves = np.zeros(seen.weight.shape[1])
    for window in found:
        moves[window.rows] = np.maximum(moves[window.rows], window.chance)
    still = few.weighted(1 - moves[order] + LEAST_WEIGHT)
    state = bounded(few, replace(state, X=state.X[np.searchsorted(rows, order)]))
    least = options.hypotheses.growth.least_px
    if len(seen.uv) <= options.joint_frames:
        for steps in (8, 8, 8):
            scale, _ = few.scales(state, least)
            state = bounded(few, still.adjusted(state, scale, steps=steps, tolerance=1e-5))
    else:
        for _ in range(3):
            scale, _ = few.scales(state, least)
            R, c, cost = state.R.copy(), state.c.copy(), np.empty(len(state.R))
            resect(R, c, state.X, state.factor, few.uv, still.weight, scale, 10, cost)
            state = with_all_points(few, replace(state, R=R, c=c), np.arange(len(order)))
    return scaled(state, len(seen.uv) // 2), order


def _beliefs(found: list[_Window], state: State, count: int, points: int) -> F64:
    """(T, N) depth that a network believes, brought to the unit of the state by tracks that stand still."""
    out = np.full((count, points), np.nan)
    for window in found:
        if window.belief is None:
            continue
        depth = np.einsum("tj,tpj->tp", state.R[window.frames, :, 2], state.X[window.rows][None] - state.c[window.frames, None])
        still = np.broadcast_to(window.scale < window.scale.min() * 3, depth.shape)
        fitted = log_linear(window.belief.depth, depth, still, slope_sigma=SLOPE_SIGMA)
        empty = np.isnan(out[window.frames][:, window.rows])
        part = out[window.frames][:, window.rows]
        part[empty] = fitted[empty]
        out[np.arange(count)[window.frames][:, None], window.rows[None]] = part
    return out


def _leanings(found: list[_Window], points: int) -> F64:
    """(N,) how much the part that each track belongs to in any window speaks for its motion."""
    out = np.zeros(points)
    for window in found:
        out[window.rows] = np.maximum(out[window.rows], window.leaning)
    return out


def _strays(found: list[_Window], points: int) -> F64:
    """(N,) how far a network believes tracks to stray: on the scale of the adjustment, by the tracks that stand still there."""
    total, windows = np.zeros(points), np.zeros(points)
    for window in found:
        if window.belief is None:
            continue
        still = window.scale < window.scale.min() * 3
        level = np.log(np.maximum(window.belief.stray, 1e-9))
        total[window.rows] += level + np.median(np.log(window.scale[still]) - level[still])
        windows[window.rows] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.exp(total / windows)
