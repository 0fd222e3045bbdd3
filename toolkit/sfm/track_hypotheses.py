"""Which of several explanations of tracks is the still world: the one that fits what covers most of the picture.

A thing that carries many tracks can pass for the world, and the cameras then follow it: its explanation even fits more tracks. But tracks
on things lie close together, while the world reaches everywhere. So tracks are weighed by the area each stands for, and further
explanations start from the tracks that stand for much area, and from those that the best one so far does not explain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from toolkit.progress import Report, silent
from toolkit.scene import F64
from toolkit.sfm.bundle import State
from toolkit.sfm.track_growth import GrowthOptions, grown
from toolkit.sfm.track_observed import Observed, bounded, scaled, with_all_points

NEIGHBOURS = 4
AREA_RANGE = (0.1, 3.0)  # of the area of a track, in the median one
LEAST_TRACKS = 15  # fewer unexplained ones are no other world


@dataclass(frozen=True)
class HypothesisOptions:
    """How explanations are made and compared.

    Attributes:
        growth: How each is grown.
        tracks: An explanation is grown on at most so many tracks that lie far from each other.
        fewer: One that is started from a part of the tracks, on so many.
        unexplained_px: Tracks whose robust scale is larger are not explained.
        polish: Steps of the last adjustments, each with new robust scales.
    """

    growth: GrowthOptions = field(default_factory=GrowthOptions)
    tracks: int = 80
    fewer: int = 60
    unexplained_px: float = 2.0
    polish: tuple[int, ...] = (10, 10, 10)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Cameras and still points.

    Attributes:
        state: Of the whole clip; the middle camera is the world, at a median depth of one.
        scale: (N,) robust scale of each track in normalised coordinates: how far it strays from a still point.
        loss: Mean negative log-likelihood of an observation, each weighed by its track's area.
        name: How it came about.
    """

    state: State
    scale: F64
    loss: float
    name: str


def explain(
    seen: Observed, options: HypothesisOptions, *, seed: int = 0, report: Report = silent, agreed: tuple[float, float] | None = None
) -> list[Explanation]:
    """Explanations of tracks, all of them polished, the best one first.

    Args:
        seen: All tracks.
        options: How.
        seed: Of the random starts.
        report: Called per explanation.
        agreed: Loss of another explanation, and a tolerance: where the first one's is the same, it is the only one.
    """
    area, found = track_area(seen), []
    every = np.arange(seen.uv.shape[1])
    plans = [("area", every, options.tracks, 1.0), ("wide", np.flatnonzero(area > np.median(area)), options.fewer, 0.0)]
    plans += [("plain", every, options.fewer, 0.0)]
    total = len(plans) + 2
    for n, (name, rows, most, power) in enumerate(plans):
        report(n, total)
        if len(rows) >= LEAST_TRACKS or rows is every:
            found.append(polished(seen, _explained(seen, area, rows, most, power, options, seed + n, name), area, options))
        if agreed is not None and n == 0 and found and abs(found[0].loss - agreed[0]) < agreed[1]:
            report(total, total)
            return found
    report(len(plans), total)
    best = min(found, key=lambda e: e.loss)
    other = np.flatnonzero((best.scale > options.unexplained_px * seen.px) & ((seen.weight > 0).sum(0) >= min(6, len(seen.uv))))
    if len(other) >= LEAST_TRACKS:
        one = _explained(seen, area, other, options.fewer, 1.0, options, seed + len(plans), "unexplained")
        found.append(polished(seen, one, area, options))
    report(total, total)
    return sorted(found, key=lambda e: e.loss)


def track_area(seen: Observed) -> F64:
    """(N,) area of the picture that each track stands for, from its distance to its neighbours in every frame; the median is one."""
    total, frames = np.zeros(seen.uv.shape[1]), np.zeros(seen.uv.shape[1])
    for uv, weight in zip(seen.uv, seen.weight, strict=True):
        rows = np.flatnonzero(weight > 0)
        if len(rows) > NEIGHBOURS + 1:
            distance = KDTree(uv[rows]).query(uv[rows], k=NEIGHBOURS + 1)[0][:, -1]
            total[rows] += distance**2
            frames[rows] += 1
    area = total / np.maximum(frames, 1)
    known = area[frames > 0]
    return np.clip(area / np.median(known), *AREA_RANGE) if len(known) and np.median(known) > 0 else np.ones(len(area))


def far_apart(seen: Observed, rows: NDArray, most: int) -> NDArray:
    """Of some tracks at most so many, long ones that lie far from each other: greedy farthest points, distances by the root of length."""
    if len(rows) <= most:
        return rows
    visible = seen.weight[:, rows] > 0
    length = visible.sum(0)
    middle = np.where(visible[..., None], seen.uv[:, rows], 0).sum(0) / np.maximum(length, 1)[:, None]
    worth = np.sqrt(length / max(length.max(), 1))
    chosen = [int(np.argmax(length))]
    distance = np.full(len(rows), np.inf)
    for _ in range(most - 1):
        distance = np.minimum(distance, np.linalg.norm(middle - middle[chosen[-1]], axis=1))
        distance[chosen[-1]] = -1.0
        chosen.append(int(np.argmax(distance * worth)))
    return rows[np.array(chosen)]


def area_loss(seen: Observed, state: State, scale: F64, area: F64) -> float:
    """Mean of log(g + r^2 / g) over observations, each weighed by the area of its track."""
    known = seen.weight > 0
    loss = np.log(scale + state.errors(seen.uv) / scale)
    return float(np.average(loss[known], weights=np.broadcast_to(area, known.shape)[known]))


def _explained(
    seen: Observed, area: F64, rows: NDArray, most: int, power: float, options: HypothesisOptions, seed: int, name: str
) -> Explanation:
    """The best of what grows on some tracks, carried to all of them."""
    weighted = seen.weighted(area**power)
    part = far_apart(weighted, rows, most)
    few = weighted.of(part)
    grew = []
    for state in grown(few, options.growth, np.random.default_rng(seed)):
        scale, r2 = few.scales(state, options.growth.least_px)
        known = few.weight > 0
        grew.append((float(np.log(scale + r2 / scale)[known].mean()), state, scale))
    _, state, scale = min(grew, key=lambda g: g[0])
    state = few.adjusted(state, scale, steps=15, tolerance=1e-7)
    if len(part) < seen.uv.shape[1]:
        state = with_all_points(weighted, state, part)
    else:
        X = np.empty_like(state.X)
        X[part] = state.X
        state = State(state.R, state.c, X, state.log_focal)
    scale, _ = weighted.scales(state, options.growth.least_px)
    for steps in (6, 5):
        state = weighted.adjusted(bounded(weighted, state), scale, steps=steps)
        scale, _ = weighted.scales(state, options.growth.least_px)
    return Explanation(state, scale, area_loss(seen, state, scale, area), name)


def polished(seen: Observed, explanation: Explanation, area: F64, options: HypothesisOptions) -> Explanation:
    """Adjusted once more, every observation at its own weight."""
    state, scale = explanation.state, explanation.scale
    for steps in options.polish:
        state = seen.adjusted(bounded(seen, state), scale, steps=steps, tolerance=1e-6)
        scale, _ = seen.scales(state, options.growth.least_px)
    state = scaled(bounded(seen, state), len(seen.uv) // 2)
    scale, _ = seen.scales(state, options.growth.least_px)
    return Explanation(state, scale, area_loss(seen, state, scale, area), explanation.name)
