"""What a query looked like: small normalised patches and how well an image agrees with them. Compiled inner loops."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from toolkit.scene import F32

RADIUS_PX = 5  # 11 x 11: large enough to tell candidates apart, small enough to stay on one surface
PATCH_PIXELS = (2 * RADIUS_PX + 1) ** 2
_offsets = np.arange(-RADIUS_PX, RADIUS_PX + 1)
_bell = np.exp(-0.5 * (_offsets[:, None] ** 2 + _offsets[None, :] ** 2) / 3.0**2)
WINDOW: F32 = (_bell / _bell.sum()).ravel().astype(np.float32)  # the centre counts most
_NOISE = 1e-3  # grey levels squared: a flat patch agrees with nothing


@njit(cache=True, nogil=True)
def cut(image, x, y, patch):
    """Fills `patch` (PATCH_PIXELS,) with the (H, W) float32 image around a continuous point, border pixels repeated."""
    height, width = image.shape
    u, v = x - 0.5, y - 0.5
    left, top = math.floor(u), math.floor(v)
    a, b = np.float32(u - left), np.float32(v - top)
    one = np.float32(1.0)
    k = 0
    for j in range(top - RADIUS_PX, top + RADIUS_PX + 1):
        upper, lower = min(max(j, 0), height - 1), min(max(j + 1, 0), height - 1)
        for i in range(left - RADIUS_PX, left + RADIUS_PX + 1):
            i0, i1 = min(max(i, 0), width - 1), min(max(i + 1, 0), width - 1)
            patch[k] = (one - b) * ((one - a) * image[upper, i0] + a * image[upper, i1]) + b * (
                (one - a) * image[lower, i0] + a * image[lower, i1]
            )
            k += 1


@njit(cache=True, nogil=True)
def normalise(patch):
    """Takes out the weighted mean and scales to weighted unit length, in place."""
    mean = 0.0
    for k in range(PATCH_PIXELS):
        mean += WINDOW[k] * patch[k]
    power = 0.0
    for k in range(PATCH_PIXELS):
        patch[k] -= mean
        power += WINDOW[k] * patch[k] * patch[k]
    scale = 1.0 / math.sqrt(power + _NOISE)
    for k in range(PATCH_PIXELS):
        patch[k] *= scale


@njit(cache=True, nogil=True, fastmath=True)
def similarity(image, x, y, query_patch, scratch):
    """Normalised cross-correlation, -1..1, of the image around a point with a normalised query patch."""
    cut(image, x, y, scratch)
    mean, power, product = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for k in range(PATCH_PIXELS):
        weighted = WINDOW[k] * scratch[k]
        mean += weighted
        power += weighted * scratch[k]
        product += weighted * query_patch[k]
    return product / math.sqrt(max(power - mean * mean, 0.0) + _NOISE)


@njit(cache=True, nogil=True)
def cut_queries(image, xy, patches):
    """Fills `patches` (N, PATCH_PIXELS) with the normalised surroundings of points (N, 2)."""
    for n in range(len(xy)):
        cut(image, xy[n, 0], xy[n, 1], patches[n])
        normalise(patches[n])
