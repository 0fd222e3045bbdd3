"""Fractions of a pixel: one least-squares step on the grey values, taken only where it explains the images better.

Lucas & Kanade 1981, in one dimension; it frees disparities from the pull to whole pixels that interpolated matching costs have.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolkit.geometry.sampling import pixel_centres, remap
from toolkit.scene import F32, U8


@dataclass(frozen=True)
class SubpixelSettings:
    """When a step is taken.

    Attributes:
        window: Width of the Gaussian window, px; its deviation is a quarter of it.
        stiffness: Squared gradient, (grey levels / px)^2, at which half of the step is taken: less is noise.
        longest_px: A longer step means that the match is wrong, not inexact; it is not taken.
        flat_px: Range of disparity within 7 x 7 px from which the window holds two surfaces and no step is taken.
        outlier: Grey difference that counts no more than this: gloss, occlusion.
    """

    window: int = 9
    stiffness: float = 60.0
    longest_px: float = 0.5
    flat_px: float = 1.5
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

    def mean(image: F32) -> F32:
        return cv2.GaussianBlur(image, (use.window, use.window), use.window / 4).astype(np.float32)

    def there(image: F32, disparity: F32, how) -> F32:
        x = np.clip(centres[..., 0] - disparity, 0.5, px.shape[1] - 0.5)
        return remap(image, np.stack([x, centres[..., 1]], -1), interpolation=how)

    def difference(disparity: F32) -> F32:
        d = a - there(b, disparity, "bicubic")
        return np.asarray(d - cv2.blur(d, (2 * use.window + 1,) * 2), np.float32)  # eyes may be exposed differently

    now = difference(px)
    gradient = 0.5 * (slope + there(slope_right, px, "bilinear"))
    force = np.asarray(np.clip(now, -use.outlier, use.outlier) * gradient, np.float32)
    step = -mean(force) / (mean(np.square(gradient)) + use.stiffness)
    around = np.ones((7, 7), np.uint8)
    flat = cv2.dilate(px, around) - cv2.erode(px, around) < use.flat_px
    moved = np.where(flat & (np.abs(step) < use.longest_px), px + step, px).astype(np.float32)
    return np.where(mean(np.square(difference(moved))) < mean(np.square(now)), moved, px)
