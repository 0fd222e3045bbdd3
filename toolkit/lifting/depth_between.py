"""A depth for every pixel of a frame from what is known of some: matched pixels, and tracks, spread within what looks alike."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, erfinv

from toolkit.scene import F32, F64, U8, B

WITHIN = 0.1
"""Confidence is the chance that a depth is off by less than this share of it."""
LEAST_SHARE = 0.01  # of the evidence of a usual pixel; less than that is none at all


@dataclass(frozen=True)
class BetweenOptions:
    """How depth is spread.

    Attributes:
        side: It is spread at so many pixels along the longer side.
        smoothing: Of the fast global smoother (Min et al., TIP 2014): how far evidence reaches.
        edge: Difference of grey values that it does not cross.
        share_sigma: How sure a depth is counts little beyond this, as a share of it: near things are surer than far ones, and would
            otherwise be spread over all that is behind them.
        matched_sigma: How wrong a pixel is that was matched in other frames.
        least_sigma: No pixel between is known better than this.
        guess: How wrong a depth is that nothing near speaks for ...
        guess_weight: ... which is worth so much of the evidence that usual pixels have.
    """

    side: int = 256
    smoothing: float = 900.0
    edge: float = 10.0
    share_sigma: float = 0.2
    matched_sigma: float = 0.02
    least_sigma: float = 0.04
    guess: float = 0.4
    guess_weight: float = 0.05


@dataclass(frozen=True, eq=False)
class Between:
    """One frame's depth.

    Attributes:
        depth: (H, W) float32 z-depth, NaN where nothing speaks for any.
        sigma: (H, W) float32 how wrong it is, as a share of it.
        moves: (H, W) which pixels show something that moves.
        matched: (H, W) which were matched in other frames, not spread.
    """

    depth: F32
    sigma: F32
    moves: B
    matched: B


def depth_between(
    frame: U8,
    xy: NDArray,
    depth: NDArray,
    sigma: NDArray,
    moves: B,
    *,
    matched: F32 | None = None,
    prior: F32 | None = None,
    prior_sigma: float = np.inf,
    options: BetweenOptions | None = None,
) -> Between:
    """Depth of all pixels of a frame.

    Args:
        frame: (H, W, 3) uint8.
        xy: (N, 2) where tracks are seen in it, pixels.
        depth: (N,) z-depth of these.
        sigma: (N,) how wrong that is, as a share of it.
        moves: (N,) which of them move: still and moving ones say nothing of each other's depth.
        matched: (H, W) z-depth of pixels that were matched in other frames, NaN elsewhere; or None.
        prior: (H, W) z-depth from elsewhere, on the same scale, such as a network's; or None. What is spread is the difference from it.
        prior_sigma: How wrong that is, as a share of it.
        options: How.
    """
    use = options or BetweenOptions()
    height, width = frame.shape[:2]
    shrink = min(1.0, use.side / max(height, width))
    size = (max(8, round(width * shrink)), max(8, round(height * shrink)))
    guide = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    base = np.zeros(size[::-1], np.float32) if prior is None else _log(cv2.resize(prior, size, interpolation=cv2.INTER_AREA))
    ok = np.isfinite(depth) & (depth > 0) & np.isfinite(xy).all(-1) & np.isfinite(sigma)
    at = np.clip((xy[ok] * [size[0] / width, size[1] / height]).astype(int), 0, [size[0] - 1, size[1] - 1])
    value, variance = np.log(depth[ok]), np.minimum(sigma[ok], 1.0) ** 2
    weight = use.share_sigma**2 / (variance + use.share_sigma**2)
    still, moving = (_gathered(at[part], value[part], variance[part], weight[part], size) for part in (~moves[ok], moves[ok]))
    votes = [_spread(guide, field[2], use) for field in (still, moving)]
    small_moves = votes[1] > np.maximum(votes[0], LEAST_SHARE * float(votes[0].max(initial=0)))
    if matched is not None:
        near = cv2.resize(np.nan_to_num(matched), size, interpolation=cv2.INTER_NEAREST)
        known = ((near > 0) & ~small_moves).astype(np.float32)
        told = (known * np.log(np.where(near > 0, near, 1)), known * use.matched_sigma**2, known)
        still = tuple((a + b).astype(np.float32) for a, b in zip(still, told, strict=True))
    layers = []
    for total, noise, evidence in (still, moving):
        mean = _filled(guide, total - evidence * base, evidence, use)
        off = np.where(evidence > 0, total / np.maximum(evidence, 1e-9) - base - mean, 0)
        layers.append((mean + base, _spread(guide, evidence * off**2 + noise, use), _spread(guide, evidence, use)))
    log_depth, error, evidence = (np.where(small_moves, layers[1][i], layers[0][i]) for i in range(3))
    guess = use.guess if prior is None else min(use.guess, prior_sigma)
    ballast = use.guess_weight * LEAST_SHARE
    spread = np.sqrt((error + ballast * guess**2) / (evidence + ballast) + use.least_sigma**2)
    full_depth = np.exp(cv2.resize(log_depth.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    full_sigma = cv2.resize(spread.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    full_moves = cv2.resize(small_moves.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    taken = np.zeros((height, width), bool)
    if matched is not None:
        taken = np.isfinite(matched) & ~full_moves
        full_depth, full_sigma = np.where(taken, matched, full_depth), np.where(taken, use.matched_sigma, full_sigma)
    known = np.isfinite(full_depth) if len(at) or prior is not None or taken.any() else taken
    return Between(
        np.where(known, full_depth, np.nan).astype(np.float32), np.where(known, full_sigma, np.nan).astype(np.float32), full_moves, taken
    )


def confidence_of_sigma(sigma: NDArray) -> F32:
    """The chance, 0..1, that a depth with this standard deviation, as a share of it, is off by less than 10 %; 0 where unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(erf(WITHIN / (np.sqrt(2) * np.asarray(sigma, np.float64)))).astype(np.float32)


