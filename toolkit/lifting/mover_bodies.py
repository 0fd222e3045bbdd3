"""Bodies that move: which tracks go together, how near each comes over time, and where its middle goes in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import average

from toolkit.scene import F64, I64, B
from toolkit.sfm.track_company import LEAST_TOGETHER

MOST_COMPARED = 400
"""Tracks that are compared with each other; the others join the nearest of these."""
MOST_FRAMES = 40
"""Frames in which they are compared."""
LEAST_BODY, FEW_REACH = 8, 2.5
"""Fewer tracks than these hardly tell how near a body comes; they join another one that is so much farther off."""
MOST_MEASURED = 70
"""Tracks of a body whose distances tell how near it is."""
STRETCH = 0.05  # change of a distance in the picture, as a logarithm, beyond which it is not the depth that changed

APPROACH, RANGE = 0.02, 0.5
"""Change of depth from frame to frame, and over a clip, as logarithms: someone who walks up to the camera from two metres away."""


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
    at = np.unique(np.linspace(0, len(uv) - 1, min(len(uv), MOST_FRAMES)).round().astype(int))
    length = seen[at].sum(0)
    compared = _spread(uv[at], seen[at], length)
    distance = _distances(uv[at], seen[at], compared, compared, motion_weight)
    upper = np.triu_indices(len(compared), 1)
    label = _cut(average(0.5 * (distance + distance.T)[upper]), apart)
    of = np.empty(count, np.int64)
    of[compared] = label
    rest = np.setdiff1d(np.arange(count), compared)
    of[rest] = label[np.argmin(_distances(uv[at], seen[at], rest, compared, motion_weight), axis=1)] if len(rest) else 0
    return [np.flatnonzero(of == name) for name in np.unique(of)]


def _cut(tree: F64, apart: float) -> NDArray:
    """(N,) body of each leaf of a tree of clusters: cut at a distance, but at a larger one where there are too few tracks to tell depth."""
    count = len(tree) + 1
    leaves = [[n] for n in range(count)]
    whole = [True] * count
    label = np.arange(count)
    for first, second, height, _ in tree:
        a, b = int(first), int(second)
        few = min(len(leaves[a]), len(leaves[b])) < LEAST_BODY
        joined = whole[a] and whole[b] and height <= apart * (FEW_REACH if few else 1.0)
        leaves.append(leaves[a] + leaves[b])
        whole.append(joined)
        if joined:
            label[leaves[-1]] = leaves[-1][0]
    return label


def _spread(uv: F64, seen: B, length: NDArray) -> NDArray:
    """Rows of long tracks that lie evenly in the picture: greedy farthest points, of where each is at three moments."""
    if len(length) <= MOST_COMPARED:
        return np.arange(len(length))
    moments = uv[[0, len(uv) // 2, -1]].swapaxes(0, 1).reshape(len(length), -1)
    worth = np.sqrt(length / max(length.max(), 1))
    chosen = [int(np.argmax(length))]
    distance = np.full(len(length), np.inf)
    for _ in range(MOST_COMPARED - 1):
        distance = np.minimum(distance, np.linalg.norm(moments - moments[chosen[-1]], axis=1))
        distance[chosen[-1]] = -1.0
        chosen.append(int(np.argmax(distance * worth)))
    return np.sort(np.array(chosen))


def _distances(uv: F64, seen: B, some: NDArray, others: NDArray, motion_weight: float) -> F64:
    """(S, O) how far tracks are apart and move against each other."""
    distance = np.empty((len(some), len(others)))
    path, known = uv[:, others], seen[:, others]
    for n, i in enumerate(some):
        offset = path - uv[:, i : i + 1]
        both = (known & seen[:, i : i + 1]).astype(float)
        # Tracks that never meet are compared by where they were last seen.
        both[:, both.sum(0) < min(LEAST_TOGETHER, len(uv))] = 1.0
        total = both.sum(0)
        mean = np.einsum("tp,tpk->pk", both, offset) / total[:, None]
        against = np.sqrt(np.einsum("tp,tpk->p", both, (offset - mean) ** 2) / total)
        distance[n] = np.linalg.norm(mean, axis=-1) + motion_weight * against
    return distance


def bodies_apart(bodies: list[NDArray], uv: F64, seen: B, *, motion_weight: float) -> F64:
    """(K, K) how far bodies are apart and move against each other: mean over the nearer half of the pairs of some of their tracks.

    Args:
        bodies: Rows of each.
        uv: (T, M, 2) normalised coordinates, finite everywhere.
        seen: (T, M) which are seen.
        motion_weight: As for `bodies_of`.
    """
    at = np.unique(np.linspace(0, len(uv) - 1, min(len(uv), MOST_FRAMES)).round().astype(int))
    some = [rows[np.linspace(0, len(rows) - 1, min(len(rows), 6)).astype(int)] for rows in bodies]
    every = np.concatenate(some)
    distance = _distances(uv[at], seen[at], every, every, motion_weight)
    edges = np.concatenate([[0], np.cumsum([len(rows) for rows in some])])
    out = np.zeros((len(some), len(some)))
    for i in range(len(some)):
        for j in range(len(some)):
            block = distance[edges[i] : edges[i + 1], edges[j] : edges[j + 1]]
            out[i, j] = block[block <= np.median(block)].mean()
    return out


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


def carried(body: Body, uv: F64, seen: B) -> tuple[F64, B]:
    """(T, M) paths of a body's tracks that go on with the body where they are not seen, and where they are told: between sightings, and
    wherever the body is seen.

    Args:
        body: The body.
        uv: (T, N, 2) normalised coordinates of all tracks, finite everywhere.
        seen: (T, N) which are seen.
    """
    path, known = uv[:, body.rows].copy(), seen[:, body.rows]
    frames = np.arange(len(path))[:, None]
    first, last = np.argmax(known, axis=0), len(path) - 1 - np.argmax(known[::-1], axis=0)
    ends = np.clip(frames, first, last)
    size = np.exp(-body.log_depth)
    offset = np.take_along_axis(path, ends[..., None], axis=0) - body.uv[ends]
    along = body.uv[:, None] + offset * (size[:, None] / size[ends])[..., None]
    outside = ends != frames
    return np.where(outside[..., None], along, path), ~outside | body.seen[:, None]


def _log_depth(path: F64, known: B) -> F64:
    """(T,) from the distances of tracks in the picture, which are as the inverse of depth; zero where there is but one track.

    The logarithm of the distance of a pair is a number of the pair's own less that of the depth; of all pairs, in least squares that are
    robust. Things don't jump, so that depth changes little from frame to frame where hardly a pair is seen.
    """
    frames = len(path)
    first, second = np.triu_indices(path.shape[1], 1)
    if not len(first) or frames < 2:
        return np.zeros(frames)
    length = np.linalg.norm(path[:, first] - path[:, second], axis=-1)
    log_length = np.log(length + 1e-4)
    weight = (known[:, first] & known[:, second]) * length**2  # long ones are measured better
    # Pairs of one track share its error: they say as much as half as many tracks do.
    weight *= 2 / (path.shape[1] * max(weight.max(), 1e-12))
    step = np.diff(np.eye(frames), axis=0)
    prior = step.T @ step / APPROACH**2 + np.eye(frames) / RANGE**2
    error = 0.01
    log_depth, trust = np.zeros(frames), weight
    for _ in range(5):
        total = np.maximum(trust.sum(0), 1e-9)
        usual = (trust * log_length).sum(0) / total
        normal = np.diag(trust.sum(1)) - (trust / total) @ trust.T + error**2 * prior
        log_depth = np.linalg.solve(normal, -(trust * (log_length - usual)).sum(1))
        log_depth -= log_depth.mean()
        own = (trust * (log_length + log_depth[:, None])).sum(0) / total
        rest = log_length + log_depth[:, None] - own
        trust = weight / (1 + (rest / STRETCH) ** 2)
        error = max(float(np.sqrt((trust * rest**2).sum() / max(trust.sum(), 1e-12))), 0.001)
    return log_depth
