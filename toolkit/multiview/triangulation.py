"""Where in the world a point is that several views see, when some are wrong: each pair, and each depth, proposes, all views judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.scene import F64, B, Cameras

_STEPS = 6  # of Gauss and Newton; from a pair's point three are enough


TWO_VIEWS_DEG = 125.0
"""Of an opaque thing, two views that look at it from angles farther apart show different sides, or one sees a side askance by more than
sixty degrees. Where there is a third view it tells whether they mean the same; thin boards show the same on both sides."""


@dataclass(frozen=True)
class TriangulationOptions:
    """What counts as agreement.

    Attributes:
        outlier_sigmas: An observation farther from the point's reprojection than this many of its standard deviations is left out.
        least_angle_deg: Two rays that meet at a smaller angle don't tell the depth.
        most_angle_deg: Two rays that meet at a larger angle hardly tell the depth; see `TWO_VIEWS_DEG`.
    """

    outlier_sigmas: float = 3.5
    least_angle_deg: float = 2.0
    most_angle_deg: float = 178.0


@dataclass(frozen=True, eq=False)
class Triangulated:
    """Points with what backs them.

    Attributes:
        xyz: (S, 3) float64 world, NaN where fewer than two views agree.
        covariance: (S, 3, 3) float64, grown where the views agree less than their sigmas promise; NaN where unknown.
        inlier: (S, V) bool which views agree.
        residual_px: (S, V) float64 distance from each observation to the reprojection, of outliers too; NaN where there is none.
    """

    xyz: F64
    covariance: F64
    inlier: B
    residual_px: F64

    @property
    def sigma(self) -> F64:
        """(S,) standard deviation per axis: the root of the mean of the three variances."""
        return np.sqrt(np.trace(self.covariance, axis1=-2, axis2=-1) / 3)


def projections(cameras: tuple[Cameras, ...]) -> F64:
    """(V, T, 3, 4) projection matrices; NaN where a camera is not registered."""
    return np.stack([camera.K @ camera.T_cw[:, :3] for camera in cameras])


def triangulate(
    xy: NDArray,
    sigma_px: NDArray,
    P: NDArray,
    options: TriangulationOptions | None = None,
    *,
    depth: tuple[NDArray, NDArray] | None = None,
    depth_share: float = 0.02,
) -> Triangulated:
    """Robust triangulation of S points.

    Each pair of views proposes a point (the least algebraic error), and so does each view whose depth is known; the proposal with the
    least truncated squared error over all views wins and is refined over the views that agree (Gauss-Newton on reprojection errors,
    and on depth).

    Args:
        xy: (S, V, 2) pixels; NaN where a view does not see the point.
        sigma_px: (S, V) standard deviation of each observation per axis.
        P: (S, V, 3, 4) or (V, 3, 4) projection matrices.
        options: What counts as agreement.
        depth: Twice (S, V) z-depth at each observation, NaN where unknown: the nearest and the farthest it may be. They differ at the
            edges of things, where depth only says what can't be.
        depth_share: Standard deviation of depth over depth.
    """
    options = options or TriangulationOptions()
    S, V = xy.shape[:2]
    near, far = (np.full((S, V), np.nan),) * 2 if depth is None else depth
    matrices = np.ascontiguousarray(np.broadcast_to(P, (S, V, 3, 4)), np.float64)
    xyz, covariance = np.full((S, 3), np.nan), np.full((S, 3, 3), np.nan)
    inlier, residual = np.zeros((S, V), np.bool_), np.full((S, V), np.nan)
    _triangulate(
        np.ascontiguousarray(xy, np.float64),
        np.ascontiguousarray(sigma_px, np.float64),
        matrices,
        np.ascontiguousarray(near, np.float64),
        np.ascontiguousarray(far, np.float64),
        depth_share,
        options.outlier_sigmas,
        (np.cos(np.deg2rad(options.least_angle_deg)), np.cos(np.deg2rad(options.most_angle_deg))),
        xyz,
        covariance,
        inlier,
        residual,
    )
    return Triangulated(xyz, covariance, inlier, residual)


@compiled()
def _triangulate(xy, sigma, P, near, far, share, most, cosines, xyz, covariance, inlier, residual):
    S, V = xy.shape[0], xy.shape[1]
    for s in range(S):
        seen, deep = np.zeros(V, np.bool_), np.zeros(V, np.bool_)
        for v in range(V):
            seen[v] = np.isfinite(xy[s, v, 0]) and np.isfinite(sigma[s, v]) and np.isfinite(P[s, v, 0, 0])
            deep[v] = seen[v] and np.isfinite(near[s, v]) and np.isfinite(far[s, v])
        best, X = np.inf, np.zeros(3)
        for a in range(V):
            for b in range(a, V):
                if not (seen[a] and seen[b]) or (a == b and not deep[a]):
                    continue
                if a == b:
                    Y, good = _of_depth(xy[s, a], P[s, a], 0.5 * (near[s, a] + far[s, a])), True
                else:
                    Y, good = _of_pair(xy[s, a], P[s, a], xy[s, b], P[s, b], cosines)
                if not good:
                    continue
                cost, agree = 0.0, 0
                for v in range(V):
                    if not seen[v]:
                        continue
                    r2 = _squared(xy[s, v], P[s, v], Y) / (2 * sigma[s, v] ** 2)
                    if deep[v]:
                        r2 += _depth_miss(P[s, v], Y, near[s, v], far[s, v], share) ** 2
                    if r2 < most * most:
                        agree += 2 if deep[v] else 1
                    cost += min(r2, most * most)
                if agree >= 2 and cost < best:
                    best, X = cost, Y
        if not np.isfinite(best):
            continue
        H = np.zeros((3, 3))
        for _ in range(_STEPS):
            H[:] = 0.0
            g = np.zeros(3)
            support = 0
            for v in range(V):
                if not seen[v]:
                    continue
                p = P[s, v]
                w = p[2, 0] * X[0] + p[2, 1] * X[1] + p[2, 2] * X[2] + p[2, 3]
                x = (p[0, 0] * X[0] + p[0, 1] * X[1] + p[0, 2] * X[2] + p[0, 3]) / w
                y = (p[1, 0] * X[0] + p[1, 1] * X[1] + p[1, 2] * X[2] + p[1, 3]) / w
                rx, ry = xy[s, v, 0] - x, xy[s, v, 1] - y
                r2, miss = (rx * rx + ry * ry) / (2 * sigma[s, v] ** 2), 0.0
                if deep[v]:
                    miss = _depth_miss(p, X, near[s, v], far[s, v], share)
                    r2 += miss * miss
                inlier[s, v] = w > 0 and r2 < most * most
                if not inlier[s, v]:
                    continue
                support += 2 if deep[v] else 1
                weight = 1.0 / sigma[s, v] ** 2
                if deep[v] and far[s, v] - near[s, v] < 2 * share * w:  # at an edge it may be either
                    scale = 1.0 / (share * w)
                    middle = (0.5 * (near[s, v] + far[s, v]) - w) * scale
                    for i in range(3):
                        g[i] += scale * p[2, i] * middle
                        for j in range(3):
                            H[i, j] += scale * scale * p[2, i] * p[2, j]
                jx, jy = (p[0, :3] - x * p[2, :3]) / w, (p[1, :3] - y * p[2, :3]) / w
                for i in range(3):
                    g[i] += weight * (jx[i] * rx + jy[i] * ry)
                    for j in range(3):
                        H[i, j] += weight * (jx[i] * jx[j] + jy[i] * jy[j])
            if support < 2 or np.linalg.det(H) <= 1e-12 * (np.trace(H) / 3) ** 3:
                inlier[s] = False
                break
            X = X + np.linalg.solve(H, g)
        count, chi2 = 0, 0.0
        for v in range(V):
            if seen[v]:
                r2 = _squared(xy[s, v], P[s, v], X)
                residual[s, v] = np.sqrt(r2)
                if inlier[s, v]:
                    count += 2
                    chi2 += r2 / sigma[s, v] ** 2
                    if deep[v]:
                        count += 1
                        chi2 += _depth_miss(P[s, v], X, near[s, v], far[s, v], share) ** 2
        if count >= 3:
            xyz[s] = X
            covariance[s] = np.linalg.inv(H) * max(1.0, chi2 / max(count - 3, 1))


@compiled(inline="always")
def _squared(xy, p, X):
    """Squared reprojection error, infinite behind the camera."""
    w = p[2, 0] * X[0] + p[2, 1] * X[1] + p[2, 2] * X[2] + p[2, 3]
    if w <= 0:
        return np.inf
    x = (p[0, 0] * X[0] + p[0, 1] * X[1] + p[0, 2] * X[2] + p[0, 3]) / w
    y = (p[1, 0] * X[0] + p[1, 1] * X[1] + p[1, 2] * X[2] + p[1, 3]) / w
    return (xy[0] - x) ** 2 + (xy[1] - y) ** 2


@compiled(inline="always")
def _depth_miss(p, X, near, far, share):
    """By how many standard deviations a point is nearer or farther than a view's depth allows."""
    w = p[2, 0] * X[0] + p[2, 1] * X[1] + p[2, 2] * X[2] + p[2, 3]
    off = near - w if w < near else w - far if w > far else 0.0
    return off / (share * max(w, 1e-12))


