"""What a stereo camera measures of a landmark: two pixel coordinates and a disparity, with their derivatives.

Landmarks are homogeneous, X = (x, y, z, w): a direction with w = 0 is a point at infinity, so that the far background steadies the rotation
without a depth, and nothing breaks where a point comes near the origin of the world. Poses are camera-from-world, P = R X[:3] + w t.
"""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled

CAUCHY, GEMAN_MCCLURE = 1, 2
"""Shapes of the robust loss: weight (1 + r^2/c^2)^-shape. Cauchy pulls far starts in, Geman-McClure lets go of what never fits."""


@compiled(inline="always")
def predict(R, t, X, camera, P, z):  # pragma: no cover (compiled)
    """Point in the camera (into P) and its pixel and disparity (into z); False at or behind the camera.

    Args:
        R: (3, 3) camera-from-world rotation.
        t: (3,) camera-from-world translation.
        X: (4,) homogeneous world point.
        camera: (5,) fx, fy, cx, cy and focal length times baseline.
        P: (3,) out: point in camera axes, up to the factor w.
        z: (3,) out: x, y in pixels and disparity in pixels.
    """
    for i in range(3):
        P[i] = R[i, 0] * X[0] + R[i, 1] * X[1] + R[i, 2] * X[2] + t[i] * X[3]
    if P[2] <= 1e-9:
        return False
    z[0] = camera[0] * P[0] / P[2] + camera[2]
    z[1] = camera[1] * P[1] / P[2] + camera[3]
    z[2] = camera[4] * X[3] / P[2]
    return True


@compiled(inline="always")
def pose_jacobian(P, w, camera, J):  # pragma: no cover (compiled)
    """Derivative (3, 6) of the measurement by a small motion (rotation, translation) of the camera, applied from the left."""
    iz = 1.0 / P[2]
    ax, ay = camera[0] * iz, camera[1] * iz
    bx, by, bd = -ax * P[0] * iz, -ay * P[1] * iz, -camera[4] * w * iz * iz
    # dP/drotation = -[P]x, dP/dtranslation = w I.
    J[0, 0], J[0, 1], J[0, 2] = bx * P[1], ax * P[2] - bx * P[0], -ax * P[1]
    J[1, 0], J[1, 1], J[1, 2] = -ay * P[2] + by * P[1], -by * P[0], ay * P[0]
    J[2, 0], J[2, 1], J[2, 2] = bd * P[1], -bd * P[0], 0.0
    J[0, 3], J[0, 4], J[0, 5] = ax * w, 0.0, bx * w
    J[1, 3], J[1, 4], J[1, 5] = 0.0, ay * w, by * w
    J[2, 3], J[2, 4], J[2, 5] = 0.0, 0.0, bd * w


@compiled(inline="always")
def landmark_jacobian(R, t, P, w, camera, fixed, J):  # pragma: no cover (compiled)
    """Derivative (3, 3) of the measurement by the three components of X other than `fixed`, the largest one."""
    iz = 1.0 / P[2]
    ax, ay = camera[0] * iz, camera[1] * iz
    bx, by, bd = -ax * P[0] * iz, -ay * P[1] * iz, -camera[4] * w * iz * iz
    column = 0
    for k in range(4):
        if k == fixed:
            continue
        if k < 3:
            dx, dy, dz, direct = R[0, k], R[1, k], R[2, k], 0.0
        else:
            dx, dy, dz, direct = t[0], t[1], t[2], camera[4] * iz
        J[0, column] = ax * dx + bx * dz
        J[1, column] = ay * dy + by * dz
        J[2, column] = bd * dz + direct
        column += 1


@compiled(inline="always")
def largest(X):  # pragma: no cover (compiled)
    """Index of the largest component of a homogeneous point, the one its local chart holds fixed."""
    best = 0
    for k in range(1, 4):
        if abs(X[k]) > abs(X[best]):
            best = k
    return best


@compiled(inline="always")
def robust_weight(r2, c2, shape):  # pragma: no cover (compiled)
    """Weight of a squared whitened residual."""
    w = 1.0 / (1.0 + r2 / c2)
    return w if shape == 1 else w * w


@compiled(inline="always")
def robust_cost(r2, c2, shape):  # pragma: no cover (compiled)
    """Loss of a squared whitened residual, the integral of its weight."""
    return 0.5 * c2 * np.log1p(r2 / c2) if shape == 1 else 0.5 * r2 / (1.0 + r2 / c2)


@compiled()
def solve_positive(A, b):  # pragma: no cover (compiled)
    """Solves A x = b for a small symmetric positive definite A (n, n), by Cholesky in place; zeros where A is singular."""
    n = len(b)
    for j in range(n):
        for k in range(j):
            A[j, j] -= A[j, k] * A[j, k]
        if A[j, j] <= 1e-300:
            return np.zeros(n)
        A[j, j] = np.sqrt(A[j, j])
        for i in range(j + 1, n):
            for k in range(j):
                A[i, j] -= A[i, k] * A[j, k]
            A[i, j] /= A[j, j]
    x = b.copy()
    for i in range(n):
        for k in range(i):
            x[i] -= A[i, k] * x[k]
        x[i] /= A[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            x[i] -= A[k, i] * x[k]
        x[i] /= A[i, i]
    return x


@compiled()
def move_pose(R, t, step):  # pragma: no cover (compiled)
    """Camera-from-world (R, t), in place, after a small motion (rotation vector, translation) from the left."""
    angle = np.sqrt(step[0] ** 2 + step[1] ** 2 + step[2] ** 2)
    a = np.sin(angle) / angle if angle > 1e-8 else 1.0 - angle * angle / 6
    b = (1 - np.cos(angle)) / (angle * angle) if angle > 1e-6 else 0.5
    x, y, z = step[0], step[1], step[2]
    E = np.empty((3, 3))
    E[0, 0], E[0, 1], E[0, 2] = 1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y
    E[1, 0], E[1, 1], E[1, 2] = b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x
    E[2, 0], E[2, 1], E[2, 2] = b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y)
    moved = np.zeros((3, 4))
    for i in range(3):
        for k in range(3):
            for j in range(3):
                moved[i, j] += E[i, k] * R[k, j]
            moved[i, 3] += E[i, k] * t[k]
    for i in range(3):
        for j in range(3):
            R[i, j] = moved[i, j]
        t[i] = moved[i, 3] + step[3 + i]
