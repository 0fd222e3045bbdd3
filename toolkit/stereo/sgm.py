"""Semi-global matching of a rectified pair, compiled: census + colour + gradient cost, eight paths, penalties that drop at edges.

Hirschmüller, "Stereo processing by semiglobal matching and mutual information", PAMI 2008; cost in the manner of
Mei et al., "On building an accurate stereo matching system on graphics hardware", 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, U8
from toolkit.stereo.compiled import compiled

I16 = NDArray[np.int16]

FAR = np.int16(20000)  # more than any path cost, less than would overflow when a penalty is added
NO_MATCH = -9999.0
FOUR_PATHS = 4


@dataclass(frozen=True)
class SgmSettings:
    """How pixels are compared and how much a change of disparity costs.

    Attributes:
        census_rx: Half width of the census window, px. Taller than wide: disparity changes less along a column of a wall than along a row.
        census_ry: Half height of the census window, px. 7 x 9 gives 62 bits, one machine word.
        census_scale: Hamming distance at which the census cost reaches 63 %; it saturates at a wrong match.
        census_step: Grey levels by which a neighbour must be darker to count; below it a difference is noise.
        colour_weight: Weight of the colour difference against the census cost of at most 1.
        colour_cap: Mean difference over the channels, grey levels, at which the colour cost saturates.
        gradient_weight: Weight of the difference of horizontal gradients.
        gradient_cap: Gradient difference, grey levels a pixel, at which its cost saturates.
        small_step: Penalty P1 of a disparity change by one along a path, in units of the census cost.
        large_step: Penalty P2 of any larger change.
        edge: Grey step along the path, grey levels, at which the penalties drop: depth edges hide at image edges.
        edge_drop: By what the penalties are divided there.
        paths: 8 directions, or 4 (rows and columns) in half the time.
    """

    census_rx: int = 3
    census_ry: int = 4
    census_scale: float = 20.0
    census_step: int = 0
    colour_weight: float = 0.5
    colour_cap: float = 10.0
    gradient_weight: float = 0.3
    gradient_cap: float = 10.0
    small_step: float = 1.0
    large_step: float = 3.0
    edge: int = 12
    edge_drop: float = 4.0
    paths: int = 8


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
    grey = cv2.cvtColor(left, cv2.COLOR_RGB2GRAY)
    grey_right = cv2.cvtColor(right, cv2.COLOR_RGB2GRAY)
    # The right image is stored mirrored, so that rising disparity is rising memory.
    cost = _cost_volume(
        _census(grey, use.census_rx, use.census_ry, use.census_step),
        np.ascontiguousarray(_census(grey_right, use.census_rx, use.census_ry, use.census_step)[:, ::-1]),
        np.ascontiguousarray(left.transpose(2, 0, 1)),
        np.ascontiguousarray(right[:, ::-1].transpose(2, 0, 1)),
        cv2.Sobel(grey, cv2.CV_16S, 1, 0, ksize=3),
        np.ascontiguousarray(cv2.Sobel(grey_right, cv2.CV_16S, 1, 0, ksize=3)[:, ::-1]),
        minimum_px,
        count,
        *_cost_tables(use),
    )
    total = np.empty(cost.shape, np.int16)
    penalties = [np.int16(round(COST_UNIT * p)) for p in (use.small_step, use.large_step)]
    low = [np.int16(round(COST_UNIT * p / use.edge_drop)) for p in (use.small_step, use.large_step)]
    for backwards in (False, True):
        _aggregate(cost, grey, total, penalties[0], penalties[1], low[0], low[1], use.edge, backwards, use.paths == FOUR_PATHS)
    px, right_px, margin, best = _winner(total, minimum_px)
    right_px[right_px == NO_MATCH] = np.nan
    return SgmResult(px, right_px, margin / np.float32(COST_UNIT), best / np.float32(COST_UNIT))


def _cost_tables(use: SgmSettings) -> tuple[U8, U8, U8]:
    """Cost of each Hamming distance, of each summed colour difference and of each gradient difference."""
    hamming = 1 - np.exp(-np.arange(64) / use.census_scale)
    colour = use.colour_weight * np.minimum(np.arange(3 * 255 + 1) / (3 * use.colour_cap), 1)
    gradient = use.gradient_weight * np.minimum(np.arange(2 * 4 * 255 + 1) / (4 * use.gradient_cap), 1)  # Sobel is 4 x the gradient
    hamming, colour, gradient = (np.round(COST_UNIT * t).astype(np.uint8) for t in (hamming, colour, gradient))
    return hamming, colour, gradient


@compiled()
def _census(grey, rx, ry, step):
    """(H, W) uint64: one bit for each neighbour in the window, set where it is darker than the centre."""
    h, w = grey.shape
    out = np.zeros((h, w), np.uint64)
    for y in range(h):
        for dy in range(-ry, ry + 1):
            yy = min(max(y + dy, 0), h - 1)
            for dx in range(-rx, rx + 1):
                if dx != 0 or dy != 0:
                    for x in range(w):
                        xx = min(max(x + dx, 0), w - 1)
                        darker = np.int32(grey[yy, xx]) + step < np.int32(grey[y, x])
                        out[y, x] = (out[y, x] << np.uint64(1)) | np.uint64(darker)
    return out


@compiled(inline="always")
def _bits(v):
    """How many bits of a uint64 are set; LLVM turns the pattern into the machine's own instruction."""
    v = v - ((v >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (v * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled()
def _cost_volume(census, census_right, left, right, gradient, gradient_right, minimum, count, of_hamming, of_colour, of_gradient):
    """(H, W, count) uint8 cost of each disparity; where x - d leaves the image, the cost of the nearest d that does not."""
    h, w = census.shape
    cost = np.empty((h, w, count), np.uint8)
    distance = np.empty((3, count), np.int16)
    for y in range(h):
        for x in range(w):
            first, last = max(0, x - minimum - w + 1), min(count, x - minimum + 1)
            out = cost[y, x]
            if last <= first:
                out[:] = 0
                continue
            at = w - 1 - x + minimum  # mirrored column of the right image for k = 0
            n = last - first
            c, cr = census[y, x], census_right[y, at + first : at + last]
            for k in range(n):
                distance[0, k] = np.int16(_bits(c ^ cr[k]))
            r, g, b = np.int16(left[0, y, x]), np.int16(left[1, y, x]), np.int16(left[2, y, x])
            rr, gr, br = right[0, y, at + first : at + last], right[1, y, at + first : at + last], right[2, y, at + first : at + last]
            for k in range(n):
                distance[1, k] = np.int16(abs(r - np.int16(rr[k])) + abs(g - np.int16(gr[k])) + abs(b - np.int16(br[k])))
            s, sr = gradient[y, x], gradient_right[y, at + first : at + last]
            for k in range(n):
                distance[2, k] = np.int16(abs(s - sr[k]))
            for k in range(n):
                out[first + k] = of_hamming[distance[0, k]] + of_colour[distance[1, k]] + of_gradient[distance[2, k]]
            out[:first] = out[first]
            out[last:] = out[last - 1]
    return cost


@compiled(inline="always")
def _extend(cost, previous, out, least, small, large):
    """One pixel of one path: `out` from `previous`, both padded by one at each end; returns the least cost of `out`."""
    jump = np.int16(least + large)
    low = np.int16(32000)
    for k in range(len(cost)):
        best = previous[k + 1]
        down, up = np.int16(previous[k] + small), np.int16(previous[k + 2] + small)
        best = min(best, down)
        best = min(best, up)
        best = min(best, jump)
        value = np.int16(np.int16(best - least) + np.int16(cost[k]))
        out[k + 1] = value
        low = min(low, value)
    return low


@compiled(inline="always")
def _begin(cost, out):
    """First pixel of a path."""
    low = np.int16(32000)
    for k in range(len(cost)):
        value = np.int16(cost[k])
        out[k + 1] = value
        low = min(low, value)
    return low


@compiled()
def _aggregate(cost, grey, total, small, large, small_edge, large_edge, edge, backwards, upright):
    """Path costs of the four directions that arrive from rows already seen and from the side; the backward sweep adds to `total`."""
    h, w, count = cost.shape
    paths = np.full((2, 3, w, count + 2), FAR, np.int16)  # this row and the one before x three slants
    least = np.zeros((2, 3, w), np.int16)
    side = np.full((2, count + 2), FAR, np.int16)
    side_least = np.int16(0)
    direction = -1 if backwards else 1
    slants = range(1, 2) if upright else range(3)
    for row in range(h):
        y = h - 1 - row if backwards else row
        now, before = row & 1, 1 - (row & 1)
        for column in range(w):
            x = w - 1 - column if backwards else column
            c, here = cost[y, x], np.int32(grey[y, x])
            sideways = side[column & 1]
            if column == 0:
                side_least = _begin(c, sideways)
            else:
                at_edge = abs(here - np.int32(grey[y, x - direction])) >= edge
                side_least = _extend(
                    c,
                    side[1 - (column & 1)],
                    sideways,
                    side_least,
                    small_edge if at_edge else small,
                    large_edge if at_edge else large,
                )
            for slant in slants:
                xp, out = x + slant - 1, paths[now, slant, x]
                if row == 0 or xp < 0 or xp >= w:
                    least[now, slant, x] = _begin(c, out)
                else:
                    at_edge = abs(here - np.int32(grey[y - direction, xp])) >= edge
                    least[now, slant, x] = _extend(
                        c,
                        paths[before, slant, xp],
                        out,
                        least[before, slant, xp],
                        small_edge if at_edge else small,
                        large_edge if at_edge else large,
                    )
            t, a, b, d = total[y, x], paths[now, 0, x], paths[now, 1, x], paths[now, 2, x]
            if not backwards:
                t[:] = 0
            if upright:
                for k in range(count):
                    t[k] += np.int16(sideways[k + 1] + b[k + 1])
            else:
                for k in range(count):
                    t[k] += np.int16(np.int16(sideways[k + 1] + a[k + 1]) + np.int16(b[k + 1] + d[k + 1]))


@compiled()
def _winner(total, minimum):
    """Least cost with a parabola through its neighbours, the right image's least cost, and the margin of both to the runner-up."""
    h, w, count = total.shape
    px, margin = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    lowest = np.empty((h, w), np.float32)
    right = np.full((h, w), np.float32(NO_MATCH))
    right_best, right_at = np.empty(w + count, np.int16), np.empty(w + count, np.int16)
    for y in range(h):
        right_best[:] = 32000
        right_at[:] = -1
        for x in range(w):
            t = total[y, x]
            best = np.int16(32000)
            for k in range(count):
                best = min(best, t[k])
            k = 0
            while t[k] != best:
                k += 1
            second = np.int16(32000)
            for j in range(0, k - 1):
                second = min(second, t[j])
            for j in range(k + 2, count):
                second = min(second, t[j])
            margin[y, x] = np.float32(second) - np.float32(best)
            lowest[y, x] = best
            offset = np.float32(0)
            if 0 < k < count - 1:
                bend = np.float32(t[k - 1]) + np.float32(t[k + 1]) - 2 * np.float32(best)
                if bend > 0:
                    offset = (np.float32(t[k - 1]) - np.float32(t[k + 1])) / (2 * bend)
            px[y, x] = minimum + k + offset
            first, last = max(0, x - minimum - w + 1), min(count, x - minimum + 1)
            n = last - first
            if n > 0:
                at = w - 1 - x + minimum + first  # mirrored column, as in the cost volume
                rb, ra, tt = right_best[at : at + n], right_at[at : at + n], t[first:last]
                for j in range(n):
                    better = tt[j] < rb[j]
                    rb[j] = tt[j] if better else rb[j]
                    ra[j] = np.int16(first + j) if better else ra[j]
        for x in range(w):
            if right_at[w - 1 - x] >= 0:
                right[y, x] = minimum + right_at[w - 1 - x]
    return px, right, margin, lowest
