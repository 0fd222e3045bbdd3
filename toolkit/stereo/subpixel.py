"""Fractions of a pixel: a small plane of disparity is fitted to the grey values of each window by least-squares steps.

Lucas & Kanade 1981, in one dimension, with disparity linear over the window; where the window holds two surfaces, over the pixels
of the own one alone. It frees disparities from the pull to whole pixels and to surfaces parallel to the image that matching has.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolkit.compiling import compiled
from toolkit.geometry.sampling import pixel_centres, remap
from toolkit.scene import F32, U8, B

LANES = 8  # of a vector of float32
_FAR = 1e6  # px, unlike any disparity


@dataclass(frozen=True)
class SubpixelSettings:
    """When a step is taken, and what holds it back.

    Attributes:
        window: Width of the Gaussian window, px; its deviation is a quarter of it.
        stiffness: Squared gradient, (grey levels / px)^2, at which the grey values count as much as the disparities found so far.
        longest_px: A longer step means that the match is wrong, not inexact; it is not taken.
        jump_px: Difference of neighbours from which the window may hold two surfaces.
        own_px: Where it does, pixels within so much of the middle one's disparity are of its surface.
        level: How flat such a part is believed to be: px^2 added to its own spread, as few pixels in a row tell no slope.
        outlier: Grey difference that counts half: gloss, occlusion.
        exposure_px: Width of the surroundings whose mean difference is taken for one of exposure or vignetting; well above the
            window, or a small bright thing on a darker ground would be shifted by it.
        steps: How many times the fit is repeated where it has arrived.
    """

    window: int = 15
    stiffness: float = 40.0
    longest_px: float = 0.6
    jump_px: float = 0.8
    own_px: float = 0.45
    level: float = 0.5
    outlier: float = 10.0
    exposure_px: int = 61
    steps: int = 1


def refine_subpixel(px: F32, left: U8, right: U8, *, settings: SubpixelSettings | None = None) -> F32:
    """Disparity with a sharper fraction.

    Args:
        px: (H, W) float32 disparity of the left image, no NaN.
        left: (H, W, 3) uint8.
        right: (H, W, 3) uint8.
        settings: Window, limits and steps.

    Returns:
        (H, W) float32, by each step nowhere moved further than `longest_px`.
    """
    use = settings or SubpixelSettings()
    a, b = (np.asarray(cv2.cvtColor(im, cv2.COLOR_RGB2GRAY), np.float32) for im in (left, right))
    slope, slope_right = (np.asarray(cv2.Sobel(im, cv2.CV_32F, 1, 0, ksize=3) / 8, np.float32) for im in (a, b))
    centres = pixel_centres((px.shape[1], px.shape[0])).astype(np.float32)
    for _ in range(use.steps):
        column = centres[..., 0] - px
        there = np.stack([np.clip(column, 0.5, px.shape[1] - 0.5), centres[..., 1]], -1)
        difference = a - remap(b, there, interpolation="bicubic")
        gradient = 0.5 * (slope + remap(slope_right, there, interpolation="bilinear"))
        px = _step(px, difference, gradient, (column > 0) & (column < px.shape[1]), use)
    return px


def _step(px: F32, difference: F32, gradient: F32, seen: B, use: SubpixelSettings) -> F32:
    """One least-squares step.

    Args:
        px: (H, W) disparity so far.
        difference: (H, W) grey value of the left pixel less that of its match.
        gradient: (H, W) mean of both eyes' change of grey value along x, per px.
        seen: (H, W) whether the match lies inside the other image.
        use: Window and limits.
    """
    trust = _trust(difference, seen, use.outlier)
    around = (use.exposure_px, use.exposure_px)
    difference = np.asarray(difference - cv2.blur(difference * trust, around) / np.maximum(cv2.blur(trust, around), 1e-3), np.float32)
    trust = _trust(difference, seen, use.outlier)
    # Each pixel asks for the disparity px - difference / gradient with weight gradient^2, and for px with the stiffness.
    weight = (trust * np.square(gradient) + np.float32(use.stiffness)).astype(np.float32, copy=False)
    wish = (weight * px - trust * gradient * difference).astype(np.float32, copy=False)
    plane = plane_at_centre(weight, wish, use.window)
    half = use.window // 2
    border = (half, half, half, LANES * -(-use.window // LANES) - 1 - half)  # above, below, left, right
    near = near_jump(px, use.jump_px, use.window)
    wide = [cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=value) for image, value in ((px, _FAR), (weight, 0), (wish, 0))]
    _own_planes(plane, near, *wide, _bell(use.window), np.float32(use.own_px), np.float32(use.level))
    return np.where(np.abs(plane - px) < use.longest_px, plane, px)


def _trust(difference: F32, seen: B, outlier: float) -> F32:
    """(H, W) between 0 and 1: how much a pixel's grey value says."""
    return np.where(seen, 1 / (1 + np.square(difference / np.float32(outlier))), np.float32(0)).astype(np.float32, copy=False)


