"""Rival explanations of who stands still: what becomes of the cameras without one part of the tracks, and whether that explains more.

A large thing that moves a little drags the cameras along: they come to lie between it and the world, both stray a little, and nothing
tells itself. Finding cameras and motion in turns does not lead out of there, as each confirms the other. So parts of the tracks are left
out one after the other, those that a network says move first; where all the rest then fits much better, that part moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import ClusterNode, linkage, to_tree

from toolkit.scene import F64, I64
from toolkit.sfm.bundle import State
from toolkit.sfm.bundle_single import track_scales
from toolkit.sfm.track_company import Company
from toolkit.sfm.track_motion import LEAST_WEIGHT, Motion, MotionOptions, motion_of
from toolkit.sfm.track_observed import Observed, bounded


@dataclass(frozen=True)
class RivalOptions:
    """How rivals are made and compared.

    Attributes:
        parts: Tracks are taken apart into so many, by where they are in the picture and how they move there; every branch on the way is
            one, too.
        order: How a track moves is told by polynomials of this order in time, ...
        motion_weight: ... which count so much beside where it is.
        least, most: A part has so many tracks at least, and this share of all at most.
        still: Tracks that a network believes to stray by this many times what it believes of those that surely stand still are one more
            part.
        rounds: After one part another may be left out.
        tried: Of all rivals the best ones are worked out, so many, ...
        hopeless: ... and none that is worse by so much at first.
        steps: Of each adjustment.
        least_px: A track's robust scale in them is at least so large: less than `MotionOptions.least_px`, as cameras are near.
        gain: A rival is better by so much, as a mean logarithm of how far tracks stray.
        another: A rival takes something else for still where chances of motion differ by so much, as a mean over the picture.
        leaning: A track of a part that moves strays less far where it is as likely to move as not, by this factor's logarithm: that
            others of its part move speaks for it.
    """

    parts: int = 8
    order: int = 3
    motion_weight: float = 3.0
    least: int = 3
    most: float = 0.7
    still: float = 1.3
    rounds: int = 3
    tried: int = 2
    hopeless: float = 0.05
    steps: int = 8
    least_px: float = 0.5
    gain: float = 0.003
    another: float = 0.1
    leaning: float = 0.35


@dataclass(frozen=True, eq=False)
class Apart:
    """What stands still, and what moves.

    Attributes:
        state: Cameras and still points.
        motion: What moves.
        leaning: (N,) how much a track's part speaks for its motion, as a logarithm of straying.
        strays: Mean logarithm of how far tracks stray, in pixels; tracks that move count as straying by what is as likely motion as not.
        rival_gap: By how much more they do in the best rival that takes something else for still; infinite where there was none.
    """

    state: State
    motion: Motion
    leaning: F64
    strays: float
    rival_gap: float = float("inf")


class _Judge:
    """Compares explanations of the same tracks."""

    def __init__(self, seen: Observed, company: Company, area: F64, motion: MotionOptions, options: RivalOptions, believed: F64 | None):
        self.seen, self.company, self.area, self.motion, self.options, self.believed = seen, company, area, motion, options, believed

    def moves(self, state: State, leaning: F64) -> Motion:
        return motion_of(self.seen, state, self.company, self.area, self.motion, believed=self.believed, leaning=leaning)

    def fitted(self, state: State, weight: F64) -> State:
        scale, _ = self.seen.scales(state, self.options.least_px)
        still = self.seen.weighted(np.maximum(weight, LEAST_WEIGHT))
        return still.adjusted(bounded(self.seen, state), scale, steps=self.options.steps, tolerance=1e-6)

    def strays(self, state: State, limit_px: float) -> float:
        """Mean logarithm over observations, by area, of how far tracks stray; that of what moves is cut off, as it is no still point."""
        seen = self.seen
        r2, scale = state.errors(seen.uv), np.empty(seen.uv.shape[1])
        track_scales(r2, seen.weight, self.motion.noise_range_px[0] * seen.px, 8, scale)
        known = seen.weight > 0
        count = known.sum(0)
        loss = np.where(known, np.log(scale + r2 / scale), 0).sum(0) / np.maximum(count, 1) - np.log(2 * seen.px)
        return float(np.average(np.minimum(loss, np.log(limit_px)), weights=np.maximum(count * self.area, 1e-9)))

    def found(self, state: State, leaning: F64, limit_px: float, rounds: int) -> Apart:
        """Cameras and what moves found in turns."""
        motion = self.moves(state, leaning)
        for _ in range(rounds):
            state = self.fitted(state, 1 - motion.chance)
            motion = self.moves(state, leaning)
        return Apart(state, motion, leaning, self.strays(state, limit_px))


def without_parts(
    seen: Observed,
    state: State,
    motion: Motion,
    company: Company,
    area: F64,
    options: RivalOptions,
    motion_options: MotionOptions,
    *,
    believed: NDArray | None = None,
) -> Apart:
    """The explanation that leaves least unexplained, of one that was found and those without a part of its tracks.

    Args:
        seen: Tracks.
        state: What was found, with what moves told apart.
        motion: What moves in it.
        company: Which tracks go together.
        area: (N,) of the picture that each stands for.
        options: How rivals are made.
        motion_options: What is taken for motion.
        believed: (N,) how far a network believes each track to stray, in any unit; NaN where it was not asked.
    """
    judge = _Judge(seen, company, area, motion_options, options, believed)
    limit, none = motion.limit_px, np.zeros(len(area))
    found = Apart(state, motion, none, judge.strays(state, limit))
    # Rivals are adjusted further than what was found: only one that is better than that, adjusted alike, is better by what it leaves out.
    best = min(found, judge.found(state, none, limit, 2), key=lambda one: one.strays)
    as_found, rivals = best, [best]
    parts = parts_of(seen, options) + _told(believed, options)
    for _ in range(options.rounds):
        start, still = best, 1 - best.motion.chance
        pool = []
        for part in parts:
            if still[part].sum() < options.least:
                continue
            weight = still.copy()
            weight[part] = 0
            rival = judge.fitted(start.state, weight)
            pool.append((judge.strays(rival, limit), part, rival))
        pool.sort(key=lambda one: one[0])
        for strays, part, rival in pool[: options.tried]:
            if strays > start.strays + options.hopeless:
                break
            leaning = start.leaning.copy()
            leaning[part] = options.leaning
            one = judge.found(rival, leaning, limit, 3)
            rivals.append(one)
            if one.strays < best.strays - options.gain:
                best = one
        if best is start:
            break
    others = [r for r in rivals if np.average(abs(r.motion.chance - best.motion.chance), weights=area) > options.another]
    gap = min((r.strays - best.strays for r in others), default=float("inf"))
    return replace(found if best is as_found else best, rival_gap=gap)


def _told(believed: NDArray | None, options: RivalOptions) -> list[I64]:
    """The tracks that a network says move."""
    if believed is None or not np.isfinite(believed).any():
        return []
    known = believed[np.isfinite(believed)]
    still = float(np.median(known[known <= np.median(known)]))
    return [np.flatnonzero(np.isfinite(believed) & (believed > options.still * still))]


def parts_of(seen: Observed, options: RivalOptions) -> list[I64]:
    """Rows of the parts that tracks come apart into, coarse ones and their own parts."""
    rows = np.flatnonzero((seen.weight > 0).sum(0) > 1)
    if len(rows) < 2 * options.least:
        return []
    tree = to_tree(linkage(_ways(seen.of(rows), options), "ward"))
    assert isinstance(tree, ClusterNode)
    ends, nodes = [tree], []
    while len(ends) < options.parts:
        largest = max((end for end in ends if not end.is_leaf()), key=lambda end: end.dist, default=None)
        if largest is None:
            break
        ends.remove(largest)
        branches = [branch for branch in (largest.left, largest.right) if branch is not None]
        ends += branches
        nodes += branches
    parts = [np.sort(rows[np.array(node.pre_order())]) for node in nodes]
    return [part for part in parts if options.least <= len(part) <= options.most * len(rows)]


def _ways(seen: Observed, options: RivalOptions) -> F64:
    """(N, K) where each track is in the picture and how it moves there: polynomials in time, of the samples that are seen."""
    frames, points = seen.weight.shape
    known = (seen.weight > 0).astype(float)
    basis = np.polynomial.legendre.legvander(np.linspace(-1, 1, frames), min(options.order, max(frames - 2, 0)))
    normal = np.einsum("tn,ti,tj->nij", known, basis, basis)
    # Short tracks do not tell how they would move on.
    normal += np.diag([1e-6, *[0.05 * frames] * (basis.shape[1] - 1)])
    told = np.einsum("tn,ti,tnk->nik", known, basis, seen.uv)
    ways = np.linalg.solve(normal, told)
    ways[:, 1:] *= options.motion_weight
    return ways.reshape(points, -1)
