"""Terms of the bundle adjustment of tracks: residuals, normal equations, and points taken out of them.

Coordinates are normalised, u = (x - cx) / f. A camera is its rotation R (camera to world) and centre c, so that Y = R^T (X - c) and
u = s Y_xy / Y_z with one factor s on the assumed focal length for all frames.
"""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled

NEAR = 0.03
"""Points nearer than this are behind the camera, in units of the scene's median depth."""
BEHIND = 4.0
"""What such an observation costs as a squared residual."""


@compiled(inline="always")
def turned(R, w, out):  # pragma: no cover - compiled
    """The rotation R exp([w]), into out."""
    angle = np.sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2])
    if angle < 1e-8:
        a, b = 1.0, 0.5
    else:
        a, b = np.sin(angle) / angle, (1.0 - np.cos(angle)) / (angle * angle)
    E00 = 1.0 - b * (w[1] * w[1] + w[2] * w[2])
    E11 = 1.0 - b * (w[0] * w[0] + w[2] * w[2])
    E22 = 1.0 - b * (w[0] * w[0] + w[1] * w[1])
    E01, E10 = -a * w[2] + b * w[0] * w[1], a * w[2] + b * w[0] * w[1]
    E02, E20 = a * w[1] + b * w[0] * w[2], -a * w[1] + b * w[0] * w[2]
    E12, E21 = -a * w[0] + b * w[1] * w[2], a * w[0] + b * w[1] * w[2]
    for i in range(3):
        x, y, z = R[i, 0], R[i, 1], R[i, 2]
        out[i, 0] = x * E00 + y * E10 + z * E20
        out[i, 1] = x * E01 + y * E11 + z * E21
        out[i, 2] = x * E02 + y * E12 + z * E22


@compiled(inline="always")
def in_camera(R, c, X, Y):  # pragma: no cover - compiled
    """Y = R^T (X - c)."""
    x, y, z = X[0] - c[0], X[1] - c[1], X[2] - c[2]
    for i in range(3):
        Y[i] = R[0, i] * x + R[1, i] * y + R[2, i] * z


@compiled()
def residuals(R, c, X, factor, uv, r2):  # pragma: no cover - compiled
    """Squared residuals into r2 (N, P); `BEHIND` for points behind a camera."""
    Y = np.empty(3)
    for n in range(len(R)):
        for p in range(len(X)):
            in_camera(R[n], c[n], X[p], Y)
            if Y[2] < NEAR:
                r2[n, p] = BEHIND
            else:
                a = factor * Y[0] / Y[2] - uv[n, p, 0]
                b = factor * Y[1] / Y[2] - uv[n, p, 1]
                r2[n, p] = a * a + b * b


@compiled()
def robust_cost(r2, weight, scale):  # pragma: no cover - compiled
    """Sum of weight * log(1 + r2 / scale^2)."""
    total = 0.0
    for n in range(r2.shape[0]):
        for p in range(r2.shape[1]):
            if weight[n, p] > 0:
                total += weight[n, p] * np.log1p(r2[n, p] / (scale[p] * scale[p]))
    return total


