"""Depth and rotation of deforming points, so that the shapes need as few and as smooth deformations as the views allow.

The shape of frame t in the axes of the body, s_t (3N numbers), is drawn from a Gaussian process with mean m, one covariance C over its
coordinates, and correlation over time. What is sought are depths and rotations for which log det C is least: a smooth stand-in for the
number of deformation modes (Fazel, Hindi and Boyd, ACC 2003), taken in the (T, 3N) arrangement of Dai, Li and He (IJCV 2014), with all
rotations free as in the Procrustean normal distribution (Lee et al., CVPR 2013). Each round holds C, whose floor falls, and takes one
Gauss-Newton step in all depths and rotations at once: neighbouring frames alone are coupled, so the system is banded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from toolkit.progress import Report, silent
from toolkit.scene import F64, I64, B
from toolkit.sfm.nonrigid_terms import assemble

HALVINGS = 6  # of a step that does not lower the cost


@dataclass(frozen=True)
class Prior:
    """What deforming bodies are like.

    Attributes:
        smoothness: Weight of the change from frame to frame against the deformation itself; its root is the correlation time in
            frames. Errors are flat between 30 and 10,000 on bodies and faces alike.
        damping: Share by which the diagonal of the rotations is raised: a whole turn of all shapes costs nothing.
    """

    smoothness: float = 100.0
    damping: float = 1e-6


@dataclass(frozen=True, eq=False)
class Estimate:
    """Shapes and how likely they are.

    Attributes:
        xyz: (T, 3, N) points in the axes of each frame's camera, their centroid taken out.
        R: (T, 3, 3) camera from body.
        centre: (T, 2) centroid of each frame, taken from what was seen.
        score: log det of the covariance, floored; lower is likelier for the same tracks.
    """

    xyz: F64
    R: F64
    centre: F64
    score: float


def refine(
    xy: F64, seen: B, start: Estimate, floors: F64, *, prior: Prior | None = None, turn: bool = True, report: Report = silent
) -> Estimate:
    """Improves shapes and rotations, one round per floor.

    Args:
        xy: (T, 2, N) observed points, of unit variance; not read where not seen.
        seen: (T, N) which of them were observed.
        start: Where to begin; its x and y stand in for what was not seen.
        floors: (rounds,) variance that every direction of deformation is granted, falling.
        prior: How smooth deformations are.
        turn: Whether rotations are sought, too.
        report: Told after each round; may raise `Cancelled`.
    """
    prior = prior or Prior()
    R, X, centre = start.R, start.xyz.copy(), start.centre
    free = _Free.of(seen, turn=turn)
    for done, floor in enumerate(floors):
        shapes = R.transpose(0, 2, 1) @ X
        mean = shapes.mean(0)
        inverse = np.linalg.inv(_covariance(shapes - mean, prior) + floor * np.eye(mean.size))
        pull = _smooth(shapes - mean, prior)
        before = _cost(shapes - mean, inverse, prior)
        step = _step(R, X, (inverse @ pull.reshape(len(X), -1).T).T.reshape(X.shape), inverse, free, prior)
        for halving in range(HALVINGS):
            moved = free.moved(R, X, centre, step / 2**halving, xy)
            if _cost(moved[0].transpose(0, 2, 1) @ moved[1] - mean, inverse, prior) < before:
                R, X, centre = moved
                break
        drift = X.mean(2)
        X = X - drift[:, :, None]
        centre = centre + drift[:, :2]
        report(done + 1, len(floors))
    shapes = R.transpose(0, 2, 1) @ X
    C = _covariance(shapes - shapes.mean(0), prior)
    return Estimate(X, R, centre, float(np.linalg.slogdet(C + floors[-1] * np.eye(len(C)))[1]))


@dataclass(frozen=True, eq=False)
class _Free:
    """What is unknown in each frame: every depth, x and y of what was not seen, a small turn, and the centre if anything is missing.

    Attributes:
        rows: (T, n) which of the frame's 3N coordinates, padded with 0.
        used: (T, n) False for the padding.
        turns, shifts: How many unknowns of each kind follow those coordinates.
        seen: (T, N).
    """

    rows: I64
    used: B
    turns: int
    shifts: int
    seen: B

    @staticmethod
    def of(seen: B, *, turn: bool) -> _Free:
        open_ = np.concatenate([~seen, ~seen, np.ones_like(seen)], 1)
        width = int(open_.sum(1).max())
        rows = np.argsort(~open_, axis=1, kind="stable")[:, :width]
        used = np.take_along_axis(open_, rows, 1)
        return _Free(np.where(used, rows, 0), used, 3 * turn, 0 if seen.all() else 2, seen)

    def moved(self, R: F64, X: F64, centre: F64, step: F64, xy: F64) -> tuple[F64, F64, F64]:
        """Rotations, points and centres after a step."""
        width = self.rows.shape[1]
        flat = X.reshape(len(X), -1).copy()
        frame = np.broadcast_to(np.arange(len(X))[:, None], self.rows.shape)
        flat[frame[self.used], self.rows[self.used]] += step[:, :width][self.used]
        X = flat.reshape(X.shape)
        if self.shifts:
            centre = centre + step[:, width + self.turns :]
            X[:, :2] = np.where(self.seen[:, None], xy - centre[:, :, None], X[:, :2])
        if self.turns:
            R = Rotation.from_rotvec(step[:, width : width + 3]).as_matrix() @ R
        return R, X, centre

    def dense(self, X: F64) -> F64:
        """(T, 3N, turns + shifts) how the points of a frame, in its camera's axes, follow its turn and its centre."""
        columns = [-np.cross(axis[None, :, None], X, axis=1) for axis in np.eye(3)[: self.turns]]
        for axis in range(self.shifts):
            column = np.zeros_like(X)
            column[:, axis] = -1.0 * self.seen
            columns.append(column)
        return np.stack(columns, -1).reshape(len(X), X[0].size, -1) if columns else np.zeros((len(X), X[0].size, 0))


