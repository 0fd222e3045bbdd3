"""What a network believes of cameras and points: one more explanation of tracks, and depth where tracks tell little."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from toolkit.scene import F64, B
from toolkit.sfm.bundle import Beliefs, State
from toolkit.sfm.track_hypotheses import Explanation, HypothesisOptions, area_loss, polished, track_area
from toolkit.sfm.track_observed import Observed, bounded, reseated, scaled
from toolkit.sfm.track_parallax import point_sigmas


@dataclass(frozen=True)
class PriorOptions:
    """How a belief is used.

    Attributes:
        depth_sigma: How sure the believed points are, as a share of their depth.
        relaxed: The belief's weight at the end: tracks then decide where they can.
        start_px: A track's robust scale at first is at least so large, ...
        rounds: ... and is found anew so many times.
        most_stray: A belief about how far a track strays counts up to here, in focal lengths.
        least_sigma: How sure the believed depth of still points is, as a share, once cameras are found; a belief that is off by more
            is not heard ...
        sure: ... where that is measured on points that the cameras tell so well, as a share of their depth, ...
        least_sure: ... if there are so many.
        moving_stray: Where a track strays so far, in focal lengths, its still point is believed half as much.
        lasting: So many samples of a track say as much as one that is free of the errors of the others.
    """

    depth_sigma: float = 0.3
    relaxed: float = 0.1
    start_px: float = 4.0
    rounds: int = 6
    most_stray: float = 0.1
    least_sigma: float = 0.2
    sure: float = 0.1
    least_sure: int = 10
    moving_stray: float = 0.03
    lasting: float = 3.0


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


def settled(
    seen: Observed, found: Explanation, belief: Belief, hypotheses: HypothesisOptions, options: PriorOptions
) -> tuple[Explanation, float]:
    """An explanation adjusted once more, each still point held at its believed depth, where the belief is about right elsewhere.

    Where parallax is large this changes nothing; points that the cameras hardly tell the depth of come to lie where the network believes
    them, rather than anywhere, and so does a scene that is all too flat or deep.

    Args:
        seen: All tracks.
        found: What explains them best.
        belief: Of the same tracks.
        hypotheses: How explanations are compared.
        options: How the belief is used.

    Returns:
        The explanation, and how sure the belief is: the spread of its depth about that of points which cameras tell well, as a logarithm.
    """
    least, middle = hypotheses.growth.least_px, len(found.state.R) // 2
    own = _brought(belief, found.state, found.scale < 3 * least * seen.px, middle)
    theirs = np.median(own.depth, axis=0)
    doubt = 1 + (np.minimum(belief.stray, options.most_stray) / options.moving_stray) ** 2
    weight = 0.5 * options.lasting / ((options.least_sigma * np.maximum(theirs, 0.05)) ** 2 * doubt)
    state, spread = found.state, 0.0
    for _ in range(2):
        # Judged only after an adjustment: an all too flat or deep scene would make the belief look wrong.
        held = replace(seen, beliefs=replace(seen.beliefs, X=own.X.copy(), weight=weight))
        state = held.adjusted(bounded(seen, state), found.scale, steps=12, tolerance=1e-6)
        spread = _spread(seen, state, found.scale, theirs, least, options)
        if spread > options.least_sigma:  # the network speaks of another world, such as one that it has not learned
            return found, spread
    state = scaled(bounded(seen, state), middle)
    scale, _ = seen.scales(state, least)
    return Explanation(state, scale, area_loss(seen, state, scale, track_area(seen)), found.name), spread


def _spread(seen: Observed, state: State, scale: F64, believed_depth: F64, least_px: float, options: PriorOptions) -> float:
    """Robust standard deviation of the logarithm of believed depths, over those of points whose depth the cameras tell well."""
    depth = np.median(state.depth, axis=0)
    told = (scale < 3 * least_px * seen.px) & (depth > 0) & (believed_depth > 0)
    sure = told & (point_sigmas(seen, state, scale) < options.sure * depth)
    told = sure if sure.sum() >= options.least_sure else told
    if told.sum() < options.least_sure:
        return 1.0
    ratio = np.log(believed_depth[told] / depth[told])
    return float(1.4826 * np.median(abs(ratio - np.median(ratio))))


def _brought(belief: Belief, state: State, still: B, middle: int) -> State:
    """The belief with its middle camera where that of a state is, and in its unit by the still points."""
    Q = state.R[middle] @ belief.R[middle].T
    mine, theirs = ((s.X - s.c[middle]) @ s.R[middle, :, 2] for s in (state, State(belief.R, belief.c, belief.X)))
    good = still & (mine > 0) & (theirs > 0)
    unit = float(np.median(mine[good] / theirs[good])) if good.any() else 1.0
    shift = state.c[middle] - unit * Q @ belief.c[middle]
    return State(Q @ belief.R, unit * belief.c @ Q.T + shift, unit * belief.X @ Q.T + shift, state.log_focal)
