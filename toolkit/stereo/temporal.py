"""Disparity that does not flicker: each pixel is judged together with where optical flow takes it in the frames before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.geometry.sampling import pixel_centres, remap
from toolkit.progress import Report, silent
from toolkit.scene import F32, Disparity


@dataclass(frozen=True)
class TemporalSettings:
    """How much the frames around count.

    Attributes:
        memory: Weight that what came before may have at most, in frames of full confidence. Both directions in time are used
            alike, so that steady change does not make a lag.
        there_and_back_px: Flow that does not return to within so many px is not followed.
        steady_px: What was carried here is averaged on if it differs by less; more is change, and an average would lag behind it.
        alike_px: Disparities further from the median than this are left out of the mean.
        sharpness: Power of the confidence as a weight: a doubtful value hardly counts beside a sure one.
    """

    memory: float = 3.0
    there_and_back_px: float = 1.0
    steady_px: float = 0.7
    alike_px: float = 1.0
    sharpness: float = 3.0


def smooth_over_time(
    disparity: Disparity,
    later: Sequence[F32] | NDArray,
    earlier: Sequence[F32] | NDArray,
    *,
    settings: TemporalSettings | None = None,
    report: Report = silent,
) -> Disparity:
    """Disparity made consistent along optical flow.

    Each frame's value, the one carried here from the past and the one from the future vote by confidence; their weighted median
    wins and those close to it are averaged.

    Args:
        disparity: (T, H, W).
        later: T - 1 fields (H, W, 2) float32 px, from frame t to t + 1.
        earlier: T - 1 fields (H, W, 2) float32 px, from frame t + 1 back to t.
        settings: Memory and limits.
        report: Called after each frame of either sweep; may raise `Cancelled`.

    Returns:
        Disparity as large. The confidence is the share of the votes that agree times the best of theirs.

    Raises:
        UserError: The number of flow fields does not fit.
    """
    use = settings or TemporalSettings()
    count = len(disparity)
    if len(later) != count - 1 or len(earlier) != count - 1:
        raise UserError(
            f"{count} frames of disparity need {count - 1} flow fields each way, but {len(later)} and {len(earlier)} were given."
        )
    future_px, future_weight = np.full(disparity.px.shape, np.nan, np.float32), np.zeros(disparity.px.shape, np.float16)
    carried, weight = np.full_like(disparity.px[0], np.nan), np.zeros_like(disparity.px[0])
    for t in range(count - 1, -1, -1):
        if t < count - 1:
            carried, weight = _carry(carried, weight, later[t], earlier[t], use)
        future_px[t], future_weight[t] = carried, weight
        carried, weight = _update(disparity.px[t], disparity.confidence[t], carried, weight, use)
        report(count - t, 2 * count)
    px, confidence = np.empty_like(disparity.px), np.empty_like(disparity.confidence)
    carried, weight = np.full_like(px[0], np.nan), np.zeros_like(px[0])
    for t in range(count):
        if t > 0:
            carried, weight = _carry(carried, weight, earlier[t - 1], later[t - 1], use)
        px[t], confidence[t] = _vote(
            [disparity.px[t], carried, future_px[t]],
            [disparity.confidence[t] ** use.sharpness, weight, future_weight[t].astype(np.float32)],
            disparity.confidence[t],
            use,
        )
        carried, weight = _update(disparity.px[t], disparity.confidence[t], carried, weight, use)
        report(count + t + 1, 2 * count)
    return Disparity(px, confidence)


def _carry(px: F32, weight: F32, here_to_there: F32, there_to_here: F32, use: TemporalSettings) -> tuple[F32, F32]:
    """Values of another frame brought to this one's pixels, where the flow there and back agrees."""
    xy = pixel_centres((px.shape[1], px.shape[0])) + here_to_there
    back = remap(np.asarray(there_to_here, np.float32), xy, interpolation="bilinear", fill=1e4)
    returns = np.linalg.norm(back + here_to_there, axis=-1) < use.there_and_back_px
    # The nearest pixel, not a mix of two surfaces.
    moved = remap(np.nan_to_num(px, nan=-1.0), xy, interpolation="nearest", fill=-1.0)
    known = returns & (moved > 0)
    kept = np.where(known, remap(weight, xy, interpolation="nearest"), 0)
    return np.where(known, moved, np.nan).astype(np.float32), kept.astype(np.float32)


def _update(px: F32, confidence: F32, carried: F32, weight: F32, use: TemporalSettings) -> tuple[F32, F32]:
    """What the next frame of a sweep is given: this frame's value and the carried one, averaged where they agree, else the heavier."""
    own = np.where(np.isfinite(px), confidence**use.sharpness, 0).astype(np.float32)
    carried_weight = np.where(np.isfinite(carried), np.asarray(weight, np.float32), 0)
    a, b = np.nan_to_num(px), np.nan_to_num(carried)
    both, apart = (own > 0) & (carried_weight > 0), np.abs(a - b)
    total = own + carried_weight
    agree = both & (apart <= use.steady_px)
    drifted = both & (apart > use.steady_px) & (apart <= 2 * use.alike_px)
    mean = (own * a + carried_weight * b) / np.maximum(total, 1e-9)
    # What changes steadily starts afresh; a contradiction is won by the heavier, at the cost of the loser's weight.
    value = np.where(agree, mean, np.where(drifted | (own >= carried_weight), a, b))
    weight = np.where(agree, total, np.where(drifted, own, np.abs(own - carried_weight)))
    return np.where(total > 0, value, np.nan).astype(np.float32), np.minimum(weight, use.memory).astype(np.float32)


def _vote(values: list[F32], weights: list[F32], confidence: F32, use: TemporalSettings) -> tuple[F32, F32]:
    """Weighted median of three, averaged with what lies close to it."""
    px = np.stack(values)
    weight = np.where(np.isfinite(px), np.stack(weights) + np.float32(1e-4), 0).astype(np.float32)
    px = np.nan_to_num(px)
    order = np.argsort(px, axis=0)
    sorted_px, sorted_weight = np.take_along_axis(px, order, 0), np.take_along_axis(weight, order, 0)
    total = sorted_weight.sum(0)
    first = (2 * np.cumsum(sorted_weight, 0) >= total).argmax(0)
    median = np.take_along_axis(sorted_px, first[None], 0)[0]
    close = weight * (np.abs(px - median) <= use.alike_px)
    mean = (close * px).sum(0) / np.maximum(close.sum(0), 1e-9)
    share = close.sum(0) / np.maximum(total, 1e-9)
    agreed = np.maximum(confidence, np.where(close[1:] > 0, np.minimum(weight[1:], 1) ** (1 / use.sharpness), 0).max(0))
    nothing = total <= 0
    return np.where(nothing, np.nan, mean).astype(np.float32), np.where(nothing, 0, share * agreed).astype(np.float32)
