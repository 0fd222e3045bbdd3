"""How far a track may slip because nothing where it began tells one place from the next: bare sky, a blank wall, along an edge."""

from __future__ import annotations

import cv2
import numpy as np

from toolkit.scene import F32, U8

NOISE = 0.5
"""Grey levels per pixel that quantisation and compression make up in a window: what a gradient below it shows is chance."""
WINDOW = 0.03
"""Side of the window that a track is told by, as a share of the picture's; the flow's patches and what it carries over from beside them."""
LEAST_GRADIENT = 0.02  # grey levels per pixel; a picture without any


def slip_px(frames: U8, queries: F32) -> F32:
    """How far tracks may slip in the direction that their surroundings tell least about.

    The error of a match is the noise over the gradient (Shi and Tomasi, "Good features to track", CVPR 1994): over the root of the lesser
    eigenvalue of the structure tensor.

    Args:
        frames: (T, H, W, 3) sRGB.
        queries: (N, 3) (t, x, y) where tracks began, in frames and pixels, finite; places beyond the picture count as its border.

    Returns:
        (N,) float32 pixels; 0.1 where there is texture, ten and more in a blank sky.
    """
    height, width = frames.shape[1:3]
    side = max(3, 2 * round(0.5 * WINDOW * np.sqrt(height * width)) + 1)
    begun = np.clip(queries[:, 0].astype(int), 0, len(frames) - 1)
    x, y = (np.clip(queries[:, n].astype(int), 0, most - 1) for n, most in ((1, width), (2, height)))
    gradient = np.empty(len(queries), np.float32)
    for t in np.unique(begun):
        rows = begun == t
        grey = cv2.GaussianBlur(cv2.cvtColor(frames[t], cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
        across, down = (cv2.Sobel(grey, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1)))
        a, b, c = (cv2.blur(part, (side, side)) for part in (across * across, across * down, down * down))
        least = 0.5 * (a + c) - np.sqrt(0.25 * (a - c) ** 2 + b * b)
        gradient[rows] = np.sqrt(np.maximum(least[y[rows], x[rows]], 0))
    return np.asarray(NOISE / np.maximum(gradient, LEAST_GRADIENT), np.float32)
