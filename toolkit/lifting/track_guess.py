"""Points where no depth can be known, as of a camera that only turns: on a sphere around it, what grows much comes nearer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.lifting.mover_bodies import Body, bodies_of, body_of, carried, filled
from toolkit.lifting.track_movers import MoverOptions
from toolkit.scene import F64, B

GUESS_SIGMA = 0.5
"""Of such a distance, as a share of it: half of all guesses are off by more than a third."""
TURNING_SIGMA = 0.1
"""Change of a body's size in the picture that is none of its distance, as a logarithm: people turn and bend."""


def on_a_sphere(uv: NDArray, seen: B, R: F64, moves: B, options: MoverOptions) -> tuple[F64, F64]:
    """Points at a distance of one where they stand still, before that where they move; only directions are measured.

    Args:
        uv: (T, N, 2) normalised coordinates.
        seen: (T, N) which of them count.
        R: (T, 3, 3) camera-to-world rotations of the camera at the origin.
        moves: (N,) which tracks move.
        options: How moving tracks are put together.

    Returns:
        (N, T, 3) points, NaN for tracks that are never seen and for moving ones before and after they are, and (N, T) how sure.
    """
    frames, count = seen.shape
    path = filled(uv, seen)
    rays = np.einsum("tij,tnj->nti", R, np.concatenate([path, np.ones((frames, count, 1))], axis=-1))
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    ever = seen.any(0)
    weight = seen.T[..., None]
    mean = (weight * rays).sum(1) / np.maximum(weight.sum(1), 1)
    mean /= np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
    xyz = np.where((ever & ~moves)[:, None, None], mean[:, None], np.nan).repeat(frames, axis=1)
    rows = np.flatnonzero(ever & moves)
    if len(rows):
        for group in bodies_of(path[:, rows], seen[:, rows], apart=options.apart, motion_weight=options.motion_weight):
            body = body_of(path, seen, rows[group])
            way, told = carried(body, path, seen)
            rays = np.einsum("tij,tnj->nti", R, np.concatenate([way, np.ones((frames, len(body.rows), 1))], axis=-1))
            distance = options.beliefs.in_front * np.exp(_sure_share(body) * body.log_depth)
            place = distance[:, None] * rays / np.linalg.norm(rays, axis=-1, keepdims=True)
            xyz[body.rows] = np.where(told.T[..., None], place, np.nan)
    return xyz, GUESS_SIGMA * np.linalg.norm(xyz, axis=-1)


def _sure_share(body: Body) -> float:
    """How much of a body's change of size is taken for one of distance: what there is more of than turning and bending explain.

    The shrinkage of James and Stein: a body whose size hardly changes keeps its distance, one that comes up to the camera does not.
    """
    change = float(np.var(body.log_depth[body.seen])) if body.seen.any() else 0.0
    return max(0.0, 1 - TURNING_SIGMA**2 / change) if change > 0 else 0.0
