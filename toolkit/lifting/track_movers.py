"""Points that move, placed along their viewing rays with the cameras held: body by body, each at the distance that fits best.

How far an independently moving thing is can't be told from its tracks alone: it may be small and near or large and far. What tells is
how smoothly it moves where the camera trembles, that it stands before what is seen around it, that it stands on the floor, and
whatever other evidence of depth there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolkit.lifting.mover_bodies import Body, bodies_apart, bodies_of, body_of, carried, filled
from toolkit.lifting.mover_depth import DepthBeliefs, DepthFound, Hints, body_depth
from toolkit.lifting.mover_hints import Still, before, floor_of, under
from toolkit.progress import Report, silent
from toolkit.scene import F64, I64, B

__all__ = ["Evidence", "MoverOptions", "Movers", "Still", "place_movers"]


@dataclass(frozen=True)
class MoverOptions:
    """How movers are placed.

    Attributes:
        apart: Tracks of two bodies are on average so far apart, in focal lengths.
        motion_weight: How much more moving against each other counts than being apart.
        together_sigma: Two bodies that touch and move alike are as far as each other, so sure, as a logarithm.
        measured_sigma: A body whose depth other evidence tells so surely, as a logarithm, needs no company.
        beliefs: Of things that move.
    """

    apart: float = 0.35
    motion_weight: float = 10.0
    together_sigma: float = 0.05
    measured_sigma: float = 0.15
    beliefs: DepthBeliefs = field(default_factory=DepthBeliefs)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Depth of the moving tracks from elsewhere, in the unit of the cameras.

    Attributes:
        log_depth: (T, M) its logarithm, NaN where there is none.
        sigma: How sure it is.
    """

    log_depth: F64
    sigma: float


@dataclass(frozen=True, eq=False)
class Movers:
    """Where they are.

    Attributes:
        xyz: (T, M, 3) in the world; before a track is first and after it is last seen it goes with its body, NaN where that is not seen.
        sigma: (M,) standard deviation of the logarithm of depth.
        body: (M,) number of the body each belongs to.
        floor: Whether a floor was found.
    """

    xyz: F64
    sigma: F64
    body: I64
    floor: bool


def place_movers(
    uv: NDArray,
    seen: B,
    still: Still,
    options: MoverOptions,
    *,
    evidence: tuple[Evidence, ...] = (),
    seed: int = 0,
    report: Report = silent,
) -> Movers:
    """Moving points in the world.

    Args:
        uv: (T, M, 2) normalised coordinates of the moving tracks.
        seen: (T, M) which of them count.
        still: Cameras and still points.
        options: How.
        evidence: Depth from elsewhere; the surest counts most.
        seed: Of the random samples that a floor is looked for with.
        report: Called per body.
    """
    frames, count = seen.shape
    xyz, sigma, name = np.full((frames, count, 3), np.nan), np.full(count, np.nan), np.full(count, -1, np.int64)
    rows = np.flatnonzero(seen.any(0))
    floor = floor_of(still, seed)
    if not len(rows):
        return Movers(xyz, sigma, name, floor is not None)
    path, known = filled(uv, seen), seen
    depth = still.depth_of_all()
    unit = float(np.median(depth[still.seen])) if still.seen.any() else 1.0
    groups = bodies_of(path[:, rows], known[:, rows], apart=options.apart, motion_weight=options.motion_weight)
    bodies, found, measured = [], [], []
    for n, group in enumerate(groups):
        body = body_of(path, known, rows[group])
        ray = np.einsum("tij,tj->ti", still.R, np.column_stack([body.uv, np.ones(frames)]))
        told, spread = _told(evidence, body.rows, body.log_depth)
        hints = Hints(before(body, path, known, still), under(body, path, known, still, floor), told, spread, unit)
        bodies.append(body)
        measured.append(spread < options.measured_sigma)
        found.append(body_depth(body.log_depth, ray, still.centres, body.seen, hints, options.beliefs))
        report(n + 1, len(groups))
    for n, (body, one) in enumerate(zip(bodies, _pooled(bodies, found, np.array(measured), path, known, options), strict=True)):
        way, told_of = carried(body, path, known)
        rays = np.einsum("tij,tmj->tmi", still.R, np.concatenate([way, np.ones((frames, len(body.rows), 1))], axis=-1))
        place = still.centres[:, None] + one.depth[:, None, None] * rays
        xyz[:, body.rows] = np.where(told_of[..., None], place, np.nan)
        sigma[body.rows], name[body.rows] = one.sigma, n
    return Movers(xyz, sigma, name, floor is not None)


def _pooled(bodies: list[Body], found: list[DepthFound], measured: B, uv: F64, seen: B, options: MoverOptions) -> list[DepthFound]:
    """Depths that agree the more, the nearer bodies are and the more they move alike: a person may have come apart into several."""
    if len(bodies) < 2:
        return found
    rows = [body.rows for body in bodies]
    gap = bodies_apart(rows, uv, seen, motion_weight=options.motion_weight) / options.apart
    tie = (options.together_sigma * np.exp(gap)) ** -2.0
    np.fill_diagonal(tie, 0)
    tie[measured] = 0
    size = np.array([len(r) for r in rows])
    tie *= np.minimum(size[None] / size[:, None], 1)  # the few tracks of a fragment say little about a whole thing
    own = np.array([one.sigma for one in found]) ** -2.0
    middle = np.array([np.log(one.depth).mean() for one in found])
    normal = np.diag(own + tie.sum(1)) - tie
    sure = np.linalg.inv(normal)
    shift = sure @ (own * middle) - middle
    return [DepthFound(one.depth * np.exp(d), max(float(np.sqrt(v)), 0.05)) for one, d, v in zip(found, shift, np.diag(sure), strict=True)]


def _told(evidence: tuple[Evidence, ...], rows: NDArray, log_depth: F64) -> tuple[float, float]:
    """What other evidence says of a body's depth at its mean size, and how sure it is."""
    total, weight = 0.0, 0.0
    for source in evidence:
        values = source.log_depth[:, rows] - log_depth[:, None]
        values = values[np.isfinite(values)]
        if len(values):
            middle = float(np.median(values))
            sigma = float(np.hypot(source.sigma, 1.4826 * np.median(abs(values - middle))))
            total, weight = total + middle / sigma**2, weight + 1 / sigma**2
    return (float(np.exp(total / weight)), weight**-0.5) if weight else (float("nan"), float("nan"))
