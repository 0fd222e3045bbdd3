"""How good cameras and moving points from tracks are: depth on still and moving points, told apart, and who is told to move."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.evaluation.cameras import cameras
from toolkit.scene import F64, B, Cameras

RATIOS = (1.25, 1.25**2, 1.25**3)  # Eigen et al. 2014
LEAST_SAMPLES = 1  # of a frame that counts


def depth_on_tracks(pred: ArrayLike, gt: ArrayLike, visible: ArrayLike, *, moving: ArrayLike | None = None) -> dict[str, float]:
    """Error of depth along tracks, with the scale of each frame (as TracksTo4D publishes it) and with one scale for all frames.

    A scale is the ratio of the medians of true and predicted depth over still and moving points together; it is the smaller of the
    two middle values where their number is even, as published. The scale of each frame hides a scale that drifts: "..._sequence"
    shows it.

    Args:
        pred: (N, T) predicted z-depth in any unit; NaN where not known. Zero and less is wrong by at least its true depth.
        gt: (N, T) true z-depth; NaN, 0 or less where unknown.
        visible: (N, T) which samples count.
        moving: (N,) or (N, T) which of them truly move; None if that is not known.

    Returns:
        "AbsRel", "delta_1", "delta_2", "delta_3" over all points, and each with "_static" and "_moving" over parts of them: means over
        the samples of a frame, then over frames that have any. The same with "_sequence" and one scale. "coverage": share of the
        samples that are predicted; those that aren't are left out elsewhere. NaN where there is nothing to score.

    Raises:
        UserError: for shapes that do not match.
    """
    p, g, counted = np.asarray(pred, np.float64), np.asarray(gt, np.float64), np.asarray(visible, bool)
    if p.shape != g.shape or p.shape != counted.shape or p.ndim != 2:  # noqa: PLR2004  (N, T)
        raise UserError(f"Predicted {p.shape}, true {g.shape} and visible {counted.shape} depths must all be (N, T).")
    with np.errstate(invalid="ignore"):
        wanted = counted & np.isfinite(g) & (g > 0)
    known = wanted & np.isfinite(p)
    parts = {"": known}
    if moving is not None:
        labels = np.asarray(moving, bool)
        labels = np.broadcast_to(labels[:, None] if labels.ndim == 1 else labels, p.shape)
        parts |= {"_static": known & ~labels, "_moving": known & labels}
    whole = np.full(p.shape[1], lower_median(g[known]) / lower_median(p[known]) if known.any() else np.nan)
    scores = {"coverage": float(known.sum() / wanted.sum()) if wanted.any() else float("nan")}
    for suffix, scales in (("", frame_scales(p, g, known)), ("_sequence", whole)):
        for part, mask in parts.items():
            with np.errstate(invalid="ignore"):  # no scale makes a depth of zero right
                scaled = p * scales
            scores |= {name + part + suffix: value for name, value in _scores(scaled, g, mask).items()}
    return scores


def motion_auc(motion: ArrayLike, moving: ArrayLike) -> float:
    """Chance that a point that moves has a higher motion level than one that does not: the area under the ROC curve.

    Args:
        motion: (N,) predicted levels in any unit; NaN counts as the lowest.
        moving: (N,) which points truly move.

    Returns:
        0..1, where 0.5 is chance; equal levels count half. NaN where all or none of the points move.

    >>> motion_auc([0.1, 0.2, 0.3], [False, False, True])
    1.0
    """
    levels = np.nan_to_num(np.asarray(motion, np.float64), nan=-np.inf)
    labels = np.asarray(moving, bool)
    if levels.shape != labels.shape or levels.ndim != 1:
        raise UserError(f"Motion levels {levels.shape} and labels {labels.shape} must both be (N,).")
    yes, no = levels[labels], np.sort(levels[~labels])
    if len(yes) == 0 or len(no) == 0:
        return float("nan")
    return float((np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")).mean() / (2 * len(no)))


def moving_points(
    pred_cameras: Cameras,
    pred_xyz: ArrayLike,
    gt_cameras: Cameras,
    gt_xyz: ArrayLike,
    visible: ArrayLike,
    *,
    motion: ArrayLike | None = None,
    moving: ArrayLike | None = None,
    distance: float | None = None,
) -> dict[str, float]:
    """All scores of cameras and moving points that come from tracks.

    Args:
        pred_cameras: Predicted cameras of T frames, in any unit.
        pred_xyz: (N, T, 3) predicted points in their world.
        gt_cameras: True cameras.
        gt_xyz: (N, T, 3) true points.
        visible: (N, T) which samples count.
        motion: (N,) predicted motion levels, or None.
        moving: (N,) which points truly move, or None.
        distance: What errors of the path are divided by, in the unit of the truth; by default the median true depth that is seen.

    Returns:
        What `cameras` and `depth_on_tracks` tell; "ate_distance": `ate` by the distance; "motion_auc".
    """
    pred, gt = np.asarray(pred_xyz, np.float64), np.asarray(gt_xyz, np.float64)
    true_depth = depth_in(gt_cameras, gt)
    scores = cameras(pred_cameras, gt_cameras) | depth_on_tracks(depth_in(pred_cameras, pred), true_depth, visible, moving=moving)
    seen = true_depth[np.asarray(visible, bool)]
    seen = seen[seen > 0]
    far = distance if distance is not None else float(np.median(seen)) if len(seen) else float("nan")
    scores["ate_distance"] = scores["ate"] / far
    if motion is not None and moving is not None:
        scores["motion_auc"] = motion_auc(motion, moving)
    return scores


def depth_in(path: Cameras, xyz: NDArray) -> F64:
    """(N, T) z-depth of points (N, T, 3) of the world in the camera of each frame."""
    return np.einsum("tj,ntj->nt", path.T_wc[:, :3, 2], xyz - path.centres)


def frame_scales(pred: NDArray, gt: NDArray, known: B) -> F64:
    """(T,) what brings predicted to true depth (N, T) in each frame; NaN where nothing is known in it."""
    scales = np.full(pred.shape[1], np.nan)
    for t in np.flatnonzero(known.sum(0) >= LEAST_SAMPLES):
        at = known[:, t]
        with np.errstate(divide="ignore"):
            scales[t] = lower_median(gt[at, t]) / lower_median(pred[at, t])
    return scales


def lower_median(values: NDArray) -> np.float64:
    """The middle value, the smaller of the two middle ones where their number is even."""
    return np.partition(np.asarray(values, np.float64), (len(values) - 1) // 2)[(len(values) - 1) // 2]


def _scores(z: NDArray, g: NDArray, mask: B) -> dict[str, float]:
    frames = np.flatnonzero(mask.any(0))
    rows = []
    for t in frames:
        a, b = z[mask[:, t], t], g[mask[:, t], t]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(a > 0, np.maximum(a / b, b / a), np.inf)
        rows.append([np.mean(np.abs(a - b) / b), *(np.mean(ratio < limit) for limit in RATIOS)])
    means = np.mean(rows, axis=0) if rows else np.full(1 + len(RATIOS), np.nan)
    return {name: float(value) for name, value in zip(("AbsRel", "delta_1", "delta_2", "delta_3"), means, strict=True)}
