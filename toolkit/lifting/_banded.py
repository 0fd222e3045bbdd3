"""Least squares of Eqn 5 by damped Gauss-Newton: a banded matrix for the strides, a rank-five part for the mean and its normaliser."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled
from toolkit.lifting._published import DYNAMIC_WEIGHT, REGULAR_WEIGHT, STATIC_WEIGHT, STRIDES, value_and_gradient

BAND = 10  # a stencil of stride 5 couples samples ten frames apart
_RANK = 5
_NO_DYNAMICS = 1e-6  # below this weight the dynamic term is left out of the matrix (never out of the objective)
_NEARER = 0.05  # a step may not bring a point nearer to the camera than this share of its measured distance
_K_FLOOR = 1e-5


@compiled()
def factor(A, band):
    """The LDL' factors, in place, of a symmetric positive matrix kept as A[i, j] = element (i, i - j), j up to `band`."""
    for i in range(len(A)):
        low = max(0, i - band)
        for j in range(low, i):
            total = A[i, i - j]
            for m in range(max(low, j - band), j):
                total -= A[i, i - m] * A[j, j - m] * A[m, 0]
            A[i, i - j] = total / A[j, 0]
        for m in range(low, i):
            A[i, 0] -= A[i, i - m] ** 2 * A[m, 0]


@compiled()
def solve(A, band, x):
    """Solves, in place, for the (T, C) right-hand sides `x`, after `factor`."""
    T, columns = x.shape
    for i in range(T):
        for m in range(max(0, i - band), i):
            share = A[i, i - m]
            for c in range(columns):
                x[i, c] -= share * x[m, c]
    for i in range(T - 1, -1, -1):
        for c in range(columns):
            x[i, c] /= A[i, 0]
        for m in range(i + 1, min(T, i + band + 1)):
            share = A[m, m - i]
            for c in range(columns):
                x[i, c] -= share * x[m, c]


@compiled()
def _curvature(d, p, r, rho, valid, w, corrected, A, U, G):
    """Fills the band A, the columns U (T, 5) and the middle G (5, 5) of the Gauss-Newton matrix A + U G U'; returns the bandwidth."""
    T = len(d)
    A[:] = 0.0
    U[:] = 0.0
    G[:] = 0.0
    n, distance = 0, 0.0
    mean = np.zeros(3)
    for i in range(T):
        if valid[i]:
            n += 1
            length = 0.0
            for a in range(3):
                q = p[i, a] + d[i] * r[i, a]
                mean[a] += q
                length += q * q
            distance += d[i] + rho[i] if corrected else np.sqrt(length)
    mean /= n
    k = distance / n + _K_FLOOR
    scatter = 0.0
    scale = 2 * (1 - w) * STATIC_WEIGHT / n
    for i in range(T):
        if not valid[i]:
            A[i, 0] = 1.0
            continue
        toward, length = 0.0, 0.0
        for a in range(3):
            q = p[i, a] + d[i] * r[i, a]
            U[i, a] = r[i, a]
            U[i, 3] += (q - mean[a]) * r[i, a]
            toward += q * r[i, a]
            length += q * q
            scatter += (q - mean[a]) ** 2
        U[i, 4] = 1.0 / n if corrected else toward / max(np.sqrt(length), 1e-12) / n
        A[i, 0] = scale / k**2 + 2 * REGULAR_WEIGHT / (d[i] + rho[i]) ** 4
    for a in range(3):
        G[a, a] = -scale / (n * k**2)
    G[3, 4] = G[4, 3] = -scale / k**3
    G[4, 4] = scale * scatter / k**4
    if w < _NO_DYNAMICS:
        return 0
    weight = 2 * w * DYNAMIC_WEIGHT
    for s in STRIDES:
        for i in range(T):
            after, before = min(i + s, T - 1), max(i - s, 0)
            if (corrected and (i + s >= T or i - s < 0)) or not (valid[i] and valid[after] and valid[before]):
                continue
            at_after, at_before, at = 0.0, 0.0, -2.0
            for a in range(3):
                at_after += r[after, a] * r[i, a]
                at_before += r[before, a] * r[i, a]
            if after == i:
                at, at_after = at + at_after, 0.0
            if before == i:
                at, at_before = at + at_before, 0.0
            A[i, 0] += weight * at * at
            A[after, 0] += weight * at_after**2
            A[before, 0] += weight * at_before**2
            A[after, after - i] += weight * at * at_after if after > i else 0.0
            A[i, i - before] += weight * at * at_before if before < i else 0.0
            A[after, after - before] += weight * at_after * at_before if before < i < after else 0.0
    return BAND


@compiled()
def minimise(p, r, rho, valid, w, corrected, iterations, tolerance, d):
    """Fills (N, T) `d` with offsets along the rays that minimise the objective, from 0; no accepted step raises it."""
    N, T = valid.shape
    gradient, terms = np.zeros(T), np.zeros(5)
    A, damped = np.zeros((T, BAND + 1)), np.zeros((T, BAND + 1))
    U, G = np.zeros((T, _RANK)), np.zeros((_RANK, _RANK))
    x, trial = np.zeros((T, _RANK + 1)), np.zeros(T)
    for n in range(N):
        here = d[n]
        here[:] = 0.0
        if not valid[n].any():
            continue
        value = value_and_gradient(here, p[n], r[n], rho[n], valid[n], w[n], corrected, gradient, terms)
        damping = 1e-4
        small = 0
        for _ in range(iterations):
            band = _curvature(here, p[n], r[n], rho[n], valid[n], w[n], corrected, A, U, G)
            before = value
            for _ in range(8):
                for i in range(T):
                    for j in range(band + 1):
                        damped[i, j] = A[i, j]
                    damped[i, 0] *= 1 + damping
                    for c in range(_RANK):
                        x[i, c] = U[i, c]
                    x[i, _RANK] = -gradient[i] if valid[n, i] else 0.0
                factor(damped, band)
                solve(damped, band, x)
                inner, right = np.eye(_RANK), np.zeros(_RANK)
                UtX = U.T @ x
                for a in range(_RANK):
                    for b in range(_RANK):
                        right[a] += G[a, b] * UtX[b, _RANK]
                        for c in range(_RANK):
                            inner[a, c] += G[a, b] * UtX[b, c]
                share = np.linalg.solve(inner, right)
                ahead = True
                for i in range(T):
                    step = x[i, _RANK]
                    for c in range(_RANK):
                        step -= x[i, c] * share[c]
                    trial[i] = here[i] + step
                    if valid[n, i] and not trial[i] + rho[n, i] > _NEARER * rho[n, i]:
                        ahead = False
                if ahead:
                    value_there = value_and_gradient(trial, p[n], r[n], rho[n], valid[n], w[n], corrected, gradient, terms)
                    if value_there <= value:
                        value = value_there
                        here[:] = trial
                        damping = max(damping * 0.1, 1e-9)
                        break
                    value_and_gradient(here, p[n], r[n], rho[n], valid[n], w[n], corrected, gradient, terms)
                damping *= 10
            small = small + 1 if before - value <= tolerance * before else 0
            if small >= 2:
                break
