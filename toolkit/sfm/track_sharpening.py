"""The last adjustment of a clip: what stands still as near or far as its tracks say, at the error that a good tracker has.

While cameras are sought, points that run away are pulled back and errors of a pixel count as nothing, or a start that is far off would
lead nowhere. Once they are known, both of these flatten the scene: far walls come to stand before where they are, and the focal length,
which trades places with depth, grows. So everything is adjusted once more without them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from toolkit.compiling import compiled
from toolkit.scene import F64
from toolkit.sfm.bundle import State
from toolkit.sfm.bundle_single import intersect
from toolkit.sfm.track_clip import Solved
from toolkit.sfm.track_hypotheses import far_apart
from toolkit.sfm.track_observed import Observed

BEHIND = 20.0  # cost of a sample that would see a point behind it: that of a miss by many pixels


@dataclass(frozen=True)
class SharpeningOptions:
    """How the last adjustment is made.

    Attributes:
        tracks: That it is made with, far from each other; the others judge it.
        least: Fewer tracks that stand still, or that judge, tell no better.
        samples: A track that takes part is seen in so many frames.
        frames: Longer clips are left as they are: time goes with the third power of their frames.
        least_px: A track's robust scale is at least so large: what a good tracker is off by on what stands still.
        rounds: Of it, each with new robust scales, ...
        steps: ... of so many steps, ...
        enough: ... until the focal length changes by less, as a logarithm.
        nearest: Points are looked for from this share of the usual depth ...
        farthest: ... to this many times that depth, beyond which nothing moves in the picture, ...
        depths: ... at so many depths, evenly in their logarithm.
        gain: A point is moved where that explains a sample so much better, as a mean logarithm.
    """

    tracks: int = 400
    least: int = 40
    samples: int = 6
    frames: int = 160
    least_px: float = 0.25
    rounds: int = 12
    steps: int = 10
    enough: float = 1e-3
    nearest: float = 0.03
    farthest: float = 300.0
    depths: int = 80
    gain: float = 0.02


def sharpened(seen: Observed, solved: Solved, chance: F64, least_px: float, options: SharpeningOptions) -> Solved:
    """A clip that is explained, explained better: cameras, focal length and still points.

    Args:
        seen: All tracks.
        solved: Their explanation.
        chance: (N,) that each moves.
        least_px: For the robust scales of the result, as they were found before.
        options: How.

    Returns:
        The better explanation; the given one where there are too few tracks, or where those that took no part are explained no better.
    """
    length = (seen.weight > 0).sum(0)
    still = np.flatnonzero((length >= min(options.samples, len(seen.uv))) & (chance < 0.5))  # noqa: PLR2004  (more likely than not)
    if len(still) < 2 * options.least or len(seen.uv) > options.frames:
        return solved
    rows = np.sort(far_apart(seen, still, min(options.tracks, len(still) - options.least)))
    judges = np.setdiff1d(still, rows)
    judges = judges[np.linspace(0, len(judges) - 1, min(len(judges), options.tracks)).astype(int)]
    few, beside = seen.of(rows).weighted(1 - chance[rows]), seen.of(judges)
    state = placed_again(few, replace(solved.state, X=np.ascontiguousarray(solved.state.X[rows])), 1.0, options)
    for _ in range(options.rounds):
        before, (scale, _) = state.log_focal, few.scales(state, options.least_px)
        state = few.adjusted(state, scale, steps=options.steps, tolerance=1e-6)
        if abs(state.log_focal - before) < options.enough:
            break
    # What else is known of the clip is in the unit that it had.
    unit = float(np.median(solved.state.depth[:, rows][few.weight > 0]) / np.median(state.depth[few.weight > 0]))
    state = replace(state, c=unit * state.c, X=solved.state.X)
    worth = [_strays(beside, replace(s, X=s.X[judges]), options) for s in (solved.state, state)]
    if not worth[1] < worth[0]:
        return solved
    state = placed_again(seen, state, 0.5, options)
    return replace(solved, state=state, scale=seen.scales(state, least_px)[0])


def placed_again(seen: Observed, state: State, width_px: float, options: SharpeningOptions) -> State:
    """Still points looked for on their rays from near to far, cameras held; one that is better off where it was only settles there.

    Args:
        seen: Tracks.
        state: Their cameras and points.
        width_px: Robust scale.
        options: Where to look.
    """
    visible = seen.weight > 0
    if not visible.any():
        return state
    usual = float(np.median(state.depth[visible]))
    # The middle one of the frames that see each.
    middle = np.argmax(np.cumsum(visible, axis=0) > visible.sum(0) // 2, axis=0)
    rays = np.concatenate([seen.uv[middle, np.arange(len(middle))] / state.factor, np.ones((len(middle), 1))], axis=1)
    rays = np.einsum("pij,pj->pi", state.R[middle], rays)
    depths = usual * np.geomspace(options.nearest, options.farthest, options.depths)
    scale, found = np.full(len(middle), width_px * seen.px), np.empty(len(middle))
    _nearest_fit(state.R, state.c, state.factor, seen.uv, seen.weight, scale, middle, rays, depths, found)
    X, own = np.ascontiguousarray(state.c[middle] + found[:, None] * rays), np.ascontiguousarray(state.X.copy())
    cost, least = np.empty(len(X)), np.empty(len(X))
    intersect(state.R, state.c, X, state.factor, seen.uv, seen.weight, scale, 12, cost)
    intersect(state.R, state.c, own, state.factor, seen.uv, seen.weight, scale, 12, least)
    better = cost < least - options.gain * np.maximum(seen.weight.sum(0), 1e-9)
    return replace(state, X=np.where(better[:, None], X, own))


def _strays(seen: Observed, state: State, options: SharpeningOptions) -> float:
    """How badly cameras explain tracks, each at the point that suits it best: mean logarithm over samples."""
    state = placed_again(seen, state, options.least_px, options)
    r2, known = state.errors(seen.uv), seen.weight > 0
    return float(np.log1p(r2[known] / (options.least_px * seen.px) ** 2).mean())


@compiled()
def _nearest_fit(R, c, factor, uv, weight, scale, middle, rays, depths, found):  # pragma: no cover - compiled
    """Fills `found` (P,) with the depth, of some, at which a point on the ray of its middle frame fits all its samples best."""
    for p in range(len(found)):
        m, s2, least = middle[p], scale[p] * scale[p], 1e300
        for k in range(len(depths)):
            X0 = c[m, 0] + depths[k] * rays[p, 0]
            X1 = c[m, 1] + depths[k] * rays[p, 1]
            X2 = c[m, 2] + depths[k] * rays[p, 2]
            cost = 0.0
            for n in range(len(R)):
                if weight[n, p] <= 0:
                    continue
                d0, d1, d2 = X0 - c[n, 0], X1 - c[n, 1], X2 - c[n, 2]
                z = R[n, 0, 2] * d0 + R[n, 1, 2] * d1 + R[n, 2, 2] * d2
                if z <= 1e-9:
                    cost += weight[n, p] * BEHIND
                    continue
                a = factor * (R[n, 0, 0] * d0 + R[n, 1, 0] * d1 + R[n, 2, 0] * d2) / z - uv[n, p, 0]
                b = factor * (R[n, 0, 1] * d0 + R[n, 1, 1] * d1 + R[n, 2, 1] * d2) / z - uv[n, p, 1]
                cost += weight[n, p] * np.log1p((a * a + b * b) / s2)
                if cost >= least:
                    break
            if cost < least:
                least, found[p] = cost, depths[k]