def _bell(window: int) -> F32:
    """(window,) Gaussian weights; the deviation is a quarter of the window."""
    t = np.arange(window, dtype=np.float32) - window // 2
    return np.exp(-0.5 * np.square(4 * t / window)).astype(np.float32)


@compiled(fastmath=True)
def _own_planes(plane, near, px, weight, wish, bell, own_px, level):
    """Writes to `plane`, where `near`, the value of the plane through those pixels of the window whose disparity is like the middle one's.

    `px`, `weight` and `wish` (weighted disparities) have a border of half the window below and right, or one more, where `px` is far
    off. Disparities are measured from the middle one's, which keeps the sums small. Sums over columns come first: with a fixed number
    of them, and no branch, the loop is made into vectors.
    """
    h, w = near.shape
    rows, columns = len(bell), px.shape[1] - w + 1
    half = rows // 2
    across = np.zeros(columns, np.float32)
    across[:rows] = bell
    sums = np.empty((5, columns), np.float32)
    for y in range(h):
        for x in range(w):
            if not near[y, x]:
                continue
            own = px[y + half, x + half]
            sums[:] = 0
            for j in range(rows):
                v = np.float32(j - half)
                at, of_weight, of_wish = px[y + j, x : x + columns], weight[y + j, x : x + columns], wish[y + j, x : x + columns]
                for i in range(columns):
                    share = across[i] * bell[j] * np.float32(abs(at[i] - own) < own_px)
                    m = share * of_weight[i]
                    r = share * (of_wish[i] - of_weight[i] * own)
                    sums[0, i] += m
                    sums[1, i] += m * v
                    sums[2, i] += m * v * v
                    sums[3, i] += r
                    sums[4, i] += r * v
            m00 = m10 = m01 = m20 = m11 = m02 = r00 = r10 = r01 = np.float32(0)
            for i in range(columns):
                u = np.float32(i - half)
                m00 += sums[0, i]
                m10 += sums[0, i] * u
                m20 += sums[0, i] * u * u
                m01 += sums[1, i]
                m11 += sums[1, i] * u
                m02 += sums[2, i]
                r00 += sums[3, i]
                r10 += sums[3, i] * u
                r01 += sums[4, i]
            m20 += m00 * level
            m02 += m00 * level
            c0, c1, c2 = m20 * m02 - m11 * m11, m11 * m01 - m10 * m02, m10 * m11 - m20 * m01
            plane[y, x] = own + (c0 * r00 + c1 * r10 + c2 * r01) / (m00 * c0 + m10 * c1 + m01 * c2)


def plane_at_centre(weight: F32, weighted: F32, window: int) -> F32:
    """Value at its own pixel of the weighted plane through each pixel's window; `weighted` is weight x value."""
    t, bell = np.arange(window, dtype=np.float32) - window // 2, _bell(window)
    powers = [(bell / bell.sum() * t**n).astype(np.float32) for n in range(3)]

    def moment(image: F32, along_x: int, along_y: int) -> F32:
        return np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, powers[along_x], powers[along_y], borderType=cv2.BORDER_REPLICATE), np.float32)

    m00, m10, m01 = moment(weight, 0, 0), moment(weight, 1, 0), moment(weight, 0, 1)
    m20, m11, m02 = moment(weight, 2, 0), moment(weight, 1, 1), moment(weight, 0, 2)
    # First row of the inverse of [[m00, m10, m01], [m10, m20, m11], [m01, m11, m02]], by cofactors.
    c0, c1, c2 = m20 * m02 - m11 * m11, m11 * m01 - m10 * m02, m10 * m11 - m20 * m01
    determinant = m00 * c0 + m10 * c1 + m01 * c2
    top = c0 * moment(weighted, 0, 0) + c1 * moment(weighted, 1, 0) + c2 * moment(weighted, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (top / determinant).astype(np.float32)


def near_jump(px: F32, jump: float, window: int) -> B:
    """Pixels whose window contains neighbours that differ by more than `jump`."""
    jumps = np.zeros(px.shape, np.uint8)
    jumps[:, 1:] |= np.abs(np.diff(px, axis=1)) > jump
    jumps[1:] |= np.abs(np.diff(px, axis=0)) > jump
    return cv2.dilate(jumps, np.ones((window, window), np.uint8)) > 0
