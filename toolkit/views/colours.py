"""Colour maps and what they stand for: speed, height in the picture, depth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, U8

STILL_RGB = (150, 190, 214)
TURBO: U8 = np.array(cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1], np.uint8)
"""(256, 3) turbo from blue to red."""


def _ramp(*stops: tuple[float, tuple[int, int, int]]) -> U8:
    at, rgb = [s[0] for s in stops], np.array([s[1] for s in stops], float)
    return np.stack([np.interp(np.linspace(0, 1, 256), at, rgb[:, c]) for c in range(3)], 1).round().astype(np.uint8)


WARM = _ramp((0, (186, 158, 112)), (0.25, (255, 196, 70)), (0.6, (255, 98, 46)), (1, (255, 40, 150)))
"""(256, 3) from sand (slow) over orange to magenta (fast): warm where still points are cool, and brighter the faster."""

LEVELS = _ramp((0, (92, 128, 176)), (0.3, STILL_RGB), (0.5, (238, 226, 188)), (0.7, (255, 160, 60)), (1, (255, 40, 110)))
"""(256, 3) from cool (stands still) over pale (may be either) to hot (moves), for the motion level of a track."""

HUES = _ramp((0, (120, 120, 255)), (0.25, (60, 215, 255)), (0.5, (110, 245, 110)), (0.75, (255, 215, 70)), (1, (255, 95, 95)))
"""(256, 3) bright hues of about even lightness, for telling neighbours apart on a dark picture."""


def look_up(lut: U8, share: NDArray) -> U8:
    """Colours (..., 3) of shares 0..1; NaN takes the first."""
    return lut[(np.clip(np.nan_to_num(share), 0, 1) * 255).astype(np.uint8)]


def inverse_depth_range(depth: NDArray, *, tails: float = 0.02) -> tuple[float, float]:
    """(near, far) depths between which a clip is coloured: percentiles of the inverse depth over all frames.

    Args:
        depth: (T, H, W) or any shape, z-depth; NaN where unknown.
        tails: Share of the pixels that may lie beyond each end.

    Returns:
        Depths with near < far; (1, 2) where nothing is known.
    """
    step = max(1, depth.size // 400_000)
    sample = depth.reshape(-1)[:: step | 1]
    sample = sample[np.isfinite(sample) & (sample > 0)]
    if len(sample) == 0:
        return 1.0, 2.0
    near, far = (1 / float(q) for q in np.quantile(1 / sample, [1 - tails, tails]))
    return (near, far) if far > near * 1.01 else (near * 0.95, far * 1.05)


def speed(xyz: F32, fps: float, *, window_s: float = 0.2) -> F32:
    """How fast points move: the mean velocity over a short window around each sample, then its length.

    Args:
        xyz: (N, T, D) positions, NaN where unknown.
        fps: Frames per second.
        window_s: Length of the window in seconds; averaging the vectors lets noise cancel.

    Returns:
        (N, T) float32 in units per second, NaN where no two neighbouring samples in the window are known.
    """
    n, frames, _ = xyz.shape
    if frames < 2:
        return np.full((n, frames), np.nan, np.float32)
    step = np.diff(xyz.astype(np.float64), axis=1)
    good = np.asarray(np.isfinite(step).all(-1))
    total = np.cumsum(np.where(good[..., None], step, 0), axis=1)
    count = np.cumsum(good, axis=1)
    total, count = np.pad(total, ((0, 0), (1, 0), (0, 0))), np.pad(count, ((0, 0), (1, 0)))
    half = max(1, round(0.5 * window_s * fps))
    low, high = np.clip(np.arange(frames) - half, 0, frames - 1), np.clip(np.arange(frames) + half, 0, frames - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (total[:, high] - total[:, low]) / (count[:, high] - count[:, low])[..., None]
    return (np.linalg.norm(mean, axis=-1) * fps).astype(np.float32)


def round_up(value: float) -> float:
    """The next of 1, 1.6, 2, 3, 4, 6, 8 times a power of ten."""
    if not (np.isfinite(value) and value > 0):
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(m for m in (1, 1.6, 2, 3, 4, 6, 8, 10) if m * power >= value * 0.999) * power)


def typical_top_speed(pace: NDArray, spread: NDArray | None = None) -> float:
    """A round number that few samples exceed; the surer a sample is by its standard deviation `spread`, the more it counts."""
    known = np.isfinite(pace) if spread is None else np.isfinite(pace) & np.isfinite(spread)
    if not known.any():
        return 1.0 if spread is None else typical_top_speed(pace)
    order = np.argsort(pace[known])
    weight = np.ones(len(order)) if spread is None else 1 / np.maximum(spread[known][order].astype(np.float64), 1e-9) ** 2
    return round_up(float(pace[known][order][np.searchsorted(np.cumsum(weight), 0.95 * weight.sum())]))


def speed_spread(sigma: F32 | None, *, window_s: float = 0.2) -> F32 | None:
    """Standard deviations (N, T) of what `speed` tells, from those of the positions; None where these are not known."""
    return None if sigma is None else np.float32(np.sqrt(2) / window_s) * np.where(np.isfinite(sigma), sigma, np.float32(np.inf))


def speed_ticks(fastest: float, unit: str) -> list[tuple[float, str]]:
    """Three ticks of a bar from 0 to `fastest`; the last label carries the unit."""
    last = 2
    return [(i / last, f"{fastest * i / last:.3g}" + (f" {unit}" if i == last else "")) for i in range(last + 1)]
