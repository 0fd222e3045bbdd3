"""Rejecting disparities that the other eye contradicts, and filling the holes from what lies behind them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolkit.compiling import compiled
from toolkit.scene import F32, U8, B


@dataclass(frozen=True)
class FillSettings:
    """When a disparity is rejected, and how its place is filled.

    Attributes:
        both_ways_px: A disparity is rejected where the right eye's differs by more. Above 1: whole pixels are compared with fractions.
        speckle_area: Connected regions under so many pixels are rejected. Small, or spokes and cables go too.
        speckle_step: Neighbours whose disparities differ by less are connected, px.
        window: Half width of the window in which a filled pixel looks for pixels of its own colour.
        colour_sigma: Colour difference, grey levels, at which a neighbour's vote falls to 61 %.
        median: Width of the last median filter, px.
    """

    both_ways_px: float = 1.5
    speckle_area: int = 25
    speckle_step: float = 1.0
    window: int = 8
    colour_sigma: float = 12.0
    median: int = 5


def agrees_both_ways(px: F32, right_px: F32, *, within_px: float = 1.5) -> B:
    """Which pixels of the left image the right image maps back to themselves.

    Args:
        px: (H, W) disparity of the left image, NaN where unknown.
        right_px: (H, W) disparity of the right image (x_left = x_right + right_px), NaN where unknown.
        within_px: Largest difference of both.

    Returns:
        (H, W) bool; False where either is unknown or the match lies outside the image.
    """
    return _agrees(np.asarray(px, np.float32), np.asarray(right_px, np.float32), np.float32(within_px))


def without_speckles(px: F32, known: B, *, area: int, step_px: float) -> B:
    """`known` without connected regions of similar disparity that cover fewer than `area` pixels."""
    unit, nothing = 16, -(2**15)
    fixed = np.where(known, np.clip(np.nan_to_num(px) * unit, nothing + 1, -nothing - 1), nothing).astype(np.int16)
    cv2.filterSpeckles(fixed, nothing, area, step_px * unit)
    return fixed != nothing


def fill_holes(px: F32, known: B, guide: U8, *, settings: FillSettings | None = None) -> F32:
    """A disparity for every pixel: what an occluder hides takes the disparity of the background beside it.

    A hole first takes the smaller of the nearest known disparities left and right in its row, as an occluded pixel belongs to
    the farther surface; then the weighted median of its neighbourhood, where neighbours of its own colour count most.

    Args:
        px: (H, W) float32 disparity.
        known: (H, W) bool, which of them hold.
        guide: (H, W, 3) uint8 image.
        settings: Window and colour scale.

    Returns:
        (H, W) float32, NaN only if nothing at all is known.
    """
    use = settings or FillSettings()
    if not known.any():
        return np.full(px.shape, np.nan, np.float32)
    filled = _fill_rows(np.asarray(px, np.float32), known)
    empty_rows = np.isnan(filled[:, 0])
    if empty_rows.any():
        rows = np.flatnonzero(~empty_rows)
        nearest = rows[np.abs(np.arange(len(px))[:, None] - rows[None]).argmin(1)]
        filled = filled[nearest]
    table = np.exp(-0.5 * (np.arange(3 * 255 + 1) / 3 / use.colour_sigma) ** 2).astype(np.float32)
    return _vote(filled, known, np.ascontiguousarray(guide), use.window, table)


@compiled()
def _agrees(px, right_px, within):
    h, w = px.shape
    out = np.zeros((h, w), np.bool_)
    for y in range(h):
        for x in range(w):
            if not np.isnan(px[y, x]):
                xr = int(np.floor(x - px[y, x] + np.float32(0.5)))
                if 0 <= xr < w:
                    out[y, x] = abs(right_px[y, xr] - px[y, x]) <= within
    return out


@compiled()
def _fill_rows(px, known):
    """Each hole takes the smaller of the nearest known values in its row; a row without any stays NaN."""
    h, w = px.shape
    out = px.copy()
    for y in range(h):
        last = np.float32(np.nan)
        for x in range(w):
            if known[y, x]:
                last = px[y, x]
            out[y, x] = last
        last = np.float32(np.nan)
        for x in range(w - 1, -1, -1):
            if known[y, x]:
                last = px[y, x]
            elif np.isnan(out[y, x]) or last < out[y, x]:
                out[y, x] = last
    return out


@compiled()
def _vote(px, known, guide, radius, table):
    """Weighted median of each unknown pixel's window, every second pixel of it, by colour."""
    h, w = px.shape
    out = px.copy()
    base = np.floor(px.min())
    votes = np.zeros(int(px.max() - base) + 2, np.float32)  # a bin for each whole pixel of disparity
    n_most = (radius + 1) ** 2
    values, weights = np.empty(n_most, np.float32), np.empty(n_most, np.float32)
    for y in range(h):
        for x in range(w):
            if known[y, x]:
                continue
            n, total = 0, np.float32(0)
            low, high = len(votes), 0
            r, g, b = np.int32(guide[y, x, 0]), np.int32(guide[y, x, 1]), np.int32(guide[y, x, 2])
            for yy in range(y - radius, y + radius + 1, 2):
                if 0 <= yy < h:
                    for xx in range(x - radius, x + radius + 1, 2):
                        if 0 <= xx < w:
                            step = abs(r - guide[yy, xx, 0]) + abs(g - guide[yy, xx, 1]) + abs(b - guide[yy, xx, 2])
                            weight, value = table[step] + np.float32(1e-6), px[yy, xx] - base
                            values[n], weights[n] = value, weight
                            votes[int(value)] += weight
                            low, high = min(low, int(value)), max(high, int(value))
                            total += weight
                            n += 1
            below, middle = np.float32(0), low
            for i in range(low, high + 1):
                if 2 * below < total:
                    middle = i
                below += votes[i]
                votes[i] = 0
            # Within the median's bin and its neighbours the mean is sharper than the bin.
            near, mass = np.float32(0), np.float32(0)
            for i in range(n):
                if abs(values[i] - np.float32(0.5) - middle) <= 1:
                    near += weights[i] * values[i]
                    mass += weights[i]
            out[y, x] = base + near / mass
    return out
