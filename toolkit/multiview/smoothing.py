"""Paths through the world from measured places: smoothed both ways in time, so that nothing lags, with gaps filled as far as is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.scene import F64


@dataclass(frozen=True)
class SmoothingOptions:
    """How paths are smoothed.

    Attributes:
        outlier_sigmas: A measurement farther from where the path leads than this many sigmas counts less.
        least_share: Least change of velocity a frame, as a share of the path's median speed: things never move quite evenly.
        longest_gap: Frames without a measurement beyond which a place is unknown, where no sigma says so before.
        most_sigma_share: A place is unknown where its sigma exceeds this share of the median distance moved over a gap ... of the scene.
    """

    outlier_sigmas: float = 4.0
    least_share: float = 0.05
    longest_gap: int = 12
    most_sigma_share: float = 0.05


def smooth(
    xyz_w: NDArray, doubt: NDArray, *, scale: float, weak: NDArray | None = None, options: SmoothingOptions | None = None
) -> tuple[F64, F64]:
    """Paths of N points (Rauch, Tung and Striebel's smoother on a velocity that wanders).

    How much the velocity of a point wanders is told by its own measurements: their second differences beyond what their sigmas explain.

    Args:
        xyz_w: (N, T, 3) measured places, NaN where not measured.
        doubt: (N, T) their standard deviation per axis, or (N, T, 3, 3) their covariance: depth is known less well than direction.
        scale: Size of the scene: places known less well than `most_sigma_share` of it are unknown.
        weak: (N, T) measurements that tell a direction alone: they hold the path, but how it wanders is told by the others.
        options: How.

    Returns:
        (N, T, 3) places, NaN before the first and after the last measurement beyond what sigma allows, and (N, T) their sigmas.
    """
    options = options or SmoothingOptions()
    covariance = doubt if doubt.ndim == 4 else doubt[..., None, None] ** 2 * np.eye(3)  # noqa: PLR2004 (N, T, 3, 3)
    sigma = np.sqrt(np.trace(covariance, axis1=-2, axis2=-1) / 3)
    xyz, out_sigma = np.full(xyz_w.shape, np.nan), np.full(sigma.shape, np.nan)
    measured = np.isfinite(xyz_w[..., 0]) & np.isfinite(sigma)
    strong = measured if weak is None else measured & ~weak
    for n in range(len(xyz_w)):
        known = np.flatnonzero(strong[n])
        if len(known) < 2:
            xyz[n, known], out_sigma[n, known] = xyz_w[n, known], sigma[n, known]
            continue
        held = np.flatnonzero(measured[n])
        first, last = held[0], held[-1]
        rows = slice(first, last + 1)
        q = _wander(xyz_w[n], sigma[n], known, options)
        path, spread = _both_ways(
            np.ascontiguousarray(np.where(measured[n, rows, None], xyz_w[n, rows], np.nan), np.float64),
            np.ascontiguousarray(covariance[n, rows], np.float64),
            q,
            options.outlier_sigmas,
        )
        # What is wrong in one frame is wrong in the next: errors of a track do not average out.
        spread = np.fmax(spread, np.where(strong[n, rows], sigma[n, rows], np.nan))
        away = np.min(np.abs(np.arange(first, last + 1)[:, None] - held[None]), axis=1)
        good = (spread <= options.most_sigma_share * scale) & (2 * away <= options.longest_gap)
        xyz[n, rows], out_sigma[n, rows] = np.where(good[:, None], path, np.nan), np.where(good, spread, np.nan)
    return xyz, out_sigma


def _wander(xyz: NDArray, sigma: NDArray, known: NDArray, options: SmoothingOptions) -> float:
    """Variance of the change of velocity from frame to frame, per axis."""
    speed = np.median(np.linalg.norm(np.diff(xyz[known], axis=0), axis=1) / np.diff(known))
    floor = (options.least_share * speed) ** 2 + (0.3 * np.median(sigma[known])) ** 2
    middle = known[1:-1][(known[2:] - known[:-2]) == 2]
    if len(middle) < 3:
        return float(floor + speed**2)
    second = xyz[middle + 1] - 2 * xyz[middle] + xyz[middle - 1]
    noise = sigma[middle + 1] ** 2 + 4 * sigma[middle] ** 2 + sigma[middle - 1] ** 2
    excess = (second**2).mean(1) - noise
    return float(max(np.percentile(excess, 75), floor))  # the livelier part of the path decides, so that nothing is flattened


@compiled()
def _both_ways(xyz, covariance, q, most):
    T = len(xyz)
    F, Q = np.eye(6), np.zeros((6, 6))
    for i in range(3):
        F[i, 3 + i] = 1.0
        Q[i, i], Q[i, 3 + i], Q[3 + i, i], Q[3 + i, 3 + i] = 0.25 * q, 0.5 * q, 0.5 * q, q
    x, P = np.zeros((T, 6)), np.zeros((T, 6, 6))
    x_ahead, P_ahead = np.zeros((T, 6)), np.zeros((T, 6, 6))
    second = 1
    while second < T - 1 and not np.isfinite(xyz[second, 0]):
        second += 1
    x[0, :3] = xyz[0]
    P[0, :3, :3] = covariance[0]
    for i in range(3):
        x[0, 3 + i] = (xyz[second, i] - xyz[0, i]) / second
        P[0, 3 + i, 3 + i] = 100.0 * q + 1e-18
    for t in range(1, T):
        x_ahead[t], P_ahead[t] = F @ x[t - 1], F @ P[t - 1] @ F.T + Q
        x[t], P[t] = x_ahead[t], P_ahead[t]
        if np.isfinite(xyz[t, 0]):
            miss = xyz[t] - x_ahead[t, :3]
            S = P_ahead[t, :3, :3] + covariance[t]
            surprise = np.sum(miss * np.linalg.solve(S, miss)) / 3 / most**2
            if surprise > 1.0:
                S = P_ahead[t, :3, :3] + covariance[t] * surprise
            gain = P_ahead[t, :, :3].copy() @ np.linalg.inv(S)
            x[t] += gain @ miss
            P[t] -= gain @ P_ahead[t, :3].copy()
            P[t] = 0.5 * (P[t] + P[t].T)
    for t in range(T - 2, -1, -1):
        C = P[t] @ F.T @ np.linalg.inv(P_ahead[t + 1] + 1e-18 * np.eye(6))
        x[t] += C @ (x[t + 1] - x_ahead[t + 1])
        P[t] += C @ (P[t + 1] - P_ahead[t + 1]) @ C.T
    spread = np.zeros(T)
    for t in range(T):
        spread[t] = np.sqrt(max(P[t, 0, 0] + P[t, 1, 1] + P[t, 2, 2], 0.0) / 3)
    return x[:, :3].copy(), spread
