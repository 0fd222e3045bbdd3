"""Semi-global matching of a rectified pair, compiled: census + colour + gradient cost, eight paths, penalties that drop at edges.

Hirschmüller, "Stereo processing by semiglobal matching and mutual information", PAMI 2008; cost in the manner of
Mei et al., "On building an accurate stereo matching system on graphics hardware", 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.scene import F32, U8
from toolkit.stereo.matching_cost import census, cost_volume, own_neighbours

I16 = NDArray[np.int16]

FAR = np.int16(20000)  # more than any path cost, less than would overflow when a penalty is added
NO_MATCH = -9999.0
FOUR_PATHS = 4
# A sum of saturating costs has a cusp, not a parabola's bend, so the parabola's offset (of at most a half) falls short: offsets of
# a slanted plane crowd at 0. This power of twice the offset makes them uniform, measured on generated planes.
UNLOCK = 0.55
MEAN_OF_SMALLER_HALF = 0.325  # of the absolute values of a normal deviate: those under its median


@dataclass(frozen=True)
class SgmSettings:
    """How pixels are compared and how much a change of disparity costs.

    Attributes:
        census_rx: Half width of the census window, px. Taller than wide: disparity changes less along a column of a wall than along a row.
        census_ry: Half height of the census window, px. 7 x 9 gives 62 bits, one machine word.
        census_scale: Hamming distance at which the census cost reaches 63 %; it saturates at a wrong match.
        own_weight: Share of the census cost that counts only neighbours of the pixel's own brightness, which likely lie on its own
            surface: it keeps a foreground from growing fat by a window's width. Neighbours across an edge say most inside a
            pattern, so the other share counts all.
        own_within: Difference, grey levels, up to which a neighbour counts as of its own brightness.
        colour_weight: Weight of the colour difference against the census cost of at most 1.
        colour_cap: Mean difference over the channels, grey levels, at which the colour cost saturates.
        gradient_weight: Weight of the difference of horizontal gradients.
        gradient_cap: Gradient difference, grey levels a pixel, at which its cost saturates.
        small_step: Penalty P1 of a disparity change by one along a path, in units of the census cost.
        large_step: Penalty P2 of any larger change.
        edge: Grey step along the path, grey levels, at which the penalties drop: depth edges hide at image edges.
        edge_drop: By what the penalties are divided there; twice that from twice the step on.
        edge_smoothing: Differences up to about this, grey levels, are smoothed away before steps are measured.
        noise: Noise of a good camera, grey levels; images with more are smoothed first, edges kept ...
        noise_smoothing: ... with a range of so many times the excess.
        paths: 8 directions, or 4 (rows and columns) in less time.
    """

    census_rx: int = 3
    census_ry: int = 4
    census_scale: float = 20.0
    own_weight: float = 0.5
    own_within: int = 15
    colour_weight: float = 0.5
    colour_cap: float = 10.0
    gradient_weight: float = 0.3
    gradient_cap: float = 10.0
    small_step: float = 1.0
    large_step: float = 3.0
    edge: int = 12
    edge_drop: float = 4.0
    edge_smoothing: float = 12.0
    noise: float = 1.3
    noise_smoothing: float = 6.0
    paths: int = 8


# Disparities are stored in whole vectors of int16, or the processor goes through the last few one by one. Costs of 255 fill the rest:
# dearer than any pixel, and a step back from them dearer than the largest jump, so that no path ever gains by them.
LANES = 8
COST_UNIT = 100  # integer steps of a census cost of 1: the largest pixel cost, 1.8, fits a byte


@dataclass(frozen=True, eq=False)
class SgmResult:
    """What semi-global matching found.

    Attributes:
        px: (H, W) float32 disparity of the left image.
        right_px: (H, W) float32 whole-pixel disparity of the right image, NaN where no left pixel looks at it.
        margin: (H, W) float32 how much worse the best other disparity is, in units of one path's census cost; near 0 = ambiguous.
        cost: (H, W) float32 path cost of the winner, in the same unit.
    """

    px: F32
    right_px: F32
    margin: F32
    cost: F32


def semi_global_match(left: U8, right: U8, *, minimum_px: int, count: int, settings: SgmSettings | None = None) -> SgmResult:
    """Disparity of a rectified pair.

    Args:
        left: (H, W, 3) uint8.
        right: (H, W, 3) uint8, as large.
        minimum_px: Smallest disparity tried, in pixels; may be negative.
        count: How many whole disparities are tried.
        settings: Costs and penalties.

    Returns:
        Left and right disparity with the margin to the second-best answer; nothing is rejected yet.
    """
    use = settings or SgmSettings()
    left, right = _quiet(left, use), _quiet(right, use)
    grey = cv2.cvtColor(left, cv2.COLOR_RGB2GRAY)
    grey_right = cv2.cvtColor(right, cv2.COLOR_RGB2GRAY)
    rx, ry = use.census_rx, use.census_ry
    padded, padded_right = (cv2.copyMakeBorder(im, ry, ry, rx, rx, cv2.BORDER_REPLICATE) for im in (grey, grey_right))
    # The right image is stored mirrored, so that rising disparity is rising memory.
    cost = cost_volume(
        census(padded, rx, ry),
        own_neighbours(padded, rx, ry, use.own_within),
        np.ascontiguousarray(census(padded_right, rx, ry)[:, ::-1]),
        np.ascontiguousarray(left.transpose(2, 0, 1)),
        np.ascontiguousarray(right[:, ::-1].transpose(2, 0, 1)),
        cv2.Sobel(grey, cv2.CV_16S, 1, 0, ksize=3),
        np.ascontiguousarray(cv2.Sobel(grey_right, cv2.CV_16S, 1, 0, ksize=3)[:, ::-1]),
        minimum_px,
        count,
        -(-count // LANES) * LANES,
        *_cost_tables(use),
    )
    total = aggregated(cost, np.asarray(grey, np.uint8), use)
    px, right_px, margin, best = _winner(total, minimum_px, count)
    right_px[right_px == NO_MATCH] = np.nan
    per_path = np.float32(1 / (COST_UNIT * use.paths))
    return SgmResult(px, right_px, margin * per_path, best * per_path)


def aggregated(cost: U8, guide: U8, settings: SgmSettings) -> I16:
    """Costs summed along paths from all sides, by which each label's cost holds what its surroundings say of it too.

    Args:
        cost: (H, W, stored) uint8 cost of each label, in steps of a `COST_UNIT`-th; 255 from the last label on.
        guide: (H, W) uint8 grey image: penalties drop at its edges.
        settings: Penalties and number of paths.

    Returns:
        (H, W, stored) int16, in the same steps, summed over the paths.
    """
    small, large = _penalty_tables(settings)
    steps = cv2.bilateralFilter(guide, 5, settings.edge_smoothing, 2)
    total = np.empty(cost.shape, np.int16)
    for backwards in (False, True):
        _aggregate(cost, steps, total, small, large, backwards, settings.paths == FOUR_PATHS)
    return total


def _quiet(image: U8, use: SgmSettings) -> U8:
    """The image with the noise that exceeds a good camera's smoothed away."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # Immerkær 1996: this mask sees neither slopes nor straight edges; of noise it makes 6 times its deviation.
    response = cv2.filter2D(grey, cv2.CV_16S, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32))
    excess = float(np.mean(np.sort(np.abs(response), axis=None)[: response.size // 2])) / MEAN_OF_SMALLER_HALF / 6 - use.noise
    return cv2.bilateralFilter(image, 5, use.noise_smoothing * excess, 2).astype(np.uint8) if excess > 0 else image


def _cost_tables(use: SgmSettings) -> tuple[U8, U8, U8, U8]:
    """Cost of each Hamming distance over all and over own neighbours, of each summed colour difference, of each gradient difference."""
    hamming = 1 - np.exp(-np.arange(64) / use.census_scale)
    colour = use.colour_weight * np.minimum(np.arange(3 * 255 + 1) / (3 * use.colour_cap), 1)
    gradient = use.gradient_weight * np.minimum(np.arange(2 * 4 * 255 + 1) / (4 * use.gradient_cap), 1)  # Sobel is 4 x the gradient
    tables = ((1 - use.own_weight) * hamming, use.own_weight * hamming, colour, gradient)
    a, b, c, d = (np.round(COST_UNIT * t).astype(np.uint8) for t in tables)
    return a, b, c, d


def _penalty_tables(use: SgmSettings) -> tuple[I16, I16]:
    """P1 and P2 for each grey step along the path."""
    step = np.arange(256)
    drop = np.where(step >= 2 * use.edge, 2 * use.edge_drop, np.where(step >= use.edge, use.edge_drop, 1))
    small, large = (np.round(COST_UNIT * p / drop).astype(np.int16) for p in (use.small_step, use.large_step))
    return small, large


@compiled(inline="always")
def _extend(cost, x, previous, xp, out, count, least, small, large):
    """One pixel of one path: `out[x]` from `previous[xp]`, both padded by one at each end; returns the least cost."""
    jump = np.int16(least + large)
    low = np.int16(32000)
    for k in range(count):
        best = previous[xp, k + 1]
        best = min(best, np.int16(previous[xp, k] + small))
        best = min(best, np.int16(previous[xp, k + 2] + small))
        best = min(best, jump)
        value = np.int16(np.int16(best - least) + np.int16(cost[x, k]))
        out[x, k + 1] = value
        low = min(low, value)
    return low


@compiled(inline="always")
def _begin(cost, x, out, count):
    """First pixel of a path."""
    low = np.int16(32000)
    for k in range(count):
        value = np.int16(cost[x, k])
        out[x, k + 1] = value
        low = min(low, value)
    return low


@compiled()
def _aggregate(cost, grey, total, small, large, backwards, upright):
    """Path costs of the directions that arrive from rows already seen and from the side; the backward sweep adds to `total`."""
    h, w, count = cost.shape
    paths = np.full((2, 4, w, count + 2), FAR, np.int16)  # this row and the one before x (from left, middle, right; sideways)
    least = np.zeros((2, 3, w), np.int16)
    side_least = np.int16(0)
    direction = -1 if backwards else 1
    for row in range(h):
        y = h - 1 - row if backwards else row
        now, before = row & 1, 1 - (row & 1)
        c, t, grey_now, grey_before = cost[y], total[y], grey[y], grey[y - direction if row > 0 else y]
        left, up, right, side = paths[now, 0], paths[now, 1], paths[now, 2], paths[now, 3]
        left_before, up_before, right_before = paths[before, 0], paths[before, 1], paths[before, 2]
        for column in range(w):
            x = w - 1 - column if backwards else column
            here = np.int32(grey_now[x])
            if column == 0:
                side_least = _begin(c, x, side, count)
            else:
                step = abs(here - np.int32(grey_now[x - direction]))
                side_least = _extend(c, x, side, x - direction, side, count, side_least, small[step], large[step])
            if row == 0:
                least[now, 1, x] = _begin(c, x, up, count)
            else:
                step = abs(here - np.int32(grey_before[x]))
                least[now, 1, x] = _extend(c, x, up_before, x, up, count, least[before, 1, x], small[step], large[step])
            if not upright:
                if row == 0 or x == 0:
                    least[now, 0, x] = _begin(c, x, left, count)
                else:
                    step = abs(here - np.int32(grey_before[x - 1]))
                    low = least[before, 0, x - 1]
                    least[now, 0, x] = _extend(c, x, left_before, x - 1, left, count, low, small[step], large[step])
                if row == 0 or x == w - 1:
                    least[now, 2, x] = _begin(c, x, right, count)
                else:
                    step = abs(here - np.int32(grey_before[x + 1]))
                    low = least[before, 2, x + 1]
                    least[now, 2, x] = _extend(c, x, right_before, x + 1, right, count, low, small[step], large[step])
            if upright and backwards:
                for k in range(count):
                    t[x, k] += np.int16(side[x, k + 1] + up[x, k + 1])
            elif upright:
                for k in range(count):
                    t[x, k] = np.int16(side[x, k + 1] + up[x, k + 1])
            elif backwards:
                for k in range(count):
                    t[x, k] += np.int16(np.int16(side[x, k + 1] + up[x, k + 1]) + np.int16(left[x, k + 1] + right[x, k + 1]))
            else:
                for k in range(count):
                    t[x, k] = np.int16(np.int16(side[x, k + 1] + up[x, k + 1]) + np.int16(left[x, k + 1] + right[x, k + 1]))


@compiled()
def _winner(total, minimum, count):
    """The least of `count` costs with a parabola through its neighbours, the right image's least cost, and the margin of the runner-up."""
    h, w = total.shape[:2]
    px, margin = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    lowest = np.empty((h, w), np.float32)
    right = np.full((h, w), np.float32(NO_MATCH))
    right_best, right_at = np.empty(w + count, np.int16), np.empty(w + count, np.int16)
    others = np.empty(count, np.int16)
    for y in range(h):
        right_best[:] = 32000
        right_at[:] = -1
        t = total[y]
        for x in range(w):
            best = np.int16(32000)
            for j in range(count):
                best = min(best, t[x, j])
            k = 0
            while t[x, k] != best:
                k += 1
            for j in range(count):
                others[j] = t[x, j]
            for j in range(max(k - 1, 0), min(k + 2, count)):
                others[j] = np.int16(32000)
            second = np.int16(32000)
            for j in range(count):
                second = min(second, others[j])
            margin[y, x] = np.float32(second) - np.float32(best)
            lowest[y, x] = best
            offset = np.float32(0)
            if 0 < k < count - 1:
                bend = np.float32(t[x, k - 1]) + np.float32(t[x, k + 1]) - 2 * np.float32(best)
                if bend > 0:
                    offset = (np.float32(t[x, k - 1]) - np.float32(t[x, k + 1])) / (2 * bend)
                    offset = np.float32(0.5) * np.sign(offset) * min(abs(2 * offset), np.float32(1)) ** np.float32(UNLOCK)
            px[y, x] = minimum + k + offset
            first, last = max(0, x - minimum - w + 1), min(count, x - minimum + 1)
            at = np.uint64(w - 1 - x + minimum + first)  # mirrored column, as in the cost volume
            for j in range(max(last - first, 0)):
                there, here = at + np.uint64(j), t[x, np.uint64(first) + np.uint64(j)]
                better = here < right_best[there]
                right_best[there] = here if better else right_best[there]
                right_at[there] = np.int16(first + j) if better else right_at[there]
        for x in range(w):
            if right_at[w - 1 - x] >= 0:
                right[y, x] = minimum + right_at[w - 1 - x]
    return px, right, margin, lowest
