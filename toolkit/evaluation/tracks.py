"""Scores of point tracks against ground truth: TAP-Vid and BADJA in pixels, WorldTrack and MVTracker in world units.

All shares are percentages, 0..100, as the papers print them; NaN where nothing could be scored.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.evaluation.mvtracker import Benchmark, headline, mvtracker_scores
from toolkit.geometry.alignment import align_similarity, median_scale
from toolkit.scene import F64, B, Tracks2D

# TAP-Vid (Doersch et al., NeurIPS 2022, section 4): errors are judged on a 256 x 256 raster, at these radii.
TAPVID_SIDE = 256
TAPVID_THRESHOLDS_PX = (1, 2, 4, 8, 16)
# WorldTrack (St4RTrack, ICCV 2025): share of points within these distances, in metres.
WORLDTRACK_THRESHOLDS = (0.1, 0.3, 0.5, 1.0)
PROTOCOLS_3D = ("worldtrack", "mvtracker")


def tracks_2d(pred: Tracks2D, gt: Tracks2D, *, size: tuple[int, int]) -> dict[str, float]:
    """TAP-Vid scores in its mode "first": only frames after each track's query count.

    Args:
        pred: N predicted tracks over T frames, in pixels.
        gt: The N annotated tracks; `gt.queries[:, 0]` says where each one was queried. `xy` need not be finite where not visible.
        size: (width, height) of the image that both live in; errors are scaled to 256 x 256, each axis by itself.

    Returns:
        Percentages: "delta_1" .. "delta_16" (visible samples strictly closer than that many px), their mean "delta_avg",
        "AJ" (average Jaccard), "OA" (occlusion accuracy). Samples of all tracks are pooled, as published.

    Raises:
        UserError: If the two do not hold the same number of tracks and frames.
    """
    if pred.xy.shape != gt.xy.shape:
        raise UserError(f"Predicted tracks have shape {pred.xy.shape}, annotated ones {gt.xy.shape}; both must be alike.")
    scale = TAPVID_SIDE / np.asarray(size, np.float64)
    after = np.arange(gt.xy.shape[1])[None, :] > gt.queries[:, :1]
    seen = gt.visible & after
    claimed = pred.visible & after
    with np.errstate(invalid="ignore"):
        error = np.linalg.norm((pred.xy.astype(np.float64) - gt.xy) * scale, axis=-1)
    scores: dict[str, float] = {}
    jaccards = []
    for threshold in TAPVID_THRESHOLDS_PX:
        close = error < threshold
        scores[f"delta_{threshold}"] = _percent((close & seen).sum(), seen.sum())
        false_positives = claimed & ~(close & seen)
        jaccards.append(_percent((close & seen & claimed).sum(), seen.sum() + false_positives.sum()))
    scores["delta_avg"] = float(np.mean([scores[f"delta_{t}"] for t in TAPVID_THRESHOLDS_PX]))
    scores["AJ"] = float(np.mean(jaccards))
    scores["OA"] = _percent(((pred.visible == gt.visible) & after).sum(), after.sum())
    return scores


def keypoint_transfer(pred_xy: ArrayLike, gt_xy: ArrayLike, visible: ArrayLike, *, mask_areas: ArrayLike, share: float = 0.2) -> float:
    """PCK-T of BADJA: the share of annotated joints that a track from the first annotation ends near.

    Args:
        pred_xy: (N, T, 2) predicted joints in pixels.
        gt_xy: (N, T, 2) annotated joints in the same pixels.
        visible: (N, T) which annotations count; leave out the query frame itself.
        mask_areas: (T,) area of the animal in square pixels of the same image.
        share: A joint is right when its error is at most `share * sqrt(area)` (Biggs et al., ACCV 2018, section 5).

    Returns:
        Percentage of the counted samples that are right.
    """
    counted = np.asarray(visible, bool)
    error = np.linalg.norm(np.asarray(pred_xy, np.float64) - np.asarray(gt_xy, np.float64), axis=-1)
    right = error <= share * np.sqrt(np.asarray(mask_areas, np.float64))[None, :]
    return _percent((right & counted).sum(), counted.sum())


def tracks_3d(
    pred_xyz: ArrayLike,
    gt_xyz: ArrayLike,
    visible: ArrayLike,
    *,
    align: Literal["none", "median_scale", "sim3"] | None = None,
    protocol: str = "worldtrack",
    pred_visible: ArrayLike | None = None,
    query_frames: ArrayLike | None = None,
    benchmark: str | Benchmark = "default",
) -> dict[str, float]:
    """How far predicted points of the world are from the true ones.

    Args:
        pred_xyz: (N, T, 3) predicted points, in any unit when they are aligned; samples that are not finite count as wrong in APD.
        gt_xyz: (N, T, 3) true points in metres.
        visible: (N, T) which samples count; samples whose truth is not finite never do.
        align: "median_scale" multiplies by the ratio of median distances from the origin (the published headline),
            "sim3" fits scale, rotation and shift by least squares, "none" takes the prediction as it is. None for what the protocol
            prints: "median_scale" for "worldtrack", "none" for "mvtracker".
        protocol: "worldtrack", fixed metric thresholds as in St4RTrack; or "mvtracker", thresholds of a benchmark of multi-view tracks,
            where frames after each track's query count.
        pred_visible: (N, T) where any view is said to see the point; only for "mvtracker". None for wherever there is a prediction.
        query_frames: (N,) where each track was asked for; only for "mvtracker". None for its first visible frame.
        benchmark: Whose thresholds "mvtracker" uses, see `toolkit.evaluation.mvtracker`.

    Returns:
        "APD_0.1" .. "APD_1.0" and their mean "APD" in percent, "EPE" (mean distance in metres over the finite predictions), "scale".
        For "mvtracker" "AJ", "APD", "OA" and "survival" in percent, "MTE", "ATE" and "FDE" in the unit of the points, "scale".

    Raises:
        UserError: For another protocol or alignment, for shapes that do not match, or if nothing can be scored.
    """
    if protocol not in PROTOCOLS_3D:
        raise UserError(f"There is no protocol {protocol!r} for 3D tracks; there is {', '.join(PROTOCOLS_3D)}.")
    pred, gt = np.asarray(pred_xyz, np.float64), np.asarray(gt_xyz, np.float64)
    if pred.shape != gt.shape or pred.shape[-1:] != (3,) or np.shape(visible) != gt.shape[:-1]:
        raise UserError(f"Predicted {pred.shape}, true {gt.shape} and visible {np.shape(visible)} must be (N, T, 3), (N, T, 3) and (N, T).")
    counted = np.logical_and(np.asarray(visible, bool), np.isfinite(gt).all(-1))
    predicted = np.asarray(np.isfinite(pred[counted]).all(-1))
    p, g = pred[counted], gt[counted]
    if not predicted.any():
        raise UserError(f"None of the {int(counted.sum())} visible samples has a predicted point.")
    if protocol == "mvtracker":
        scale, moved = _aligned(p, g, predicted, align or "none", pred)
        claimed = np.isfinite(pred).all(-1) if pred_visible is None else pred_visible
        return headline(mvtracker_scores(moved, claimed, gt, visible, query_frames, benchmark=benchmark)) | {"scale": scale}
    scale, aligned = _aligned(p, g, predicted, align or "median_scale", p)
    distance = np.where(predicted, np.linalg.norm(aligned - g, axis=-1), np.inf)
    scores = {f"APD_{t}": _percent((distance <= t).sum(), len(distance)) for t in WORLDTRACK_THRESHOLDS}
    scores["APD"] = float(np.mean(list(scores.values())))
    scores["EPE"] = float(distance[predicted].mean())
    scores["scale"] = scale
    return scores


def _aligned(p: F64, g: F64, known: B, align: str, moved: F64) -> tuple[float, F64]:
    """Scale, and points `moved` by what brings the known ones of `p` to those of `g`."""
    if align == "none":
        return 1.0, moved
    if align == "median_scale":
        scale = median_scale(p[known], g[known])
        return scale, moved * scale
    if align == "sim3":
        sim3 = align_similarity(p[known], g[known])
        return sim3.scale, sim3(moved)
    raise UserError(f"There is no alignment {align!r}; there are none, median_scale and sim3.")


def _percent(part: float | NDArray, whole: float | NDArray) -> float:
    return float(100.0 * part / whole) if whole > 0 else float("nan")
