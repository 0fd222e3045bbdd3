"""The WorldTrack protocol of St4RTrack (Feng et al., ICCV 2025): exact, and as published with its truncation and its averages.

"exact" reads predictions between pixels, fits similarities as Umeyama does, and averages over the sequences that have what is averaged.
"published" truncates query pixels, scales a reflected fit too large, and divides every sum of EPE by all sequences with any. TAPVid-3D's
score of the same name is another one: `toolkit.evaluation.tapvid3d`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.evaluation.tracks import WORLDTRACK_THRESHOLDS
from toolkit.evaluation.worldtrack_alignment import ALIGNMENTS, Alignment, aligned
from toolkit.geometry.poses import invert, transform
from toolkit.geometry.sampling import sample_bilinear
from toolkit.scene import F64, B

Mode = Literal["exact", "published"]
FRAMES = 64  # of a sequence, the first
MOVES_M = 0.01  # a track that goes further over all its steps is dynamic
NEAREST_M, FARTHEST_M = 0.1, 5.0  # depth of pixels that count in reconstruction
SAMPLES = 1000  # of the bootstrap
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, eq=False)
class TrackSequence:
    """A sequence of the benchmark, as the evaluator sees it.

    Attributes:
        name: Of the sequence.
        xyz_w: (N, T, 3) true points in the first camera's frame, metres, of the points that are visible in the first frame.
        uv: (N, 2) where they are in it, as the published code counts pixels (whole numbers at pixel centres).
        visible: (N, T) which samples are seen.
        T_cw: (T, 4, 4) camera from the world, the first one the identity.
    """

    name: str
    xyz_w: F64
    uv: F64
    visible: B
    T_cw: F64


def track_sequence(
    name: str,
    tracks_XYZ: ArrayLike,  # noqa: N803  (the files' own name)
    fx_fy_cx_cy: ArrayLike,
    visibility: ArrayLike,
    extrinsics_w2c: ArrayLike | None = None,
    *,
    frames: int = FRAMES,
) -> TrackSequence:
    """A sequence from the arrays of a benchmark file.

    Args:
        name: Of the sequence.
        tracks_XYZ: (T, N, 3) points in each frame's own camera, metres.
        fx_fy_cx_cy: (4,) intrinsics in pixels, whole numbers at pixel centres.
        visibility: (T, N).
        extrinsics_w2c: (T, 4, 4) camera from world; None where the camera stands still.
        frames: So many are used.

    Raises:
        UserError: shapes that do not fit.
    """
    xyz = np.asarray(tracks_XYZ, np.float64)[:frames]
    visible = np.asarray(visibility, bool)[:frames]
    if xyz.ndim != 3 or xyz.shape[2] != 3 or visible.shape != xyz.shape[:2]:  # noqa: PLR2004
        raise UserError(f"tracks_XYZ has shape {xyz.shape} and visibility {visible.shape}, but (T, N, 3) and (T, N) are needed.")
    T_cw = np.tile(np.eye(4), (len(xyz), 1, 1)) if extrinsics_w2c is None else np.asarray(extrinsics_w2c, np.float64)[:frames]
    if T_cw.shape != (len(xyz), 4, 4):
        raise UserError(f"extrinsics_w2c has shape {T_cw.shape}, but {(len(xyz), 4, 4)} is needed.")
    T_cw = T_cw @ np.linalg.inv(T_cw[0])
    world = transform(np.linalg.inv(T_cw)[:, None], xyz)
    fx, fy, cx, cy = np.asarray(fx_fy_cx_cy, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        uv = np.stack([fx * xyz[0, :, 0] / xyz[0, :, 2] + cx, fy * xyz[0, :, 1] / xyz[0, :, 2] + cy], -1)
    first = visible[0]
    return TrackSequence(name, world[:, first].swapaxes(0, 1), uv[first], visible[:, first].T, T_cw)


def read_pointmaps(sequence: TrackSequence, pointmaps: NDArray, image_size: tuple[int, int], mode: Mode) -> tuple[F64, F64, B]:
    """Predicted tracks at a sequence's queries, from dense maps of what the first frame shows.

    Args:
        sequence: Of the benchmark.
        pointmaps: (T, h, w, 3) where what the first frame shows is at each moment.
        image_size: (width, height) of the benchmark's pictures.
        mode: "published" truncates to a pixel, "exact" reads between pixels.

    Returns:
        (n, T, 3) predicted and true points of the queries inside the map, and (n, T) visible.
    """
    height, width = pointmaps.shape[1:3]
    scaled = sequence.uv * [width / image_size[0], height / image_size[1]]
    frames = min(len(pointmaps), sequence.xyz_w.shape[1])
    if mode == "published":
        inside = ((scaled >= 0) & (scaled < [width, height])).all(1)
        column, row = scaled[inside].astype(int).T
        found = pointmaps[:frames, row, column].swapaxes(0, 1)
    else:
        inside = ((sequence.uv >= -0.5) & (sequence.uv < np.array(image_size) - 0.5)).all(1)  # noqa: PLR2004
        at = (sequence.uv[inside] + 0.5) * [width / image_size[0], height / image_size[1]]
        found = np.stack([sample_bilinear(pointmaps[t], at) for t in range(frames)], axis=1)
    return found.astype(np.float64), sequence.xyz_w[inside, :frames], sequence.visible[inside, :frames]


def point_scores(pred: NDArray, gt: NDArray) -> dict[str, float]:
    """APD and EPE of points (..., 3), both in metres and aligned already; predictions that are not finite are wrong, and in no EPE.

    Returns:
        "APD" and "APD_0.1" .. "APD_1.0" as shares 0..1, "EPE" in metres; NaN where nothing is to be scored.
    """
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(np.asarray(pred, np.float64) - gt, axis=-1).ravel()
    if not len(distance):
        return {name: float("nan") for name in ("APD", *(f"APD_{t}" for t in WORLDTRACK_THRESHOLDS), "EPE")}
    known = np.isfinite(distance)
    shares = {f"APD_{t}": float((distance[known] <= t).sum() / len(distance)) for t in WORLDTRACK_THRESHOLDS}
    return {"APD": float(np.mean(list(shares.values()))), **shares, "EPE": float(distance[known].mean()) if known.any() else float("nan")}


def sequence_scores(
    pred: NDArray,
    gt: NDArray,
    visible: NDArray | None = None,
    *,
    mode: Mode = "exact",
    alignments: Sequence[Alignment] = ("median_scale", "per_track", "sim3"),
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """All scores of one sequence.

    Args:
        pred: (N, T, 3) predicted points, any unit.
        gt: (N, T, 3) true points in metres.
        visible: (N, T) which are seen; None to leave out the split into seen and hidden.
        mode: See the module.
        alignments: Which are scored.
        seed: Of the random samples of "sim3_ransac".

    Returns:
        For each alignment "all" and "dynamic" (tracks that go further than a centimetre, aligned by themselves), and where `visible` is
        given "visible" and "hidden" (the alignment of all); keys as "median_scale/dynamic", values of `point_scores`.

    Raises:
        UserError: shapes that differ, or an unknown alignment.
    """
    pred, gt = np.asarray(pred, np.float64), np.asarray(gt, np.float64)
    if pred.shape != gt.shape or pred.ndim != 3:  # noqa: PLR2004
        raise UserError(f"Predicted {pred.shape} and true {gt.shape} points must both be (N, T, 3).")
    if any(how not in ALIGNMENTS for how in alignments):
        raise UserError(f"There is no alignment {next(h for h in alignments if h not in ALIGNMENTS)!r}; there are {', '.join(ALIGNMENTS)}.")
    dynamic = np.linalg.norm(np.diff(gt, axis=1), axis=-1).sum(1) > MOVES_M
    out: dict[str, dict[str, float]] = {}
    for how in alignments:
        moved = aligned(pred, gt, how, published=mode == "published", seed=seed)
        out[f"{how}/all"] = point_scores(moved, gt)
        own = aligned(pred[dynamic], gt[dynamic], how, published=mode == "published", seed=seed) if dynamic.any() else pred[dynamic]
        out[f"{how}/dynamic"] = point_scores(own, gt[dynamic])
        if visible is not None:
            out[f"{how}/visible"], out[f"{how}/hidden"] = (point_scores(moved[which], gt[which]) for which in (visible, ~visible))
    return out


def reconstruction_scores(
    pointmaps: NDArray,
    depth_map: NDArray,
    fx_fy_cx_cy: ArrayLike,
    extrinsics_w2c: ArrayLike | None,
    *,
    mode: Mode = "exact",
    frames: int = FRAMES,
    alignments: Sequence[Alignment] = ("median_scale", "sim3"),
) -> dict[str, dict[str, float]]:
    """Scores of what each frame shows, against its true depth.

    Args:
        pointmaps: (T, h, w, 3) what each frame shows, in the first camera's frame.
        depth_map: (T, H, W) true z-depth in metres; pixels from 0.1 to 5 m count.
        fx_fy_cx_cy: (4,) intrinsics, whole numbers at pixel centres.
        extrinsics_w2c: (T, 4, 4) camera from world, or None.
        mode: See the module.
        frames: So many are used.
        alignments: Which are scored.
    """
    depth = np.asarray(depth_map, np.float64)[:frames]
    count, (height, width) = min(len(depth), len(pointmaps)), depth.shape[1:]
    T_cw = np.tile(np.eye(4), (count, 1, 1)) if extrinsics_w2c is None else np.asarray(extrinsics_w2c, np.float64)[:count]
    T_wc = invert(T_cw @ np.linalg.inv(T_cw[0]))
    fx, fy, cx, cy = np.asarray(fx_fy_cx_cy, np.float64)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones(x.shape)], -1)
    pred, gt = [], []
    for t in range(count):
        with np.errstate(invalid="ignore"):
            counts = (depth[t] > NEAREST_M) & (depth[t] < FARTHEST_M)
        full = cv2.resize(np.asarray(pointmaps[t], np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        pred.append(full[counts].astype(np.float64))
        gt.append(transform(T_wc[t], (rays * depth[t][..., None])[counts]))
    p, g = np.concatenate(pred)[None], np.concatenate(gt)[None]
    return {f"{how}/all": point_scores(aligned(p, g, how, published=mode == "published"), g) for how in alignments}


def aggregate(
    per_sequence: Sequence[Mapping[str, Mapping[str, float]]], *, mode: Mode = "exact", seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Means over sequences of `sequence_scores`.

    In "exact" mode every mean is over the sequences that have the value, with a 95 % interval from 1000 bootstrap samples of sequences.
    In "published" mode sums of EPE are divided by the number of sequences with an EPE of all points under median scale, which makes
    subsets that few sequences have look better, and what was never scored 0.
    """
    keys = list(dict.fromkeys(key for row in per_sequence for key in row))
    base = [row.get("median_scale/all", {}).get("EPE", float("nan")) for row in per_sequence]
    whole = int(np.isfinite(np.array(base, np.float64)).sum())
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, max(len(per_sequence), 1), (SAMPLES, len(per_sequence)))
    out: dict[str, dict[str, Any]] = {}
    for key in keys:
        out[key] = {}
        for name in ("APD", "EPE"):
            values = np.array([row.get(key, {}).get(name, np.nan) for row in per_sequence], np.float64)
            known = np.isfinite(values)
            if mode == "published" and name == "EPE":
                out[key][name] = float(values[known].sum() / whole) if whole else float("nan")
                continue
            out[key][name] = float(values[known].mean()) if known.any() else float("nan")
            if mode == "exact":
                out[key][f"{name}_interval"] = _interval(values, draws)
                out[key]["sequences"] = int(known.sum())
    return out


