"""How sure the depth of what stands still is when the cameras, and perhaps the focal length, are as unsure as the tracks leave them.

A point's own rays may fix it well while the whole scene could as well be flatter, and the camera have gone another way: the bas-relief
of a short walk. So the doubt is that of points and cameras together: the covariance of the adjustment, its seven freedoms of place, turn
and unit taken out, told as the change of depths against each other.
"""

from __future__ import annotations

import numpy as np

from toolkit.scene import F64
from toolkit.sfm.bundle import Beliefs, State
from toolkit.sfm.bundle_terms import linearise
from toolkit.sfm.track_observed import Observed

MOST_FRAMES, MOST_TRACKS = 40, 200  # that are looked at
LEAST_TRACKS = 8
FREEDOMS = 7
LASTING = 3.0  # frames that an error of a track lasts for
VAGUE = 1e-3  # curvature of what nothing tells, in a scene of unit depth: a standard deviation of thirty times that depth


def depth_doubt(seen: Observed, state: State, scale: F64) -> float:
    """Standard deviation of the logarithm of the depth of still points: median over points, in the camera of the middle frame.

    Args:
        seen: Tracks; of weight zero those that move.
        state: Their cameras and still points.
        scale: (N,) robust scale of each track, taken for its error.

    Returns:
        The standard deviation; NaN where there are too few tracks.
    """
    count = len(seen.uv)
    frames = np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(int))
    rows = np.flatnonzero((seen.weight[frames] > 0).sum(0) >= 2)  # noqa: PLR2004  (rays that meet)
    if len(rows) < LEAST_TRACKS:
        return float("nan")
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_TRACKS)).astype(int)]
    middle = len(frames) // 2
    R, c, X = state.R[frames], state.c[frames], state.X[rows]
    unit = float(np.median(abs((X - c[middle]) @ R[middle, :, 2])))
    if not unit > 0:
        return float("nan")
    c, X = c / unit, X / unit
    few = seen.of(rows)
    cameras, points, own = _swings(State(R, c, X, state.log_focal), few.uv[frames], few.weight[frames], scale[rows], seen.free_focal)
    turn, shift = cameras[6 * middle : 6 * middle + 3], cameras[6 * middle + 3 : 6 * middle + 6]
    Y = (X - c[middle]) @ R[middle]
    change = (points - shift.T) @ R[middle, :, 2] + Y[:, 1:2] * turn[0] - Y[:, :1] * turn[1]
    relative = change / Y[:, 2:]
    relative -= np.median(relative, axis=0)  # all depths together are the unit
    alone = np.einsum("i,pij,j->p", R[middle, :, 2], own, R[middle, :, 2]) / Y[:, 2] ** 2
    lasting = max(LASTING * len(frames) / count, 1.0)
    return float(np.sqrt(lasting * np.median((relative**2).sum(1) + alone)))


def _swings(state: State, uv: F64, weight: F64, scale: F64, free_focal: bool) -> tuple[F64, F64, F64]:
    """Changes by one standard deviation that are independent of each other.

    Returns:
        Of the cameras (6 T, K), of the points with them (P, K, 3), and the covariance of each point with cameras held (P, 3, 3).
    """
    frames, count = weight.shape
    U, gA, W = np.empty((frames, 6, 6)), np.empty((frames, 6)), np.empty((frames, count, 6, 3))
    V, gX, FA, FX, ff = np.empty((count, 3, 3)), np.empty((count, 3)), np.empty((frames, 6)), np.empty((count, 3)), np.empty(2)
    arrays = (np.ascontiguousarray(a) for a in (state.R, state.c, state.X))
    linearise(*arrays, state.factor, np.ascontiguousarray(uv), np.ascontiguousarray(weight), scale, U, gA, V, gX, W, FA, FX, ff)
    own = np.asarray(np.linalg.inv(V + VAGUE * np.eye(3)), np.float64)
    both = W.transpose(1, 0, 2, 3).reshape(count, 6 * frames, 3)
    size = 6 * frames
    H = np.zeros((size + free_focal, size + free_focal))
    for n in range(frames):
        H[6 * n : 6 * n + 6, 6 * n : 6 * n + 6] = U[n]
    if free_focal:
        H[-1, :size] = H[:size, -1] = FA.ravel()
        H[-1, -1] = ff[0] + Beliefs.focal_sigma**-2
        both = np.concatenate([both, FX[:, None]], axis=1)
    drawn = both @ own
    H -= np.tensordot(drawn, both, axes=((0, 2), (0, 2)))
    curvature, way = np.linalg.eigh(H)
    way = way[:, FREEDOMS:] / np.sqrt(np.maximum(curvature[FREEDOMS:], VAGUE))
    points = -np.einsum("pai,ak->pki", drawn, way, optimize=True)
    return np.asarray(way[:size], np.float64), points, own
