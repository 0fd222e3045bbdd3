"""Which pixels of a depth map lie on one surface: those on the edge between two may float between them."""

from __future__ import annotations

import cv2
import numpy as np

from toolkit.scene import F32, B


def off_edges(depth: F32, *, span: float) -> B:
    """Pixels with a known depth whose 3 x 3 neighbourhood spans little of it.

    Args:
        depth: (H, W) z-depth, NaN where unknown.
        span: Largest difference of the farthest from the nearest known neighbour, as a share of the pixel's depth.

    Returns:
        (H, W) bool.
    """
    known, box = np.isfinite(depth) & (depth > 0), np.ones((3, 3), np.uint8)
    farthest = cv2.dilate(np.where(known, depth, 0), box)
    nearest = cv2.erode(np.where(known, depth, np.inf).astype(np.float32), box)
    with np.errstate(invalid="ignore"):
        return np.asarray(known & (farthest - nearest <= span * depth))
