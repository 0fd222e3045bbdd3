"""Points that move, placed along their viewing rays with the cameras held: body by body, each at the distance that fits best.

How far an independently moving thing is can't be told from its tracks alone: it may be small and near or large and far. What tells is
how smoothly it moves where the camera trembles, that it stands before what is seen around it, that it stands on the floor, and
whatever other evidence of depth there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolkit.lifting.mover_bodies import bodies_of, body_of, filled
from toolkit.lifting.mover_depth import DepthBeliefs, Hints, body_depth
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
        beliefs: Of things that move.
    """

    apart: float = 0.4
    motion_weight: float = 3.0
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
        xyz: (T, M, 3) in the world; NaN before a track is first seen and after it is last seen.
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
    for n, group in enumerate(groups):
        body = body_of(path, known, rows[group])
        ray = np.einsum("tij,tj->ti", still.R, np.column_stack([body.uv, np.ones(frames)]))
        told, spread = _told(evidence, body.rows, body.log_depth)
        hints = Hints(before(body, path, known, still), under(body, path, known, still, floor), told, spread, unit)
        found = body_depth(body.log_depth, ray, still.centres, body.seen, hints, options.beliefs)
        rays = np.einsum("tij,tmj->tmi", still.R, np.concatenate([path[:, body.rows], np.ones((frames, len(body.rows), 1))], axis=-1))
        xyz[:, body.rows] = still.centres[:, None] + found.depth[:, None, None] * rays
        sigma[body.rows], name[body.rows] = found.sigma, n
        report(n + 1, len(groups))
    first, last = np.argmax(seen, axis=0), frames - 1 - np.argmax(seen[::-1], axis=0)
    at = np.arange(frames)[:, None]
    xyz[(at < first) | (at > last) | ~seen.any(0)] = np.nan
    return Movers(xyz, sigma, name, floor is not None)


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
