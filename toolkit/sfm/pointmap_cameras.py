"""Cameras from pointmaps: focal length of a self-pair, pose of another frame by seeded PnP or by two maps of its own points.

Every pose comes with a covariance, and with a failure that is told: a camera that can't be found is NaN, never the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from toolkit.geometry.poses import from_rotation, invert
from toolkit.geometry.sampling import to_opencv
from toolkit.scene import F64

LEAST_POINTS = 6
STEPS = 10


@dataclass(frozen=True)
class PoseOptions:
    """How poses are found.

    Attributes:
        within_px: Points that project so near to their pixel agree with a pose.
        samples: Of four points at most.
        least_share: Of the points that must agree; fewer is no pose.
        most: Points that take part.
    """

    within_px: float = 5.0
    samples: int = 200
    least_share: float = 0.1
    most: int = 4000


@dataclass(frozen=True, eq=False)
class FoundPose:
    """A camera's pose in the frame of the points.

    Attributes:
        T_wc: (4, 4) world-from-camera; NaN where it failed.
        covariance: (6, 6) of rotation vector (radians) and translation, seen from the camera; NaN where it failed.
        inliers: Share of the points that agree.
        failure: Why there is no pose; empty where there is one.
    """

    T_wc: F64
    covariance: F64
    inliers: float
    failure: str = ""


def focal_of_pointmap(points: NDArray, weight: NDArray | None = None, *, steps: int = STEPS) -> float:
    """Focal length in pixels of a frame whose pixels' points (H, W, 3) are in its own camera; NaN where none can be known.

    Iteratively reweighted least squares for the sum of distances between pixels and projections (Weiszfeld; DUSt3R: Wang et al., CVPR
    2024, section 3.3), the principal point in the middle of the picture.

    Args:
        points: NaN where unknown. Of a self-pair: points at another moment no longer project to their own pixels.
        weight: (H, W) how much each pixel counts; None for all alike.
        steps: Of the iteration.
    """
    height, width = points.shape[:2]
    x, y = np.meshgrid(np.arange(width) + 0.5 - 0.5 * width, np.arange(height) + 0.5 - 0.5 * height)
    pixels = np.stack([x, y], -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rays = points[..., :2].astype(np.float64) / points[..., 2:]
    good = np.isfinite(rays).all(-1) & (points[..., 2] > 0)
    if good.sum() < LEAST_POINTS:
        return float("nan")
    p, r = pixels[good], rays[good]
    sure = np.ones(len(p)) if weight is None else np.asarray(weight, np.float64)[good]
    dot, square = (p * r).sum(1), (r**2).sum(1)
    focal = float((sure * dot).sum() / max((sure * square).sum(), 1e-12))
    for _ in range(steps):
        w = sure / np.maximum(np.linalg.norm(p - focal * r, axis=1), 1e-6)
        focal = float((w * dot).sum() / max((w * square).sum(), 1e-12))
    return focal if focal > 0 else float("nan")


def pose_by_pnp(
    points: NDArray, xy: NDArray, K: NDArray, sigma: NDArray | None = None, *, seed: int = 0, options: PoseOptions | None = None
) -> FoundPose:
    """The pose of a camera that sees points (N, 3) at pixels (N, 2): by samples, then by all that agree.

    Args:
        points: In the world; NaN where unknown.
        xy: Pixels.
        K: (3, 3) intrinsics.
        sigma: (N,) how wrong the points are, in their unit; the surest ones take part. None for all alike.
        seed: Of the samples: the same input and seed give the same pose.
        options: Limits.
    """
    use = options or PoseOptions()
    good = np.flatnonzero(np.isfinite(points).all(-1) & np.isfinite(xy).all(-1))
    if len(good) < LEAST_POINTS:
        return _failed(f"only {len(good)} points are known, {LEAST_POINTS} are needed")
    rng = np.random.default_rng(seed)
    if sigma is not None and len(good) > use.most:
        good = good[np.argsort(sigma[good], kind="stable")[: max(use.most, len(good) // 2)]]
    if len(good) > use.most:
        good = np.sort(rng.choice(good, use.most, replace=False))
    X, x = np.ascontiguousarray(points[good], np.float64), np.ascontiguousarray(to_opencv(xy[good]), np.float64)
    lens = K.copy()
    lens[:2, 2] -= 0.5
    cv2.setRNGSeed(seed)
    ok, turn, shift, inliers = cv2.solvePnPRansac(
        X, x, lens, None, iterationsCount=use.samples, reprojectionError=use.within_px, flags=cv2.SOLVEPNP_SQPNP
    )
    share = 0.0 if inliers is None else len(inliers) / len(good)
    if not ok or share < use.least_share or len(inliers) < LEAST_POINTS:
        return _failed(f"only {100 * share:.0f} % of the points agree on a pose", share)
    rows = np.asarray(inliers[:, 0], np.intp)
    turn, shift = cv2.solvePnPRefineLM(X[rows], x[rows], lens, None, turn, shift)
    seen, J = cv2.projectPoints(X[rows], turn, shift, lens, None)
    residual = (seen[:, 0] - x[rows]).ravel()
    R = Rotation.from_rotvec(turn[:, 0]).as_matrix()
    T_wc = invert(from_rotation(R, shift[:, 0]))
    depth = X[rows] @ R[2] + shift[2, 0]
    if not np.isfinite(T_wc).all() or np.mean(depth > 0) < 0.5:  # noqa: PLR2004
        return _failed("the points lie behind the camera", share)
    J = J[:, :6]
    noise = float(residual @ residual) / max(len(residual) - 6, 1)
    return FoundPose(T_wc, np.asarray(noise * np.linalg.pinv(J.T @ J), np.float64), share)


def pose_by_points(own: NDArray, world: NDArray, weight: NDArray | None = None, *, steps: int = STEPS) -> FoundPose:
    """The pose of a camera whose pixels' points are known in it and in the world, by weighted Procrustes, gross errors counting little.

    Args:
        own: (N, 3) in the camera.
        world: (N, 3) in the world, of the same unit.
        weight: (N,) how sure each pair is; None for all alike.
        steps: Of the reweighting.
    """
    good = np.isfinite(own).all(-1) & np.isfinite(world).all(-1)
    if good.sum() < LEAST_POINTS:
        return _failed(f"only {int(good.sum())} points are known in both, {LEAST_POINTS} are needed")
    a, b = own[good].astype(np.float64), world[good].astype(np.float64)
    sure = np.ones(len(a)) if weight is None else np.asarray(weight, np.float64)[good]
    w, far = sure, np.maximum(np.linalg.norm(a, axis=1), 1e-9)
    R, t = np.eye(3), np.zeros(3)
    for _ in range(steps):
        share = (w / w.sum())[:, None]
        mean_a, mean_b = (share * a).sum(0), (share * b).sum(0)
        U, _, Vt = np.linalg.svd((share * (b - mean_b)).T @ (a - mean_a))
        R = U @ np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))]) @ Vt
        t = mean_b - R @ mean_a
        error = np.linalg.norm(a @ R.T + t - b, axis=1) / far
        scale = max(1.4826 * float(np.median(error)), 1e-9)
        w = sure / far**2 / (1 + (error / scale) ** 2)
    agree = float(np.mean(error < 3 * scale))
    eye = np.zeros((len(a), 3, 3))
    eye[:, [2, 0, 1], [1, 2, 0]], eye[:, [1, 2, 0], [2, 0, 1]] = a, -a
    J = np.concatenate([-eye, np.broadcast_to(np.eye(3), eye.shape)], -1) / far[:, None, None]
    normal = np.einsum("nki,n,nkj->ij", J, w / w.max(), J)
    if np.linalg.cond(normal) > 1e12:  # noqa: PLR2004
        return _failed("the points lie on a line", agree)
    return FoundPose(from_rotation(R, t), scale**2 * np.linalg.inv(normal), agree)


def _failed(why: str, inliers: float = 0.0) -> FoundPose:
    return FoundPose(np.full((4, 4), np.nan), np.full((6, 6), np.nan), inliers, why)
