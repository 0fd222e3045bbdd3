"""How alike two pixels of a rectified pair are, compiled: census of all and of own neighbours, colour and gradient."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled


@compiled()
def census(padded, rx, ry):
    """(H, W) uint64 of an image padded by (ry, rx): a bit for each neighbour, set where it is darker than the centre."""
    h, w = padded.shape[0] - 2 * ry, padded.shape[1] - 2 * rx
    out = np.zeros((h, w), np.uint64)
    for y in range(h):
        here, bits = padded[y + ry, rx : rx + w], out[y]
        for dy in range(2 * ry + 1):
            for dx in range(2 * rx + 1):
                if dx != rx or dy != ry:
                    there = padded[y + dy, dx : dx + w]
                    for x in range(w):
                        bits[x] = (bits[x] << np.uint64(1)) | np.uint64(there[x] < here[x])
    return out


@compiled()
def own_neighbours(padded, rx, ry, within):
    """The same, set where the neighbour's brightness is within so many grey levels of the centre's."""
    h, w = padded.shape[0] - 2 * ry, padded.shape[1] - 2 * rx
    out = np.zeros((h, w), np.uint64)
    for y in range(h):
        here, bits = padded[y + ry, rx : rx + w], out[y]
        for dy in range(2 * ry + 1):
            for dx in range(2 * rx + 1):
                if dx != rx or dy != ry:
                    there = padded[y + dy, dx : dx + w]
                    for x in range(w):
                        alike = abs(np.int16(there[x]) - np.int16(here[x])) < within
                        bits[x] = (bits[x] << np.uint64(1)) | np.uint64(alike)
    return out


@compiled(inline="always")
def _bits(v):
    """How many bits of a uint64 are set; LLVM turns the pattern into the machine's own instruction."""
    v = v - ((v >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (v * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled()
def cost_volume(
    bits_left, own, bits_right, left, right, gradient, gradient_right, minimum, count, stored, of_hamming, of_own, of_colour, of_gradient
):
    """(H, W, stored) uint8 cost of each disparity; where x - d leaves the image, the cost of the nearest d that does not.

    From `count` on the cost is 255.
    """
    h, w = bits_left.shape
    cost = np.full((h, w, stored), np.uint8(255))
    different, different_own = np.empty(count, np.uint8), np.empty(count, np.uint8)
    colour, slope = np.empty(count, np.int16), np.empty(count, np.int16)
    for y in range(h):
        out, bits, slopes = cost[y], bits_right[y], gradient_right[y]
        reds, greens, blues = right[0, y], right[1, y], right[2, y]
        for x in range(w):
            first, last = max(0, x - minimum - w + 1), min(count, x - minimum + 1)
            if last <= first:
                for k in range(count):
                    out[x, k] = 0
                continue
            # Unsigned, as numba allows for negative indices otherwise, which would keep these loops from being vectorised.
            at = np.uint64(w - 1 - x + minimum + first)  # mirrored column of the right image for k = first
            n, start, column = last - first, np.uint64(first), np.uint64(x)
            c, mine = bits_left[y, x], own[y, x]
            r, g, b = np.int16(left[0, y, x]), np.int16(left[1, y, x]), np.int16(left[2, y, x])
            s = gradient[y, x]
            for k in range(n):
                unlike = c ^ bits[at + np.uint64(k)]
                different[k] = np.uint8(_bits(unlike))
                different_own[k] = np.uint8(_bits(unlike & mine))
            for k in range(n):
                there = at + np.uint64(k)
                colour[k] = np.int16(abs(r - np.int16(reds[there])) + abs(g - np.int16(greens[there])) + abs(b - np.int16(blues[there])))
                slope[k] = np.int16(abs(s - slopes[there]))
            # The share of its own neighbours that differ, as if all 62 were its own.
            scale = np.float32(62) / np.float32(max(_bits(mine), np.uint64(1)))
            for k in range(n):
                different_own[k] = np.uint8(np.float32(different_own[k]) * scale)
            for k in range(n):
                census_cost = of_hamming[different[k]] + of_own[different_own[k]]
                out[column, start + np.uint64(k)] = census_cost + of_colour[colour[k]] + of_gradient[slope[k]]
            for k in range(first):
                out[x, k] = out[x, first]
            for k in range(last, count):
                out[x, k] = out[x, last - 1]
    return cost
