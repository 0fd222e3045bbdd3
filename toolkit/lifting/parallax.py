"""Whether a track that seems to move is a standing point after all, whose stereo depth is wrong: parallax alone gives the second opinion.

A camera that moves sees a standing point from many places, which tells its depth without the other eye. Where the picture is bare,
stereo answers by chance, and a standing point at a wrong depth seems to move along its epipolar lines; so does one whose track slides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.disk_arrays import large_copy, large_full, pieces
from toolkit.geometry.cameras import project
from toolkit.lifting._observe import Observations, rows_at_once, solve3
from toolkit.lifting.label import NoiseOptions, see, sigma_of
from toolkit.lifting.motion import check_frames
from toolkit.parallel import in_order
from toolkit.scene import F32, F64, B, Cameras, Tracks2D, Tracks3D

_CHUNK = 1024
_ITERATIONS = 10
_LEAST_INVERSE = 1e-4  # 1 / scene units: as good as infinity
_ROBUST = 3.0  # residual, in standard deviations, that counts half
_LEAST_SIGMA_PX = 0.3  # no track is told better than it can be measured
_MEDIAN = 1.386  # of the sum of two squared standard normal deviates
_CAPPED = (0.02, 300.0)  # mean squared residuals beyond which nothing more is learned


@dataclass(frozen=True)
class ParallaxOptions:
    """How much must speak for a motion.

    Attributes:
        suspect: Tracks with a `motion` over this are asked.
        image_share: Exponent of the mean squared image residual of the standing point. With the next two fitted as a logistic model on
            generated streets at three resolutions, where a chance below 4 in 10 is not called a motion.
        image_offset: What is added to the contradiction of the disparity, in its standard deviations: image residuals alone count, too.
        least_evidence: A motion is believed from this product of both on.
        informed: Nothing is changed where parallax does not tell inverse depth within so many times the error of a stereo sample.
    """

    suspect: float = 0.2
    image_share: float = 0.38
    image_offset: float = 0.5
    least_evidence: float = 6.6
    informed: float = 3.0


def stand_by_parallax(
    tracks_2d: Tracks2D, tracks_3d: Tracks3D, cameras: Cameras, *, options: ParallaxOptions | None = None
) -> tuple[Tracks2D, Tracks3D, B]:
    """Tracks whose motion is too little proven stand still, where their parallax places them.

    A standing point is fitted to the image positions of each suspect. How far they are from it, in told errors, and how far the
    disparities are from those of its place, together are the evidence of motion: either is wrong now and then, on repeated or bare
    texture, by more than is told.

    Args:
        tracks_2d: N tracks of T frames.
        tracks_3d: The same tracks, as lifted, with their `motion`.
        cameras: T cameras.
        options: How much must speak for a motion.

    Returns:
        The tracks in the image and in the world, and which (N,) were changed: their `motion` is 0, their samples lie at one point
        and where it is seen, and the errors told are no less than what tracker and stereo were off.

    Raises:
        UserError: tracks and cameras differ in their number of frames.
    """
    check_frames(tracks_3d, cameras)
    o = options or ParallaxOptions()
    noise, told_px = NoiseOptions(), sigma_of(tracks_2d)
    motion = tracks_3d.motion.copy()
    xy, seen_2d, xyz, known = (large_copy(part) for part in (tracks_2d.xy, tracks_2d.visible, tracks_3d.xyz, tracks_3d.visible))
    sigma = large_full(known.shape, np.nan, np.float32) if tracks_3d.sigma is None else large_copy(tracks_3d.sigma)
    sigma_px = None if told_px is None else large_copy(told_px)
    changed = np.zeros(len(tracks_3d), bool)
    suspects = np.flatnonzero(motion > o.suspect)
    step = rows_at_once(_CHUNK, len(cameras))
    starts = range(0, len(suspects), step)

    def weigh(start: int) -> _Standing:
        rows = suspects[start : start + step]
        return _weigh(see(tracks_3d, cameras, told_px, noise, rows), tracks_2d.queries[rows, 0].astype(np.int64), o)

    for start, standing in zip(starts, in_order(weigh, starts), strict=True):
        still = standing.told & (standing.evidence < o.least_evidence)
        here, inverse, point = suspects[start : start + step][still], standing.inverse[still], standing.point[still]
        off = np.abs(standing.measured[still] - inverse)
        sigma[here] = np.fmax(standing.sigma[still], off) / inverse**2
        if sigma_px is not None:
            sigma_px[here] *= np.sqrt(np.maximum(standing.squared[still], 1.0))[:, None].astype(np.float32)
        for t in np.flatnonzero(cameras.registered):
            there, z = project(point, cameras.K[t], cameras.T_wc[t])
            inside = (z > 0) & (there >= 0).all(1) & (there < cameras.size[t]).all(1)
            xy[here[inside], t] = there[inside]
            seen_2d[here[~inside], t] = False
        xyz[here], motion[here], changed[here] = point[:, None], 0.0, True
        known[here] &= seen_2d[here]

    for some in pieces(*known.shape):
        xyz[some][~known[some]], sigma[some][~known[some]] = np.nan, np.nan
    moved = replace(tracks_2d, xy=xy, visible=seen_2d, sigma_px=sigma_px)
    return moved, replace(tracks_3d, xyz=xyz, visible=known, motion=motion, sigma=sigma), changed


@dataclass(frozen=True)
class _Standing:
    """The standing points of N tracks: where, how well they fit, and what that says."""

    point: F64  # (N, 3)
    inverse: F32  # (N, T) 1/z
    measured: F32  # (N, T) 1/z by stereo
    sigma: F32  # (N, T) its standard deviation
    squared: F64  # (N,) mean squared image residual
    evidence: F64  # (N,) of motion
    told: B  # (N,) where parallax tells enough to judge


def _weigh(seen: Observations, query: NDArray[np.int64], o: ParallaxOptions) -> _Standing:
    """Standing points of tracks against their disparities."""
    N, T = seen.known.shape
    point, inverse, spread, squared = np.empty((N, 3)), np.empty((N, T)), np.empty(N), np.empty(N)
    sigma = np.maximum(seen.pixel_sigma, _LEAST_SIGMA_PX / seen.focal_px)
    triangulate(seen.seen, seen.known, sigma, seen.R_cw, seen.centres, query, point, inverse, spread, squared)
    evidence, told = np.zeros(N), np.zeros(N, bool)
    both = seen.known & np.isfinite(inverse)
    for n in np.flatnonzero(both.any(1)):
        error = np.median(seen.sigma[n, both[n]])
        contradiction = abs(np.median((seen.seen[n, :, 2] - inverse[n])[both[n]])) / error
        evidence[n] = (contradiction + o.image_offset) * np.clip(squared[n], *_CAPPED) ** o.image_share
        told[n] = spread[n] * np.sqrt(max(squared[n], 1.0)) < o.informed * error
    return _Standing(
        point, inverse.astype(np.float32), seen.seen[..., 2].astype(np.float32), seen.sigma.astype(np.float32), squared, evidence, told
    )


@compiled()
def triangulate(seen, counts, sigma, R_cw, centres, query, point, predicted, spread, squared):  # pragma: no cover - compiled
    """The standing point of each track from its image positions alone, by robust Gauss-Newton on the ray of one sample.

    Args:
        seen: (N, T, 3) x/z and y/z in the camera; the third is not used.
        counts: (N, T) which samples count.
        sigma: (N, T) standard deviation of x/z and y/z.
        R_cw: (T, 3, 3) camera-from-world rotations.
        centres: (T, 3) camera centres.
        query: (N,) frame whose nearest sample carries the ray: a track is surest there.
        point: (N, 3) filled with the points; NaN for a track with fewer than three samples.
        predicted: (N, T) filled with 1/z of the point in every frame; NaN without a point.
        spread: (N,) filled with the standard deviation of 1/z in the frame of the ray.
        squared: (N,) filled with the mean squared residual, 1 where told errors hold, from the median over the frames.
    """
    N, T = counts.shape
    H, b, step, unit = np.zeros((3, 3)), np.zeros(3), np.zeros(3), np.zeros(3)
    h, J = np.zeros(3), np.zeros((2, 3))
    values = np.empty(T)
    R, tau = np.zeros((T, 3, 3)), np.zeros((T, 3))
    for n in range(N):
        point[n], predicted[n], spread[n], squared[n] = np.nan, np.nan, np.inf, np.inf
        q, used = -1, 0
        for t in range(T):
            if counts[n, t]:
                used += 1
                if q < 0 or abs(t - query[n]) < abs(q - query[n]):
                    q = t
        if used < 3:
            continue
        theta = np.array([seen[n, q, 0], seen[n, q, 1], 0.0])
        up, down = 0.0, 0.0
        for t in range(T):
            for a in range(3):
                tau[t, a] = 0.0
                for c in range(3):
                    tau[t, a] += R_cw[t, a, c] * (centres[q, c] - centres[t, c])
                    R[t, a, c] = 0.0
                    for k in range(3):
                        R[t, a, c] += R_cw[t, a, k] * R_cw[q, c, k]
            if not counts[n, t]:
                continue
            for a in range(3):
                h[a] = R[t, a, 0] * theta[0] + R[t, a, 1] * theta[1] + R[t, a, 2]
            for a in range(2):
                offset, slope = seen[n, t, a] * h[2] - h[a], tau[t, a] - seen[n, t, a] * tau[t, 2]
                up += offset * slope / sigma[n, t] ** 2
                down += slope * slope / sigma[n, t] ** 2
        theta[2] = max(up / down, _LEAST_INVERSE) if down > 0 else _LEAST_INVERSE
        for _ in range(_ITERATIONS):
            H[:] = 0.0
            b[:] = 0.0
            count = 0
            for t in range(T):
                if not counts[n, t]:
                    continue
                for a in range(3):
                    h[a] = R[t, a, 0] * theta[0] + R[t, a, 1] * theta[1] + R[t, a, 2] + theta[2] * tau[t, a]
                if h[2] <= 1e-3:
                    continue
                off = 0.0
                for a in range(2):
                    x = h[a] / h[2]
                    off += ((seen[n, t, a] - x) / sigma[n, t]) ** 2
                    J[a, 0] = (R[t, a, 0] - x * R[t, 2, 0]) / h[2]
                    J[a, 1] = (R[t, a, 1] - x * R[t, 2, 1]) / h[2]
                    J[a, 2] = (tau[t, a] - x * tau[t, 2]) / h[2]
                values[count] = off
                count += 1
                w = 1 / (1 + off / _ROBUST**2) / sigma[n, t] ** 2
                for a in range(2):
                    r = seen[n, t, a] - h[a] / h[2]
                    for c in range(3):
                        b[c] += w * J[a, c] * r
                        for k in range(3):
                            H[c, k] += w * J[a, c] * J[a, k]
            H[2, 2] += 1e-9 * (H[0, 0] + 1.0)
            if not solve3(H, b, step):
                break
            for a in range(3):
                theta[a] += step[a]
            theta[2] = max(theta[2], _LEAST_INVERSE)
        squared[n] = np.median(values[:count]) / _MEDIAN * used / (used - 1.5) if count else np.inf
        unit[:] = 0.0
        unit[2] = 1.0
        if solve3(H, unit, step):
            spread[n] = np.sqrt(max(step[2], 0.0))
        for a in range(3):
            point[n, a] = centres[q, a]
            for c in range(3):
                point[n, a] += R_cw[q, c, a] * (theta[c] if c < 2 else 1.0) / theta[2]  # noqa: PLR2004  (x, y)
        for t in range(T):
            z = R[t, 2, 0] * theta[0] + R[t, 2, 1] * theta[1] + R[t, 2, 2] + theta[2] * tau[t, 2]
            if z > 1e-3:
                predicted[n, t] = theta[2] / z
