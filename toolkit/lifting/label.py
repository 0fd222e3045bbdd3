"""Which tracks stand still and which move, judged against the errors that the still part of the same clip shows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import pieces
from toolkit.lifting._observe import Observations, observe, rows_at_once
from toolkit.lifting._still import fit_still
from toolkit.lifting.motion import check_frames
from toolkit.parallel import in_order
from toolkit.scene import F32, F64, Cameras, Tracks2D, Tracks3D

_CHUNK = 1024
_LEAST_SAMPLE = 300  # tracks that the errors of a long clip are taken from
_SEEN_SAMPLES = 200_000  # of them at a time: each needs some 200 bytes


@dataclass(frozen=True)
class NoiseOptions:
    """What is assumed of the errors before the clip is asked, and how far its answer may go.

    Attributes:
        pixel_sigma: Standard deviation of a track's image position per axis, camera error included, in pixels at a focal length of
            `focal_px`, where the tracker tells none; scaled with the focal length.
        pixel_scale_range: Least and largest factor the clip may put on it, or on what the tracker tells: a track that stands still
            no better than that moves.
        focal_px: Focal length those pixels belong to (60 degrees over 512 pixels).
        depth_scale_range: Least and largest factor the clip may put on the told depth errors.
        inverse_depth_sigma: Error of 1/z where the tracks do not tell theirs: 0.2 px of disparity at 443 px and 63 mm.
        relative_sigma: Least error of a depth as a share of itself; keeps exact input solvable.
        sample: Tracks that are looked at to find the scales.
        least_offset: Tracks closer to their standing point than this many standard deviations were put there, and tell nothing.
        fewest: Below this number of long tracks the assumptions stand.
        fewest_share: Below this share of still ones nothing in view may stand still; then only what changes from frame to frame is
            asked, which no motion does to depth.
        depth_slow: What is then assumed of errors that last.
        block: Frames over which slow errors are measured, since smoothing averages over about that many.
    """

    pixel_sigma: float = 0.5
    pixel_scale_range: tuple[float, float] = (0.3, 3.0)
    focal_px: float = 443.4
    depth_scale_range: tuple[float, float] = (0.1, 5.0)
    inverse_depth_sigma: float = 0.2 / (443.4 * 0.063)
    relative_sigma: float = 1e-4
    sample: int = 2000
    least_offset: float = 0.03
    fewest: int = 20
    fewest_share: float = 0.05
    depth_slow: float = 1.3
    block: int = 10


@dataclass(frozen=True)
class LabelOptions:
    """How surely a track must disagree with standing still.

    Attributes:
        still_spread: Standard deviation, in natural logarithms, of a still track's own error about the clip's: texture differs.
        moving_centre: Typical residual of a moving track, as the logarithm of its ratio to the clip's error.
        moving_spread: How widely that varies.
        depth_allowance: Depth residuals count divided by this: on weak texture they wander further than told.
        least_pixel_scale: Errors that a tracker tells for each position are not scaled below this when motion is judged. Most tracks
            are surer than told, but on bare surfaces and beside outlines, which is what it warns of, they are not.
        cap: Largest squared residual of one sample, so that single wrong samples make no motion.
    """

    still_spread: float = 0.45
    moving_centre: float = 2.0
    moving_spread: float = 1.0
    depth_allowance: float = 1.5
    least_pixel_scale: float = 1.0
    cap: float = 25.0


@dataclass(frozen=True)
class Noise:
    """Errors of a clip, as its still tracks show them.

    Attributes:
        pixel_scale: Factor on the told errors of image positions.
        pixel_slow: Factor on it for what remains of the error after averaging over neighbouring frames, times their root number.
        depth_scale: Factor on the told depth errors.
        depth_slow: The same factor as `pixel_slow`, for depth.
        told: Whether the tracker told errors of its own for each position.
    """

    pixel_scale: float = 1.0
    pixel_slow: float = 1.0
    depth_scale: float = 1.0
    depth_slow: float = 1.0
    told: bool = False


def motion_label(
    tracks_3d: Tracks3D,
    cameras: Cameras,
    tracks_2d: Tracks2D | None = None,
    *,
    options: LabelOptions | None = None,
    noise: NoiseOptions | None = None,
) -> F32:
    """How likely each point moves through the world, given what its measurement errors can explain.

    Args:
        tracks_3d: N tracks of T frames; their `sigma` is used where there is one.
        cameras: T cameras.
        tracks_2d: The same tracks in the image: their `sigma_px` says how far each can be off; without, all are taken to be alike.
        options: How surely a track must disagree with standing still.
        noise: What is assumed of the errors.

    Returns:
        (N,) float32, 0 still .. 1 moving. A track without samples is still.

    Raises:
        UserError: tracks and cameras differ in their number of frames.
    """
    check_frames(tracks_3d, cameras)
    noise = noise or NoiseOptions()
    options = options or LabelOptions()
    sigma_px = sigma_of(tracks_2d)
    found = estimate_noise(tracks_3d, cameras, sigma_px, noise)
    label = np.zeros(len(tracks_3d), np.float32)

    step = rows_at_once(_CHUNK, len(cameras))

    def label_some(start: int) -> None:
        rows = np.arange(start, min(start + step, len(tracks_3d)))
        observations = see(tracks_3d, cameras, sigma_px, noise, rows)
        label[rows] = moving_probability(still_points(observations, found)[1], found, options)

    deque(in_order(label_some, range(0, len(tracks_3d), step)), maxlen=0)
    return label


def sigma_of(tracks_2d: Tracks2D | None) -> F32 | None:
    """(N, T) errors of image positions in pixels, where the tracker tells them."""
    return None if tracks_2d is None else tracks_2d.sigma_px


def see(tracks_3d: Tracks3D, cameras: Cameras, sigma_px: NDArray | None, noise: NoiseOptions, rows: NDArray) -> Observations:
    """`observe` for some of the tracks, with the assumed errors where none are told."""
    return observe(
        tracks_3d.select(rows),
        cameras,
        None if sigma_px is None else sigma_px[rows],
        pixel_sigma=noise.pixel_sigma / noise.focal_px,
        inverse_depth_sigma=noise.inverse_depth_sigma,
        relative_sigma=noise.relative_sigma,
    )


def still_points(seen: Observations, noise: Noise) -> tuple[F64, F64, F64]:
    """The best standing point of each track (N, 3), its residuals (N, T, 3) in standard deviations, its variance (N,)."""
    N, T = seen.known.shape
    X, residual, variance = np.empty((N, 3)), np.empty((N, T, 3)), np.empty(N)
    fit_still(
        seen.seen,
        seen.known,
        seen.sigma,
        seen.pixel_sigma,
        seen.xyz,
        seen.R_cw,
        seen.centres,
        noise.pixel_scale,
        noise.depth_scale,
        X,
        residual,
        variance,
    )
    return X, residual, variance


def moving_probability(residual: F64, noise: Noise, options: LabelOptions) -> F64:
    """(N,) posterior of moving, from (N, T, 3) residuals of the standing point in standard deviations."""
    known = np.isfinite(residual[..., 0])
    count = np.maximum(known.sum(1), 1)
    squared = np.where(known[..., None], residual, 0.0) ** 2
    trust = min(noise.pixel_scale / options.least_pixel_scale, 1.0) if noise.told else 1.0
    image = np.minimum(trust**2 * squared[..., :2].sum(-1) / 2, options.cap).sum(1) / count
    depth = np.minimum(squared[..., 2], options.cap).sum(1) / count / options.depth_allowance**2
    ratio = 0.5 * np.log(np.maximum(np.maximum(image, depth), 1.0))
    spread = np.sqrt(options.still_spread**2 + 0.25 / count)
    still = -0.5 * (ratio / spread) ** 2 - np.log(spread)
    moving = -0.5 * ((ratio - options.moving_centre) / options.moving_spread) ** 2 - np.log(options.moving_spread)
    moving = np.where(ratio > options.moving_centre, -np.log(options.moving_spread), moving)  # the further, the surer
    return np.where(known.any(1), 1 / (1 + np.exp(np.clip(still - moving, -50, 50))), 0.0)


def estimate_noise(tracks_3d: Tracks3D, cameras: Cameras, sigma_px: NDArray | None, options: NoiseOptions) -> Noise:
    """The errors of a clip, from those of its long tracks that stand still best.

    The image positions decide which tracks those are: they are a hundred times finer than depth.
    """
    assumed = Noise(told=sigma_px is not None)
    count = tracks_3d.visible.sum(1)
    rows = np.flatnonzero(count >= 2 * options.block)
    if len(rows) < options.fewest:
        return assumed
    sample = max(rows_at_once(options.sample, len(cameras)), _LEAST_SAMPLE)
    rows = rows[np.linspace(0, len(rows) - 1, min(sample, len(rows))).astype(np.intp)]
    residual = np.empty((len(rows), len(cameras), 3))
    for some in pieces(len(rows), len(cameras), most=_SEEN_SAMPLES):
        residual[some] = still_points(see(tracks_3d, cameras, sigma_px, options, rows[some]), assumed)[1]
    residual = residual[np.isfinite(residual[..., 0]).sum(1) >= options.block]
    if len(residual) < options.fewest:
        return assumed
    offset = np.nanmedian(np.abs(residual[..., :2]).max(-1), axis=1)
    measured = offset > options.least_offset
    residual, offset = (residual[measured], offset[measured]) if measured.sum() >= options.fewest else (residual, offset)
    still = residual[(offset <= np.median(offset)) & (offset < options.pixel_scale_range[1])]
    if len(still) < max(options.fewest, options.fewest_share * len(residual)):
        depth = float(np.clip(_jitter(residual[..., 2]), *options.depth_scale_range))
        return replace(assumed, depth_scale=depth, depth_slow=options.depth_slow)
    pixel = float(np.clip(_spread(still[..., :2]), *options.pixel_scale_range))
    depth = float(np.clip(_spread(still[..., 2]), *options.depth_scale_range))
    pixel_slow = np.clip(_block_spread(still[..., :2] / pixel, options.block), 1.0, np.sqrt(options.block))
    depth_slow = np.clip(_block_spread(still[..., 2:] / depth, options.block), 1.0, np.sqrt(options.block))
    return Noise(pixel, float(pixel_slow), depth, float(depth_slow), assumed.told)


def _spread(values: NDArray) -> float:
    """Standard deviation about zero that a few wild values do not touch."""
    return 1.4826 * float(np.nanmedian(np.abs(values)))


def _jitter(values: NDArray) -> float:
    """Standard deviation from one frame to the next, from second differences, which no smooth motion touches."""
    return _spread(np.diff(values, n=2, axis=1)) / np.sqrt(6)


def _block_spread(residual: NDArray, block: int) -> float:
    """Spread of the means of `block` frames times the root of their number: the spread of a single value if all are independent."""
    N, T, C = residual.shape
    parts = residual[:, : T - T % block].reshape(N, T // block, block, C)
    clipped = np.clip(parts, -2.5, 2.5)
    count = np.isfinite(clipped).sum(2)
    means = np.nansum(clipped, axis=2) / np.sqrt(np.maximum(count, 1))
    full = count > block // 2
    # The point was fitted to the same residuals, which takes one of a track's blocks away.
    blocks = full.sum(1, keepdims=True)
    means = (means * np.sqrt(blocks / np.maximum(blocks - 1, 1)))[full & (blocks > 1)]
    return _spread(means) if len(means) else 0.0
