"""Looking up images at continuous pixel coordinates: the one place of the half-pixel shift to OpenCV's functions.

Everywhere in the toolkit the centre of the top-left pixel is (0.5, 0.5); OpenCV calls the same point (0, 0).
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, F64

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_CV_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


def to_opencv(xy: NDArray) -> NDArray:
    """Continuous pixel coordinates (..., 2) as OpenCV's, whose origin is the centre of the top-left pixel."""
    return np.asarray(xy) - np.asarray(0.5, np.asarray(xy).dtype)


def from_opencv(xy: NDArray) -> NDArray:
    """OpenCV's pixel coordinates (..., 2) as continuous ones."""
    return np.asarray(xy) + np.asarray(0.5, np.asarray(xy).dtype)


def pixel_centres(size: tuple[int, int]) -> F64:
    """(H, W, 2) float64 centres of all pixels of a (width, height) image.

    >>> pixel_centres((2, 1)).tolist()
    [[[0.5, 0.5], [1.5, 0.5]]]
    """
    x, y = np.meshgrid(np.arange(0.5, size[0], dtype=np.float64), np.arange(0.5, size[1], dtype=np.float64))
    return np.stack([x, y], axis=-1)


def remap(image: NDArray, xy: NDArray, *, interpolation: Interpolation = "bilinear", fill: float = 0) -> NDArray:
    """The image seen at other places.

    Args:
        image: (H, W) or (H, W, C), uint8 or float32.
        xy: (h, w, 2) continuous pixel coordinates into `image`; NaN for nowhere.
        interpolation: How values between pixel centres are found.
        fill: Value outside the image.

    Returns:
        (h, w) or (h, w, C) of the image's dtype.
    """
    # cv2.remap computes with 16-bit integers; NaN and far-away coordinates must become a definite "outside".
    shifted = np.nan_to_num(to_opencv(np.asarray(xy, np.float32)), nan=-30000.0, posinf=30000.0, neginf=-30000.0)
    return cv2.remap(
        image,
        np.ascontiguousarray(shifted[..., 0]),
        np.ascontiguousarray(shifted[..., 1]),
        _CV_INTERPOLATION[interpolation],
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=[fill] * 4,
    )


def sample_bilinear(image: NDArray, xy: NDArray) -> F32:
    """Values of an image at scattered points.

    Within half a pixel of the border the nearest pixel is used; a NaN pixel makes every sample that touches it NaN.

    Args:
        image: (H, W) or (H, W, C) numbers.
        xy: (..., 2) continuous pixel coordinates.

    Returns:
        (...) or (..., C) float32; NaN outside [0, W] x [0, H].
    """
    h, w = image.shape[:2]
    x, y = np.asarray(xy[..., 0], np.float64), np.asarray(xy[..., 1], np.float64)
    inside = (x >= 0) & (x <= w) & (y >= 0) & (y <= h)
    x = np.clip(np.where(inside, x, 0.5) - 0.5, 0, w - 1)
    y = np.clip(np.where(inside, y, 0.5) - 0.5, 0, h - 1)
    x0, y0 = np.minimum(x.astype(np.intp), max(w - 2, 0)), np.minimum(y.astype(np.intp), max(h - 2, 0))
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    ax, ay = (x - x0).astype(np.float32), (y - y0).astype(np.float32)
    if image.ndim == 3:
        ax, ay, inside = ax[..., None], ay[..., None], inside[..., None]
    top = _mix(image[y0, x0], image[y0, x1], ax)
    bottom = _mix(image[y1, x0], image[y1, x1], ax)
    return np.where(inside, _mix(top, bottom, ay), np.float32(np.nan)).astype(np.float32)


def sample_nearest(image: NDArray, xy: NDArray) -> NDArray:
    """Pixel values of (H, W, ...) under scattered points (..., 2); points outside take the nearest border pixel, NaN the first."""
    h, w = image.shape[:2]
    column = np.clip(np.floor(np.nan_to_num(xy[..., 0])), 0, w - 1).astype(np.intp)
    row = np.clip(np.floor(np.nan_to_num(xy[..., 1])), 0, h - 1).astype(np.intp)
    return image[row, column]


def inside(xy: NDArray, size: tuple[int, int], *, margin: float = 0.0) -> NDArray[np.bool_]:
    """Which points (..., 2) lie in the (width, height) image, at least `margin` px from its border; NaN does not."""
    x, y = xy[..., 0], xy[..., 1]
    return (x >= margin) & (x <= size[0] - margin) & (y >= margin) & (y <= size[1] - margin)


def _mix(a: NDArray, b: NDArray, share: NDArray) -> NDArray:
    """A blend that takes a value as it is where its weight is 1, so that NaN under weight 0 does not spread."""
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    return np.where(share == 0, a32, np.where(share == 1, b32, a32 + share * (b32 - a32)))
