"""Deforming points as a mixture of few shapes in every frame: turns first, then the shapes, both from 2D tracks alone.

Under an orthographic camera that turns, the (2T, N) matrix of tracks of a body with K - 1 modes has rank 3K (Bregler, Hertzmann and
Biermann, CVPR 2000). The turns follow from the rows' being orthonormal, though the modes are still unknown (Akhter, Sheikh and Khan, CVPR
2009: no ambiguity is left in them); with the turns known, the weights of the modes are a linear problem. No window has to look rigid, so
that this works where the camera turns slowly or sways; it needs the right number of modes, and a body that has few.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from toolkit.scene import F64
from toolkit.sfm.nonrigid_start import factor_rigid

MOST_STEPS = 60  # of finding the turns; most end in fewer than 20
OUTLYING = 0.1  # a row whose length is off by more is robustly counted less


def modal_turns(xy: F64, modes: int) -> F64:
    """(T, 3, 3) rotations, camera from body, of a body of so many shapes that are mixed.

    Args:
        xy: (T, 2, N) points with the centroid of each frame taken out, in units of their spread.
        modes: Shapes that are mixed, K; one is a rigid body.
    """
    rows = _rows(xy, modes)
    frames, _, rank = rows.shape
    rigid = factor_rigid(xy)[:, :2]
    first = np.linalg.lstsq(rows.reshape(-1, rank), rigid.reshape(-1, 3), rcond=None)[0]

    def rest(flat: F64) -> F64:
        a, b = (rows @ flat.reshape(rank, 3)).swapaxes(0, 1)
        return np.concatenate([(a * a).sum(1) - 1, (b * b).sum(1) - 1, 2 * (a * b).sum(1)])

    def slope(flat: F64) -> F64:
        a, b = (rows @ flat.reshape(rank, 3)).swapaxes(0, 1)
        u, v = rows[:, 0, :, None], rows[:, 1, :, None]
        parts = [2 * u * a[:, None], 2 * v * b[:, None], 2 * (u * b[:, None] + v * a[:, None])]
        return np.concatenate(parts).reshape(3 * frames, -1)

    found = least_squares(rest, first.ravel(), slope, loss="soft_l1", f_scale=OUTLYING, max_nfev=MOST_STEPS).x  # type: ignore[arg-type]  # jac may be a function
    U, _, Vt = np.linalg.svd(rows @ found.reshape(rank, 3), full_matrices=False)
    two = U @ Vt
    return np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], 1)


def modal_shapes(xy: F64, R: F64, modes: int) -> F64:
    """(T, 3, N) shapes in the axes of the body, each a mixture of K that are the same for all frames.

    A combination G of the rows of rank 3K is a shape's share c_t of each frame's turn where rows_t G = c_t R_t; of all G those K are taken
    for which this holds best, which is a symmetric eigenvalue problem.

    Args:
        xy: As for `modal_turns`.
        R: (T, 3, 3) rotations, camera from body.
        modes: K.
    """
    rows, P = _rows(xy, modes), R[:, :2]
    frames, _, rank = rows.shape
    share = np.einsum("tik,tir->trk", P, rows) / 2
    off = np.einsum("tir,jk->tijrk", rows, np.eye(3)) - P[:, :, :, None, None] * share[:, None, None]
    flat = off.reshape(6 * frames, 3 * rank)
    best = np.linalg.eigh(flat.T @ flat)[1][:, :modes]
    weights = np.einsum("trk,rkm->tm", share, best.reshape(rank, 3, modes))
    mixed = (weights[:, None, :, None] * P[:, :, None, :]).reshape(2 * frames, 3 * modes)
    bases = np.linalg.lstsq(mixed, xy.reshape(2 * frames, -1), rcond=1e-6)[0].reshape(modes, 3, -1)
    return np.einsum("tm,man->tan", weights, bases)


def _rows(xy: F64, modes: int) -> F64:
    """(T, 2, 3K) coordinates of each frame's rows among the largest singular vectors."""
    frames, _, points = xy.shape
    U, s, _ = np.linalg.svd(xy.reshape(2 * frames, points), full_matrices=False)
    rank = min(3 * modes, len(s))
    return (U[:, :rank] * np.sqrt(s[:rank])).reshape(frames, 2, rank)
