"""Finding the circle that a fisheye lens lights on a larger sensor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import least_squares

from toolkit.errors import UserError
from toolkit.scene import F64, U8, B


@dataclass(frozen=True)
class ImageCircle:
    """Where a circular fisheye lens draws its picture.

    Attributes:
        centre: (2,) x, y in continuous pixels.
        radius_px: Radius of the rim.
        residual_px: Median distance of the rim's points from the circle.
    """

    centre: tuple[float, float]
    radius_px: float
    residual_px: float


@dataclass(frozen=True)
class CircleSearch:
    """What counts as an image circle.

    Attributes:
        work_px: Longer side that a picture is reduced to.
        dark_corners: Brightest that corners may be, as a share of the picture's bright parts.
        lit: Where the rim lies between the level of the corners (0) and of the bright parts (1).
        directions: Rays from the middle along which the rim is looked for.
        least_arc: Share of the directions in which the rim must lie inside the picture.
        median_off: How far the rim may stray from the circle in half of the directions, over the radius (fisheye 0.002, half spheres 0.05).
        most_off: The same in nine of ten directions: flares and dark corners of a room touch a few.
    """

    work_px: int = 800
    dark_corners: float = 0.2
    lit: float = 0.15
    directions: int = 720
    least_arc: float = 0.2
    median_off: float = 0.01
    most_off: float = 0.04


def detect_image_circle(image: U8, search: CircleSearch | None = None) -> ImageCircle:
    """The circle that a fisheye lens lights on a larger sensor; its sides may be cut off by the frame.

    Args:
        image: (H, W, 3) uint8.
        search: What counts as one.

    Raises:
        UserError: the corners are not dark, or what is lit is no circle around a place inside the picture.
    """
    s = search or CircleSearch()
    reduce = max(1.0, max(image.shape[:2]) / s.work_px)
    small = cv2.resize(image, None, fx=1 / reduce, fy=1 / reduce, interpolation=cv2.INTER_AREA)
    light = cv2.GaussianBlur(small, (0, 0), 1.5).astype(np.float64).mean(2)
    height, width = light.shape
    edge = max(2, min(height, width) // 40)
    corners = np.median([np.median(light[y, x]) for y in (slice(edge), slice(-edge, None)) for x in (slice(edge), slice(-edge, None))])
    bright = np.percentile(light, 90)
    if corners > s.dark_corners * bright:
        raise UserError("No image circle is to be seen (the corners are not dark), so this does not look like a circular fisheye image.")
    points = _rim(np.asarray(light > corners + s.lit * (bright - corners)), s.directions)
    if len(points) < s.least_arc * s.directions:
        raise UserError("The rim of the fisheye image circle is not to be seen; give a calibration instead.")
    start = [width / 2, height / 2, float(np.median(np.hypot(*(points - [width / 2, height / 2]).T)))]
    fit = least_squares(lambda p: np.hypot(points[:, 0] - p[0], points[:, 1] - p[1]) - p[2], start, loss="soft_l1", f_scale=1.0)
    x, y, radius = fit.x
    off = np.abs(np.hypot(points[:, 0] - x, points[:, 1] - y) - radius)
    round_enough = np.median(off) <= s.median_off * radius and np.percentile(off, 90) <= s.most_off * radius
    if not (round_enough and 0 < x < width and 0 < y < height and radius >= 0.25 * min(width, height)):
        raise UserError(
            "What the lens lights is no circle, so this does not look like a circular fisheye image; give a calibration instead."
        )
    sx, sy = image.shape[1] / width, image.shape[0] / height
    return ImageCircle((float(x * sx), float(y * sy)), float(radius * 0.5 * (sx + sy)), float(np.median(off)) * sx)


def _rim(lit: B, directions: int) -> F64:
    """Outermost lit pixel in each direction from the middle; those cut off by the frame are left out."""
    height, width = lit.shape
    centre = np.array([width / 2, height / 2])
    radius = np.arange(0, np.hypot(width, height) / 2, 0.5)
    points = []
    for angle in np.linspace(0, 2 * np.pi, directions, endpoint=False):
        path = centre + radius[:, None] * [np.cos(angle), np.sin(angle)]
        column, row = np.floor(path).astype(int).T
        seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        on = np.flatnonzero(lit[row[seen], column[seen]])
        if len(on) and on[-1] < seen.sum() - 6:
            points.append(path[on[-1]])
    return np.array(points).reshape(-1, 2)
