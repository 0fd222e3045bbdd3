"""Scores of multi-view 3D point tracks as MVTracker (Rajič et al., ICCV 2025) prints them, with the thresholds of each data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.scene import F64, B

HEADLINES = {
    "AJ": "average_jaccard",
    "APD": "average_pts_within_thresh",
    "OA": "occlusion_accuracy",
    "MTE": "mte_visible",
    "ATE": "ate_visible",
    "FDE": "fde_visible",
    "survival": "survival",
}
LEAST_VISIBLE = 2  # frames, the query's included, for a track to be scored
HALVED = "dynamic-static-mean"


@dataclass(frozen=True)
class Benchmark:
    """What one data set calls near, lost and moving, in its own unit.

    Attributes:
        thresholds: Errors below which a point is found.
        survival: Error beyond which a track is lost.
        static: Paths shorter than this are still; None where tracks are not divided.
        dynamic: Longer ones move.
        very_dynamic: Longer ones move much.
    """

    thresholds: tuple[float, ...]
    survival: float
    static: float | None = None
    dynamic: float = 0.0
    very_dynamic: float = 0.0


BENCHMARKS = {
    "kubric-multiview": Benchmark((0.05, 0.1, 0.2, 0.4, 0.8), 0.5, 0.01, 0.1, 2.0),
    "dexycb-multiview": Benchmark((0.01, 0.02, 0.05, 0.1, 0.2), 0.1, 0.01, 0.1, 0.5),
    "panoptic-multiview": Benchmark((0.05, 0.1, 0.2, 0.4), 1.0),
    "tapvid2d": Benchmark((1, 2, 4, 8, 16), 50.0),
    "2dpt_ablation": Benchmark((1, 2, 4, 8, 16), 50.0, 1.0, 1.0, 50.0),
    "default": Benchmark((0.01, 0.02, 0.04, 0.08, 0.16), 0.5, 0.01, 0.1, 2.0),
}


def mvtracker_tracks(
    pred_xyz: ArrayLike,
    pred_visible: ArrayLike,
    gt_xyz: ArrayLike,
    gt_visible: ArrayLike,
    query_frames: ArrayLike | None = None,
    *,
    benchmark: str | Benchmark = "default",
) -> tuple[dict[str, F64], NDArray]:
    """Every score of every track, as shares and in the unit of the points.

    Args:
        pred_xyz: (N, T, D) predicted points, D = 3, or 2 for pixels; samples that are not finite are never near; means of errors leave them
            out, medians count them as infinitely far.
        pred_visible: (N, T) where any view is said to see them.
        gt_xyz: (N, T, D) true points in the same unit.
        gt_visible: (N, T) where any view sees them.
        query_frames: (N,) frame in which each was asked for; None for the first visible one.
        benchmark: Whose thresholds are used: a name of `BENCHMARKS`, or some of your own.

    Returns:
        The scores by their published names, each (K,), NaN where nothing could be scored; and (K,) which tracks they are of: the others
        are visible in less than two frames from their query on.

    Raises:
        UserError: for shapes that do not match, or an unknown benchmark.
    """
    marks = _benchmark(benchmark)
    pred, gt = np.asarray(pred_xyz, np.float64), np.asarray(gt_xyz, np.float64)
    claimed, seen = np.asarray(pred_visible, bool), np.asarray(gt_visible, bool)
    if pred.shape != gt.shape or pred.ndim != 3 or claimed.shape != gt.shape[:2] or seen.shape != gt.shape[:2]:
        raise UserError(
            f"Predicted {pred.shape}, true {gt.shape}, said visible {claimed.shape} and visible {seen.shape} must be (N, T, 3) twice and "
            "(N, T) twice."
        )
    asked = seen.argmax(1) if query_frames is None else np.asarray(query_frames).astype(np.int64)
    frame = np.arange(gt.shape[1])
    seen = seen & (frame >= asked[:, None])
    kept = np.flatnonzero(seen.sum(1) >= LEAST_VISIBLE)
    error = np.linalg.norm(pred[kept] - gt[kept], axis=-1)
    error = np.where(np.isfinite(error), error, np.inf)
    return _per_track(error, claimed[kept], seen[kept], asked[kept], marks), kept


def mvtracker_scores(
    pred_xyz: ArrayLike,
    pred_visible: ArrayLike,
    gt_xyz: ArrayLike,
    gt_visible: ArrayLike,
    query_frames: ArrayLike | None = None,
    *,
    benchmark: str | Benchmark = "default",
) -> dict[str, float]:
    """The published table of one sequence: every score, a hundred times, for every kind of track.

    Means are taken over tracks, unlike in TAP-Vid, which pools samples. Arguments and errors as in `mvtracker_tracks`.

    Returns:
        "{score}__{kind}": kinds are "any" and, where the benchmark divides them, "static", "dynamic", "very_dynamic" and the mean of the
        first two of these, "dynamic-static-mean", the published headline. Distances are a hundred times those of the points' unit:
        centimetres for metres. "n" is the share of tracks of a kind, "v" that of their visible samples.
    """
    marks = _benchmark(benchmark)
    per_track, kept = mvtracker_tracks(pred_xyz, pred_visible, gt_xyz, gt_visible, query_frames, benchmark=marks)
    gt, seen = np.asarray(gt_xyz, np.float64), np.asarray(gt_visible, bool)
    asked = seen.argmax(1) if query_frames is None else np.asarray(query_frames).astype(np.int64)
    seen = seen & (np.arange(seen.shape[1]) >= asked[:, None])
    length = np.array([_path(gt[i, seen[i]]) for i in kept])
    kinds = {"any": np.ones(len(kept), bool)}
    if marks.static is not None:
        moving = {"dynamic": length > marks.dynamic, "very_dynamic": length > marks.very_dynamic, "static": length < marks.static}
        kinds = moving | kinds
    table: dict[str, dict[str, float]] = {}
    for kind, which in kinds.items():
        if which.any():
            scores = {name: 100 * _mean(values[which]) for name, values in per_track.items()}
            table[kind] = scores | {"n": 100 * which.sum() / len(gt), "v": 100 * float(seen[kept][which].mean())}
    if "dynamic" in table and "static" in table:
        table[HALVED] = {name: (table["dynamic"][name] + table["static"][name]) / 2 for name in table["dynamic"]}
    return {f"{name}__{kind}": value for kind, scores in table.items() for name, value in scores.items()}


def headline(scores: dict[str, float]) -> dict[str, float]:
    """AJ, APD, OA and survival in percent, MTE, ATE and FDE in the unit of the points, of what `mvtracker_scores` returned.

    They are of the kinds that the papers print: the mean of those of moving and of still tracks, or of all where these are not divided.
    """
    kind = HALVED if f"average_jaccard__{HALVED}" in scores else "any"
    return {short: scores[f"{name}__{kind}"] / (100 if short in ("MTE", "ATE", "FDE") else 1) for short, name in HEADLINES.items()}


def _per_track(error: F64, claimed: B, seen: B, asked: NDArray, marks: Benchmark) -> dict[str, F64]:
    frame = np.arange(error.shape[1])
    after = frame > asked[:, None]
    scored, hidden = seen & after, ~seen & after
    right = claimed == seen
    scores = {
        "occlusion_accuracy": _share(right & after, after),
        "occlusion_accuracy_for_vis0": _share(right & hidden, hidden),
        "occlusion_accuracy_for_vis1": _share(right & scored, scored),
    }
    within, jaccard = [], []
    for threshold in marks.thresholds:
        near = error < threshold
        found = scored & near & claimed
        wrong = claimed & after & ~(scored & near)
        within.append(_share(scored & near, scored))
        jaccard.append(_ratio(found.sum(1), scored.sum(1) + wrong.sum(1)))
        scores[f"pts_within_{threshold:.2f}"], scores[f"jaccard_{threshold:.2f}"] = within[-1], jaccard[-1]
    scores["average_pts_within_thresh"], scores["average_jaccard"] = np.mean(within, axis=0), np.mean(jaccard, axis=0)
    along = [np.sort(e[s]) for e, s in zip(error, seen, strict=True)]
    scores["mte_visible"] = np.array([e[(len(e) - 1) // 2] for e in along])  # the lower median
    predicted = [e[s & np.isfinite(e)] for e, s in zip(error, seen, strict=True)]
    scores["ate_visible"] = np.array([e.mean() if len(e) else np.nan for e in predicted])
    scores["fde_visible"] = np.array([e[-1] if len(e) else np.nan for e in predicted])
    lost = seen & (error > marks.survival)
    until = np.where(lost.any(1), lost.argmax(1), len(frame))
    scores["survival"] = _ratio(until - asked, len(frame) - asked)
    return scores


def _benchmark(benchmark: str | Benchmark) -> Benchmark:
    if isinstance(benchmark, Benchmark):
        return benchmark
    if benchmark not in BENCHMARKS:
        raise UserError(f"There is no benchmark {benchmark!r}; there are {', '.join(BENCHMARKS)}.")
    return BENCHMARKS[benchmark]


def _path(points: F64) -> float:
    """Length of the way through visible points; gaps are bridged."""
    return float(np.linalg.norm(np.diff(points, axis=0), axis=-1).sum())


def _share(part: B, whole: B) -> F64:
    return _ratio(part.sum(1), whole.sum(1))


def _ratio(part: NDArray, whole: NDArray) -> F64:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _mean(values: F64) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
