"""Which points move together as a rigid thing, found from their tracks alone, and how such a thing lies in each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from toolkit.geometry.alignment import align_similarity
from toolkit.scene import F64, I64


@dataclass(frozen=True)
class BodyOptions:
    """What counts as one rigid thing.

    Attributes:
        fewest: Points that make a body: three fix its place, a fourth tells whether it is one.
        common: Frames in which two points must both be known to be compared; in a shorter clip, all.
        sigmas: Distances between points of a body vary by less than this many of their standard deviations.
        stretch: And by less than this share of the distance: clothes and skin are never rigid.
        friends: Share of a body's points that must find a new one rigid.
        reach: A point belongs to a body only within this many times the body's own size.
    """

    fewest: int = 4
    common: int = 4
    sigmas: float = 3.0
    stretch: float = 0.01
    friends: float = 0.7
    reach: float = 2.5


@dataclass(frozen=True, eq=False)
class Body:
    """A rigid thing.

    Attributes:
        members: (M,) which points belong to it.
        shape: (M, 3) float64 where they are on it.
        T_wb: (T, 4, 4) float64 world-from-body, NaN where unknown.
    """

    members: I64
    shape: F64
    T_wb: F64


def find_bodies(xyz_w: NDArray, sigma: NDArray, options: BodyOptions | None = None) -> list[Body]:
    """Groups of points whose distances to each other stay the same.

    Args:
        xyz_w: (N, T, 3) tracks, NaN where unknown.
        sigma: (N, T) standard deviation per axis.
        options: What counts as rigid.

    Returns:
        The largest first; a point belongs to one body at most.
    """
    options = options or BodyOptions()
    N, T = xyz_w.shape[:2]
    rigid = _rigid_pairs(xyz_w, sigma, options)
    free = np.ones(N, bool)
    bodies = []
    while True:
        ties = (rigid & free[:, None] & free[None]).sum(1)
        seed = int(ties.argmax())
        if ties[seed] < options.fewest - 1:
            return bodies
        members = [seed]
        for i in np.argsort(-(ties * rigid[seed])):
            if free[i] and rigid[seed, i] and rigid[i, members].mean() >= options.friends:
                members.append(int(i))
        free[seed] = False  # whatever becomes of it, the next one differs
        if len(members) < options.fewest:
            continue
        rows = np.array(sorted(members))
        body = _posed(rows, xyz_w[rows])
        if body is not None:
            free[rows] = False
            bodies.append(body)


def supposed_bodies(queries: NDArray, frames: int, untracked: NDArray, options: BodyOptions | None = None) -> list[Body]:
    """Points asked for close together in one frame, supposed to be on one rigid thing: to be looked for where no track could be made.

    Args:
        queries: (N, 4) (t, x, y, z).
        frames: T.
        untracked: (N,) which points have no track of their own.
        options: What counts as a body.
    """
    options = options or BodyOptions()
    found = []
    for t in np.unique(queries[untracked, 0]).astype(int):
        rows = np.flatnonzero(untracked & (queries[:, 0] == t))
        if len(rows) < options.fewest:
            continue
        place = queries[rows, 1:].astype(np.float64)
        near, _ = KDTree(place).query(place, k=2)
        linked = KDTree(place).sparse_distance_matrix(KDTree(place), 3 * float(np.median(near[:, 1])))
        count, label = connected_components(linked, directed=False)
        for k in range(count):
            members = label == k
            if members.sum() >= options.fewest:
                T_wb = np.full((frames, 4, 4), np.nan)
                T_wb[t] = np.eye(4)
                found.append(Body(rows[members], place[members], T_wb))
    return found


def _rigid_pairs(xyz_w: NDArray, sigma: NDArray, options: BodyOptions) -> NDArray[np.bool_]:
    N, T = xyz_w.shape[:2]
    rigid = np.zeros((N, N), bool)
    known = np.isfinite(xyz_w[..., 0])
    needed = min(options.common, T)
    for i in range(N):
        apart = np.linalg.norm(xyz_w[i + 1 :] - xyz_w[i], axis=-1)
        both = known[i + 1 :] & known[i]
        count = both.sum(1)
        held = np.where(both, apart, np.nan)
        rows = np.flatnonzero(count >= needed)
        if not len(rows):
            continue
        middle = np.nanmedian(held[rows], axis=1, keepdims=True)
        spread = np.hypot(sigma[i], sigma[i + 1 :][rows])
        allowed = options.sigmas * spread + options.stretch * middle
        near = np.where(both[rows], np.abs(held[rows] - middle) < allowed, False).sum(1)
        rigid[i, i + 1 + rows] = near >= 0.8 * count[rows]  # a track slips now and then
    return rigid | rigid.T


def _posed(members: NDArray, xyz_w: NDArray) -> Body | None:
    """Shape and poses of points that move together: each frame laid on a common shape in turn (generalised Procrustes)."""
    known = np.isfinite(xyz_w[..., 0])
    first = int(known.sum(0).argmax())
    if known[:, first].sum() < 3:
        return None
    shape = xyz_w[:, first].astype(np.float64)
    T_wb = np.full((xyz_w.shape[1], 4, 4), np.nan)
    for _ in range(4):
        T_wb = poses_of(shape, xyz_w)
        back = np.full_like(xyz_w, np.nan, dtype=np.float64)
        for t in np.flatnonzero(np.isfinite(T_wb[:, 0, 0])):
            back[:, t] = (xyz_w[:, t] - T_wb[t, :3, 3]) @ T_wb[t, :3, :3]
        with np.errstate(all="ignore"):
            shape = np.where(np.any(np.isfinite(back[..., 0]), axis=1, keepdims=True), _median(back), shape)
    good = np.isfinite(shape[:, 0])
    return Body(members[good], shape[good], T_wb) if good.sum() >= 3 else None


def _median(back: NDArray) -> F64:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(back, axis=1)


def poses_of(shape: NDArray, xyz_w: NDArray) -> F64:
    """(T, 4, 4) world-from-body that lays a shape (M, 3) on tracks (M, T, 3), worst fitting third left out; NaN under three points."""
    T_wb = np.full((xyz_w.shape[1], 4, 4), np.nan)
    placed = np.isfinite(shape[:, 0])
    for t in range(xyz_w.shape[1]):
        rows = np.flatnonzero(placed & np.isfinite(xyz_w[:, t, 0]))
        if len(rows) < 3:
            continue
        for _ in range(2):
            fit = align_similarity(shape[rows], xyz_w[rows, t].astype(np.float64), with_scale=False)
            error = np.linalg.norm(fit(shape[rows]) - xyz_w[rows, t], axis=1)
            keep = error <= max(np.sort(error)[max(2, 2 * len(rows) // 3)], 1e-12)
            rows = rows[keep]
        T_wb[t] = np.eye(4)
        T_wb[t, :3, :3], T_wb[t, :3, 3] = fit.R, fit.t
    return T_wb
