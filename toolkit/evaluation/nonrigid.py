"""How far deforming shapes are from the true ones, each frame turned onto its truth: e3D of non-rigid structure from motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.geometry.poses import nearest_rotation
from toolkit.scene import F64, B

LEAST_POINTS = 3  # of a frame that counts: fewer leave its turn open


def nonrigid(pred_xyz: ArrayLike, gt_xyz: ArrayLike, visible: ArrayLike | None = None, *, scale: bool = False) -> dict[str, float]:
    """e3D of shapes whose every frame is shifted and turned, but not scaled, onto its truth (Procrustes analysis by rotation alone).

    The mirror image of a body that turns the other way gives the same orthographic views, so the better of the two, chosen once for
    all frames, counts; single frames are never mirrored.

    Args:
        pred_xyz: (N, T, 3) predicted points, each frame in axes of its own; NaN where unknown.
        gt_xyz: (N, T, 3) true points, likewise.
        visible: (N, T) which samples count; None for all with a truth.
        scale: Whether one factor for all frames is fitted, for truth in another unit than the views.

    Returns:
        "e3D": mean over frames of |pred - truth| / |truth|, Frobenius norms (Dai, Li and He, IJCV 2014). "e3D_spread": mean distance of
        a point by the mean standard deviation of the truth per axis (Akhter et al. 2011, Gotardo and Martinez 2011). "e3D_worst": of the
        worst frame. "scale"; "mirrored", 1 or 0; "coverage", share of the samples that are predicted; "frames" that count.

    Raises:
        UserError: shapes that do not match, or nothing to compare.
    """
    pred, gt = np.asarray(pred_xyz, np.float64), np.asarray(gt_xyz, np.float64)
    if pred.shape != gt.shape or pred.ndim != 3 or pred.shape[2] != 3:  # noqa: PLR2004  (N, T, 3)
        raise UserError(f"Predicted {pred.shape} and true {gt.shape} points must both be (N, T, 3).")
    wanted = np.asarray(np.isfinite(gt).all(2))
    if visible is not None:
        if np.shape(visible) != gt.shape[:2]:
            raise UserError(f"visible has shape {np.shape(visible)}, but {gt.shape[:2]} is needed.")
        wanted &= np.asarray(visible, bool)
    known = wanted & np.isfinite(pred).all(2)
    frames = np.flatnonzero(known.sum(0) >= LEAST_POINTS)
    if len(frames) == 0:
        raise UserError(f"No frame has {LEAST_POINTS} points that are both predicted and known, so there is nothing to compare.")
    p, g = _centred(pred, known)[frames], _centred(gt, known)[frames]
    counted = known.T[frames]
    candidates = [_scores(p * np.array([1.0, 1.0, sign]), g, counted, fit=scale) for sign in (1.0, -1.0)]
    mirrored = int(candidates[1]["e3D"] < candidates[0]["e3D"])
    return candidates[mirrored] | {
        "mirrored": float(mirrored),
        "coverage": float(known.sum() / wanted.sum()),
        "frames": float(len(frames)),
    }


def _centred(xyz: F64, known: B) -> F64:
    """(T, N, 3) points about the centroid of what is known in their frame, 0 where nothing is."""
    weight = known.T[..., None]
    points = np.where(weight, xyz.transpose(1, 0, 2), 0.0)
    middle = points.sum(1, keepdims=True) / np.maximum(weight.sum(1, keepdims=True), 1)
    return np.where(weight, points - middle, 0.0)


def _scores(p: F64, g: F64, counted: B, *, fit: bool) -> dict[str, float]:
    turned = p @ nearest_rotation(p.transpose(0, 2, 1) @ g)
    factor = float((turned * g).sum() / (turned**2).sum()) if fit and turned.any() else 1.0
    error = factor * turned - g
    size = np.linalg.norm(g, axis=(1, 2))
    share = np.linalg.norm(error, axis=(1, 2)) / np.where(size > 0, size, np.nan)
    spread = np.sqrt((g**2).sum(1) / counted.sum(1)[:, None]).mean()
    return {
        "e3D": float(np.nanmean(share)),
        "e3D_spread": float(np.linalg.norm(error, axis=2)[counted].mean() / spread),
        "e3D_worst": float(np.nanmax(share)),
        "scale": factor,
    }
