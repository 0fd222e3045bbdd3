"""Points that a visitor wants followed: clicked, taken back, pasted as text, drawn on the frame."""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolkit.errors import UserError
from toolkit.scene import U8
from toolkit.views.markers import mark_queries

Point = tuple[int, float, float]
"""(t, x, y): a frame index, and pixels of the result's video."""
MOST_POINTS = 500


def to_clip(xy: Sequence[float], shown: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """Where a click on a reduced picture is in the picture of full size; the middle of a pixel is its .5.

    Args:
        xy: Whole pixels of the shown picture, as a click tells them.
        shown: (width, height) of the shown picture.
        size: (width, height) of the full one.
    """
    return (xy[0] + 0.5) * size[0] / shown[0], (xy[1] + 0.5) * size[1] / shown[1]


def add_point(points: list[Point], frame: int, x: float, y: float) -> list[Point]:
    """The points with one more.

    Raises:
        UserError: there are as many as a click-by-click choice may hold.
    """
    if len(points) >= MOST_POINTS:
        raise UserError(f"There are {MOST_POINTS} points already; clear some, or leave all out to follow a grid.")
    return [*points, (int(frame), round(float(x), 2), round(float(y), 2))]


def parse_points(text: str, *, frames: int, size: tuple[int, int]) -> list[Point]:
    """Points from pasted lines `t,x,y`; commas, semicolons, tabs or spaces part the numbers, a heading line is passed over.

    Raises:
        UserError: a line that holds no three numbers, or lies outside the clip; it is named.
    """
    points: list[Point] = []
    for number, line in enumerate(text.strip().splitlines(), 1):
        parts = [part for part in re.split(r"[,;\s]+", line.strip()) if part]
        if not parts or (number == 1 and not re.match(r"[-+.\d]", parts[0])):
            continue
        try:
            t, x, y = (float(part) for part in parts)
        except ValueError:
            raise UserError(f"Line {number} is {line.strip()[:40]!r}, but three numbers t,x,y are needed.") from None
        if not t.is_integer() or not 0 <= t < frames:
            raise UserError(f"Line {number} names frame {parts[0]}, but the clip has frames 0 to {frames - 1}.")
        if not (0 <= x <= size[0] and 0 <= y <= size[1]):
            raise UserError(f"Line {number} lies at ({parts[1]}, {parts[2]}), outside the picture of {size[0]} x {size[1]} px.")
        points = add_point(points, int(t), x, y)
    return points


def as_text(points: Sequence[Point]) -> str:
    """The points as lines `t,x,y`."""
    return "\n".join(f"{t},{x:g},{y:g}" for t, x, y in points)


def draw_points(image: U8, points: Sequence[Point], frame: int, size: tuple[int, int]) -> U8:
    """The picture of a frame with its points, numbered: filled where they belong to this frame, rings where to another one.

    Args:
        image: (H, W, 3) uint8 RGB, the shown picture.
        points: In pixels of the full picture.
        frame: Which frame is shown.
        size: (width, height) of the full picture.
    """
    scale = image.shape[1] / size[0], image.shape[0] / size[1]
    return mark_queries(image, [(t, x * scale[0], y * scale[1]) for t, x, y in points], frame)