def sigma_of_confidence(confidence: NDArray) -> F64:
    """The inverse of `confidence_of_sigma`; infinite where nothing is known."""
    with np.errstate(divide="ignore"):
        return WITHIN / (np.sqrt(2) * erfinv(np.clip(np.asarray(confidence, np.float64), 0, 1 - 1e-6)))


def _gathered(at: NDArray, value: NDArray, variance: NDArray, weight: NDArray, size: tuple[int, int]) -> tuple[F32, F32, F32]:
    """Weighted sums of values and of variances, and weights, on a grid of (width, height)."""
    cell = at[:, 1] * size[0] + at[:, 0] if len(at) else np.zeros(0, int)
    fields = (weight * value, weight * variance, weight)
    sums = [np.bincount(cell, field, minlength=size[0] * size[1]).reshape(size[::-1]).astype(np.float32) for field in fields]
    return sums[0], sums[1], sums[2]


def _spread(guide: U8, field: NDArray, use: BetweenOptions) -> F32:
    smooth = cv2.ximgproc.fastGlobalSmootherFilter(guide, np.asarray(field, np.float32), use.smoothing, use.edge)
    return np.asarray(smooth, np.float32)


def _filled(guide: U8, total: NDArray, evidence: NDArray, use: BetweenOptions) -> F32:
    """The weighted mean of what lies around, within what looks alike."""
    if not (evidence > 0).any():
        return np.zeros(evidence.shape, np.float32)
    usual = float((np.asarray(total) / np.maximum(evidence, 1e-9))[evidence > 0].mean())
    ballast = 1e-6 * float(evidence.max())  # where nothing near speaks, the mean of all does
    filled = (_spread(guide, total, use) + ballast * usual) / (_spread(guide, evidence, use) + ballast)
    return filled.astype(np.float32)


def _log(depth: NDArray) -> F32:
    return np.log(np.maximum(np.nan_to_num(depth, nan=1.0), 1e-6)).astype(np.float32)
