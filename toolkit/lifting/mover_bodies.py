"""Bodies that move: which tracks go together, how near each comes over time, and where its middle goes in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import average, fcluster
from scipy.spatial import KDTree

from toolkit.lifting.track_company import LEAST_TOGETHER
from toolkit.scene import F64, I64, B

MOST_COMPARED = 160
"""Tracks that are compared with each other; the others join the nearest of these."""
MOST_MEASURED = 60
"""Tracks of a body whose distances tell how near it is."""
STRETCH = 0.05  # change of a distance in the picture, as a logarithm, beyond which it is not the depth that changed


@dataclass(frozen=True, eq=False)
class Body:
    """What is seen of something that moves.

    Attributes:
        rows: (M,) its tracks.
        log_depth: (T,) logarithm of its depth, of mean zero: things that come nearer grow.
        uv: (T, 2) where its middle is, normalised.
        seen: (T,) frames in which any of it is.
    """

    rows: I64
    log_depth: F64
    uv: F64
    seen: B


def filled(uv: NDArray, seen: B) -> F64:
    """(T, M, 2) with what is not seen interpolated in time, held at the ends."""
    out, frames = np.array(uv, np.float64), np.arange(len(uv))
    for p in np.flatnonzero(~seen.all(0) & seen.any(0)):
        at = np.flatnonzero(seen[:, p])
        for axis in range(2):
            out[:, p, axis] = np.interp(frames, at, out[at, p, axis])
    return out


def bodies_of(uv: F64, seen: B, *, apart: float, motion_weight: float) -> list[NDArray]:
    """Rows of tracks that go together.

    Args:
        uv: (T, M, 2) normalised coordinates, finite everywhere.
        seen: (T, M) which are seen.
        apart: Tracks of two bodies are on average so far apart, in focal lengths.
        motion_weight: How much more moving against each other counts than being apart.
    """
    count = uv.shape[1]
    if count < 3:
        return [np.arange(count)]
    length = seen.sum(0)
    compared = np.sort(np.argsort(-length, kind="stable")[:MOST_COMPARED])
    path = uv[:, compared]
    distance = np.zeros((len(compared), len(compared)))
    for i in range(len(compared)):
        offset = path - path[:, i : i + 1]
        both = (seen[:, compared] & seen[:, compared[i] : compared[i] + 1]).astype(float)
        # Tracks that never meet are compared by where they were last seen.
        both = np.where(both.sum(0) >= LEAST_TOGETHER, both, 1.0)
        mean = (both[..., None] * offset).sum(0) / both.sum(0)[:, None]
        against = (both * np.linalg.norm(offset - mean, axis=-1)).sum(0) / both.sum(0)
        distance[i] = np.linalg.norm(mean, axis=-1) + motion_weight * against
    upper = np.triu_indices(len(compared), 1)
    label = fcluster(average(0.5 * (distance + distance.T)[upper]), apart, criterion="distance")
    middle = np.concatenate([uv.mean(0), motion_weight * (uv[-1] - uv[0])], axis=1)
    nearest = np.asarray(KDTree(middle[compared]).query(middle)[1])
    nearest[compared] = np.arange(len(compared))
    of = label[nearest]
    return [np.flatnonzero(of == name) for name in np.unique(of)]


def body_of(uv: F64, seen: B, rows: NDArray) -> Body:
    """What tracks that go together show of their body.

    Args:
        uv: (T, M, 2) normalised coordinates, finite everywhere.
        seen: (T, M) which are seen.
        rows: Of the body.
    """
    measured = rows if len(rows) <= MOST_MEASURED else rows[np.linspace(0, len(rows) - 1, MOST_MEASURED).astype(int)]
    path, known = uv[:, measured], seen[:, measured]
    frames = len(path)
    log_depth = _log_depth(path, known)
    weight = known + 1e-3
    size = np.exp(-log_depth)[:, None, None]
    offset = path.mean(0) - path.mean((0, 1))
    middle = np.zeros((frames, 2))
    for _ in range(3):
        middle = (weight[..., None] * (path - offset * size)).sum(1) / weight.sum(1)[:, None]
        offset = (weight[..., None] * (path - middle[:, None]) / size).sum(0) / weight.sum(0)[:, None]
    return Body(rows, log_depth, middle, np.asarray(seen[:, rows].any(1)))


def _log_depth(path: F64, known: B) -> F64:
    """(T,) from the distances of tracks in the picture, which are as the inverse of depth; zero where there is but one track."""
    first, second = np.triu_indices(path.shape[1], 1)
    log_depth = np.zeros(len(path))
    if not len(first):
        return log_depth
    length = np.linalg.norm(path[:, first] - path[:, second], axis=-1)
    log_length = np.log(length + 1e-4)
    weight = (known[:, first] & known[:, second]) * length**2  # long ones are measured better
    for _ in range(4):
        usual = (weight * (log_length + log_depth[:, None])).sum(0) / np.maximum(weight.sum(0), 1e-12)
        change = log_length - usual
        trust = weight / (1 + ((change + log_depth[:, None]) / STRETCH) ** 2)
        log_depth = -(trust * change).sum(1) / np.maximum(trust.sum(1), 1e-12)
    return log_depth - log_depth.mean()
