"""Marks on a frame: the points a person has clicked, numbered."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.scene import U8
from toolkit.views import colours, legend
from toolkit.views.raster import draw_discs

_OUTLINE = (12, 12, 14)


def mark_queries(image: U8, queries: ArrayLike, frame: int) -> U8:
    """A frame with its clicked points as numbered dots; points clicked on other frames as faint rings with their numbers.

    Each number keeps its colour, so that a point is recognised on every frame.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        queries: (N, 3) points as (t, x, y), in the order of their numbers, which start at 1.
        frame: Of the image.

    Returns:
        (H, W, 3) uint8.

    Raises:
        UserError: the points are not (t, x, y).
    """
    points = np.asarray(queries, np.float64)
    points = points.reshape(0, 3) if points.size == 0 else points
    if points.ndim != 2 or points.shape[1] != 3:
        raise UserError(f"Points have shape {points.shape}, but (N, 3) is needed, each as (t, x, y).")
    out = np.ascontiguousarray(image).copy()
    grow = _growth(out)
    here = points[:, 0].astype(int) == frame
    rgb = number_colours(len(points))
    xy = points[:, 1:]
    # Those of this frame come last, on top.
    _ring(out, xy[~here], rgb[~here], 4.0 * grow, 1.4 * grow, 0.6)
    for i in np.flatnonzero(~here):
        _label(out, str(i + 1), xy[i], grow, rgb[i], 0.6)
    draw_discs(out, xy[here], _dark(int(here.sum())), 0.9, 5.6 * grow)
    draw_discs(out, xy[here], rgb[here], 1.0, 4.2 * grow)
    for i in np.flatnonzero(here):
        _label(out, str(i + 1), xy[i], grow, rgb[i], 1.0)
    return out


def number_colours(count: int) -> U8:
    """(count, 3) bright colours, each far from its neighbours' (steps of the golden ratio around the hues)."""
    return colours.look_up(colours.HUES, (0.12 + 0.61803398875 * np.arange(count)) % 1.0)


def _growth(image: U8) -> float:
    """How much larger than at 512 x 512 marks are drawn."""
    return float(np.clip(np.sqrt(image.shape[0] * image.shape[1]) / 512, 0.6, 6))


def _dark(count: int) -> U8:
    return np.tile(np.array(_OUTLINE, np.uint8), (count, 1))


def _ring(image: U8, xy: NDArray, rgb: U8, radius: float, width: float, alpha: float) -> None:
    draw_discs(image, xy, _dark(len(xy)), 0.7 * alpha, radius + 0.8 * width, hole_px=radius - 1.4 * width)
    draw_discs(image, xy, rgb, alpha, radius, hole_px=radius - width)


def _label(image: U8, words: str, xy: NDArray, grow: float, rgb: NDArray, alpha: float) -> None:
    """Words beside a point, on a dark tag; on the side where the picture has room."""
    font_px = max(9, round(13 * grow))
    width = legend.text_width(words, font_px)
    h, w = image.shape[:2]
    away, pad = 8 * grow, 0.25 * font_px
    x = xy[0] + away if xy[0] + away + width + 2 * pad < w else xy[0] - away - width - 2 * pad
    x = float(np.clip(x, 0, max(w - width - 2 * pad, 0)))
    y = float(np.clip(xy[1] - away, 0.8 * font_px + pad, h - pad))
    x0, x1 = round(x), min(round(x + width + 2 * pad), w)
    y0, y1 = max(round(y - 0.85 * font_px - pad), 0), min(round(y + 0.15 * font_px + pad), h)
    tag = image[y0:y1, x0:x1]
    if tag.size == 0:
        return
    before = tag.copy()
    tag[:] = (tag * 0.3).astype(np.uint8)
    legend.write(image, words, x0 + pad, y, font_px, (int(rgb[0]), int(rgb[1]), int(rgb[2])))
    if alpha < 1:
        image[y0:y1, x0:x1] = np.asarray(cv2.addWeighted(image[y0:y1, x0:x1], alpha, before, 1 - alpha, 0), np.uint8)
