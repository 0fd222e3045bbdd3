"""First depths of deforming points under an orthographic camera: rigid in short windows, mirrored windows turned round.

Over a few frames a deforming body is nearly rigid, so factorisation finds its depth there, up to its sign (Tomasi and Kanade, IJCV
1992): a view from the front and the mirrored body from behind look alike. Windows that overlap tell each other's sign, since depth in
the axes of a camera needs no common frame. Factorising all frames at once instead leaves parts of a sequence mirrored.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from toolkit.geometry.poses import nearest_rotation
from toolkit.scene import F64

STRIDE = 4  # windows begin a fourth of their length apart: neighbours share three fourths
LEAST_EIGENVALUE = 1e-3  # of the metric upgrade, of its largest: a window without parallax is told to be flat
MEAN_ROUNDS = 30  # of aligning all shapes to their mean; changes are under a degree by then


def window_depth(xy: F64, length: int) -> tuple[F64, F64]:
    """Depth of every point in the axes of its frame's camera, from rigid factorisations of overlapping windows.

    Args:
        xy: (T, 2, N) points with the centroid of each frame taken out.
        length: Frames of a window, at most T.

    Returns:
        (T, N) depth, its overall sign open; and (windows - 1,) how much neighbouring windows agree, 0..1.
    """
    frames = len(xy)
    first = list(range(0, frames - length + 1, max(1, length // STRIDE)))
    if first[-1] != frames - length:
        first.append(frames - length)
    depths = [_rigid_depth(xy[a : a + length]) for a in first]
    agreement = np.zeros((len(first), len(first)))
    for i, a in enumerate(first):
        for j in range(i + 1, len(first)):
            shared = a + length - first[j]
            if shared <= 0:
                break
            one, other = depths[i][length - shared :], depths[j][:shared]
            size = np.sqrt((one**2).sum() * (other**2).sum())
            agreement[i, j] = agreement[j, i] = (one * other).sum() / size * shared / length if size > 0 else 0.0
    total, weight = np.zeros(xy.shape[::2]), np.zeros(frames)
    fade = np.hanning(length + 2)[1:-1]
    for a, depth, sign in zip(first, depths, _signs(agreement), strict=True):
        total[a : a + length] += sign * fade[:, None] * depth
        weight[a : a + length] += fade
    return total / weight[:, None], np.abs(np.diagonal(agreement, 1))


def factor_rigid(xy: F64) -> F64:
    """(T, 3, 3) rotations, camera from body, of the rigid body that explains (T, 2, N) centred points best.

    Tomasi and Kanade 1992: three singular vectors, and the metric upgrade by linear least squares on the symmetric Q = G G^T.
    """
    frames, _, points = xy.shape
    U, s, _ = np.linalg.svd(xy.reshape(2 * frames, points), full_matrices=False)
    rows = (U[:, :3] * np.sqrt(s[:3])).reshape(frames, 2, 3)
    a, b = rows[:, 0], rows[:, 1]
    equal, square, length = _products(a, a) - _products(b, b), 2 * _products(a, b), _products(a, a) + _products(b, b)
    system = np.concatenate([equal, square, frames * length.mean(0, keepdims=True)])
    target = np.zeros(len(system))
    target[-1] = 2 * frames  # rows have length one on average
    q = np.linalg.lstsq(system, target, rcond=None)[0]
    value, vector = np.linalg.eigh(q[[[0, 1, 2], [1, 3, 4], [2, 4, 5]]])
    upgraded = rows @ (vector * np.sqrt(np.maximum(value, LEAST_EIGENVALUE * max(value[-1], 1e-12))))
    U, _, Vt = np.linalg.svd(upgraded, full_matrices=False)
    two = U @ Vt
    return np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], 1)


def rigid_body(xy: F64, R: F64) -> F64:
    """(3, N) points of the body that (T, 2, N) centred points show best, given rotations (T, 3, 3)."""
    return np.asarray(np.linalg.lstsq(R[:, :2].reshape(-1, 3), xy.reshape(-1, xy.shape[2]), rcond=None)[0], np.float64)


def align_shapes(xyz: F64) -> F64:
    """Rotations, camera from body, that bring (T, 3, N) shapes closest to their common mean (generalised Procrustes analysis).

    Each frame first follows the one before it, so that a body that turns round is not taken for one that changes.
    """
    R = np.empty((len(xyz), 3, 3))
    R[0] = np.eye(3)
    for t in range(1, len(xyz)):
        R[t] = nearest_rotation(xyz[t] @ xyz[t - 1].T @ R[t - 1])
    for _ in range(MEAN_ROUNDS):
        mean = (R.transpose(0, 2, 1) @ xyz).mean(0)
        R = nearest_rotation(xyz @ mean.T)
    return R


def _rigid_depth(xy: F64) -> F64:
    """(T, N) depth of the rigid body that explains a window."""
    R = factor_rigid(xy)
    return R[:, 2] @ rigid_body(xy, R)


def _products(a: F64, b: F64) -> F64:
    """(T, 6) coefficients of a^T Q b for the upper triangle of a symmetric Q."""
    both = a[:, :, None] * b[:, None, :] + b[:, :, None] * a[:, None, :]
    return np.stack([both[:, 0, 0] / 2, both[:, 0, 1], both[:, 0, 2], both[:, 1, 1] / 2, both[:, 1, 2], both[:, 2, 2] / 2], 1)


def _signs(agreement: F64) -> F64:
    """A sign of each window along the tree of the surest overlaps."""
    signs = np.ones(len(agreement))
    tree = minimum_spanning_tree(np.where(agreement != 0, -np.abs(agreement), 0)).toarray()
    order, before = breadth_first_order(tree + tree.T, 0, directed=False)
    for i in order[1:]:
        signs[i] = signs[before[i]] * (1.0 if agreement[i, before[i]] >= 0 else -1.0)
    return signs
