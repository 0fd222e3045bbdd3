"""One more explanation of tracks: what a network believes of cameras and points, adjusted to the tracks without forgetting the belief."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from toolkit.scene import F64
from toolkit.sfm.bundle import Beliefs, State
from toolkit.sfm.track_hypotheses import Explanation, HypothesisOptions, area_loss, polished, track_area
from toolkit.sfm.track_observed import Observed, bounded, reseated, scaled


@dataclass(frozen=True)
class PriorOptions:
    """How a belief is used.

    Attributes:
        depth_sigma: How sure the believed points are, as a share of their depth.
        relaxed: The belief's weight at the end: tracks then decide where they can.
        start_px: A track's robust scale at first is at least so large, ...
        rounds: ... and is found anew so many times.
        most_stray: A belief about how far a track strays counts up to here, in focal lengths.
    """

    depth_sigma: float = 0.3
    relaxed: float = 0.1
    start_px: float = 4.0
    rounds: int = 6
    most_stray: float = 0.1


@dataclass(frozen=True, eq=False)
class Belief:
    """What a network says of some tracks.

    Attributes:
        R: (T, 3, 3) camera-to-world rotations.
        c: (T, 3) camera centres.
        X: (N, 3) points, if they stand still.
        stray: (N,) how far each strays from a still point, in focal lengths.
        depth: (T, N) depth of each if it moves, in the same unit.
    """

    R: F64
    c: F64
    X: F64
    stray: F64
    depth: F64


def believed(seen: Observed, belief: Belief, hypotheses: HypothesisOptions, options: PriorOptions) -> Explanation:
    """The belief adjusted to the tracks, comparable with what `explain` gives.

    Args:
        seen: All tracks.
        belief: Of the same tracks.
        hypotheses: How explanations are compared.
        options: How the belief is used.
    """
    least = hypotheses.growth.least_px
    state = scaled(State(belief.R, belief.c, belief.X), len(belief.R) // 2)
    depth = np.maximum(np.median(state.depth, axis=0), 0.05)
    weight = 0.5 / (options.depth_sigma * depth) ** 2
    held = replace(seen, beliefs=replace(seen.beliefs, X=state.X.copy(), weight=weight))
    stray = np.minimum(belief.stray, options.most_stray)
    scale = np.maximum(stray, options.start_px * seen.px)
    for n in range(options.rounds):
        state = held.adjusted(bounded(seen, state), scale, steps=10)
        if n == 1:
            state = reseated(seen, state, scale)
        scale = np.maximum(seen.scales(state, least)[0], 0.5**n * stray)
    beliefs = Beliefs(held.beliefs.X, options.relaxed * weight, seen.beliefs.focal_sigma)
    state = replace(held, beliefs=beliefs).adjusted(state, scale, steps=15, tolerance=1e-7)
    area = track_area(seen)
    scale, _ = seen.scales(state, least)
    rough = Explanation(state, scale, area_loss(seen, state, scale, area), "network")
    fine = polished(seen, rough, area, hypotheses)
    return fine if fine.loss <= rough.loss else replace(rough, state=scaled(state, len(belief.R) // 2))
