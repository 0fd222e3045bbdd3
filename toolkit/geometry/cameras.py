"""Pinhole cameras: intrinsics from a field of view, world points to pixels and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.scene import F64


def intrinsics_from_fov(fov_deg: float, size: tuple[int, int]) -> F64:
    """K of a pinhole camera with square pixels and a central principal point.

    Args:
        fov_deg: Horizontal field of view.
        size: (width, height) in pixels.

    Returns:
        (3, 3) float64, in pixels.

    >>> round(float(intrinsics_from_fov(60, (512, 512))[0, 0]), 3)
    443.405
    """
    if not 0 < fov_deg < 180:
        raise UserError(f"The field of view is {fov_deg} degrees, but a pinhole image needs one between 0 and 180 (60 is usual).")
    focal_px = 0.5 * size[0] / np.tan(0.5 * np.deg2rad(fov_deg))
    return np.array([[focal_px, 0, 0.5 * size[0]], [0, focal_px, 0.5 * size[1]], [0, 0, 1.0]])


def scale_intrinsics(K: NDArray, scale: float | tuple[float, float]) -> F64:
    """K of the same camera after its image was resized by `scale` (one number, or one for x and one for y)."""
    sx, sy = (scale, scale) if np.isscalar(scale) else scale  # type: ignore[misc]
    return np.diag([sx, sy, 1.0]) @ np.asarray(K, np.float64)  # type: ignore[list-item]


def project(xyz_w: NDArray, K: NDArray, T_wc: NDArray) -> tuple[NDArray, NDArray]:
    """World points in the pixels of a camera.

    Args:
        xyz_w: (..., T, 3) or (..., 3) world points.
        K: (T, 3, 3) or (3, 3) intrinsics.
        T_wc: (T, 4, 4) or (4, 4) world-from-camera.

    Returns:
        xy: (..., 2) pixels; NaN for points at or behind the camera.
        depth: (...) z-depth in the unit of the points, negative behind the camera.
    """
    R, c = T_wc[..., :3, :3], T_wc[..., :3, 3]
    xyz_c = np.einsum("...ji,...j->...i", R, xyz_w - c)
    depth = xyz_c[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        uv = np.where(depth[..., None] > 0, xyz_c[..., :2] / depth[..., None], np.nan)
    xy = np.einsum("...ij,...j->...i", K[..., :2, :2], uv) + K[..., :2, 2]
    return xy, depth


def unproject(xy: NDArray, depth: NDArray, K: NDArray, T_wc: NDArray) -> NDArray:
    """World points from pixels and their z-depth.

    Args:
        xy: (..., T, 2) or (..., 2) pixels.
        depth: (..., T) or (...) z-depth.
        K: (T, 3, 3) or (3, 3) intrinsics.
        T_wc: (T, 4, 4) or (4, 4) world-from-camera.

    Returns:
        (..., 3) world points in the unit of the depth; NaN where the depth is.
    """
    uv = np.einsum("...ij,...j->...i", np.linalg.inv(K[..., :2, :2]), xy - K[..., :2, 2])
    xyz_c = np.concatenate([uv, np.ones_like(uv[..., :1])], axis=-1) * depth[..., None]
    return np.einsum("...ij,...j->...i", T_wc[..., :3, :3], xyz_c) + T_wc[..., :3, 3]
