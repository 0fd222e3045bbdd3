"""TAPVid-3D's own protocol (Koppula et al., NeurIPS 2024): thresholds grow with depth. Never to be mixed with WorldTrack's APD."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.scene import F64

THRESHOLDS_PX = (1, 2, 4, 8, 16)
THRESHOLDS_M = (0.01, 0.04, 0.16, 0.64, 2.56)
Scaling = Literal["median", "per_trajectory", "none"]


def metres_per_pixel(points: ArrayLike, fx_fy_cx_cy: ArrayLike) -> F64:
    """(...) metres that a pixel covers at the depth of points (..., 3) of a camera: depth by the geometric mean of focal lengths."""
    return np.asarray(points, np.float64)[..., 2] / float(np.sqrt(np.prod(np.asarray(fx_fy_cx_cy, np.float64)[:2])))


def tapvid3d_scores(
    pred: ArrayLike,
    gt: ArrayLike,
    visible: ArrayLike,
    fx_fy_cx_cy: ArrayLike,
    *,
    pred_visible: ArrayLike | None = None,
    scaling: Scaling = "median",
    fixed: bool = False,
) -> dict[str, float]:
    """APD3D, AJ3D and OA of points in each frame's own camera.

    Args:
        pred: (N, T, 3) predicted points; those that are not finite are wrong.
        gt: (N, T, 3) true points in metres.
        visible: (N, T) which are seen: of these alone position is judged.
        fx_fy_cx_cy: (4,) intrinsics, in the pixels that thresholds are meant in.
        pred_visible: (N, T) which are said to be seen; None for all.
        scaling: "median" by the ratio of median distances of seen points, "per_trajectory" the same of each track, or "none".
        fixed: Thresholds from 1 cm to 2.56 m, whatever the depth.

    Returns:
        "APD3D", "AJ3D" and "OA" in percent; NaN where nothing is seen.

    Raises:
        UserError: shapes that differ, or an unknown scaling.
    """
    p, g, seen = np.asarray(pred, np.float64), np.asarray(gt, np.float64), np.asarray(visible, bool)
    if p.shape != g.shape or p.shape[-1:] != (3,) or seen.shape != g.shape[:-1]:
        raise UserError(f"Predicted {p.shape}, true {g.shape} and visible {seen.shape} must be (N, T, 3), (N, T, 3) and (N, T).")
    claimed = np.ones(seen.shape, bool) if pred_visible is None else np.asarray(pred_visible, bool)
    known = seen & np.isfinite(p).all(-1) & np.isfinite(g).all(-1)
    if scaling == "median":
        p = _ratio(p[known], g[known]) * p
    elif scaling == "per_trajectory":
        p = np.stack([_ratio(a[k], b[k]) * a for a, b, k in zip(p, g, known, strict=True)]) if len(p) else p
    elif scaling != "none":
        raise UserError(f"There is no scaling {scaling!r}; there are median, per_trajectory and none.")
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(p - g, axis=-1)
    unit = np.ones(seen.shape) if fixed else metres_per_pixel(g, fx_fy_cx_cy)
    within, jaccards = [], []
    for threshold in THRESHOLDS_M if fixed else THRESHOLDS_PX:
        with np.errstate(invalid="ignore"):
            close = distance < threshold * unit
        within.append(_percent((close & seen).sum(), seen.sum()))
        wrong = claimed & ~(close & seen)
        jaccards.append(_percent((close & seen & claimed).sum(), seen.sum() + wrong.sum()))
    return {"APD3D": float(np.mean(within)), "AJ3D": float(np.mean(jaccards)), "OA": _percent((claimed == seen).sum(), seen.size)}


def _ratio(pred: F64, gt: F64) -> float:
    if not len(pred):
        return 1.0
    return float(np.median(np.linalg.norm(gt, axis=-1)) / max(float(np.median(np.linalg.norm(pred, axis=-1))), 1e-12))


def _percent(part: float, whole: float) -> float:
    return float(100.0 * part / whole) if whole > 0 else float("nan")