def _step(R: F64, X: F64, pull: F64, inverse: F64, free: _Free, prior: Prior) -> F64:
    """(T, unknowns) Gauss-Newton step; `pull` is the gradient in the coordinates of the bodies."""
    frames, _, points = X.shape
    dense = free.dense(X)  # (T, 3N, k)
    width = free.rows.shape[1]
    n = width + dense.shape[2]
    gradient = np.empty((frames, n))
    turned = (R @ pull).reshape(frames, -1)
    gradient[:, :width] = np.where(free.used, np.take_along_axis(turned, free.rows, 1), 0)
    gradient[:, width:] = np.einsum("tck,tc->tk", dense, turned)
    # Dense columns in the axes of the body, and times the inverse: (T, k, 3N).
    body = (R.transpose(0, 2, 1) @ dense.reshape(frames, 3, -1)).reshape(dense.shape).transpose(0, 2, 1)
    heavy = np.ascontiguousarray(body.reshape(-1, 3 * points) @ inverse).reshape(body.shape)
    weight, between = _weights(frames, prior)
    lower = np.zeros((frames * n, 2 * n))
    assemble(lower, inverse.reshape(3, points, 3, points), R, free.rows, free.used, np.ascontiguousarray(body), heavy, weight, between)
    turns = np.arange(frames)[:, None] * n + width + np.arange(free.turns)
    lower[turns, 0] *= 1 + prior.damping
    return solveh_banded(lower.T, -gradient.ravel(), lower=True, overwrite_ab=True, check_finite=False).reshape(frames, n)


def _weights(frames: int, prior: Prior) -> tuple[F64, float]:
    """Diagonal and neighbouring entries of the inverse correlation over time, I + w D^T D."""
    weight = np.full(frames, 1 + 2 * prior.smoothness)
    weight[[0, -1]] -= prior.smoothness
    return weight, -prior.smoothness


def _smooth(deformation: F64, prior: Prior) -> F64:
    """Inverse correlation over time, applied to (T, ...) deformations."""
    change = prior.smoothness * np.diff(deformation, axis=0)
    out = deformation.copy()
    out[1:] += change
    out[:-1] -= change
    return out


def _covariance(deformation: F64, prior: Prior) -> F64:
    flat = deformation.reshape(len(deformation), -1)
    change = np.diff(flat, axis=0)
    return (flat.T @ flat + prior.smoothness * (change.T @ change)) / len(flat)


def _cost(deformation: F64, inverse: F64, prior: Prior) -> float:
    return float(np.vdot(_covariance(deformation, prior), inverse)) * len(deformation)
