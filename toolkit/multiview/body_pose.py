"""The pose of a rigid thing that several views see: candidates from single views, refined over all of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from toolkit.geometry.sampling import to_opencv
from toolkit.scene import F64, I64, B, Cameras


@dataclass(frozen=True, eq=False)
class Sightings:
    """Places of a body's points in the views of one frame.

    Attributes:
        shape: (S, 3) points on the body.
        xy: (S, 2) pixels.
        view: (S,) in which view.
        sigma_px: (S,) standard deviation per axis.
    """

    shape: F64
    xy: F64
    view: I64
    sigma_px: F64

    @staticmethod
    def joined(parts: list[Sightings]) -> Sightings:
        """All of them in one."""
        if not parts:
            return Sightings(np.zeros((0, 3)), np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0))
        return Sightings(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("shape", "xy", "view", "sigma_px")))

    def __len__(self) -> int:
        """Number of sightings."""
        return len(self.xy)


def pose_from_view(sightings: Sightings, view: int, camera: Cameras, t: int, *, reach_px: float, seed: int) -> F64 | None:
    """(4, 4) world-from-body from what one view sees (P3P with RANSAC), or None."""
    rows = np.flatnonzero(sightings.view == view)
    if len(rows) < 6:
        return None
    cv2.setRNGSeed(seed)
    K = camera.K[t].copy()
    K[:2, 2] -= 0.5
    try:
        ok, turn, shift, inliers = cv2.solvePnPRansac(
            sightings.shape[rows],
            to_opencv(sightings.xy[rows]),
            K,
            None,
            iterationsCount=300,
            reprojectionError=reach_px,
            flags=cv2.SOLVEPNP_AP3P,
        )
    except cv2.error:  # points of one place or line, from which OpenCV's last step makes no pose
        return None
    if not ok or inliers is None or len(inliers) < 6:
        return None
    T_cb = np.eye(4)
    T_cb[:3, :3], T_cb[:3, 3] = cv2.Rodrigues(turn)[0], shift.ravel()
    return camera.T_wc[t] @ T_cb


def residuals(T_wb: NDArray, sightings: Sightings, P: NDArray) -> F64:
    """(S, 2) pixels from each reprojection to its sighting; infinite behind the camera."""
    xyz = sightings.shape @ T_wb[:3, :3].T + T_wb[:3, 3]
    p = P[sightings.view]
    h = np.einsum("sij,sj->si", p[:, :, :3], xyz) + p[:, :, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(h[:, 2:] > 0, sightings.xy - h[:, :2] / h[:, 2:], np.inf)


def agreeing(T_wb: NDArray, sightings: Sightings, P: NDArray, *, reach_px: float) -> B:
    """(S,) which sightings a pose explains."""
    return np.linalg.norm(residuals(T_wb, sightings, P), axis=1) < reach_px


def refined(T_wb: NDArray, sightings: Sightings, P: NDArray, *, softness: float = 2.0, steps: int = 12) -> tuple[F64, F64]:
    """The pose that explains sightings best under Cauchy's loss, and the (6, 6) covariance of its turn and shift about the shape's middle.

    Args:
        T_wb: (4, 4) where to begin.
        sightings: What the views see.
        P: (V, 3, 4) projection matrices of the frame.
        softness: Residuals beyond so many sigmas count less and less.
        steps: Of Gauss and Newton.
    """
    T = T_wb.copy()
    H = np.eye(6) * 1e-12
    for _ in range(steps):
        turned = sightings.shape @ T[:3, :3].T
        middle = turned.mean(0)
        arm = turned - middle
        xyz = turned + T[:3, 3]
        p = P[sightings.view]
        h = np.einsum("sij,sj->si", p[:, :, :3], xyz) + p[:, :, 3]
        w = np.where(h[:, 2] > 1e-9, h[:, 2], np.nan)
        r = sightings.xy - h[:, :2] / w[:, None]
        by_xyz = (p[:, :2, :3] - (h[:, :2] / w[:, None])[..., None] * p[:, 2:, :3]) / w[:, None, None]
        by_turn = -np.einsum("sij,sjk->sik", by_xyz, _cross(arm))
        J = np.concatenate([by_turn, by_xyz], -1)
        scaled = (r**2).sum(1) / sightings.sigma_px**2
        weight = 1 / (sightings.sigma_px**2 * (1 + scaled / softness**2))
        weight = np.where(np.isfinite(weight), weight, 0.0)
        J, r = np.where(weight[:, None, None] > 0, J, 0.0), np.where(weight[:, None] > 0, r, 0.0)
        H = np.einsum("s,sia,sib->ab", weight, J, J)
        step = np.linalg.lstsq(H, np.einsum("s,sia,si->a", weight, J, r), rcond=1e-12)[0]
        R = Rotation.from_rotvec(step[:3]).as_matrix()
        T[:3, 3] += step[3:] + middle - R @ middle
        T[:3, :3] = R @ T[:3, :3]
        if np.abs(step[:3]).max() < 1e-8:
            break
    return T, np.asarray(np.linalg.pinv(H), np.float64)


def _cross(v: NDArray) -> F64:
    out = np.zeros((len(v), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = v[:, 2], -v[:, 1], v[:, 0]
    return out
