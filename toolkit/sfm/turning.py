"""A camera that only turns, fitted to points: turns, lens and directions of the points are adjusted together, robustly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.scene import F64
from toolkit.sfm.sightings import Sightings

_HELD = 1e12  # information that keeps an unknown where it is


LEAST_NOISE_PX = 0.05
"""No point is followed better; frames that are copies of each other seem to be exact and tell nothing."""


@dataclass(frozen=True, eq=False)
class Turn:
    """A camera that only turns.

    Attributes:
        R: (T, 3, 3) camera-from-world rotations of the pictures; the first is the world.
        lens: (L, 3) for each lens the logarithm of its focal length over the one that was assumed, and two terms of radial distortion.
        directions: (P, 3) to the points, in the world.
        square: (N,) squared errors of the sightings, in pixels of a picture that is reduced to 1000 where it is larger.
        focal_sigma: (L,) standard deviations of the logarithms of the focal lengths, were errors of sightings independent.
    """

    R: F64
    lens: F64
    directions: F64
    square: F64
    focal_sigma: F64


def turn_errors(seen: Sightings, steps: int) -> F64:
    """(N,) squared errors in pixels of the best camera that only turns, through any lens."""
    return fit_turn(seen, steps).square


def fit_turn(seen: Sightings, steps: int, *, fixed_lens: bool = False) -> Turn:
    """Adjusts turns, lens and directions of points of a camera that stays in its place, robustly (Geman and McClure's loss).

    Args:
        seen: Points in two pictures or more each.
        steps: At most.
        fixed_lens: Whether the lens stays as it was assumed.
    """
    frames, count, lenses = len(seen.lens), int(seen.point.max()) + 1, int(seen.lens.max()) + 1
    R = _first_turns(seen, frames)
    lens = np.zeros((lenses, 3))  # logarithm of the focal length against the one given, and two terms of radial distortion beside its own
    rays = np.column_stack([seen.plain, np.ones(len(seen.plain))])
    world = np.einsum("nji,nj->ni", R[seen.frame], rays / np.linalg.norm(rays, axis=1, keepdims=True))
    d = np.stack([np.bincount(seen.point, column, count) for column in world.T], 1)
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    cameras = 3 * frames + 3 * lenses
    which = seen.lens[seen.frame]
    columns = np.concatenate([3 * seen.frame[:, None] + np.arange(3), 3 * frames + 3 * which[:, None] + np.arange(3)], 1)
    prior = np.zeros(cameras)
    prior[:3] = _HELD  # the first picture stays
    prior[3 * frames :] = _HELD if fixed_lens else 1.0
    damp, cost_before = 1e-4, np.inf
    square = _turn_residuals(seen, R, lens, d)[2]
    scale2, told = 0.0, np.zeros((cameras, cameras))
    for _ in range(steps):
        # The scale follows the errors down, so that a bad start is not taken for a crowd of outliers.
        scale2 = max(9 * float(np.median(square)) / 1.386, 0.2)
        cost = float(np.sum(square / (1 + square / scale2)))
        x, error, _ = _turn_residuals(seen, R, lens, d)
        weight = 1 / (1 + square / scale2) ** 2
        u = x[:, :2] / x[:, 2:]
        r2 = np.sum(u * u, 1)
        k, g = lens[which, 1:], np.exp(lens[which, 0]) * seen.focal_px
        bend = 1 + k[:, 0] * r2 + k[:, 1] * r2**2
        by_u = bend[:, None, None] * np.eye(2) + 2 * (k[:, 0] + 2 * k[:, 1] * r2)[:, None, None] * u[:, :, None] * u[:, None, :]
        by_x = np.zeros((len(x), 2, 3))
        by_x[:, 0, 0] = by_x[:, 1, 1] = 1 / x[:, 2]
        by_x[:, :, 2] = -u / x[:, 2:]
        by_x = g[:, None, None] * (by_u @ by_x)
        Jc = np.zeros((len(x), 2, 6))
        Jc[:, :, :3] = -by_x @ _cross(x)
        Jc[:, :, 3] = g[:, None] * bend[:, None] * u
        Jc[:, :, 4], Jc[:, :, 5] = g[:, None] * r2[:, None] * u, g[:, None] * (r2**2)[:, None] * u
        basis = _tangents(d)
        Jp = by_x @ R[seen.frame] @ basis[seen.point]
        wJc = Jc * weight[:, None, None]
        U, W = np.zeros((cameras, cameras)), np.zeros((count, cameras, 2))
        np.add.at(U, (columns[:, :, None], columns[:, None, :]), np.einsum("nri,nrj->nij", wJc, Jc))
        np.add.at(W, (seen.point[:, None], columns), np.einsum("nri,nrj->nij", wJc, Jp))
        V, h = np.zeros((count, 2, 2)), np.zeros((count, 2))
        np.add.at(V, seen.point, np.einsum("nri,nrj->nij", Jp * weight[:, None, None], Jp))
        np.add.at(h, seen.point, np.einsum("nri,nr->ni", Jp * weight[:, None, None], error))
        b = np.bincount(columns.ravel(), np.einsum("nri,nr->ni", wJc, error).ravel(), cameras)
        b[3 * frames :] += lens.ravel()
        V += (damp * np.trace(V, axis1=1, axis2=2) + 1e-9)[:, None, None] * np.eye(2)
        Vi = np.linalg.inv(V)
        WV = W @ Vi
        told = U - WV.transpose(1, 0, 2).reshape(cameras, -1) @ W.transpose(1, 0, 2).reshape(cameras, -1).T
        step = -np.linalg.solve(told + np.diag(prior + damp * np.diag(U) + 1e-9), b - np.einsum("pij,pj->i", WV, h))
        dp = -np.einsum("pij,pj->pi", Vi, h + np.einsum("pij,i->pj", W, step))
        R_next = Rotation.from_rotvec(step[: 3 * frames].reshape(-1, 3)).as_matrix() @ R
        lens_next = lens + step[3 * frames :].reshape(-1, 3)
        d_next = d + np.einsum("pij,pj->pi", basis, dp)
        d_next /= np.linalg.norm(d_next, axis=1, keepdims=True)
        square_next = _turn_residuals(seen, R_next, lens_next, d_next)[2]
        cost_next = float(np.sum(square_next / (1 + square_next / scale2)))
        if cost_next < cost:
            R, lens, d, square, damp = R_next, lens_next, d_next, square_next, damp / 5
            if cost - cost_next < 1e-4 * cost and cost_before - cost < 1e-3 * cost:
                break
            cost_before = cost
        else:
            damp *= 10
            if damp > 1e6:
                break
    noise = max(float(np.median(square)) / 1.386, LEAST_NOISE_PX**2)
    sigma = np.sqrt(noise * np.diag(np.linalg.inv(told + np.diag(prior * noise + 1e-9)))[3 * frames :: 3])
    return Turn(R, lens, d, square, sigma)


def _turn_residuals(seen: Sightings, R: F64, lens: F64, d: F64) -> tuple[F64, F64, F64]:
    """(N, 3) points in the cameras, (N, 2) errors in pixels and (N,) their squares."""
    x = np.einsum("nij,nj->ni", R[seen.frame], d[seen.point])
    behind = x[:, 2] < 1e-3
    x[behind, 2] = 1e-3
    u = x[:, :2] / x[:, 2:]
    r2 = np.sum(u * u, 1)
    values = lens[seen.lens[seen.frame]]
    bend = np.exp(values[:, 0]) * (1 + values[:, 1] * r2 + values[:, 2] * r2**2)
    error = (bend[:, None] * u - seen.plain) * seen.focal_px[:, None]
    return x, error, np.sum(error**2, 1)


def _first_turns(seen: Sightings, frames: int) -> F64:
    """(T, 3, 3) turns of the pictures against the first one, each from the one that shares most with it."""
    count = int(seen.point.max()) + 1
    row = np.full((frames, count), -1)
    row[seen.frame, seen.point] = np.arange(len(seen.frame))
    shows = (row >= 0).astype(np.float32)
    shared = shows @ shows.T
    np.fill_diagonal(shared, 0)
    rays = np.column_stack([seen.plain, np.ones(len(seen.plain))])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    R = np.tile(np.eye(3), (frames, 1, 1))
    known, left = [0], set(range(1, frames))
    while left:
        rest = sorted(left)
        table = shared[np.ix_(known, rest)]
        i, j = np.unravel_index(int(table.argmax()), table.shape)
        a, b = known[int(i)], rest[int(j)]
        both = (row[a] >= 0) & (row[b] >= 0)
        if both.any():
            R[b] = _turn_between(rays[row[a][both]], rays[row[b][both]]) @ R[a]
        known.append(b)
        left.remove(b)
    return R


def _turn_between(first: F64, second: F64) -> F64:
    weight = np.ones(len(first))
    R = np.eye(3)
    for _ in range(6):
        U, _, Vt = np.linalg.svd((second * weight[:, None]).T @ first)
        R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
        off = np.linalg.norm(second - first @ R.T, axis=1)
        weight = 1 / np.maximum(off, 1e-4)
    return np.asarray(R, np.float64)


def _cross(x: F64) -> F64:
    out = np.zeros((len(x), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -x[:, 2], x[:, 1], -x[:, 0]
    return out - out.transpose(0, 2, 1)


def _tangents(d: F64) -> F64:
    """(P, 3, 2) two directions across each."""
    other = np.where(np.abs(d[:, :1]) < 0.6, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(d, other)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.asarray(np.stack([first, np.cross(d, first)], 2), np.float64)
