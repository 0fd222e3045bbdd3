"""Bundle adjustment of 2D tracks: robust, with a scale a track, priors, and the focal length where it is unknown.

The loss of an observation is weight * log(1 + r^2 / scale^2): Cauchy's with a scale of each track's own, which is TracksTo4D's static loss
(Kasten et al., NeurIPS 2024, eqn 8) up to a constant. See `bundle_terms` for the coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from toolkit.scene import F64
from toolkit.sfm.bundle_terms import eliminate, linearise, moved, points_step, residuals, robust_cost

TRIES = 6
"""Steps that are shortened before the adjustment is taken for done."""


@dataclass(frozen=True, eq=False)
class State:
    """Cameras and points.

    Attributes:
        R: (N, 3, 3) camera-to-world rotations.
        c: (N, 3) camera centres.
        X: (P, 3) points.
        log_focal: Logarithm of the true focal length over the assumed one.
    """

    R: F64
    c: F64
    X: F64
    log_focal: float = 0.0

    @property
    def factor(self) -> float:
        """True focal length over the assumed one."""
        return float(np.exp(self.log_focal))

    @property
    def depth(self) -> F64:
        """(N, P) depth of every point in every camera."""
        return np.einsum("nj,npj->np", self.R[:, :, 2], self.X[None] - self.c[:, None])

    def errors(self, uv: F64) -> F64:
        """(N, P) squared residuals in normalised coordinates."""
        r2 = np.empty(uv.shape[:2])
        residuals(self.R, self.c, self.X, self.factor, uv, r2)
        return r2


@dataclass(frozen=True, eq=False)
class Beliefs:
    """What is believed before looking.

    Attributes:
        X: (P, 3) where points are; None for no belief.
        weight: (P,) 1 / (2 sigma^2) of that.
        focal_sigma: Standard deviation of the logarithm of the assumed focal length.
    """

    X: F64 | None = None
    weight: F64 | None = None
    focal_sigma: float = 0.3

    def cost(self, X: F64, log_focal: float) -> float:
        """In the unit of the loss."""
        cost = 0.5 * (log_focal / self.focal_sigma) ** 2
        if self.X is None or self.weight is None:
            return cost
        return cost + float((self.weight * ((X - self.X) ** 2).sum(-1)).sum())


class _Equations:
    """Normal equations of one linearisation, and the steps that follow from them by how much they are damped."""

    def __init__(self, count: int, points: int, free: NDArray, free_focal: bool) -> None:
        self.free, self.free_focal = free, free_focal
        self.size = 6 * len(free) + int(free_focal)
        self.U, self.gA, self.W = np.empty((count, 6, 6)), np.empty((count, 6)), np.empty((count, points, 6, 3))
        self.V, self.gX = np.empty((points, 3, 3)), np.empty((points, 3))
        self.FA, self.FX, self.ff = np.empty((count, 6)), np.empty((points, 3)), np.empty(2)
        self.L, self.Y, self.z = np.zeros((points, 3, 3)), np.empty((6 * len(free) + 1, 3 * points)), np.empty(3 * points)
        self.dX = np.empty((points, 3))
        self.every = len(free) == count

    def at(self, state: State, uv: F64, weight: F64, scale: F64, beliefs: Beliefs) -> None:
        """Linearises."""
        linearise(
            *(state.R, state.c, state.X, state.factor, uv, weight, scale),
            *(self.U, self.gA, self.V, self.gX, self.W, self.FA, self.FX, self.ff),
        )
        if beliefs.X is not None and beliefs.weight is not None:
            self.V[:, range(3), range(3)] += beliefs.weight[:, None]
            self.gX += beliefs.weight[:, None] * (state.X - beliefs.X)
        cameras = 6 * len(self.free)
        self.H, self.g = np.zeros((self.size, self.size)), np.zeros(self.size)
        for m, n in enumerate(self.free):
            self.H[6 * m : 6 * m + 6, 6 * m : 6 * m + 6] = self.U[n]
        self.g[:cameras] = self.gA[self.free].ravel()
        self.Wf = self.W if self.every else np.ascontiguousarray(self.W[self.free])
        if self.free_focal:
            self.H[cameras, :cameras] = self.H[:cameras, cameras] = self.FA[self.free].ravel()
            self.H[cameras, cameras] = self.ff[0] + 0.5 / beliefs.focal_sigma**2
            self.g[cameras] = self.ff[1] + 0.5 * state.log_focal / beliefs.focal_sigma**2

    def step(self, damping: float, floor: float) -> tuple[F64, float, F64] | None:
        """(N, 6) of the cameras, of the focal length, and (P, 3) of the points; None where the equations have no solution."""
        eliminate(self.V, self.gX, self.Wf, self.FX, damping, floor, self.L, self.Y, self.z)
        E = self.Y[: self.size]
        S = np.asfortranarray(self.H + np.diag(damping * np.diag(self.H) + 1e-12))
        S = blas.dsyrk(-1.0, E.T, beta=1.0, c=S, trans=1, overwrite_c=1)  # E in C order is E^T to Fortran
        factor, fault = lapack.dpotrf(S, overwrite_a=1)
        if fault:
            return None
        d, _ = lapack.dpotrs(factor, E @ self.z - self.g)
        points_step(self.L, self.z + E.T @ d, self.dX)
        cameras = np.zeros_like(self.gA)
        cameras[self.free] = d[: 6 * len(self.free)].reshape(-1, 6)
        return cameras, float(d[-1]) if self.free_focal else 0.0, self.dX


def adjust(
    state: State,
    uv: F64,
    weight: F64,
    scale: F64 | float,
    *,
    steps: int = 15,
    tolerance: float = 1e-5,
    floor: float = 1e-6,
    beliefs: Beliefs | None = None,
    free: NDArray | None = None,
    free_focal: bool = False,
) -> tuple[State, float]:
    """Cameras and points together, by Levenberg-Marquardt with the points eliminated.

    Args:
        state: Where to start.
        uv: (N, P, 2) normalised coordinates, finite everywhere.
        weight: (N, P) weight of each observation, 0 where there is none.
        scale: (P,) robust scale of each track, or one for all, in normalised coordinates.
        steps: At most.
        tolerance: Stop where the loss falls by less, relative.
        floor: Curvature added to each point, so that far ones stay finite.
        beliefs: About points and focal length.
        free: Rows of the cameras that may move; None for all.
        free_focal: Whether the focal length is found too.

    Returns:
        The state and its loss.
    """
    count, points = weight.shape
    scale = np.ascontiguousarray(np.broadcast_to(np.asarray(scale, np.float64), (points,)))
    beliefs = beliefs or Beliefs()
    equations = _Equations(count, points, np.arange(count) if free is None else np.asarray(free), free_focal)
    r2 = np.empty((count, points))

    def loss(state: State) -> float:
        residuals(state.R, state.c, state.X, state.factor, uv, r2)
        return float(robust_cost(r2, weight, scale)) + beliefs.cost(state.X, state.log_focal)

    now, damping = loss(state), 1e-3
    for _ in range(steps):
        equations.at(state, uv, weight, scale, beliefs)
        before = now
        for _ in range(TRIES):
            step = equations.step(damping, floor + 1e-12)
            if step is not None:
                R, c = np.empty_like(state.R), np.empty_like(state.c)
                moved(state.R, state.c, step[0], R, c)
                trial = State(R, c, state.X + step[2], state.log_focal + step[1])
                cost = loss(trial)
                if cost < now:
                    state, now = trial, cost
                    break
            damping = min(damping * 6, 1e8)
        if before - now <= tolerance * abs(before):
            break
        damping = max(damping / 5, 1e-9)
    return state, now
