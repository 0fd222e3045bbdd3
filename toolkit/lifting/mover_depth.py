"""How far away a body that moves is: from how smoothly it moves where the camera trembles, what it stands before, and the floor.

A body's tracks tell its path up to one number, its distance: at a wrong one the camera's own motion shows in the path. With Z the depth
in units of that distance s, the body is at c + s Z d, d its ray and c the camera's centre; acceleration and velocity divided by s are
linear in Z and in 1/s, so the best Z and its loss follow in closed form for every s at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F64

GRID = np.linspace(np.log(0.08), np.log(6.0), 72)
"""Logarithms of distances that are tried, in median depths of the still points."""

SHARP = 0.2
"""Motion tells the distance where it alone leaves this much of doubt, as a logarithm."""


@dataclass(frozen=True)
class DepthBeliefs:
    """What is believed of things that move, before looking; set on generated scenes that nothing is judged on.

    Attributes:
        profile_sigma: Depth over time follows from size in the picture this well, as a logarithm.
        acceleration: Usual acceleration, in distances per unit of time squared.
        velocity: Usual speed, in distances per unit of time.
        unit_frames: The unit of time: the whole clip, at most so many frames.
        least_sigma: A distance is off by so much besides, as a logarithm: none of this is quite right of any thing.
        slack: Share of the loss that a perfectly smooth path keeps, per frame: models are never that right.
        in_front: Distance of a body as a share of what is seen around it, which it stands before ...
        in_front_sigma: ... and how sure that is, as a logarithm.
        grounded: Share of bodies whose lowest track is where they stand on the floor, where there is one; feet are often not tracked.
        contact: Logarithm of a standing body's distance over that of the floor at its lowest track ...
        contact_sigma: ... and how sure that is.
        evidence_sigma: How sure other evidence of depth is, as a logarithm, before its own spread.
    """

    profile_sigma: float = 0.015
    acceleration: float = 1.0
    velocity: float = 1.8
    unit_frames: int = 60
    least_sigma: float = 0.25
    slack: float = 0.05
    in_front: float = 0.5
    in_front_sigma: float = 0.36
    grounded: float = 0.3
    contact: float = -0.1
    contact_sigma: float = 0.1
    evidence_sigma: float = 0.2


@dataclass(frozen=True, eq=False)
class DepthFound:
    """A body's depth.

    Attributes:
        depth: (T,) in the unit of the camera's path.
        sigma: Standard deviation of its logarithm, the same for all frames.
    """

    depth: F64
    sigma: float


@dataclass(frozen=True, eq=False)
class Hints:
    """What speaks for a distance, in the unit of the camera's path; NaN for nothing.

    Attributes:
        behind: Depth of what is seen around the body.
        floor: Depth of the floor under its lowest track.
        evidence: Depth that something else tells: a network, a depth map.
        evidence_sigma: How sure that is, as a logarithm.
        unit: Median depth of the still points.
    """

    behind: float = float("nan")
    floor: float = float("nan")
    evidence: float = float("nan")
    evidence_sigma: float = float("nan")
    unit: float = 1.0


class _Motion:
    """Loss of a body's path as a function of q = 1 / s, and the depths that go with it."""

    def __init__(self, log_depth: F64, ray: F64, centres: F64, seen: NDArray, beliefs: DepthBeliefs) -> None:
        frames = len(log_depth)
        time = float(min(frames, beliefs.unit_frames))
        size = np.exp(log_depth)
        sigma = np.where(seen, beliefs.profile_sigma, 10 * beliefs.profile_sigma)
        H, g0 = np.diag(1 / (sigma * size) ** 2), 1 / (sigma**2 * size)
        g1, self.square = np.zeros(frames), 0.0
        eye = np.eye(frames)
        for order, weight in ((2, time**4 / beliefs.acceleration**2), (1, time**2 / beliefs.velocity**2)):
            D = np.diff(eye, order, axis=0)
            shift = D @ centres
            for axis in range(3):
                A = D * ray[:, axis]
                H += weight * A.T @ A
                g1 -= weight * A.T @ shift[:, axis]
                self.square += weight * float(shift[:, axis] @ shift[:, axis])
        self.z0, self.z1 = np.linalg.solve(H, np.stack([g0, g1], axis=1)).T
        self.constant = float((1 / sigma**2).sum() - g0 @ self.z0)
        self.linear, self.curve = float(g0 @ self.z1), float(g1 @ self.z1)

    def loss(self, q: F64) -> F64:
        return np.maximum(self.constant - 2 * self.linear * q + (self.square - self.curve) * q**2, 0)

    def depth(self, s: float) -> F64:
        return np.maximum(s * self.z0 + self.z1, 0.02 * s)


def body_depth(log_depth: F64, ray: F64, centres: F64, seen: NDArray, hints: Hints, beliefs: DepthBeliefs) -> DepthFound:
    """Depth of a body over time.

    Args:
        log_depth: (T,) its logarithm up to a constant, of mean zero.
        ray: (T, 3) directions to its middle in the world, of depth one.
        centres: (T, 3) camera centres.
        seen: (T,) frames in which it is seen.
        hints: What else is known of its distance.
        beliefs: Of things that move.
    """
    grid = GRID + np.log(hints.unit)
    loss, motion, sharp = np.zeros(len(grid)), None, False
    if len(log_depth) > 3:
        motion = _Motion(log_depth, ray, centres, seen, beliefs)
        frames = len(log_depth)
        loss += 0.5 * frames * np.log(motion.loss(np.exp(-grid)) + beliefs.slack * frames)
        sharp = _spread(loss, grid)[1] < SHARP
    if np.isfinite(hints.behind):
        loss += 0.5 * ((grid - np.log(beliefs.in_front * hints.behind)) / beliefs.in_front_sigma) ** 2
    else:
        loss += 0.5 * ((grid - np.log(beliefs.in_front * hints.unit)) / (2 * beliefs.in_front_sigma)) ** 2
    if np.isfinite(hints.floor):
        over = grid - np.log(hints.floor)
        standing = np.exp(-0.5 * ((over - beliefs.contact) / beliefs.contact_sigma) ** 2) / beliefs.contact_sigma
        above = 0.5 / (1 + np.exp(np.clip(over / 0.05, -50, 50)))
        loss -= np.log(beliefs.grounded * standing + (1 - beliefs.grounded) * above + 1e-3)
    if np.isfinite(hints.evidence):
        sigma = np.hypot(beliefs.evidence_sigma, hints.evidence_sigma)
        # Heavy tails: evidence may be of another thing altogether.
        loss += 1.5 * np.log1p(((grid - np.log(hints.evidence)) / sigma) ** 2 / 3)
    middle, spread = _spread(loss, grid)
    # A path is smoothed only where how it moves tells how far it is: at a wrong distance that would bend it.
    depth = motion.depth(float(np.exp(middle))) if motion is not None and sharp else np.exp(middle + log_depth)
    return DepthFound(depth, float(np.hypot(spread, beliefs.least_sigma)))


def _spread(loss: F64, grid: F64) -> tuple[float, float]:
    """Mean and standard deviation of what a loss believes."""
    chance = np.exp(loss.min() - loss)
    chance /= chance.sum()
    middle = float(chance @ grid)
    return middle, float(np.sqrt(chance @ (grid - middle) ** 2))
