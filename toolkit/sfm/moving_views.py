"""What still things look like in a few frames at once, with known cameras or from the tracks alone, and how far anything is from that.

A still point seen at x in one frame is seen in every other one at A x + w a, in homogeneous pixels, where w grows with nearness: with
known cameras A is the homography of infinity and a the other camera's translation. Without cameras both follow from the tracks up to a
projective frame (plane and parallax: Sawhney 1994; Irani and Anandan 1998), which is all that is needed here: over three frames and
more a point that walks along its own epipolar lines has no w that explains it either. Where the camera only turns, or stands, a is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.scene import F64, I64, Cameras

WRONG = 1e6  # squared residual, in variances, of a point that cannot be seen at all
TYPICAL = 0.85  # median of a chi-squared variable over its degrees of freedom, from three to seven


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
        explain(base, others, np.asarray(sigma_px, np.float64) * to, self.A, self.a, np.array(self.nearness), squared, count, w)
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


def noise_of(unlikeness: NDArray) -> float:
    """Factor by which errors differ from the told ones, from (N,) unlikeness of tracks, of which most stand still."""
    known = unlikeness[np.isfinite(unlikeness)]
    return float(np.sqrt(np.median(known) / TYPICAL)) if len(known) else 1.0


@compiled()
def explain(base, others, sigma, A, a, nearness, squared, count, nearest):  # pragma: no cover - compiled
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
                total += WRONG
                continue
            for i in range(2):
                total += ((others[n, k, i] - (h[k, i] + w * a[k, i]) / z) / sigma[n, k]) ** 2
        squared[n], count[n], nearest[n] = total, seen, w
