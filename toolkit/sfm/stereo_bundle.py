"""Bundle adjustment of a stereo camera: poses and landmarks together, the landmarks eliminated by the Schur complement.

Levenberg-Marquardt with a robust loss on the reprojection and, apart from it, on the disparity (which is the right eye's reprojection
along the rectified row). Triggs et al., "Bundle Adjustment: A Modern Synthesis" (2000), sections 6.1 and 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

from toolkit.compiling import compiled
from toolkit.scene import F64, I64
from toolkit.sfm.landmarks import move_landmark
from toolkit.sfm.stereo_model import CAUCHY, landmark_jacobian, largest, move_pose, pose_jacobian, predict, robust_cost, robust_weight


@dataclass(frozen=True)
class BundleResult:
    """What a bundle adjustment leaves.

    Attributes:
        R: (F, 3, 3) camera-from-world rotations.
        t: (F, 3) camera-from-world translations.
        X: (L, 4) homogeneous landmarks.
        covariance: (F, 6, 6) of each pose (rotation in rad, translation; in camera axes) given the fixed ones, zero for these; or None.
        cost: Robust cost at the end.
    """

    R: F64
    t: F64
    X: F64
    covariance: F64 | None
    cost: float


def adjust(
    R: F64,
    t: F64,
    X: F64,
    start: I64,
    frame: I64,
    uvd: F64,
    information: F64,
    camera: F64,
    *,
    fixed: I64,
    scale: float = 2.5,
    shape: int = CAUCHY,
    iterations: int = 10,
    tolerance: float = 1e-4,
    covariance: bool = False,
) -> BundleResult:
    """Adjusts poses and landmarks to all measurements.

    Args:
        R: (F, 3, 3) camera-from-world rotation to start from.
        t: (F, 3) camera-from-world translation to start from.
        X: (L, 4) homogeneous landmarks to start from.
        start: (L + 1,) first measurement of each landmark.
        frame: (M,) index into the poses, rising within a landmark.
        uvd: (M, 3) x, y, disparity in pixels.
        information: (M, 2) inverse standard deviation of a coordinate and of the disparity, 1/px; 0 leaves a part out.
        camera: (5,) fx, fy, cx, cy, focal length times baseline.
        fixed: Poses that stay; at least one, or nothing holds the world.
        scale: Robust scale in standard deviations.
        shape: Shape of the loss, see `stereo_model`.
        iterations: Most steps tried.
        tolerance: Stop when a step lowers the cost by less than this share.
        covariance: Compute the covariance of the poses too.
    """
    R, t, X = R.copy(), t.copy(), X.copy()
    free = np.full(len(R), -1, np.int64)
    moving = np.setdiff1d(np.arange(len(R)), fixed)
    free[moving] = np.arange(len(moving))
    problem = (start, frame, uvd, information, free, camera, scale * scale, shape)
    damping = 1e-4
    cost, S, g, V, W, b = _normal_equations(R, t, X, *problem, len(moving), damping)
    for _ in range(iterations):
        try:
            # In place: of a long clip the system is the largest thing there is. Its lower triangle is the upper one as LAPACK counts.
            step = cho_solve(cho_factor(S.T, overwrite_a=True, check_finite=False), g, check_finite=False)
        except LinAlgError:
            step = None
        del S
        if step is not None and np.isfinite(step).all():
            trial = R.copy(), t.copy(), X.copy()
            _move(*trial, step, start, frame, free, V, W, b)
            trial_cost = _total_cost(*trial, start, frame, uvd, information, camera, scale * scale, shape)
            if trial_cost < cost:
                (R, t, X), gain = trial, 1 - trial_cost / cost
                damping = max(damping * 0.2, 1e-9)
                if gain < tolerance:
                    break
                del V, W, b
                cost, S, g, V, W, b = _normal_equations(R, t, X, *problem, len(moving), damping)
                continue
        damping *= 10
        if damping > 1e4:
            break
        del V, W, b
        cost, S, g, V, W, b = _normal_equations(R, t, X, *problem, len(moving), damping)
    S = None
    del V, W, b
    blocks = None
    if covariance:
        blocks = np.zeros((len(R), 6, 6))
        cost, S = _normal_equations(R, t, X, *problem, len(moving), 1e-9)[:2]
        blocks[moving] = _blocks_of_inverse(S)
    return BundleResult(R, t, X, blocks, float(cost))


def _blocks_of_inverse(S: F64) -> F64:
    """(p, 6, 6) along the diagonal of the pseudo-inverse of a symmetric matrix, of which the lower triangle is given; it is overwritten.

    A pose that nothing holds makes it singular: its variance is then that of the rest.
    """
    values, vectors = eigh(S.T, lower=False, overwrite_a=True, check_finite=False)
    share = np.divide(1.0, values, out=np.zeros_like(values), where=np.abs(values) > 1e-12 * np.abs(values).max(initial=0.0))
    return np.stack([(vectors[k : k + 6] * share) @ vectors[k : k + 6].T for k in range(0, len(values), 6)])


@compiled()
def _total_cost(R, t, X, start, frame, uvd, information, camera, c2, shape):  # pragma: no cover (compiled)
    P, z = np.empty(3), np.empty(3)
    cost = 0.0
    for i in range(len(X)):
        for o in range(start[i], start[i + 1]):
            f = frame[o]
            if not predict(R[f], t[f], X[i], camera, P, z):
                cost += robust_cost(1e8, c2, shape)
                continue
            su, sd = information[o, 0], information[o, 1]
            cost += robust_cost(((z[0] - uvd[o, 0]) * su) ** 2 + ((z[1] - uvd[o, 1]) * su) ** 2, c2, shape)
            if sd > 0:
                cost += robust_cost(((z[2] - uvd[o, 2]) * sd) ** 2, c2, shape)
    return cost


@compiled()
def _normal_equations(  # noqa: PLR0917  # pragma: no cover (compiled)
    R, t, X, start, frame, uvd, information, free, camera, c2, shape, poses, damping
):
    """Reduced camera system S (6p, 6p; lower triangle) dx = g; landmark inverses V and couplings W for back-substitution."""
    S, g = np.zeros((6 * poses, 6 * poses)), np.zeros(6 * poses)
    U = np.zeros((poses, 6, 6))
    V, b = np.zeros((len(X), 3, 3)), np.zeros((len(X), 3))
    W = np.zeros((len(frame), 6, 3))
    P, z, Jp, Jl = np.empty(3), np.empty(3), np.empty((3, 6)), np.empty((3, 3))
    Y = np.empty((6, 3))
    A = np.empty((3, 3))
    cost = 0.0
    for i in range(len(X)):
        fixed = largest(X[i])
        A[:] = 0
        for o in range(start[i], start[i + 1]):
            f = frame[o]
            if not predict(R[f], t[f], X[i], camera, P, z):
                cost += robust_cost(1e8, c2, shape)
                continue
            su, sd = information[o, 0], information[o, 1]
            e0, e1, e2 = (z[0] - uvd[o, 0]) * su, (z[1] - uvd[o, 1]) * su, 0.0
            if sd > 0:
                e2 = (z[2] - uvd[o, 2]) * sd
            r2u, r2d = e0 * e0 + e1 * e1, e2 * e2
            cost += robust_cost(r2u, c2, shape) + robust_cost(r2d, c2, shape)
            wu, wd = robust_weight(r2u, c2, shape), robust_weight(r2d, c2, shape)
            au, ad = wu * su * su, wd * sd * sd
            bu, bv, bd = wu * su * e0, wu * su * e1, wd * sd * e2
            landmark_jacobian(R[f], t[f], P, X[i, 3], camera, fixed, Jl)
            for a in range(3):
                b[i, a] -= Jl[0, a] * bu + Jl[1, a] * bv + Jl[2, a] * bd
                for k in range(a + 1):
                    A[a, k] += au * (Jl[0, a] * Jl[0, k] + Jl[1, a] * Jl[1, k]) + ad * Jl[2, a] * Jl[2, k]
            p = free[f]
            if p < 0:
                continue
            pose_jacobian(P, X[i, 3], camera, Jp)
            for a in range(6):
                g[6 * p + a] -= Jp[0, a] * bu + Jp[1, a] * bv + Jp[2, a] * bd
                for k in range(a + 1):
                    U[p, a, k] += au * (Jp[0, a] * Jp[0, k] + Jp[1, a] * Jp[1, k]) + ad * Jp[2, a] * Jp[2, k]
                for k in range(3):
                    W[o, a, k] = au * (Jp[0, a] * Jl[0, k] + Jp[1, a] * Jl[1, k]) + ad * Jp[2, a] * Jl[2, k]
        for a in range(3):
            A[a, a] += damping * A[a, a] + 1e-12
        _invert3(A, V[i])
        for o in range(start[i], start[i + 1]):
            p = free[frame[o]]
            if p < 0:
                continue
            for a in range(6):
                for k in range(3):
                    Y[a, k] = W[o, a, 0] * V[i, 0, k] + W[o, a, 1] * V[i, 1, k] + W[o, a, 2] * V[i, 2, k]
                g[6 * p + a] -= Y[a, 0] * b[i, 0] + Y[a, 1] * b[i, 1] + Y[a, 2] * b[i, 2]
            for o2 in range(start[i], o + 1):
                q = free[frame[o2]]
                if q < 0:
                    continue
                for a in range(6):
                    for k in range(6):
                        S[6 * p + a, 6 * q + k] -= Y[a, 0] * W[o2, k, 0] + Y[a, 1] * W[o2, k, 1] + Y[a, 2] * W[o2, k, 2]
    for p in range(poses):
        for a in range(6):
            for k in range(a + 1):
                S[6 * p + a, 6 * p + k] += U[p, a, k]
            S[6 * p + a, 6 * p + a] += damping * U[p, a, a] + 1e-12
    return cost, S, g, V, W, b


@compiled()
def _invert3(A, out):  # pragma: no cover (compiled)
    """Inverse of a symmetric positive definite (3, 3), of which the lower triangle is given; zero where singular."""
    a, b, c, d, e, f = A[0, 0], A[1, 0], A[2, 0], A[1, 1], A[2, 1], A[2, 2]
    c00, c10, c20 = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * c00 + b * c10 + c * c20
    if determinant <= 0:
        out[:] = 0
        return
    out[0, 0] = c00 / determinant
    out[1, 0] = out[0, 1] = c10 / determinant
    out[2, 0] = out[0, 2] = c20 / determinant
    out[1, 1] = (a * f - c * c) / determinant
    out[2, 1] = out[1, 2] = (b * c - a * e) / determinant
    out[2, 2] = (a * d - b * b) / determinant


@compiled()
def _move(R, t, X, step, start, frame, free, V, W, b):  # pragma: no cover (compiled)
    """Applies the pose step and the landmark steps that go with it, in place."""
    right, landmark_step = np.empty(3), np.empty(3)
    for i in range(len(X)):
        for k in range(3):
            right[k] = b[i, k]
        for o in range(start[i], start[i + 1]):
            p = free[frame[o]]
            if p < 0:
                continue
            for k in range(3):
                for a in range(6):
                    right[k] -= W[o, a, k] * step[6 * p + a]
        for k in range(3):
            landmark_step[k] = V[i, k, 0] * right[0] + V[i, k, 1] * right[1] + V[i, k, 2] * right[2]
        move_landmark(X[i], landmark_step, largest(X[i]))
    for f in range(len(R)):
        if free[f] >= 0:
            move_pose(R[f], t[f], step[6 * free[f] : 6 * free[f] + 6])
