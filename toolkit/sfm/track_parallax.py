"""What tracks can't tell: depth where the camera only turns, the focal length where no depth fixes it, and how sure a still point is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F64
from toolkit.sfm.bundle import Beliefs, State
from toolkit.sfm.bundle_terms import linearise
from toolkit.sfm.track_observed import Observed

ROUNDS = 12
MOST_TRACKS = 400  # that a turn is fitted to
BEST_SHARE = 0.9  # of the weight of all tracks: those that fit their still points worst are left out
MORE = 0.75  # quantile: where most of the picture is one wall, a quarter of the tracks tells a walk from a turn
BEYOND_ERROR = 1.4  # errors by which these must stray: more unknowns explain up to 0.95 of one where a camera only turns
LEAST_PX = 1.0  # and at least so far: a flat picture that slides strays by half of it from a turn, and tells no depth


@dataclass(frozen=True, eq=False)
class Parallax:
    """How much more than a turning camera there is.

    Attributes:
        px: How far still points stray from where a camera that only turns would see them, their errors taken out: median over tracks.
        most_px: The same of those that stray more: three in four stray less.
        error_px: Their errors under the full explanation.
        angle_deg: Between the rays that see a still point, at most: median over tracks.
        R: (T, 3, 3) camera-to-world of the camera that only turns, the first frame as the world.
        turn_deg: How far it turns away from its first direction, at most.
    """

    px: float
    most_px: float
    error_px: float
    angle_deg: float
    R: F64
    turn_deg: float

    @property
    def known(self) -> bool:
        """Whether depth can be told: points must stray by more than a tracker's error, some of which more unknowns explain too."""
        return bool(self.most_px > max(LEAST_PX, BEYOND_ERROR * self.error_px))


def parallax_of(seen: Observed, state: State, scale: F64, weight: F64) -> Parallax:
    """How far still tracks are from those of a camera that only turns.

    Args:
        seen: All tracks.
        state: Their explanation.
        scale: (N,) robust scale of each track.
        weight: (N,) how much each counts: the area it stands for; zero where it moves.
    """
    rows = np.argsort(scale, kind="stable")
    rows = rows[((seen.weight > 0).sum(0)[rows] >= 3) & (weight[rows] > 0)]
    share = np.cumsum(weight[rows]) / max(weight[rows].sum(), 1e-9)
    rows = rows[: max(8, int((share < BEST_SHARE).sum()))]
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_TRACKS)).astype(int)] if len(rows) else rows
    if len(rows) < 4:
        return Parallax(0.0, 0.0, float("nan"), 0.0, np.repeat(np.eye(3)[None], len(seen.uv), 0), 0.0)
    rays = np.concatenate([seen.uv[:, rows] / state.factor, np.ones((len(seen.uv), len(rows), 1))], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    known = seen.weight[:, rows] > 0
    R, rest = _turning(rays, known, state.R.copy(), scale[rows])
    way = state.X[rows][None] - state.c[:, None]
    way /= np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-12)
    full = np.linalg.norm(np.einsum("tji,tpj->tpi", state.R, way) - rays, axis=-1)
    by_turn, by_all = (_track_medians(r, known) / seen.px for r in (rest, full))
    angles = _angles_deg(way, known)
    R = R[0].T @ R
    turn = np.degrees(np.arccos(np.clip(R[:, 2, 2], -1, 1)).max())
    px = np.sqrt(np.maximum(by_turn**2 - by_all**2, 0))
    return Parallax(float(np.median(px)), float(np.quantile(px, MORE)), float(np.median(by_all)), float(np.median(angles)), R, float(turn))


def _turning(rays: F64, known: NDArray, R: F64, scale: F64) -> tuple[F64, F64]:
    """Rotations of a camera that stays, by turns with the directions of points, and what is left of each ray (T, N)."""
    weight = known.astype(float)
    rest = np.zeros(weight.shape)
    for _ in range(ROUNDS):
        world = np.einsum("tij,tpj->tpi", R, rays)
        direction = (weight[..., None] * world).sum(0)
        direction /= np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-12)
        U, _, Vt = np.linalg.svd(np.einsum("tp,pi,tpj->tij", weight, direction, rays))
        flip = np.ones((len(R), 3))
        flip[:, 2] = np.linalg.det(U @ Vt)
        R = (U * flip[:, None]) @ Vt
        rest = np.linalg.norm(np.einsum("tij,tpj->tpi", R, rays) - direction, axis=-1)
        spread = np.maximum(scale, 1.5 * _track_medians(rest, known))
        weight = known / (spread**2 + rest**2) * spread.min() ** 2
    return R, rest


