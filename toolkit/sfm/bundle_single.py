"""One camera with its points held, one point with its cameras held, one track's own scale: thousands of each in milliseconds."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled
from toolkit.sfm.bundle_terms import BEHIND, NEAR, backward3, cholesky3, forward3, in_camera, turned


@compiled()
def resect(R, c, X, factor, uv, weight, scale, steps, cost):  # pragma: no cover - compiled
    """Each camera on its own, points held: Levenberg-Marquardt; R (N, 3, 3) and c (N, 3) are changed in place, cost (N,) is the loss."""
    Y = np.empty(3)
    A = np.empty((2, 6))
    B = np.empty((2, 3))
    H = np.empty((6, 6))
    M = np.empty((6, 6))
    g = np.empty(6)
    d = np.empty(6)
    R2 = np.empty((3, 3))
    c2 = np.empty(3)
    for n in range(len(R)):
        damping = 1e-3
        now = _camera_cost(R[n], c[n], X, factor, uv[n], weight[n], scale)
        for _ in range(steps):
            H[:] = 0.0
            g[:] = 0.0
            for p in range(len(X)):
                if weight[n, p] <= 0:
                    continue
                in_camera(R[n], c[n], X[p], Y)
                if Y[2] < NEAR:
                    continue
                iz = 1.0 / Y[2]
                f = factor * iz
                q0, q1 = f * Y[0], f * Y[1]
                r0, r1 = q0 - uv[n, p, 0], q1 - uv[n, p, 1]
                w = weight[n, p] / (scale[p] * scale[p] + r0 * r0 + r1 * r1)
                for j in range(3):
                    B[0, j] = f * R[n, j, 0] - q0 * iz * R[n, j, 2]
                    B[1, j] = f * R[n, j, 1] - q1 * iz * R[n, j, 2]
                    A[0, 3 + j], A[1, 3 + j] = -B[0, j], -B[1, j]
                A[0, 0], A[0, 1], A[0, 2] = q0 * iz * Y[1], -f * Y[2] - q0 * iz * Y[0], f * Y[1]
                A[1, 0], A[1, 1], A[1, 2] = f * Y[2] + q1 * iz * Y[1], -q1 * iz * Y[0], -f * Y[0]
                for a in range(6):
                    s0, s1 = w * A[0, a], w * A[1, a]
                    g[a] += s0 * r0 + s1 * r1
                    for b in range(a + 1):
                        H[a, b] += s0 * A[0, b] + s1 * A[1, b]
            better = False
            before = now
            for _ in range(5):
                for a in range(6):
                    for b in range(a + 1):
                        M[a, b] = H[a, b]
                    M[a, a] += damping * H[a, a] + 1e-12
                _solve6(M, g, d)
                for a in range(6):
                    d[a] = -d[a]
                turned(R[n], d, R2)
                for j in range(3):
                    c2[j] = c[n, j] + d[3 + j]
                new = _camera_cost(R2, c2, X, factor, uv[n], weight[n], scale)
                if new < now:
                    R[n, :, :] = R2
                    c[n, :] = c2
                    now = new
                    damping = max(damping / 5.0, 1e-9)
                    better = True
                    break
                damping *= 6.0
            if not better or before - now < 1e-6 * before:
                break
        cost[n] = now


@compiled(inline="always")
def _camera_cost(R, c, X, factor, uv, weight, scale):  # pragma: no cover - compiled
    total = 0.0
    Y = np.empty(3)
    for p in range(len(X)):
        if weight[p] > 0:
            in_camera(R, c, X[p], Y)
            r2 = BEHIND
            if Y[2] >= NEAR:
                a, b = factor * Y[0] / Y[2] - uv[p, 0], factor * Y[1] / Y[2] - uv[p, 1]
                r2 = a * a + b * b
            total += weight[p] * np.log1p(r2 / (scale[p] * scale[p]))
    return total


@compiled(inline="always")
def _solve6(M, g, d):  # pragma: no cover - compiled
    """Solves M d = g by the lower Cholesky factor, in place of M."""
    for i in range(6):
        for j in range(i + 1):
            s = M[i, j]
            for k in range(j):
                s -= M[i, k] * M[j, k]
            if i == j:
                M[i, i] = np.sqrt(max(s, 1e-300))
            else:
                M[i, j] = s / M[j, j]
    for i in range(6):
        s = g[i]
        for k in range(i):
            s -= M[i, k] * d[k]
        d[i] = s / M[i, i]
    for i in range(5, -1, -1):
        s = d[i]
        for k in range(i + 1, 6):
            s -= M[k, i] * d[k]
        d[i] = s / M[i, i]


@compiled()
def intersect(R, c, X, factor, uv, weight, scale, steps, cost):  # pragma: no cover - compiled
    """Each point on its own, cameras held: Levenberg-Marquardt; X (P, 3) is changed in place, cost (P,) is the loss."""
    N = len(R)
    Y = np.empty(3)
    H = np.empty((3, 3))
    L = np.zeros((3, 3))
    g = np.empty(3)
    d = np.empty(3)
    part = np.empty(3)
    trial = np.empty(3)
    B = np.empty((2, 3))
    for p in range(len(X)):
        damping = 1e-3
        s2 = scale[p] * scale[p]
        now = 0.0
        for n in range(N):
            if weight[n, p] > 0:
                in_camera(R[n], c[n], X[p], Y)
                r2 = BEHIND
                if Y[2] >= NEAR:
                    a, b = factor * Y[0] / Y[2] - uv[n, p, 0], factor * Y[1] / Y[2] - uv[n, p, 1]
                    r2 = a * a + b * b
                now += weight[n, p] * np.log1p(r2 / s2)
        for _ in range(steps):
            H[:] = 0.0
            g[:] = 0.0
            for n in range(N):
                if weight[n, p] <= 0:
                    continue
                in_camera(R[n], c[n], X[p], Y)
                if Y[2] < NEAR:
                    continue
                iz = 1.0 / Y[2]
                f = factor * iz
                q0, q1 = f * Y[0], f * Y[1]
                r0, r1 = q0 - uv[n, p, 0], q1 - uv[n, p, 1]
                w = weight[n, p] / (s2 + r0 * r0 + r1 * r1)
                for j in range(3):
                    B[0, j] = f * R[n, j, 0] - q0 * iz * R[n, j, 2]
                    B[1, j] = f * R[n, j, 1] - q1 * iz * R[n, j, 2]
                for a in range(3):
                    g[a] += w * (B[0, a] * r0 + B[1, a] * r1)
                    for b in range(a + 1):
                        H[a, b] += w * (B[0, a] * B[0, b] + B[1, a] * B[1, b])
            before = now
            better = False
            for _ in range(5):
                cholesky3(H, damping, 1e-4, L)
                forward3(L, g, part)
                backward3(L, part, d)
                for j in range(3):
                    trial[j] = X[p, j] - d[j]
                new = 0.0
                for n in range(N):
                    if weight[n, p] > 0:
                        in_camera(R[n], c[n], trial, Y)
                        r2 = BEHIND
                        if Y[2] >= NEAR:
                            a, b = factor * Y[0] / Y[2] - uv[n, p, 0], factor * Y[1] / Y[2] - uv[n, p, 1]
                            r2 = a * a + b * b
                        new += weight[n, p] * np.log1p(r2 / s2)
                if new < now:
                    X[p, 0], X[p, 1], X[p, 2] = trial[0], trial[1], trial[2]
                    now = new
                    damping = max(damping / 5.0, 1e-9)
                    better = True
                    break
                damping *= 6.0
            if not better or before - now < 1e-6 * before:
                break
        cost[p] = now


@compiled()
def track_scales(r2, weight, floor, rounds, scale):  # pragma: no cover - compiled
    """Cauchy scale of each track, into scale (P,): the minimiser of sum log(g + r^2 / g) over its observations, at least `floor`.

    At the minimum half of the sum of g^2 / (g^2 + r^2) is reached; iterated as a fixed point.
    """
    for p in range(r2.shape[1]):
        count, total = 0.0, 0.0
        for n in range(r2.shape[0]):
            if weight[n, p] > 0:
                count += 1.0
                total += r2[n, p]
        if count == 0:
            scale[p] = floor
            continue
        g2 = max(0.3 * total / count, floor * floor)
        for _ in range(rounds):
            share = 0.0
            for n in range(r2.shape[0]):
                if weight[n, p] > 0:
                    share += g2 / (g2 + r2[n, p])
            share /= count
            g2 = max(g2 * 0.5 / max(share, 1e-3), floor * floor)
        scale[p] = np.sqrt(g2)