def trivial_predictions(sequence: TrackSequence, fx_fy_cx_cy: ArrayLike, self_pair: NDArray | None = None) -> dict[str, F64]:
    """What anybody could answer, (N, T, 3) each: to be printed beside every result.

    Args:
        sequence: Of the benchmark.
        fx_fy_cx_cy: (4,) intrinsics.
        self_pair: (N, 3) the method's own geometry of the first frame at the queries, if there is any.

    Returns:
        "constant depth", "true depth, no motion" and, where given, "own geometry, no motion".
    """
    fx, fy, cx, cy = np.asarray(fx_fy_cx_cy, np.float64)
    frames = sequence.xyz_w.shape[1]
    rays = np.column_stack([(sequence.uv - [cx, cy]) / [fx, fy], np.ones(len(sequence.uv))])
    still = {"constant depth": rays, "true depth, no motion": sequence.xyz_w[:, 0]}
    if self_pair is not None:
        still["own geometry, no motion"] = np.asarray(self_pair, np.float64)
    return {name: np.repeat(points[:, None], frames, axis=1) for name, points in still.items()}


def evaluate(
    sequences: Sequence[TrackSequence], predict: Callable[[TrackSequence], NDArray], *, mode: Mode = "exact", seed: int = 0
) -> dict[str, Any]:
    """Scores of a whole benchmark, ready to be written as JSON.

    Args:
        sequences: Of the benchmark.
        predict: (N, T, 3) for the queries of a sequence.
        mode: See the module.
        seed: Of the intervals.
    """
    rows = [sequence_scores(predict(s), s.xyz_w, s.visible if mode == "exact" else None, mode=mode, seed=seed) for s in sequences]
    names = [s.name for s in sequences]
    told = {"protocol": "worldtrack", "mode": mode, "frames": FRAMES, "thresholds_m": list(WORLDTRACK_THRESHOLDS)}
    return {**told, "mean": aggregate(rows, mode=mode, seed=seed), "sequences": dict(zip(names, rows, strict=True))}


def _interval(values: F64, draws: NDArray) -> list[float] | None:
    if np.isfinite(values).sum() < 2:  # noqa: PLR2004  (one sequence tells no spread)
        return None
    drawn = values[draws]
    known = np.isfinite(drawn)
    means = np.where(known, drawn, 0).sum(1) / np.maximum(known.sum(1), 1)
    return [float(v) for v in np.percentile(means[known.any(1)], INTERVAL)]
