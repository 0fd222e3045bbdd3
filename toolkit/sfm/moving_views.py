"""What still things look like in a few frames at once, with known cameras or from the tracks alone, and how far anything is from that.

A still point seen at x in one frame is seen in every other one at A x + w a, in homogeneous pixels, where w grows with nearness: with
known cameras A is the homography of infinity and a the other camera's translation. Without cameras both follow from the tracks up to a
projective frame (plane and parallax: Sawhney 1994; Irani and Anandan 1998), which is all that is needed here: over three frames and
more a point that walks along its own epipolar lines has no w that explains it either. Where the camera only turns, or stands, a is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.geometry.sampling import to_opencv
from toolkit.scene import F64, I64, Cameras

_WRONG = 1e6  # squared residual, in variances, of a point that cannot be seen at all
_TYPICAL = 0.85  # median of a chi-squared variable over its degrees of freedom, from three to seven


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


@dataclass(frozen=True, eq=False)
class Views:
    """How still things move between a frame and some others.

    Attributes:
        base: The frame.
        others: (K,) the other frames.
        A: (K, 3, 3) homographies, in pixels less the picture's centre over half its longer side.
        a: (K, 3) where parallax leads to; zero where there is none.
        nearness: Least and largest w that something still has.
        centre: (2,) middle of the picture, in pixels.
        half_px: Half its longer side, in pixels.
        kind: "cameras" where they are known, otherwise "moving" or "turning" as the camera does.
    """

    base: int
    others: I64
    A: F64
    a: F64
    nearness: tuple[float, float]
    centre: F64
    half_px: float
    kind: str

    def unlikeness(self, xy: NDArray, xy_others: NDArray, sigma_px: NDArray) -> F64:
        """(N,) mean squared distance of points from the nearest still thing, in variances; about 1 for what stands still.

        Args:
            xy: (N, 2) where points are in the base frame, in pixels.
            xy_others: (N, K, 2) where they are in the others; NaN where not seen.
            sigma_px: (N, K) standard deviation of each of these.
        """
        squared, count = self.explained(xy, xy_others, sigma_px)[:2]
        freedom = np.maximum(2 * count - bool(np.any(self.a)), 1)
        return np.where(count > 0, squared / freedom, np.nan)

    def explained(self, xy: NDArray, xy_others: NDArray, sigma_px: NDArray) -> tuple[F64, I64, F64]:
        """(N,) squared distances as in `unlikeness` but summed, the frames each point is seen in, and its w."""
        squared, count, w = np.empty(len(xy)), np.empty(len(xy), np.int64), np.empty(len(xy))
        to = 1 / self.half_px
        base, others = (np.asarray(xy, np.float64) - self.centre) * to, (np.asarray(xy_others, np.float64) - self.centre) * to
        _explain(base, others, np.asarray(sigma_px, np.float64) * to, self.A, self.a, np.array(self.nearness), squared, count, w)
        return squared, count, w


def views_of_cameras(cameras: Cameras, base: int, others: I64, nearness: tuple[float, float]) -> Views | None:
    """How still things move as known cameras see it; None where the base or every other frame has no pose.

    Args:
        cameras: T cameras.
        base: A frame.
        others: (K,) other frames; those without a pose are left out.
        nearness: Least and largest 1/z of still things.
    """
    others = others[cameras.registered[others]]
    if not cameras.registered[base] or len(others) == 0:
        return None
    width, height = (int(n) for n in cameras.size[base])
    centre, half_px = np.array([width / 2, height / 2]), max(width, height) / 2
    N = np.array([[1 / half_px, 0, -centre[0] / half_px], [0, 1 / half_px, -centre[1] / half_px], [0, 0, 1]])
    relative = cameras.T_cw[others] @ cameras.T_wc[base]
    K = N @ cameras.K[others]
    A = K @ relative[:, :3, :3] @ np.linalg.inv(N @ cameras.K[base])
    return Views(base, others, A, np.einsum("kij,kj->ki", K, relative[:, :3, 3]), nearness, centre, half_px, "cameras")


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


def noise_of(unlikeness: NDArray) -> float:
    """Factor by which errors differ from the told ones, from (N,) unlikeness of tracks, of which most stand still."""
    known = unlikeness[np.isfinite(unlikeness)]
    return float(np.sqrt(np.median(known) / _TYPICAL)) if len(known) else 1.0


def _parallax_shows(turning: Views, moving: Views, points: tuple[NDArray, NDArray, NDArray], o: ViewOptions) -> bool:
    """Whether the camera moved: by what parallax explains and a homography does not (after Torr's GRIC, 1998)."""
    flat, count, _ = turning.explained(*points)
    deep = moving.explained(*points)[0]
    noise = max(float(np.median(deep / np.maximum(2 * count - 1, 1))) / _TYPICAL, 0.25)
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
    _explain(base, others[:, last], sigma[:, last], A[None], a[None], anything, squared, count, w)
    weight = np.repeat(good[:, None].astype(np.float64), others.shape[1], axis=1)
    views = None
    for _ in range(o.rounds):
        M = [_resected(base, others[:, k], w[:, None], weight[:, k] / sigma[:, k], None) for k in range(others.shape[1])]
        if not np.isfinite(M).all():
            return None
        A, a = np.stack([m[:, :3] for m in M]), np.stack([m[:, 3] for m in M])
        _explain(base, others, sigma, A, a, anything, squared, count, w)
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
    return np.where((y[:, 2] > 0) & np.isfinite(off), off, _WRONG)


def _one_a_cell(xy: NDArray, sigma: NDArray, cell_px: float) -> I64:
    """Rows of the surest track in each cell."""
    cell = np.floor(to_opencv(xy) / cell_px).astype(np.int64)
    order = np.lexsort((sigma, cell[:, 0], cell[:, 1]))
    first = np.ones(len(order), bool)
    first[1:] = np.any(np.diff(cell[order], axis=0), axis=1)
    return np.sort(order[first])


@compiled()
def _explain(base, others, sigma, A, a, nearness, squared, count, nearest):  # pragma: no cover - compiled
    """Fills the least sum of squared whitened residuals of each point, the frames it is seen in, and its w.

    Args:
        base: (N, 2) where it is.
        others: (N, K, 2) where it is in other frames; NaN where it is not seen.
        sigma: (N, K) their standard deviations.
        A: (K, 3, 3).
        a: (K, 3).
        nearness: (2,) least and largest w.
        squared: (N,) filled.
        count: (N,) filled.
        nearest: (N,) filled.
    """
    N, K = others.shape[0], others.shape[1]
    h = np.empty((K, 3))
    deep = False
    for k in range(K):
        deep |= a[k, 0] != 0 or a[k, 1] != 0 or a[k, 2] != 0
    for n in range(N):
        up, down, seen = 0.0, 0.0, 0
        for k in range(K):
            if not (np.isfinite(others[n, k, 0]) and np.isfinite(base[n, 0])):
                continue
            seen += 1
            for i in range(3):
                h[k, i] = A[k, i, 0] * base[n, 0] + A[k, i, 1] * base[n, 1] + A[k, i, 2]
            for i in range(2):
                slope, offset = others[n, k, i] * a[k, 2] - a[k, i], h[k, i] - others[n, k, i] * h[k, 2]
                weight = 1 / (sigma[n, k] * max(abs(h[k, 2]), 1e-9)) ** 2
                up += weight * slope * offset
                down += weight * slope * slope
        w = up / down if deep and down > 0 else 0.0
        w = min(max(w, nearness[0]), nearness[1]) if deep else 0.0
        for _ in range(4):
            if not deep:
                break
            up, down = 0.0, 0.0
            for k in range(K):
                if not (np.isfinite(others[n, k, 0]) and np.isfinite(base[n, 0])):
                    continue
                z = h[k, 2] + w * a[k, 2]
                if z <= 1e-6:
                    continue
                for i in range(2):
                    u = (h[k, i] + w * a[k, i]) / z
                    slope = (a[k, i] - u * a[k, 2]) / z
                    up += slope * (others[n, k, i] - u) / sigma[n, k] ** 2
                    down += slope * slope / sigma[n, k] ** 2
            if down <= 0:
                break
            w = min(max(w + up / down, nearness[0]), nearness[1])
        total = 0.0
        for k in range(K):
            if not (np.isfinite(others[n, k, 0]) and np.isfinite(base[n, 0])):
                continue
            z = h[k, 2] + w * a[k, 2]
            if z <= 1e-6:
                total += 1e6
                continue
            for i in range(2):
                total += ((others[n, k, i] - (h[k, i] + w * a[k, i]) / z) / sigma[n, k]) ** 2
        squared[n], count[n], nearest[n] = total, seen, w
