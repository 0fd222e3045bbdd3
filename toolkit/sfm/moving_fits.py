"""What still things look like in a few frames at once, from the tracks alone: as most of the picture moves, by homographies or by parallax.

Plane and parallax (Sawhney 1994; Irani and Anandan 1998) tell it up to a projective frame, which is all that is needed to tell what moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.sampling import to_opencv
from toolkit.scene import F64, I64
from toolkit.sfm.moving_views import TYPICAL, WRONG, Views, explain


@dataclass(frozen=True)
class ViewOptions:
    """How the picture of still things is found where no cameras are known.

    Attributes:
        cells: Tracks are thinned to one in each of so many cells along the longer side, so that area counts and not texture.
        fewest: Tracks that must be seen in all of the frames.
        error_px: Largest distance to the epipolar line of what may speak for it, in pixels of a picture of 512.
        rounds: Places and views are fitted in turn so often.
        cap: A squared residual counts as at most so many variances: two and a half standard deviations in each of two directions.
        parallax_share: So much of what is off the dominant homography must parallax explain, or all of the picture better, before a
            moving camera is believed.
        gain: What parallax explains, it explains by so much of `cap`.
        spread: These parts must reach so far over the picture, as a share of the reach of all tracks: one thing that moves steadily
            under a turning camera looks like parallax too, but in one place.
        nearer: Nothing stands nearer, or farther, than what most tracks tell, by more than so many times their range.
    """

    cells: int = 28
    fewest: int = 24
    error_px: float = 1.0
    rounds: int = 4
    cap: float = 12.0
    parallax_share: float = 0.75
    gain: float = 0.2
    spread: float = 0.5
    nearer: float = 5.0


def views_of_tracks(
    xy: NDArray,
    xy_others: NDArray,
    sigma_px: NDArray,
    *,
    base: int,
    others: I64,
    size: tuple[int, int],
    seed: int = 0,
    options: ViewOptions | None = None,
) -> Views | None:
    """How most of the picture moves, as tracks tell; None where too few are seen.

    Args:
        xy: (N, 2) tracks in the base frame, in pixels.
        xy_others: (N, K, 2) in the others, the widest apart last; NaN where not seen.
        sigma_px: (N, K) standard deviations.
        base: The frame.
        others: (K,) the others.
        size: (width, height) of the picture.
        seed: Of the random samples.
        options: How.
    """
    o = options or ViewOptions()
    centre, half_px = np.array([size[0] / 2, size[1] / 2]), max(size) / 2
    seen = np.flatnonzero(np.isfinite(xy_others).all((1, 2)) & np.isfinite(xy).all(1))
    rows = seen[_one_a_cell(xy[seen], sigma_px[seen].max(1), max(size) / o.cells)]
    if len(rows) < o.fewest:
        return None
    base_xy, other_xy = (xy[rows] - centre) / half_px, (xy_others[rows] - centre) / half_px
    sigma = np.asarray(sigma_px[rows], np.float64) / half_px
    error = o.error_px / 256 + 2 * float(np.median(sigma))
    blank = Views(base, others, np.zeros((len(others), 3, 3)), np.zeros((len(others), 3)), (0.0, 0.0), centre, half_px, "turning")
    turning = _fit_turning(base_xy, other_xy, sigma, blank, error, o, seed)
    moving = _fit_moving(base_xy, other_xy, sigma, blank, error, o, seed)
    if turning is None or moving is None:
        return turning or moving
    points = (xy[rows], xy_others[rows], sigma_px[rows])
    return moving if _parallax_shows(turning, moving, points, o) else turning


def _parallax_shows(turning: Views, moving: Views, points: tuple[NDArray, NDArray, NDArray], o: ViewOptions) -> bool:
    """Whether the camera moved: by what parallax explains and a homography does not (after Torr's GRIC, 1998)."""
    flat, count, _ = turning.explained(*points)
    deep = moving.explained(*points)[0]
    noise = max(float(np.median(deep / np.maximum(2 * count - 1, 1))) / TYPICAL, 0.25)
    most = o.cap * count
    flat, deep = np.minimum(flat / noise, most), np.minimum(deep / noise, most)
    # A place of its own costs each point what one measurement more would.
    better = (deep + 2.0 * np.log(4)).sum() < flat.sum()
    gains = flat - deep > o.gain * most
    if gains.sum() < max(6, 0.04 * len(gains)):
        return False
    xy = points[0]
    reach, whole = (float(np.linalg.norm(part - np.median(part, axis=0), axis=1).mean()) for part in (xy[gains], xy))
    off = flat >= most
    explained = not off.any() or (deep[off] < 0.5 * most[off]).mean() >= o.parallax_share
    return bool((better or explained) and reach >= o.spread * whole)


def _fit_turning(base: F64, others: F64, sigma: F64, blank: Views, error: float, o: ViewOptions, seed: int) -> Views | None:
    """A homography for each frame."""
    A = []
    for k in range(others.shape[1]):
        cv2.setRNGSeed(seed)
        found, inlier = cv2.findHomography(base, others[:, k], cv2.USAC_MAGSAC, 1.5 * error, maxIters=500)
        if found is None or inlier.sum() < o.fewest / 2:
            return None
        H, weight = np.asarray(found, np.float64), inlier[:, 0].astype(np.float64)
        for _ in range(o.rounds):
            H = _resected(base, others[:, k], np.zeros((len(base), 0)), weight / sigma[:, k], H)[:, :3]
            weight = np.sqrt(1 / (1 + _offset(base, others[:, k], None, H) / (o.cap * sigma[:, k] ** 2)))
        A.append(H / np.linalg.norm(H))
    return replace(blank, A=np.stack(A))


def _fit_moving(base: F64, others: F64, sigma: F64, blank: Views, error: float, o: ViewOptions, seed: int) -> Views | None:
    """Plane and parallax of all frames at once: places from views, views from places, in turn."""
    cv2.setRNGSeed(seed)
    F, inlier = cv2.findFundamentalMat(base, others[:, -1], cv2.USAC_MAGSAC, error, 0.999, 1000)
    if F is None or F.shape != (3, 3) or inlier is None or inlier.sum() < o.fewest / 2:
        return None
    good = inlier[:, 0] > 0
    A, a = _plane_and_parallax(np.asarray(F, np.float64), base[good], others[good, -1])
    w = np.zeros(len(base))
    last = slice(-1, None)
    squared, count, anything = np.empty(len(base)), np.empty(len(base), np.int64), np.array([-np.inf, np.inf])
    explain(base, others[:, last], sigma[:, last], A[None], a[None], anything, squared, count, w)
    weight = np.repeat(good[:, None].astype(np.float64), others.shape[1], axis=1)
    views = None
    for _ in range(o.rounds):
        M = [_resected(base, others[:, k], w[:, None], weight[:, k] / sigma[:, k], None) for k in range(others.shape[1])]
        if not np.isfinite(M).all():
            return None
        A, a = np.stack([m[:, :3] for m in M]), np.stack([m[:, 3] for m in M])
        explain(base, others, sigma, A, a, anything, squared, count, w)
        for k in range(others.shape[1]):
            weight[:, k] = np.sqrt(1 / (1 + _offset(base, others[:, k], w, M[k]) / (o.cap * sigma[:, k] ** 2)))
        still = squared < o.cap * count
        if still.sum() < o.fewest / 2:
            return None
        low, high = np.quantile(w[still], [0.02, 0.98])
        reach = o.nearer * (high - low)
        views = replace(blank, A=A, a=a, nearness=(low - reach, high + reach), kind="moving")
    return views


def _plane_and_parallax(F: F64, base: F64, other: F64) -> tuple[F64, F64]:
    """The homography compatible with a fundamental matrix that comes closest to the points, and the epipole."""
    U = np.linalg.svd(F)[0]
    e = U[:, 2]
    S = np.cross(np.eye(3), e).T @ F
    x = np.column_stack([base, np.ones(len(base))])
    y = np.column_stack([other, np.ones(len(other))])
    # y x (S x + e (v . x)) = 0 is linear in v.
    left = np.cross(y, e)[:, :, None] * x[:, None, :]
    right = -np.cross(y, x @ S.T)
    v = np.linalg.lstsq(left.reshape(-1, 3), right.ravel(), rcond=None)[0]
    return S + np.outer(e, v), e


def _resected(base: F64, other: F64, w: F64, weight: F64, start: F64 | None) -> F64:
    """(3, 3 or 4) matrix that takes (x, y, 1[, w]) to the other frame, by weighted direct linear transform; NaN where undetermined."""
    y = np.column_stack([base, np.ones(len(base)), w])
    scale = np.ones(y.shape[1])
    if w.shape[1]:
        middle, spread = np.median(w), max(float(np.std(np.clip(w, *np.quantile(w, [0.05, 0.95])))), 1e-12)
        y[:, 3], scale[3] = (w[:, 0] - middle) / spread, spread
        y[:, 3] = np.clip(y[:, 3], -20, 20)
    if start is not None:
        weight = weight / np.maximum(np.abs(y @ start[2]), 1e-9)
    n = y.shape[1]
    zero = np.zeros_like(y)
    rows = np.concatenate([np.hstack([y, zero, -other[:, :1] * y]), np.hstack([zero, y, -other[:, 1:] * y])])
    rows *= np.tile(weight, 2)[:, None]
    if not np.isfinite(rows).all():
        return np.full((3, n), np.nan)
    M = np.linalg.eigh(rows.T @ rows)[1][:, 0].reshape(3, n)
    if w.shape[1]:
        M[:, 3] /= scale[3]
        M[:, 2] -= middle * M[:, 3]
    flip = np.sign(np.median(y[:, :3] @ M[2, :3])) or 1.0
    return M * flip / np.linalg.norm(M[:, :3])


def _offset(base: F64, other: F64, w: F64 | None, M: F64) -> F64:
    """(n,) squared distances."""
    y = np.column_stack([base, np.ones(len(base)), *([] if w is None else [w])]) @ M.T
    with np.errstate(divide="ignore", invalid="ignore"):
        off = ((y[:, :2] / y[:, 2:] - other) ** 2).sum(1)
    return np.where((y[:, 2] > 0) & np.isfinite(off), off, WRONG)


def _one_a_cell(xy: NDArray, sigma: NDArray, cell_px: float) -> I64:
    """Rows of the surest track in each cell."""
    cell = np.floor(to_opencv(xy) / cell_px).astype(np.int64)
    order = np.lexsort((sigma, cell[:, 0], cell[:, 1]))
    first = np.ones(len(order), bool)
    first[1:] = np.any(np.diff(cell[order], axis=0), axis=1)
    return np.sort(order[first])