@compiled()
def linearise(R, c, X, factor, uv, weight, scale, U, gA, V, gX, W, FA, FX, ff):  # pragma: no cover - compiled
    """Normal equations of the reweighted problem: half the gradient of the loss, and Gauss-Newton's half curvature.

    Args:
        R: (N, 3, 3) rotations.
        c: (N, 3) centres.
        X: (P, 3) points.
        factor: True focal length over the assumed one.
        uv: (N, P, 2) observations.
        weight: (N, P) of each, 0 where there is none.
        scale: (P,) robust scale of each track.
        U: (N, 6, 6) out: cameras, as turn and centre.
        gA: (N, 6) out: their gradient.
        V: (P, 3, 3) out: points.
        gX: (P, 3) out: their gradient.
        W: (N, P, 6, 3) out: cameras with points.
        FA: (N, 6) out: log focal length with cameras.
        FX: (P, 3) out: log focal length with points.
        ff: (2,) out: its own curvature and gradient.
    """
    U[:] = 0.0
    gA[:] = 0.0
    V[:] = 0.0
    gX[:] = 0.0
    FA[:] = 0.0
    FX[:] = 0.0
    ff[:] = 0.0
    Y = np.empty(3)
    A = np.empty((2, 6))
    B = np.empty((2, 3))
    q = np.empty(2)
    r = np.empty(2)
    for n in range(len(R)):
        Rn = R[n]
        for p in range(len(X)):
            w0 = weight[n, p]
            if w0 > 0:
                in_camera(Rn, c[n], X[p], Y)
            if w0 <= 0 or Y[2] < NEAR:
                for a in range(6):
                    for b in range(3):
                        W[n, p, a, b] = 0.0
                continue
            iz = 1.0 / Y[2]
            q[0], q[1] = factor * Y[0] * iz, factor * Y[1] * iz
            r[0], r[1] = q[0] - uv[n, p, 0], q[1] - uv[n, p, 1]
            w = w0 / (scale[p] * scale[p] + r[0] * r[0] + r[1] * r[1])
            f = factor * iz
            for i in range(2):
                # d(residual)/dY = f e_i - q_i / z e_z;  dY/dX = R^T.
                for j in range(3):
                    B[i, j] = f * Rn[j, i] - q[i] * iz * Rn[j, 2]
                    A[i, 3 + j] = -B[i, j]
            # dY/drotation = [Y]x.
            A[0, 0], A[0, 1], A[0, 2] = q[0] * iz * Y[1], -f * Y[2] - q[0] * iz * Y[0], f * Y[1]
            A[1, 0], A[1, 1], A[1, 2] = f * Y[2] + q[1] * iz * Y[1], -q[1] * iz * Y[0], -f * Y[0]
            for a in range(6):
                s0, s1 = w * A[0, a], w * A[1, a]
                gA[n, a] += s0 * r[0] + s1 * r[1]
                FA[n, a] += s0 * q[0] + s1 * q[1]
                for b in range(a, 6):
                    U[n, a, b] += s0 * A[0, b] + s1 * A[1, b]
                for b in range(3):
                    W[n, p, a, b] = s0 * B[0, b] + s1 * B[1, b]
            for a in range(3):
                s0, s1 = w * B[0, a], w * B[1, a]
                gX[p, a] += s0 * r[0] + s1 * r[1]
                FX[p, a] += s0 * q[0] + s1 * q[1]
                for b in range(a, 3):
                    V[p, a, b] += s0 * B[0, b] + s1 * B[1, b]
            ff[0] += w * (q[0] * q[0] + q[1] * q[1])
            ff[1] += w * (q[0] * r[0] + q[1] * r[1])
    for n in range(len(R)):
        for a in range(6):
            for b in range(a):
                U[n, a, b] = U[n, b, a]
    for p in range(len(X)):
        for a in range(3):
            for b in range(a):
                V[p, a, b] = V[p, b, a]


@compiled(inline="always")
def cholesky3(M, damping, floor, L):  # pragma: no cover - compiled
    """Lower factor of M with its diagonal raised by damping * diagonal + floor."""
    for i in range(3):
        for j in range(i + 1):
            s = M[i, j]
            if i == j:
                s += damping * M[i, i] + floor
            for k in range(j):
                s -= L[i, k] * L[j, k]
            if i == j:
                L[i, i] = np.sqrt(max(s, 1e-300))
            else:
                L[i, j] = s / L[j, j]


@compiled(inline="always")
def forward3(L, b, out):  # pragma: no cover - compiled
    """Solves L out = b."""
    out[0] = b[0] / L[0, 0]
    out[1] = (b[1] - L[1, 0] * out[0]) / L[1, 1]
    out[2] = (b[2] - L[2, 0] * out[0] - L[2, 1] * out[1]) / L[2, 2]


@compiled(inline="always")
def backward3(L, b, out):  # pragma: no cover - compiled
    """Solves L^T out = b."""
    out[2] = b[2] / L[2, 2]
    out[1] = (b[1] - L[2, 1] * out[2]) / L[1, 1]
    out[0] = (b[0] - L[1, 0] * out[1] - L[2, 0] * out[2]) / L[0, 0]


@compiled()
def eliminate(V, gX, W, FX, damping, floor, L, Y, z):  # pragma: no cover - compiled
    """Points eliminated: Y = [W; FX] L^-T as (6 N + 1, 3 P), z = L^-1 gX, L the factors (P, 3, 3) of the damped V."""
    N, P = W.shape[0], W.shape[1]
    row = np.empty(3)
    out = np.empty(3)
    for p in range(P):
        cholesky3(V[p], damping, floor, L[p])
        forward3(L[p], gX[p], out)
        for j in range(3):
            z[3 * p + j] = out[j]
        forward3(L[p], FX[p], out)
        for j in range(3):
            Y[6 * N, 3 * p + j] = out[j]
    for n in range(N):
        for a in range(6):
            line = Y[6 * n + a]
            for p in range(P):
                for j in range(3):
                    row[j] = W[n, p, a, j]
                forward3(L[p], row, out)
                for j in range(3):
                    line[3 * p + j] = out[j]


@compiled()
def points_step(L, rest, dX):  # pragma: no cover - compiled
    """Steps of the points into dX (P, 3): -L^-T of the rest (3 P,)."""
    part = np.empty(3)
    out = np.empty(3)
    for p in range(len(L)):
        for j in range(3):
            part[j] = rest[3 * p + j]
        backward3(L[p], part, out)
        for j in range(3):
            dX[p, j] = -out[j]


@compiled()
def moved(R, c, d, R2, c2):  # pragma: no cover - compiled
    """Cameras after a step d (N, 6)."""
    for n in range(len(R)):
        turned(R[n], d[n], R2[n])
        for j in range(3):
            c2[n, j] = c[n, j] + d[n, 3 + j]