@compiled()
def _of_depth(xy, p, z):
    """The point of a ray at a depth."""
    return np.linalg.solve(np.ascontiguousarray(p[:, :3]), z * np.array([xy[0], xy[1], 1.0]) - p[:, 3])


@compiled()
def _of_pair(xy_a, P_a, xy_b, P_b, cosines):
    """The point of two rays with the least algebraic error, and whether it lies before both cameras at a useful angle."""
    A, b = np.zeros((3, 3)), np.zeros(3)
    rays, depths = np.zeros((2, 3)), np.zeros(2)
    for k in range(2):
        p = P_a if k == 0 else P_b
        xy = xy_a if k == 0 else xy_b
        M = np.ascontiguousarray(p[:, :3])
        ray = np.linalg.solve(M, np.array([xy[0], xy[1], 1.0]))
        centre = -np.linalg.solve(M, np.ascontiguousarray(p[:, 3]))
        ray /= np.sqrt(np.sum(ray * ray))
        rays[k] = ray
        for i in range(3):
            for j in range(3):
                across = (1.0 if i == j else 0.0) - ray[i] * ray[j]
                A[i, j] += across
                b[i] += across * centre[j]
    between = rays[0, 0] * rays[1, 0] + rays[0, 1] * rays[1, 1] + rays[0, 2] * rays[1, 2]
    if between > cosines[0] or between < cosines[1]:
        return np.zeros(3), False
    X = np.linalg.solve(A, b)
    for k in range(2):
        p = P_a if k == 0 else P_b
        depths[k] = p[2, 0] * X[0] + p[2, 1] * X[1] + p[2, 2] * X[2] + p[2, 3]
    return X, depths[0] > 0 and depths[1] > 0
