"""Tracks that pass for still and go with a body that surely moves: the corner of a car that drives ahead, the foot that is put down.

Where a thing moves along with the camera, or against it, some of its tracks are explained by a still point that is nearer, or farther, than
the thing. Each stands apart from it then, by much. What tells is that the body explains them better still, and that they lie on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from toolkit.lifting.mover_bodies import Body, bodies_of, body_of, filled
from toolkit.scene import F64, B
from toolkit.sfm.bundle import State
from toolkit.sfm.track_observed import Observed


@dataclass(frozen=True)
class JoiningOptions:
    """What goes with a body.

    Attributes:
        sure: Chance of motion, in the median of its tracks, of a body that others may join.
        unsure: A track that stands still with more chance than one less this stays where it is.
        samples: A track is seen in so many frames.
        lasting: And says as much as so many samples that are free of each other's errors: a tracker's slips last.
        least_px: No track is taken to be followed better than this.
        like_own: Of a body's own tracks, so large a share may fit it better.
        near: Tracks lie on a body where it is no farther to its tracks than these are from each other, times this ...
        neighbours: ... at the nearest but so many.
        rounds: What has joined is of the body, and others may lie on that; so many times.
        fewest: Tracks of a body that others may join.
    """

    sure: float = 0.75
    unsure: float = 0.1
    samples: int = 6
    lasting: float = 3.0
    least_px: float = 0.1
    like_own: float = 0.9
    near: float = 2.0
    neighbours: int = 4
    rounds: int = 20
    fewest: int = 8


def joined_movers(
    seen: Observed, state: State, chance: F64, *, apart: float, motion_weight: float, options: JoiningOptions | None = None
) -> B:
    """Tracks that pass for still, and that a body which surely moves explains better than any still point.

    Both explanations are weighed as normal errors of unknown size are, with the track's own chance of motion before.

    Args:
        seen: All tracks.
        state: Cameras and still points that explain them.
        chance: (N,) that each moves.
        apart: As for `bodies_of`.
        motion_weight: As for `bodies_of`.
        options: What goes with a body.

    Returns:
        (N,) those that join one.
    """
    use = options or JoiningOptions()
    known = seen.weight > 0
    length, out = known.sum(0), np.zeros(len(chance), bool)
    moves = np.flatnonzero((chance > 0.5) & (length > 1))  # noqa: PLR2004  (more likely than not)
    unsure = np.flatnonzero((chance <= 0.5) & (chance > use.unsure) & (length >= min(use.samples, len(known))))  # noqa: PLR2004
    if len(moves) < use.fewest or not len(unsure):
        return out
    uv = seen.uv / state.factor
    path, pixel = filled(uv, known), seen.px / state.factor
    r2 = np.where(known, state.errors(seen.uv), 0)[:, unsure].sum(0) / seen.px**2
    still_px = np.maximum(np.sqrt(r2 / np.maximum(2 * length[unsure] - 3, 1)), use.least_px)  # a point has three numbers
    before = np.log(chance[unsure] / (1 - chance[unsure]))
    for group in bodies_of(path[:, moves], known[:, moves], apart=apart, motion_weight=motion_weight):
        rows = moves[group]
        believed = float(np.median(chance[rows]))
        if len(rows) < use.fewest or believed < use.sure:
            continue
        body = body_of(path, known, rows)
        place, own_px = _on(body, path[:, rows], known[:, rows], pixel)
        other, body_px = _on(body, path[:, unsure], known[:, unsure], pixel)
        body_px = np.maximum(body_px, use.least_px)
        odds = before + 2 * use.lasting * np.log(still_px / body_px)  # of two coordinates each
        fits = (body_px < still_px) & (body_px <= np.quantile(own_px, use.like_own)) & (believed / (1 + np.exp(-odds)) > 0.5)  # noqa: PLR2004
        fits &= (known[:, unsure] & body.seen[:, None]).sum(0) >= min(use.samples, len(known))
        out[unsure[fits & _lying_on(place, other, fits, use)]] = True
    return out


def _on(body: Body, path: F64, known: B, pixel: float) -> tuple[F64, F64]:
    """(M, 2) where tracks lie on a body at its mean size, and (M,) how far they are from where that would be seen, in pixels."""
    size, weight = np.exp(-body.log_depth)[:, None, None], known[..., None].astype(float)
    away = path - body.uv[:, None]
    offset = (weight * away * size).sum(0) / np.maximum((weight * size**2).sum(0), 1e-12)
    r2 = (weight * (away - offset * size) ** 2).sum((0, 2))
    return offset, np.sqrt(r2 / np.maximum(2 * known.sum(0) - 2, 1)) / pixel


def _lying_on(own: F64, others: F64, fits: B, use: JoiningOptions) -> B:
    """(M,) others of those that fit which lie among a body's own tracks, or among such as do."""
    count = min(use.neighbours, len(own) - 1)
    limit = use.near * float(np.median(_farthest(KDTree(own), own, count + 1)))
    on = np.zeros(len(others), bool)
    for _ in range(use.rounds):
        far = _farthest(KDTree(np.concatenate([own, others[on]])), others, count)
        more = fits & (on | (far < limit))
        if (more == on).all():
            break
        on = more
    return on


def _farthest(tree: KDTree, points: F64, count: int) -> F64:
    """(M,) distance to the last of the nearest so many, of two or more."""
    return np.asarray(tree.query(points, k=max(count, 2))[0], np.float64)[:, -1]
