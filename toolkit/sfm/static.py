"""How likely each track stands still, judged by how well one still point explains it."""

from __future__ import annotations

import numpy as np

from toolkit.scene import F32, F64
from toolkit.sfm.landmarks import fit_landmarks
from toolkit.sfm.observations import Observations
from toolkit.sfm.stereo_model import CAUCHY

_LARGEST = 100.0
"""Residuals of moving tracks are spread evenly, in the logarithm, from 1 to so many standard deviations."""
_CAP = 20.0
"""A residual counts as at most so many standard deviations: one slip of the tracker says no more than that."""


def classify_tracks(observations: Observations, R: F64, t: F64, camera: F64, *, X: F64 | None = None) -> tuple[F32, F32]:
    """Probability that each track stands still.

    Each track is fitted as one still point. The logarithms of the whitened residuals are then a mixture: still tracks in a peak, whose
    place and width the tracks themselves tell, moving ones spread widely above it (expectation maximisation).

    Args:
        observations: Measurements of L tracks.
        R: (T, 3, 3) camera-from-world rotation, finite where used.
        t: (T, 3) camera-from-world translation, finite where used.
        camera: (5,) fx, fy, cx, cy, focal length times baseline.
        X: (L, 4) homogeneous points to start from, changed in place; None starts from the surest disparity of each.

    Returns:
        static: (L,) float32 probability; the share of still tracks where a track says nothing.
        residual_px: (L,) float32 median reprojection error, px; NaN where unknown.
    """
    count = np.diff(observations.start)
    if X is None:
        X = _first_guess(observations, R, t, camera)
    r2 = fit_landmarks(observations.start, observations.frame, observations.uvd, observations.information, R, t, X, camera, 2.5, CAUCHY, 5)
    rms, residual_px = np.full(len(count), np.nan), np.full(len(count), np.nan)
    filled = np.flatnonzero(count >= 3)
    if len(filled):
        first = observations.start[:-1][count > 0]
        capped = np.minimum(r2, _CAP**2)
        squares = np.add.reduceat(capped[:, 0], first) / (2 * count[count > 0])
        full = np.full(len(count), np.nan)
        full[count > 0] = squares
        disparity = _median_of(np.sqrt(capped[:, 1]) / 0.6745, observations, observations.uvd[:, 2] > 0)
        rms[filled] = np.sqrt(np.fmax(full, np.nan_to_num(disparity) ** 2))[filled]
        pixel = np.sqrt(r2[:, 0]) / observations.information[:, 0]
        residual_px[filled] = _median_of(pixel, observations, np.ones(len(pixel), bool))[filled]
    return _probability(rms), residual_px.astype(np.float32)


def _probability(rms: F64) -> F32:
    """(L,) from whitened residuals (L,), NaN where unknown."""
    value = np.log(np.maximum(rms[np.isfinite(rms)], 1e-3))
    if len(value) == 0:
        return np.full(len(rms), 0.8, np.float32)
    share, mean, width = 0.8, float(np.clip(np.quantile(value, 0.3) + 0.1, 0, np.log(3))), 0.3
    likely = np.ones(len(value))
    for _ in range(10):
        still = share / (width * np.sqrt(2 * np.pi)) * np.exp(-0.5 * (np.maximum(value - mean, 0) / width) ** 2)
        # What fits better than the usual still track stands still.
        moving = np.where(value > mean, (1 - share) / np.log(_LARGEST), 0)
        likely = still / (still + moving)
        share = float(np.clip(likely.mean(), 0.5, 0.98))  # most of a scene stands still
        above = likely * (value > mean)
        mean = float(np.clip((likely * value).sum() / likely.sum(), 0, np.log(3)))
        width = float(np.clip(np.sqrt((above * (value - mean) ** 2).sum() / max(above.sum(), 1)), 0.3, 0.5))
    out = np.full(len(rms), share, np.float32)
    out[np.isfinite(rms)] = likely
    return out


def _median_of(value: F64, observations: Observations, part: np.ndarray) -> F64:
    """(L,) median over the measurements of each landmark under the mask; NaN where there is none."""
    landmark, value = observations.landmark[part], value[part]
    order = np.lexsort((value, landmark))
    count = np.bincount(landmark, minlength=len(observations.track))
    first = np.concatenate([[0], np.cumsum(count)])[:-1]
    out = np.full(len(count), np.nan)
    some = count > 0
    out[some] = value[order][first[some] + (count[some] - 1) // 2]
    return out


def _first_guess(observations: Observations, R: F64, t: F64, camera: F64) -> F64:
    """(L, 4) homogeneous points from the surest disparity of each track, or far away."""
    landmark = observations.landmark
    X = np.zeros((len(observations.track), 4))
    X[:, 2] = 1
    order = np.lexsort((-observations.information[:, 1], landmark))
    which, first = np.unique(landmark[order], return_index=True)
    best = order[first]
    uvd, frame = observations.uvd[best], observations.frame[best]
    fx, fy, cx, cy, focal_baseline = camera
    ray = np.stack([(uvd[:, 0] - cx) / fx, (uvd[:, 1] - cy) / fy, np.ones(len(best))], axis=1)
    w = uvd[:, 2] / focal_baseline
    X[which, :3] = np.einsum("tji,tj->ti", R[frame], ray - w[:, None] * t[frame])
    X[which, 3] = w
    return X / np.linalg.norm(X, axis=1, keepdims=True)
