"""Points of a photo that other photos show again, with a description of what is around each (SIFT, Lowe 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolkit.scene import F32, I64, U8, B


@dataclass(frozen=True)
class FeatureOptions:
    """How features are found.

    Attributes:
        max_side: Larger photos are reduced to this many pixels along their longer side; detail beyond it seldom matches.
        most: Features that are kept of a photo, the largest ones.
        contrast: Weakest contrast of a feature, grey values 0..1 over the three layers of an octave; a quarter of Lowe's .04, as
            plain walls and floors have weak ones only.
    """

    max_side: int = 1600
    most: int = 8192
    contrast: float = 0.01


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one photo.

    Attributes:
        xy: (K, 2) float32 pixels of the photo as it is stored, continuous.
        scale_px: (K,) float32 radius of the described spot, in the same pixels.
        descriptor: (K, 128) uint8, the square roots of a histogram that sums to 1, times 512 (RootSIFT, Arandjelovic 2012); zeros, or
            (K, 0), for points that were followed instead of described.
        track: (K,) int64 which followed point it is, the same number in all photos; -1 for none. None where none is followed.
        sigma_px: (K,) float32 standard deviation of the place per axis, NaN where unknown. None where none is known.
    """

    xy: F32
    scale_px: F32
    descriptor: U8
    track: I64 | None = None
    sigma_px: F32 | None = None

    def __len__(self) -> int:
        """Number of features."""
        return len(self.xy)


def find_features(grey: U8, *, enlarged: tuple[float, float] = (1.0, 1.0), ignore: B | None = None, options: FeatureOptions) -> Features:
    """SIFT features of a grey picture.

    Args:
        grey: (H, W) uint8.
        enlarged: Stored pixels per pixel of `grey`, across and down.
        ignore: (H, W) bool, True where nothing is wanted; None for nowhere.
        options: How many and how strong.

    Returns:
        Features in stored pixels, by falling scale.
    """
    # Without the precise doubling of the picture, OpenCV's positions are a quarter of a pixel off.
    sift = cv2.SIFT_create(0, 3, options.contrast, 10, 1.6, cv2.CV_8U, True)  # type: ignore[call-overload]
    wanted = None if ignore is None else np.where(ignore, 0, 255).astype(np.uint8)
    points = list(sift.detect(grey, wanted))
    if not points:
        return Features(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 128), np.uint8))
    table = np.array([(*p.pt, p.size, p.angle, p.response) for p in points])
    # Large spots are found again from further off. Ties are broken by all else, so that the order is the same whatever threads do.
    keep = np.lexsort((table[:, 3], table[:, 1], table[:, 0], -table[:, 4], -table[:, 2]))[: options.most]
    _, raw = sift.compute(grey, [points[i] for i in keep])
    histogram = np.asarray(raw, np.float32)
    histogram /= np.maximum(histogram.sum(1, keepdims=True), 1.0)
    descriptor = np.round(np.sqrt(histogram) * 512).clip(0, 255).astype(np.uint8)
    scale = np.asarray(enlarged)
    xy = (table[keep, :2] + 0.5) * scale  # OpenCV counts from the centre of the first pixel
    return Features(xy.astype(np.float32), (0.5 * table[keep, 2] * scale.mean()).astype(np.float32), descriptor)
