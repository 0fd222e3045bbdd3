"""3D samples as their camera saw them: two image coordinates and an inverse depth, whose errors are independent and symmetric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.lifting.motion import known_samples
from toolkit.scene import F64, B, Cameras, Tracks3D

_USUAL_FRAMES = 200


def rows_at_once(usual: int, frames: int) -> int:
    """Tracks that are worked on at a time: fewer in a long clip, so that they take no more memory than in one of 200 frames."""
    return max(1, min(usual, usual * _USUAL_FRAMES // max(frames, 1)))


@dataclass(frozen=True)
class Observations:
    """What a stereo camera measured of N points in T frames.

    Attributes:
        seen: (N, T, 3) x/z, y/z and 1/z in the camera; NaN where unknown.
        known: (N, T) which samples are known.
        sigma: (N, T) standard deviation of 1/z; NaN where unknown.
        pixel_sigma: (N, T) standard deviation of x/z and of y/z, as far as told.
        xyz: (N, T, 3) the same samples in the world; NaN where unknown.
        R_cw: (T, 3, 3) camera-from-world rotations, identity where a frame has no pose.
        centres: (T, 3) camera centres, zero where a frame has no pose.
        focal_px: (T,) focal lengths.
    """

    seen: F64
    known: B
    sigma: F64
    pixel_sigma: F64
    xyz: F64
    R_cw: F64
    centres: F64
    focal_px: F64


def observe(
    tracks_3d: Tracks3D,
    cameras: Cameras,
    sigma_px: NDArray | None,
    *,
    pixel_sigma: float,
    inverse_depth_sigma: float,
    relative_sigma: float,
) -> Observations:
    """The samples of tracks in their cameras.

    Args:
        tracks_3d: N tracks of T frames.
        cameras: T cameras.
        sigma_px: (N, T) standard deviations of the image positions in pixels, as the tracker tells them; None if it does not.
        pixel_sigma: That of x/z and y/z where it does not.
        inverse_depth_sigma: Error of 1/z where the tracks do not tell theirs.
        relative_sigma: Least error of a depth, as a share of itself.
    """
    R_cw = np.where(cameras.registered[:, None, None], cameras.T_cw[:, :3, :3], np.eye(3))
    centres = np.where(cameras.registered[:, None], cameras.centres, 0.0)
    known = known_samples(tracks_3d, cameras)
    xyz = tracks_3d.xyz.astype(np.float64)
    in_camera = np.einsum("tij,ntj->nti", R_cw, xyz - centres)
    known &= in_camera[..., 2] > 0
    xyz[~known] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        inverse = 1 / np.where(known, in_camera[..., 2], np.nan)
        seen = np.concatenate([in_camera[..., :2] * inverse[..., None], inverse[..., None]], axis=-1)
        sigma = np.full(known.shape, inverse_depth_sigma)
        if tracks_3d.sigma is not None:
            told = tracks_3d.sigma.astype(np.float64) * inverse**2
            sigma = np.where(np.isfinite(told) & (told > 0), told, sigma)
        sigma = np.maximum(sigma, relative_sigma * inverse)
    focal_px = cameras.K[:, 0, 0].copy()
    pixel = np.full(known.shape, pixel_sigma)
    if sigma_px is not None:
        told_px = sigma_px.astype(np.float64)
        pixel = np.where(np.isfinite(told_px) & (told_px > 0), told_px / focal_px, pixel)
    return Observations(seen, known, sigma, pixel, xyz, R_cw, centres, focal_px)


@compiled()
def linearise(R, c, X, seen, residual, J):
    """Fills residuals (3,) = seen - predicted and the Jacobian (3, 3) of the prediction; False for a point behind the camera."""
    x = R[0, 0] * (X[0] - c[0]) + R[0, 1] * (X[1] - c[1]) + R[0, 2] * (X[2] - c[2])
    y = R[1, 0] * (X[0] - c[0]) + R[1, 1] * (X[1] - c[1]) + R[1, 2] * (X[2] - c[2])
    z = R[2, 0] * (X[0] - c[0]) + R[2, 1] * (X[1] - c[1]) + R[2, 2] * (X[2] - c[2])
    if z <= 0:
        return False
    u = 1 / z
    residual[0], residual[1], residual[2] = seen[0] - x * u, seen[1] - y * u, seen[2] - u
    for a in range(3):
        J[0, a] = u * (R[0, a] - x * u * R[2, a])
        J[1, a] = u * (R[1, a] - y * u * R[2, a])
        J[2, a] = -u * u * R[2, a]
    return True


@compiled()
def solve3(A, b, x):
    """Solves the symmetric positive 3x3 system A x = b; False where it is singular."""
    a, d, e, f, g, h = A[0, 0], A[0, 1], A[0, 2], A[1, 1], A[1, 2], A[2, 2]
    c0, c1, c2 = f * h - g * g, e * g - d * h, d * g - e * f
    determinant = a * c0 + d * c1 + e * c2
    if not determinant > 0:
        return False
    x[0] = (c0 * b[0] + c1 * b[1] + c2 * b[2]) / determinant
    x[1] = (c1 * b[0] + (a * h - e * e) * b[1] + (d * e - a * g) * b[2]) / determinant
    x[2] = (c2 * b[0] + (d * e - a * g) * b[1] + (a * f - d * d) * b[2]) / determinant
    return True
