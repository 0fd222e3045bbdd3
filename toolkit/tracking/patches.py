"""What surrounds a point: small patches, and how alike two of them are. Compiled inner loops."""

from __future__ import annotations

import math

import numpy as np

from toolkit.compiling import compiled
from toolkit.scene import F32

RADIUS_PX = 5  # 11 x 11: large enough to tell rivals apart, small enough to stay on one surface
SIDE_PX = 2 * RADIUS_PX + 1
PATCH_PIXELS = SIDE_PX**2
CORE_PX = 3  # radius of the 7 x 7 core by which two frames a hop apart are compared
_offsets = np.arange(-RADIUS_PX, RADIUS_PX + 1)
_bell = np.exp(-0.5 * (_offsets[:, None] ** 2 + _offsets[None, :] ** 2) / 3.0**2)
WINDOW: F32 = (_bell / _bell.sum()).ravel().astype(np.float32)  # the centre counts most
_QUERY_NOISE = 1e-3  # grey levels squared
_HOP_NOISE = 1.0  # grey levels squared; two flat cores are alike


@compiled()
def cut(image, x, y, radius, patch):
    """Fills the inner part of `patch` (PATCH_PIXELS,) up to `radius` with the (H, W) uint8 image around a continuous point.

    Border pixels are repeated.
    """
    height, width = image.shape
    u, v = x - 0.5, y - 0.5
    left, top = math.floor(u), math.floor(v)
    a, b = np.float32(u - left), np.float32(v - top)
    one = np.float32(1.0)
    w00, w10, w01, w11 = (one - a) * (one - b), a * (one - b), (one - a) * b, a * b
    for dj in range(-radius, radius + 1):
        k = (dj + RADIUS_PX) * SIDE_PX + RADIUS_PX - radius
        upper, lower = min(max(top + dj, 0), height - 1), min(max(top + dj + 1, 0), height - 1)
        for i in range(left - radius, left + radius + 1):
            i0, i1 = min(max(i, 0), width - 1), min(max(i + 1, 0), width - 1)
            patch[k] = w00 * image[upper, i0] + w10 * image[upper, i1] + w01 * image[lower, i0] + w11 * image[lower, i1]
            k += 1


@compiled()
def normalise(patch):
    """Takes out the weighted mean and scales to weighted unit length, in place."""
    mean = 0.0
    for k in range(PATCH_PIXELS):
        mean += WINDOW[k] * patch[k]
    power = 0.0
    for k in range(PATCH_PIXELS):
        patch[k] -= mean
        power += WINDOW[k] * patch[k] * patch[k]
    scale = 1.0 / math.sqrt(power + _QUERY_NOISE)
    for k in range(PATCH_PIXELS):
        patch[k] *= scale


@compiled()
def likeness_to_query(patch, query_patch):
    """Normalised cross-correlation, -1..1, of a cut patch with a normalised query patch.

    Four sums side by side, as one would wait for itself at every pixel. Leaving that to the compiler (fastmath) made results depend on
    whether this code was compiled just now or found on disk.
    """
    m0 = m1 = m2 = m3 = p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = np.float32(0.0)
    for k in range(0, PATCH_PIXELS - 3, 4):
        a, b, c, d = patch[k], patch[k + 1], patch[k + 2], patch[k + 3]
        wa, wb, wc, wd = WINDOW[k] * a, WINDOW[k + 1] * b, WINDOW[k + 2] * c, WINDOW[k + 3] * d
        m0, m1, m2, m3 = m0 + wa, m1 + wb, m2 + wc, m3 + wd
        p0, p1, p2, p3 = p0 + wa * a, p1 + wb * b, p2 + wc * c, p3 + wd * d
        q0, q1 = q0 + wa * query_patch[k], q1 + wb * query_patch[k + 1]
        q2, q3 = q2 + wc * query_patch[k + 2], q3 + wd * query_patch[k + 3]
    mean, power, product = (m0 + m1) + (m2 + m3), (p0 + p1) + (p2 + p3), (q0 + q1) + (q2 + q3)
    for k in range(PATCH_PIXELS - PATCH_PIXELS % 4, PATCH_PIXELS):
        weighted = WINDOW[k] * patch[k]
        mean, power, product = mean + weighted, power + weighted * patch[k], product + weighted * query_patch[k]
    return product / math.sqrt(max(power - mean * mean, 0.0) + _QUERY_NOISE)


@compiled()
def likeness_of_cores(one, other):
    """Normalised cross-correlation of the cores of two cut patches; 1 where both are flat."""
    total, mean1, mean2, power1, power2, product = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(RADIUS_PX - CORE_PX, RADIUS_PX + CORE_PX + 1):
        for i in range(RADIUS_PX - CORE_PX, RADIUS_PX + CORE_PX + 1):
            k = j * SIDE_PX + i
            w, a, b = WINDOW[k], one[k], other[k]
            total += w
            mean1 += w * a
            mean2 += w * b
            power1 += w * a * a
            power2 += w * b * b
            product += w * a * b
    mean1, mean2 = mean1 / total, mean2 / total
    variance1, variance2 = max(power1 / total - mean1 * mean1, 0.0), max(power2 / total - mean2 * mean2, 0.0)
    return (product / total - mean1 * mean2 + _HOP_NOISE) / math.sqrt((variance1 + _HOP_NOISE) * (variance2 + _HOP_NOISE))


@compiled()
def cut_queries(image, xy, patches):
    """Fills `patches` (N, PATCH_PIXELS) with the normalised surroundings of points (N, 2)."""
    for n in range(len(xy)):
        cut(image, xy[n, 0], xy[n, 1], RADIUS_PX, patches[n])
        normalise(patches[n])
