"""Fractions of a pixel: a small plane of disparity is fitted to the grey values of each window by one least-squares step.

Lucas & Kanade 1981, in one dimension, with disparity linear over the window. It frees disparities from the pull to whole pixels
and to surfaces parallel to the image that matching has.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolkit.geometry.sampling import pixel_centres, remap
from toolkit.scene import F32, U8, B


@dataclass(frozen=True)
class SubpixelSettings:
    """When a step is taken, and what holds it back.

    Attributes:
        window: Width of the Gaussian window, px; its deviation is a quarter of it.
        stiffness: Squared gradient, (grey levels / px)^2, at which the grey values count as much as the disparities found so far.
        longest_px: A longer step means that the match is wrong, not inexact; it is not taken.
        jump_px: Difference of neighbours from which the window holds two surfaces and no step is taken; above 1, as a slanted
            surface is often found in steps of whole pixels.
        outlier: Grey difference that counts half: gloss, occlusion.
    """

    window: int = 15
    stiffness: float = 20.0
    longest_px: float = 0.6
    jump_px: float = 1.3
    outlier: float = 20.0


def refine_subpixel(px: F32, left: U8, right: U8, *, settings: SubpixelSettings | None = None) -> F32:
    """Disparity with a sharper fraction.

    Args:
        px: (H, W) float32 disparity of the left image, no NaN.
        left: (H, W, 3) uint8.
        right: (H, W, 3) uint8.
        settings: Window and limits.

    Returns:
        (H, W) float32, nowhere further from `px` than `longest_px`.
    """
    use = settings or SubpixelSettings()
    a, b = (np.asarray(cv2.cvtColor(im, cv2.COLOR_RGB2GRAY), np.float32) for im in (left, right))
    slope, slope_right = (np.asarray(cv2.Sobel(im, cv2.CV_32F, 1, 0, ksize=3) / 8, np.float32) for im in (a, b))
    centres = pixel_centres((px.shape[1], px.shape[0])).astype(np.float32)
    there = np.stack([np.clip(centres[..., 0] - px, 0.5, px.shape[1] - 0.5), centres[..., 1]], -1)
    difference = a - remap(b, there, interpolation="bicubic")
    difference -= cv2.blur(difference, (19, 19))  # eyes may be exposed differently
    gradient = 0.5 * (slope + remap(slope_right, there, interpolation="bilinear"))

    # Each pixel asks for the disparity px - difference / gradient with weight gradient^2, and for px with the stiffness.
    seen = (centres[..., 0] - px > 0) & (centres[..., 0] - px < px.shape[1])
    trust = np.where(seen, 1 / (1 + np.square(difference / use.outlier)), 0)
    weight = trust * np.square(gradient) + np.float32(use.stiffness)
    wish = weight * px - trust * gradient * difference
    plane = plane_at_centre(weight.astype(np.float32), wish.astype(np.float32), use.window)
    good = ~near_jump(px, use.jump_px, use.window) & (np.abs(plane - px) < use.longest_px)
    return np.where(good, plane, px).astype(np.float32)


def plane_at_centre(weight: F32, weighted: F32, window: int) -> F32:
    """Value at its own pixel of the weighted plane through each pixel's window; `weighted` is weight x value."""
    t = np.arange(window, dtype=np.float32) - window // 2
    bell = np.exp(-0.5 * np.square(4 * t / window))
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
