"""Rigid motions as 4x4 matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from toolkit.scene import F64


def invert(T: NDArray) -> F64:
    """The inverse of rigid motions (..., 4, 4)."""
    R, t = T[..., :3, :3], T[..., :3, 3]
    out = np.zeros(T.shape)
    out[..., :3, :3] = np.swapaxes(R, -1, -2)
    out[..., :3, 3] = -np.einsum("...ji,...j->...i", R, t)
    out[..., 3, 3] = 1
    return out


def transform(T: NDArray, xyz: NDArray) -> NDArray:
    """Points (..., 3) moved by rigid or similarity motions (..., 4, 4)."""
    return np.einsum("...ij,...j->...i", T[..., :3, :3], xyz) + T[..., :3, 3]


def from_rotation(R: NDArray, t: NDArray | None = None) -> F64:
    """(..., 4, 4) from rotations (..., 3, 3) and translations (..., 3), zero by default."""
    out = np.zeros((*R.shape[:-2], 4, 4))
    out[..., :3, :3] = R
    out[..., 3, 3] = 1
    if t is not None:
        out[..., :3, 3] = t
    return out


def rotation_angle_deg(R: NDArray) -> NDArray:
    """Angle of rotations (..., 3, 3), 0..180 degrees; exact for small ones too."""
    axis = [R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]]
    sine = 0.5 * np.linalg.norm(np.stack(axis, -1), axis=-1)
    cosine = 0.5 * (np.trace(R, axis1=-2, axis2=-1) - 1)
    return np.rad2deg(np.arctan2(sine, cosine))


def nearest_rotation(M: NDArray) -> F64:
    """The rotations (..., 3, 3) closest to matrices that should be rotations."""
    U, _, Vt = np.linalg.svd(np.asarray(M, np.float64))
    sign = np.linalg.det(U @ Vt)
    U = U.copy()
    U[..., :, 2] *= sign[..., None]
    return U @ Vt


def view_rotation(yaw_deg: float, pitch_deg: float) -> F64:
    """(3, 3) camera-to-rig rotation that turns the view right by `yaw_deg` and up by `pitch_deg`."""
    # y points down, so looking right is a positive turn about y and looking up a positive turn about x.
    return Rotation.from_euler("YX", [yaw_deg, pitch_deg], degrees=True).as_matrix()
