"""How close a camera path is to the true one: absolute and relative trajectory error, pose AUC, rotations against a device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.geometry.alignment import align_similarity
from toolkit.geometry.poses import invert, rotation_angle_deg
from toolkit.scene import F64, Cameras


def cameras(pred: Cameras, gt: Cameras, *, delta: int = 1) -> dict[str, float]:
    """Scores of a camera path.

    Frames that are not registered in the truth are left out; frames missing in the prediction count as failed pairs in the AUC and in
    `registered`, and are left out of the averages.

    Args:
        pred: Predicted cameras.
        gt: True cameras, as many.
        delta: Frames between the two cameras of a relative pose error.

    Returns:
        ate, ate_se3: root mean square distance of the centres after a similarity (a rigid) alignment, in the unit of the truth (Sturm et
            al. 2012).
        ate_extent, ate_path: `ate` by the diagonal of the true centres' box, by the length of the true path; NaN where the camera does
            not move.
        ate_se3_path: `ate_se3` by the length of the true path.
        scale: true unit / predicted unit, of the similarity alignment.
        ate_rot_deg: mean rotation error after alignment by the mean rotation.
        rpe_trans, rpe_rot_deg: root mean square error of the motion over `delta` frames, the translation scaled by `scale`.
        auc_3, auc_5, auc_10, auc_30: exact area under the recall of max(rotation error, error of the direction of translation) over all
            pairs of frames, up to so many degrees, 0..1 (VGGSfM and IMC's mAA, there approximated by one-degree bins).
        registered: share of the true cameras that have a predicted pose.

    Raises:
        UserError: different numbers of cameras, or no true one.
    """
    if len(pred) != len(gt):
        raise UserError(f"{len(pred)} predicted cameras came with {len(gt)} true ones; one each is needed.")
    if not gt.registered.any():
        raise UserError("None of the true cameras has a pose, so there is nothing to compare with.")
    both = pred.registered & gt.registered
    scores = {"registered": float(both.sum() / gt.registered.sum())}
    scores |= _absolute(pred, gt, both)
    scores |= _relative(pred, gt, both, delta, scores["scale"])
    errors = _pair_errors(pred.T_cw[gt.registered], gt.T_cw[gt.registered])
    for limit in (3, 5, 10, 30):
        scores[f"auc_{limit}"] = area_under_recall(errors, limit)
    return scores


def area_under_recall(errors: NDArray, limit: float) -> float:
    """Exact area under the share of errors below a threshold, over thresholds 0..limit, divided by limit; NaN errors are failures.

    >>> area_under_recall(np.array([0.0, 5.0, np.nan, 20.0]), 10)
    0.375
    """
    if len(errors) == 0:
        return float("nan")
    return float(np.mean(1 - np.minimum(np.nan_to_num(errors, nan=np.inf), limit) / limit))


def compare_rotations(pred: Cameras, R_wc_reference: NDArray) -> dict[str, Any]:
    """Rotations since the first frame against those of a device, free of both worlds.

    Args:
        pred: Predicted cameras.
        R_wc_reference: (T, 3, 3) world-from-camera orientations in OpenCV axes, such as those of a motion sensor; NaN where unknown.

    Returns:
        total_deg: largest reference rotation from the first frame that both know.
        residual_deg: list over frames of the angle between the two rotations since that frame, None where either is unknown.
        median, max, last: of the residuals, degrees.
        ratio: predicted angle / reference angle at the reference's largest rotation; NaN under one degree.

    Raises:
        UserError: different numbers of frames, or no frame with both.
    """
    R = np.asarray(R_wc_reference, np.float64)
    if R.shape != (len(pred), 3, 3):
        raise UserError(f"The reference orientations have shape {R.shape}, but {(len(pred), 3, 3)} is needed.")
    known = pred.registered & np.isfinite(R).all((1, 2))
    if not known.any():
        raise UserError("No frame has both a camera pose and a reference orientation.")
    first = int(np.flatnonzero(known)[0])
    mine = np.swapaxes(pred.T_wc[first, :3, :3], 0, 1) @ pred.T_wc[known, :3, :3]
    reference = R[first].T @ R[known]
    residual = rotation_angle_deg(np.swapaxes(reference, 1, 2) @ mine)
    angle, my_angle = rotation_angle_deg(reference), rotation_angle_deg(mine)
    at = int(np.argmax(angle))
    per_frame: list[float | None] = [None] * len(pred)
    for f, value in zip(np.flatnonzero(known), residual, strict=True):
        per_frame[int(f)] = float(value)
    return {
        "total_deg": float(angle[at]),
        "residual_deg": per_frame,
        "median": float(np.median(residual)),
        "max": float(residual.max()),
        "last": float(residual[-1]),
        "ratio": float(my_angle[at] / angle[at]) if angle[at] > 1 else float("nan"),
    }


def _absolute(pred: Cameras, gt: Cameras, both: NDArray[np.bool_]) -> dict[str, float]:
    """Errors of centres and orientations after alignment."""
    names = ("ate", "ate_se3", "ate_extent", "ate_path", "ate_se3_path", "scale", "ate_rot_deg")
    out: dict[str, float] = {name: float("nan") for name in names}
    if both.sum() < 3:
        return out
    a, b = pred.centres[both], gt.centres[both]
    true = gt.centres[gt.registered]
    extent = float(np.linalg.norm(np.ptp(true, axis=0)))
    path = float(np.linalg.norm(np.diff(true, axis=0), axis=1).sum())
    similarity, rigid = align_similarity(a, b), align_similarity(a, b, with_scale=False)
    out["ate"] = float(np.sqrt(((similarity(a) - b) ** 2).sum(1).mean()))
    out["ate_se3"] = float(np.sqrt(((rigid(a) - b) ** 2).sum(1).mean()))
    out["scale"] = similarity.scale
    if extent > 0:
        out["ate_extent"], out["ate_path"], out["ate_se3_path"] = out["ate"] / extent, out["ate"] / path, out["ate_se3"] / path
    # Orientations give their own alignment: on a straight path the centres leave a turn about it open.
    U, _, Vt = np.linalg.svd((gt.T_wc[both, :3, :3] @ np.swapaxes(pred.T_wc[both, :3, :3], 1, 2)).sum(0))
    turn = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    out["ate_rot_deg"] = float(rotation_angle_deg(np.swapaxes(gt.T_wc[both, :3, :3], 1, 2) @ turn @ pred.T_wc[both, :3, :3]).mean())
    return out


def _relative(pred: Cameras, gt: Cameras, both: NDArray[np.bool_], delta: int, scale: float) -> dict[str, float]:
    """Errors of the motion from each frame to the one `delta` later."""
    i = np.flatnonzero(both[:-delta] & both[delta:]) if delta < len(both) else np.zeros(0, np.int64)
    if len(i) == 0:
        return {"rpe_trans": float("nan"), "rpe_rot_deg": float("nan")}
    mine, true = invert(pred.T_wc[i]) @ pred.T_wc[i + delta], invert(gt.T_wc[i]) @ gt.T_wc[i + delta]
    mine[:, :3, 3] *= scale if np.isfinite(scale) else 1.0
    error = invert(true) @ mine
    return {
        "rpe_trans": float(np.sqrt((error[:, :3, 3] ** 2).sum(1).mean())),
        "rpe_rot_deg": float(np.sqrt((rotation_angle_deg(error[:, :3, :3]) ** 2).mean())),
    }


def _pair_errors(pred_cw: F64, gt_cw: F64) -> F64:
    """Larger of rotation error and translation direction error, degrees, over all pairs i < j; NaN where a predicted pose is missing."""
    i, j = np.triu_indices(len(gt_cw), 1)
    mine, true = pred_cw[j] @ invert(pred_cw[i]), gt_cw[j] @ invert(gt_cw[i])
    turn = rotation_angle_deg(np.swapaxes(true[:, :3, :3], 1, 2) @ mine[:, :3, :3])
    a, b = mine[:, :3, 3], true[:, :3, 3]
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    shift = np.rad2deg(np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(1)))
    # A pair without true translation has no direction to get wrong.
    still = np.linalg.norm(b, axis=1) <= 1e-9 * max(float(np.linalg.norm(gt_cw[:, :3, 3], axis=1).max()), 1e-12)
    shift = np.where(still, 0.0, np.where(length > 0, shift, 180.0))
    return np.where(np.isfinite(mine).all((1, 2)), np.maximum(turn, shift), np.nan)
