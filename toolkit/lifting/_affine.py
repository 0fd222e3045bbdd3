"""A robust line through points with gross errors, and lines over time smoothed by how sure they are and how much they change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.scene import F64

_SAMPLES = 300  # of two points: half of the points may be wrong
_ROUNDS = 15


@dataclass(frozen=True, eq=False)
class Affine:
    """y = a x + b.

    Attributes:
        a: Slope.
        b: Offset.
        covariance: (2, 2) of (a, b).
    """

    a: float
    b: float
    covariance: F64


def fit_affine(x: F64, y: F64) -> Affine | None:
    """The line through (x, y) by least median of squares, then by Tukey's biweight; None where x is one number.

    Rousseeuw 1984 for the start, which half of the points may contradict; Holland & Welsch 1977 for the rest.
    """
    scale, middle = float(np.subtract(*np.quantile(x, [0.9, 0.1]))), float(np.median(x))
    if not scale > 1e-9 * max(abs(middle), 1e-12):
        return None
    u = (x - middle) / scale
    rng = np.random.default_rng(0)
    i, j = rng.integers(0, len(u), (2, _SAMPLES))
    apart = np.abs(u[i] - u[j]) > 0.05  # noqa: PLR2004  (of the spread: nearer points tell no slope)
    if not apart.any():
        return None
    i, j = i[apart], j[apart]
    slope = (y[i] - y[j]) / (u[i] - u[j])
    offset = y[i] - slope * u[i]
    few = rng.permutation(len(u))[:400]
    median = np.median(np.abs(slope[:, None] * u[few] + offset[:, None] - y[few]), axis=1)
    best = int(median.argmin())
    theta = np.array([slope[best], offset[best]])
    A = np.stack([u, np.ones_like(u)], 1)
    floor = 1e-9 * float(np.median(np.abs(y)))
    weight, sigma = np.ones_like(u), 1.0
    for _ in range(_ROUNDS):
        residual = y - A @ theta
        sigma = max(1.4826 * float(np.median(np.abs(residual))), floor)
        weight = np.square(np.maximum(1 - np.square(residual / (4.685 * sigma)), 0))
        N = A.T @ (weight[:, None] * A)
        if np.linalg.cond(N) > 1e10:  # noqa: PLR2004  (all that is left lies at one x)
            return None
        theta = np.linalg.solve(N, A.T @ (weight * y))
    # Neighbouring points share errors: sqrt-many of them count as independent.
    covariance = sigma**2 * np.linalg.inv(A.T @ (weight[:, None] * A)) * np.sqrt(max(len(u), 1))
    J = np.array([[1 / scale, 0], [-middle / scale, 1]])
    a, b = J @ theta
    return Affine(float(a), float(b), J @ covariance @ J.T)


def smoothed(fits: list[Affine | None]) -> list[Affine | None]:
    """Lines over time by a Kalman smoother (Rauch, Tung & Striebel 1965), those that are missing filled in.

    How much a line may change from frame to frame is what it does change beyond its uncertainty, robustly: lines that jump freely
    stay as they are, lines that hardly change become one.
    """
    known = [t for t, fit in enumerate(fits) if fit is not None]
    if len(known) < 3:  # noqa: PLR2004  (nothing tells how much they change)
        return fits
    theta = np.array([(fits[t].a, fits[t].b) for t in known])  # type: ignore[union-attr]
    C = np.array([fits[t].covariance for t in known])  # type: ignore[union-attr]
    # In units of typical uncertainty, along its own axes, so that slope and offset count alike and independently.
    _, axes = np.linalg.eigh(np.median(C, axis=0))
    width = np.sqrt(np.maximum(np.einsum("ji,tjk,ki->ti", axes, C, axes), 1e-300))
    gaps = np.diff(known)[:, None]
    change = np.diff(theta @ axes, axis=0) ** 2 - (width[1:] ** 2 + width[:-1] ** 2) * _MEDIAN_OF_SQUARE
    Q = np.maximum(np.median(change / gaps, axis=0) / _MEDIAN_OF_SQUARE, 1e-4 * np.median(width, axis=0) ** 2)
    Q = axes @ np.diag(Q) @ axes.T

    count = len(fits)
    mean, cov = np.zeros((count, 2)), np.zeros((count, 2, 2))
    ahead, ahead_cov = np.zeros((count, 2)), np.zeros((count, 2, 2))
    m, P = theta[0], C[0] + known[0] * Q
    for t, fit in enumerate(fits):
        if t:
            P = P + Q
        ahead[t], ahead_cov[t] = m, P
        if fit is not None and t != known[0]:
            gain = P @ np.linalg.inv(P + fit.covariance)
            m = m + gain @ (np.array([fit.a, fit.b]) - m)
            P = (np.eye(2) - gain) @ P
        elif fit is not None:
            m, P = theta[0], C[0]
        mean[t], cov[t] = m, P
    for t in range(count - 2, -1, -1):
        gain = cov[t] @ np.linalg.inv(ahead_cov[t + 1])
        mean[t] = mean[t] + gain @ (mean[t + 1] - ahead[t + 1])
        cov[t] = cov[t] + gain @ (cov[t + 1] - ahead_cov[t + 1]) @ gain.T
    return [Affine(float(mean[t, 0]), float(mean[t, 1]), 0.5 * (cov[t] + cov[t].T)) for t in range(count)]


_MEDIAN_OF_SQUARE = 0.4549  # of a squared normal deviate
