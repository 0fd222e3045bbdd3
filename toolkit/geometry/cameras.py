"""Pinhole cameras: intrinsics from a field of view, world points to pixels and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.scene import F64

LEAST_FOCAL_PX = 8.0
"""The focal length of 127 degrees on a picture 32 px wide, the smallest that is taken; normalised focal lengths lie near 1."""


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


def checked_intrinsics(K: F64, what: str) -> F64:
    """K itself, if it can be that of a camera in pixels.

    Args:
        K: (3, 3) intrinsics.
        what: How a sentence calls it.

    Raises:
        UserError: no pinhole camera, or one whose picture has a width of 1.
    """
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    if not np.isfinite(K).all() or min(fx, fy) <= 0 or K[1, 0] != 0 or K[2].tolist() != [0, 0, 1]:
        raise UserError(f"{what} is {K.tolist()}, but [fx, s, cx], [0, fy, cy], [0, 0, 1] with focal lengths above 0 is needed.")
    if max(fx, fy) < LEAST_FOCAL_PX:
        raise UserError(f"{what} has focal lengths {fx:g} and {fy:g} and its centre at ({cx:g}, {cy:g}), but all four must be in pixels.")
    return K


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