def _track_medians(values: F64, known: NDArray) -> F64:
    return np.array([np.median(v[k]) if k.any() else 0.0 for v, k in zip(values.T, known.T, strict=True)])


def _angles_deg(way: F64, known: NDArray) -> F64:
    """(N,) largest angle between the ray of a track's middle frame and its others."""
    out = np.zeros(way.shape[1])
    for p in range(len(out)):
        seen = way[known[:, p], p]
        if len(seen):
            out[p] = np.degrees(np.arccos(np.clip((seen @ seen[len(seen) // 2]).min(), -1, 1)))
    return out


def focal_sigma(seen: Observed, state: State, scale: F64) -> float:
    """Standard deviation of the logarithm of the focal length, of what was believed and what the tracks tell together.

    Args:
        seen: Tracks that the focal length was found with.
        state: Found.
        scale: (N,) robust scales.
    """
    count, points = seen.weight.shape
    U, gA, W = np.empty((count, 6, 6)), np.empty((count, 6)), np.empty((count, points, 6, 3))
    V, gX, FA, FX, ff = np.empty((points, 3, 3)), np.empty((points, 3)), np.empty((count, 6)), np.empty((points, 3)), np.empty(2)
    linearise(state.R, state.c, state.X, state.factor, seen.uv, seen.weight, scale, U, gA, V, gX, W, FA, FX, ff)
    V += 1e-9 * np.eye(3)
    size = 6 * count + 1
    H = np.zeros((size, size))
    for n in range(count):
        H[6 * n : 6 * n + 6, 6 * n : 6 * n + 6] = U[n]
    H[-1, :-1] = H[:-1, -1] = FA.ravel()
    H[-1, -1] = ff[0]
    rows = np.concatenate([W.transpose(0, 2, 1, 3).reshape(6 * count, points, 3), FX[None]])
    solved = np.einsum("apj,pjk->apk", rows, np.linalg.inv(V))
    S = H - solved.reshape(size, -1) @ rows.reshape(size, -1).T
    cameras = S[:-1, :-1] + 1e-9 * np.trace(S[:-1, :-1]) / size * np.eye(size - 1)  # the world's place, turn and unit are free
    told = float(S[-1, -1] - S[-1, :-1] @ np.linalg.lstsq(cameras, S[:-1, -1], rcond=None)[0])
    # A track's errors last for some frames, so that its samples say less than as many independent ones.
    told = max(told, 0.0) / _lasting(seen, state)
    return float((told + 1 / Beliefs.focal_sigma**2) ** -0.5)


def _lasting(seen: Observed, state: State) -> float:
    """How many samples say as much as one: from how alike errors of neighbouring frames are."""
    r2 = np.sqrt(state.errors(seen.uv))
    both = (seen.weight[1:] > 0) & (seen.weight[:-1] > 0)
    if both.sum() < 20:
        return 4.0
    a, b = np.minimum(r2[1:][both], 5 * seen.px), np.minimum(r2[:-1][both], 5 * seen.px)
    alike = float(np.clip(np.mean(a * b) / max(np.mean(0.5 * (a * a + b * b)), 1e-18), 0, 0.9))
    return (1 + alike) / (1 - alike)


def point_sigmas(seen: Observed, state: State, scale: F64) -> F64:
    """(N,) standard deviation of still points, cameras taken as known: the root of the trace of the covariance.

    Args:
        seen: All tracks.
        state: Cameras and points.
        scale: (N,) robust scale of each track, taken for its error.
    """
    points = seen.weight.shape[1]
    V = np.zeros((points, 3, 3))
    for n in range(len(state.R)):
        rows = np.flatnonzero(seen.weight[n] > 0)
        Y = (state.X[rows] - state.c[n]) @ state.R[n]
        z = np.maximum(Y[:, 2], 1e-3)
        J = np.zeros((len(rows), 2, 3))
        J[:, 0, 0] = J[:, 1, 1] = 1
        J[:, :, 2] = -Y[:, :2] / z[:, None]
        J = (state.factor / z)[:, None, None] * (J @ state.R[n].T)
        V[rows] += np.einsum("pki,pkj->pij", J, J)
    lasting = 3.0  # errors of a track last for some frames
    V += 1e-12 * np.eye(3)
    covariance = lasting * np.trace(np.linalg.inv(V), axis1=1, axis2=2)
    return np.sqrt(np.maximum(covariance, 0)) * scale
