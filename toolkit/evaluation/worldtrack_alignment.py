"""The alignments that WorldTrack scores points under, as they should be and as published."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.scene import F64

Alignment = Literal["none", "median_scale", "per_track", "sim3", "sim3_ransac"]
ALIGNMENTS: tuple[Alignment, ...] = get_args(Alignment)
FLOOR = 1e-12
RANSAC_SAMPLES, RANSAC_WITHIN_M, RANSAC_POINTS = 1000, 0.05, 16384


def aligned(pred: NDArray, gt: NDArray, how: Alignment, *, published: bool = False, seed: int = 0) -> F64:
    """Predicted points (N, T, 3) brought to the true ones; points that are not finite take no part in the fit.

    Args:
        pred: In any unit.
        gt: In metres.
        how: "median_scale" by the ratio of median distances from the first camera, the headline; "per_track" the same for each track;
            "sim3" by least squares; "sim3_ransac" by those of its inliers.
        published: Least squares as published: where a reflection has to be mended, its scale is 9 to 21 % too large.
        seed: Of the random samples.

    Raises:
        UserError: another alignment.
    """
    pred, gt = np.asarray(pred, np.float64), np.asarray(gt, np.float64)
    if how == "none":
        return pred
    if how == "per_track":
        return np.stack([_scale(p, g) * p for p, g in zip(pred, gt, strict=True)]) if len(pred) else pred
    if how == "median_scale":
        return _scale(pred, gt) * pred
    known = np.isfinite(pred).all(-1) & np.isfinite(gt).all(-1)
    if how == "sim3":
        s, R, t = similarity(pred[known], gt[known], published=published)
    elif how == "sim3_ransac":
        s, R, t = ransac_similarity(pred[known], gt[known], published=published, seed=seed)
    else:
        raise UserError(f"There is no alignment {how!r}; there are {', '.join(ALIGNMENTS)}.")
    return s * pred @ R.T + t


def similarity(source: NDArray, target: NDArray, *, published: bool = False) -> tuple[float, F64, F64]:
    """Scale, rotation and shift that bring points (P, 3) to others in least squares (Umeyama 1991).

    Args:
        source: Points.
        target: Their partners.
        published: The sum of all singular values as scale, also where the last of them stands for a reflection.
    """
    p, g = np.asarray(source, np.float64), np.asarray(target, np.float64)
    mean_p, mean_g = p.mean(0), g.mean(0)
    U, S, Vt = np.linalg.svd((p - mean_p).T @ (g - mean_g))
    mirrored = np.linalg.det(Vt.T @ U.T) < 0
    if mirrored:
        Vt = Vt * np.array([[1.0], [1.0], [-1.0]])
    R = Vt.T @ U.T
    total = S.sum() if published or not mirrored else S[0] + S[1] - S[2]
    s = float(total / (((p - mean_p) ** 2).sum() + FLOOR))
    return s, R, mean_g - s * R @ mean_p


def ransac_similarity(source: NDArray, target: NDArray, *, published: bool = False, seed: int = 0) -> tuple[float, F64, F64]:
    """The similarity of the largest group of points that agree on one within 5 cm, from 1000 samples of three."""
    p, g = np.asarray(source, np.float64), np.asarray(target, np.float64)
    rng = np.random.default_rng(seed)
    if len(p) > RANSAC_POINTS:
        rows = rng.choice(len(p), RANSAC_POINTS, replace=False)
        p, g = p[rows], g[rows]
    if len(p) < 3:  # noqa: PLR2004
        raise UserError(f"Only {len(p)} points are known, but an alignment needs at least 3.")
    best = np.zeros(len(p), bool)
    for _ in range(RANSAC_SAMPLES):
        rows = rng.choice(len(p), 3, replace=False)
        s, R, t = similarity(p[rows], g[rows], published=published)
        inliers = ((s * p @ R.T + t - g) ** 2).sum(1) < RANSAC_WITHIN_M**2
        if inliers.sum() > best.sum():
            best = inliers
    rows = best if best.sum() >= 3 else np.ones(len(p), bool)  # noqa: PLR2004
    return similarity(p[rows], g[rows], published=published)


def _scale(pred: F64, gt: F64) -> float:
    known = np.isfinite(pred).all(-1) & np.isfinite(gt).all(-1)
    if not known.any():
        return 1.0
    lengths = [np.maximum(np.linalg.norm(points[known], axis=-1), FLOOR) for points in (pred, gt)]
    return float(np.median(lengths[1]) / max(float(np.median(lengths[0])), FLOOR))
