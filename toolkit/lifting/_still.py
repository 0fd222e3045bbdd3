"""The one point in the world that best explains all samples of a track, as if it stood still."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled
from toolkit.lifting._observe import linearise, solve3

ROBUST_DEPTH = 2.5  # residual, in standard deviations, at which a depth counts half (Cauchy)
ROBUST_PIXEL = 3.0  # the same for an image position
_ITERATIONS = 12
_CONVERGED = 1e-6  # of the point's depth


@compiled()
def fit_still(seen, known, sigma, pixel_sigma, xyz, R_cw, centres, pixel_scale, depth_scale, X, residual, variance):
    """One point per track, by robust Gauss-Newton on image position and inverse depth.

    Args:
        seen: (N, T, 3) x/z, y/z, 1/z.
        known: (N, T) which samples count.
        sigma: (N, T) standard deviation of 1/z, to be multiplied by `depth_scale`.
        pixel_sigma: (N, T) standard deviation of x/z and y/z, to be multiplied by `pixel_scale`.
        xyz: (N, T, 3) samples in the world, for the start.
        R_cw: (T, 3, 3) camera-from-world rotations.
        centres: (T, 3) camera centres.
        pixel_scale: What the told image errors are multiplied by.
        depth_scale: What the told depth errors are multiplied by.
        X: (N, 3) filled with the points, NaN for a track without samples.
        residual: (N, T, 3) filled with residuals in standard deviations, NaN where unknown.
        variance: (N,) filled with the trace of the point's covariance.
    """
    N, T = known.shape
    J, r = np.zeros((3, 3)), np.zeros(3)
    H, b, step, column = np.zeros((3, 3)), np.zeros(3), np.zeros(3), np.zeros(3)
    for n in range(N):
        residual[n] = np.nan
        X[n] = np.nan
        variance[n] = np.nan
        if not known[n].any():
            continue
        for a in range(3):
            X[n, a] = np.median(xyz[n, :, a][known[n]])
        for _ in range(_ITERATIONS):
            H[:] = 0.0
            b[:] = 0.0
            depth = np.inf
            for t in range(T):
                if not known[n, t] or not linearise(R_cw[t], centres[t], X[n], seen[n, t], r, J):
                    continue
                s_depth, s_pixel = sigma[n, t] * depth_scale, pixel_sigma[n, t] * pixel_scale
                w_depth = 1 / (1 + (r[2] / (ROBUST_DEPTH * s_depth)) ** 2) / s_depth**2
                w_pixel = 1 / (1 + (r[0] ** 2 + r[1] ** 2) / (ROBUST_PIXEL * s_pixel) ** 2) / s_pixel**2
                for a in range(3):
                    b[a] += w_pixel * (J[0, a] * r[0] + J[1, a] * r[1]) + w_depth * J[2, a] * r[2]
                    for c in range(3):
                        H[a, c] += w_pixel * (J[0, a] * J[0, c] + J[1, a] * J[1, c]) + w_depth * J[2, a] * J[2, c]
                depth = min(
                    depth, np.sqrt((X[n, 0] - centres[t, 0]) ** 2 + (X[n, 1] - centres[t, 1]) ** 2 + (X[n, 2] - centres[t, 2]) ** 2)
                )
            if not solve3(H, b, step):
                break
            length = np.sqrt(step[0] ** 2 + step[1] ** 2 + step[2] ** 2)
            short = min(1.0, 0.3 * depth / max(length, 1e-300))  # 1/z is far from linear beyond that
            for a in range(3):
                X[n, a] += short * step[a]
            if length < _CONVERGED * depth:
                break
        variance[n] = 0.0
        for a in range(3):
            b[:] = 0.0
            b[a] = 1.0
            variance[n] += column[a] if solve3(H, b, column) else np.nan
        for t in range(T):
            if known[n, t] and linearise(R_cw[t], centres[t], X[n], seen[n, t], r, J):
                residual[n, t, 0] = r[0] / (pixel_sigma[n, t] * pixel_scale)
                residual[n, t, 1] = r[1] / (pixel_sigma[n, t] * pixel_scale)
                residual[n, t, 2] = r[2] / (sigma[n, t] * depth_scale)
