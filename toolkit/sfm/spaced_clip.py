"""Clips of a video, whose neighbouring frames hardly differ: cameras from frames some way apart, then every frame between them.

Nine frames of a video are a third of a second. In so short a time a camera that walks ahead moves by a hundredth of the distance to the
scene, and a flat scene before a camera that goes the other way explains its tracks nearly as well. Frames farther apart tell the two
apart, and are fewer. The points then tell the camera of every frame between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from toolkit.progress import Report, silent
from toolkit.scene import F64
from toolkit.sfm.bundle import State
from toolkit.sfm.bundle_single import intersect, resect
from toolkit.sfm.track_clip import ClipOptions, Network, Solved, solve_clip
from toolkit.sfm.track_hypotheses import area_loss, track_area
from toolkit.sfm.track_observed import Observed, with_all_points

COMPARED = 4  # frames between two that flow is measured over
JUDGES = 800  # tracks that explanations are compared by
LEAST_LASTING = 15  # tracks that are seen in three frames so far apart; fewer tell no camera


@dataclass(frozen=True)
class SpacingOptions:
    """Which frames are used first.

    Attributes:
        flow: Median way of a track from one of these frames to the next, at most, in focal lengths: some 8 px of a picture 512 px wide.
            Much more, and a flat scene is no start any more.
        least: Of these frames there are about so many, at least.
        further: Spacings that are tried, in the one that follows from these two.
        resected: Tracks that the frames between are placed by, at most.
        nearer: Depths at which still points that are not explained are looked for again, in median ones: from the ground at one's feet to
            the horizon.
        gain: And moved where that explains an observation so much better, as a mean logarithm.
        again_px: Points are looked for again where a track strays by more than this.
    """

    flow: float = 0.018
    least: int = 20
    further: tuple[float, ...] = (1.0, 1.4, 2.0)
    resected: int = 3000
    nearer: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 4.0, 12.0)
    again_px: float = 1.0
    gain: float = 0.02


def solve_spaced(
    seen: Observed, options: ClipOptions, spacing: SpacingOptions, *, network: Network | None = None, seed: int = 0, report: Report = silent
) -> Solved:
    """As `solve_clip`, for clips of any frame rate.

    Args:
        seen: All tracks.
        options: How frames some way apart are explained.
        spacing: How far apart.
        network: Asked for a further explanation of each window.
        seed: Of the random starts.
        report: Called per step.
    """
    strides = strides_of(seen, spacing)
    if strides == [1]:
        return solve_clip(seen, options, network=network, seed=seed, report=report)
    solved = _best_apart(seen, strides, options, spacing, network, seed, report)
    state = looked_for_again(seen, solved.state, solved.scale, spacing)
    scale, _ = seen.scales(state, options.hypotheses.growth.least_px)
    return replace(solved, state=state, scale=scale)


def _best_apart(
    seen: Observed, strides: list[int], options: ClipOptions, spacing: SpacingOptions, network: Network | None, seed: int, report: Report
) -> Solved:
    """Of the explanations of frames so far apart the one that fits all frames best."""
    least = options.hypotheses.growth.least_px
    judges = np.flatnonzero((seen.weight > 0).sum(0) >= 3 * strides[-1])
    judges = judges[np.linspace(0, len(judges) - 1, min(len(judges), JUDGES)).astype(int)]
    few = seen.of(judges)
    area, best, losses = track_area(few), None, {}
    for n, stride in enumerate(strides):
        part = lambda done, total, n=n: report(n * total + done, len(strides) * total)  # noqa: E731
        solved = _solved_apart(seen, stride, options, spacing, network, seed + n, part)
        state = looked_for_again(few, replace(solved.state, X=solved.state.X[judges]), np.full(len(judges), np.inf), spacing)
        scale, _ = few.scales(state, least)
        losses[stride] = area_loss(few, state, scale, area)
        if best is None or losses[stride] < losses[best[0]]:
            best = stride, solved
    assert best is not None
    told = {"stride": best[0], "losses_of_strides": {str(s): round(loss, 4) for s, loss in losses.items()}}
    return replace(best[1], windows=tuple({**w, **told} for w in best[1].windows))


def strides_of(seen: Observed, spacing: SpacingOptions) -> list[int]:
    """Frames from one that is used first to the next; several, as explanations get trapped now here, now there."""
    count = len(seen.uv)
    ways = []
    for a in range(0, count - COMPARED, max(1, count // 40)):
        both = (seen.weight[a] > 0) & (seen.weight[a + COMPARED] > 0)
        if both.any():
            ways.append(np.median(np.linalg.norm(seen.uv[a + COMPARED, both] - seen.uv[a, both], axis=1)) / COMPARED)
    if not ways:
        return [1]
    # Of a clip that is slow and then fast, the fast part decides.
    way = max(float(np.quantile(ways, 0.9)), 1e-9)
    usual = max(1.0, min(spacing.flow / way, count / spacing.least))
    if int(usual) == 1:
        return [1]
    length = (seen.weight > 0).sum(0)
    apart = sorted(s for s in {int(usual * more) for more in spacing.further} if (length >= 3 * s).sum() >= LEAST_LASTING)
    return apart or [1]


def _solved_apart(
    seen: Observed, stride: int, options: ClipOptions, spacing: SpacingOptions, network: Network | None, seed: int, report: Report
) -> Solved:
    """All frames and tracks, from an explanation of frames so far apart."""
    count, points = seen.weight.shape
    first = (count - 1) % stride // 2
    keys = np.arange(first, count, stride)
    known = np.flatnonzero((seen.weight[keys] > 0).sum(0) >= 3)
    part = seen.of(known)
    part = replace(part, uv=np.ascontiguousarray(part.uv[keys]), weight=np.ascontiguousarray(part.weight[keys]))
    asked = None if network is None else _at(network, known, first, stride)
    solved = solve_clip(part, options, network=asked, seed=seed, report=report)
    state = between(seen, solved.state, keys, known, solved.scale, spacing.resected)
    scale, _ = seen.scales(state, options.hypotheses.growth.least_px)
    adjusted = np.zeros(points, bool)
    adjusted[known] = solved.adjusted
    believed = None
    if solved.believed is not None:
        believed = np.full((count, points), np.nan)
        believed[keys[:, None], known] = solved.believed
    stray = None
    if solved.stray is not None:
        stray = np.full(points, np.nan)
        stray[known] = solved.stray
    leaning = np.zeros(points)
    if solved.leaning is not None:
        leaning[known] = solved.leaning
    windows = tuple({**told, "frames": [int(keys[n]) for n in told["frames"]]} for told in solved.windows)
    return Solved(state, scale, adjusted, windows, solved.joints, believed, stray, solved.spread, leaning)


def _at(network: Network, known: NDArray, first: int, stride: int) -> Network:
    """The network asked about the frames apart."""
    return lambda rows, frames: network(known[rows], slice(first + frames.start * stride, first + (frames.stop - 1) * stride + 1, stride))


def between(seen: Observed, state: State, keys: NDArray, known: NDArray, scale: F64, most: int) -> State:
    """Cameras of all frames and points of all tracks from those of some.

    Args:
        seen: All tracks.
        state: Cameras of the `keys`, points of the `known` tracks.
        keys: Frames, rising.
        known: Rows of tracks.
        scale: Robust scale of each of them.
        most: Tracks that are used, at most.
    """
    frames = np.arange(len(seen.uv))
    inside = np.clip(frames, keys[0], keys[-1])
    R = Slerp(keys, Rotation.from_matrix(state.R))(inside).as_matrix()
    c = np.stack([np.interp(inside, keys, state.c[:, axis]) for axis in range(3)], axis=1)
    used = np.sort(np.argsort(scale, kind="stable")[: max(len(scale) // 2, min(most, len(scale)))])
    used = used[np.linspace(0, len(used) - 1, min(most, len(used))).astype(int)]
    few = seen.of(known[used])
    cost = np.empty(len(frames))
    resect(R, c, np.ascontiguousarray(state.X[used]), state.factor, few.uv, few.weight, scale[used], 12, cost)
    state = replace(state, R=np.ascontiguousarray(R), c=np.ascontiguousarray(c))
    return with_all_points(seen, state, known) if len(known) < seen.uv.shape[1] else state


def looked_for_again(seen: Observed, state: State, scale: F64, spacing: SpacingOptions) -> State:
    """Still points that are not explained, from near to far, cameras held.

    While cameras are sought, points that seem far nearer or farther than most are not believed. Once they are known, the ground before
    one's feet and the horizon have their place.

    Args:
        seen: All tracks.
        state: Cameras and points.
        scale: (N,) robust scale of each track.
        spacing: Where to look.
    """
    length = (seen.weight > 0).sum(0)
    rows = np.flatnonzero((scale > spacing.again_px * seen.px) & (length >= 2))
    if not len(rows):
        return state
    part, px = seen.of(rows), seen.px
    usual = float(np.median(state.depth[seen.weight > 0]))
    visible = part.weight > 0
    # The middle one of the frames that see each.
    middle = np.argmax(np.cumsum(visible, axis=0) > visible.sum(0) // 2, axis=0)
    rays = np.concatenate([part.uv[middle, np.arange(len(rows))] / state.factor, np.ones((len(rows), 1))], axis=1)
    rays = np.einsum("pij,pj->pi", state.R[middle], rays)

    def placed(X: F64, widths: tuple[tuple[float, int], ...]) -> F64:
        cost = np.empty(len(rows))
        for width, steps in widths:
            intersect(state.R, state.c, X, state.factor, part.uv, part.weight, np.full(len(rows), width * px), steps, cost)
        return cost

    best = np.ascontiguousarray(state.X[rows])
    least = placed(best, ((4.0, 0),))
    for share in spacing.nearer:
        trial = state.c[middle] + share * usual * rays
        cost = placed(trial, ((15.0, 6), (4.0, 8)))
        better = cost < least - spacing.gain * np.maximum(part.weight.sum(0), 1e-9)
        best[better], least[better] = trial[better], cost[better]
    X = state.X.copy()
    X[rows] = best
    return replace(state, X=X)
