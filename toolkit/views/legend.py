"""The strip below a result video that says what its colours mean, with units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from toolkit.scene import U8
from toolkit.views.raster import draw_discs

BACKGROUND = (18, 20, 26)
INK = (228, 232, 238)
_FAINT_INK = (158, 164, 174)
_FULL_WIDTH_PX = 400  # A strip is laid out at least this wide and shrunk for narrower videos.


@dataclass(frozen=True)
class Text:
    """Words; `faint` for side remarks."""

    words: str
    faint: bool = False


@dataclass(frozen=True)
class Dot:
    """A filled dot, or a ring where `hollow`."""

    rgb: tuple[int, int, int]
    radius: float = 3.0
    hollow: bool = False


@dataclass(frozen=True)
class Swatch:
    """A small tile of a pattern, (h, w, 3) uint8; what does not fit is cut."""

    tile: U8


@dataclass(frozen=True)
class Bar:
    """A colour bar with ticks below it; it takes all the width that is left.

    Attributes:
        lut: (256, 3) uint8 colours from its left end to its right end.
        ticks: (position 0..1, label) pairs; labels that would overlap are left out, the last one, which has the unit, never.
    """

    lut: U8
    ticks: Sequence[tuple[float, str]] = field(default_factory=tuple)


Item = Text | Dot | Swatch | Bar


def strip(size: tuple[int, int], items: Sequence[Item]) -> U8:
    """The legend of a (width, height) video: (h, width, 3) uint8, `h` such that height + h is even."""
    width, height = size
    canvas_width = max(width, _FULL_WIDTH_PX)
    # On a phone the video is some 360 px wide: the words stay over 11 px there.
    font_px = int(np.clip(round(canvas_width / 31), 12, 44))
    h = int(2.7 * font_px) if any(isinstance(i, Bar) for i in items) else 2 * font_px
    canvas = np.full((h, canvas_width, 3), BACKGROUND, np.uint8)
    gap = 0.7 * font_px
    widths = [_width(item, font_px) for item in items]
    spare = canvas_width - sum(widths) - gap * (len(items) + 1)
    x = gap
    for item, item_width in zip(items, widths, strict=True):
        if isinstance(item, Bar):
            item_width = max(item_width + spare, 6.0 * font_px)
        _draw(canvas, item, x, item_width, font_px)
        x += item_width + gap
    if canvas_width > width:
        small = (width, max(2, round(h * width / canvas_width)))
        canvas = np.asarray(cv2.resize(canvas, small, interpolation=cv2.INTER_AREA), np.uint8)
    if (height + len(canvas)) % 2:
        canvas = np.concatenate([canvas, np.full((1, width, 3), BACKGROUND, np.uint8)])
    return canvas


def label(image: U8, words: str, xy: tuple[float, float], *, font_px: int = 13, rgb: tuple[int, int, int] = INK) -> None:
    """Writes words with a dark edge on an image, in place; `xy` is the left end of the baseline."""
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        write(image, words, xy[0] + dx, xy[1] + dy, font_px, (10, 10, 12))
    write(image, words, xy[0], xy[1], font_px, rgb)


def round_ticks(low: float, high: float, *, at_most: int = 7) -> list[float]:
    """Round numbers (1, 2, 5 times a power of ten) that cover low..high about evenly on an inverse scale."""
    candidates = [m * 10.0**e for e in range(-6, 7) for m in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)]
    inside = [c for c in candidates if low <= c <= high]
    if len(inside) < 2 and low < high:  # noqa: PLR2004  (one number tells no range)
        step = 10.0 ** np.floor(np.log10(high - low))
        for part in (1.0, 0.5, 0.2):  # of which any range holds two
            own = [round(float(n * part * step), 12) for n in range(int(np.ceil(low / (part * step))), int(high / (part * step)) + 1)]
            inside = own if len(inside) < 2 else inside  # noqa: PLR2004
    if len(inside) <= at_most:
        return inside
    where = [(1 / low - 1 / c) / (1 / low - 1 / high) for c in inside]
    chosen = [int(np.argmin([abs(p - target) for p in where])) for target in np.linspace(0, 1, at_most)]
    return [inside[i] for i in sorted(set(chosen))]


def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")


def text_width(words: str, font_px: int) -> int:
    """Width of words in pixels."""
    return int(cv2.getTextSize((0, 0), words, (0, 0), _font(), font_px, 400)[2])


def write(image: U8, words: str, x: float, y: float, font_px: int, rgb: tuple[int, int, int]) -> None:
    """Draws words whose baseline starts at (x, y) into an image, in place."""
    cv2.putText(image, words, (round(x), round(y)), rgb, _font(), font_px, 400)


def _width(item: Item, font_px: int) -> float:
    if isinstance(item, Text):
        return text_width(item.words, font_px)
    if isinstance(item, Dot):
        return 2 * item.radius * font_px / 12 + 2
    if isinstance(item, Swatch):
        return 1.6 * font_px
    return 0.0


def _draw(canvas: U8, item: Item, x: float, width: float, font_px: int) -> None:
    middle = 0.5 * len(canvas)
    if isinstance(item, Text):
        write(canvas, item.words, x, middle + 0.36 * font_px, font_px, _FAINT_INK if item.faint else INK)
    elif isinstance(item, Dot):
        radius = item.radius * font_px / 12
        hole = radius - 1.2 if item.hollow else 0.0
        draw_discs(canvas, np.array([[x + radius + 1, middle]]), np.array([item.rgb], np.uint8), 1.0, radius, hole_px=hole)
    elif isinstance(item, Swatch):
        y0, y1, x0 = round(middle - 0.55 * font_px), round(middle + 0.55 * font_px), round(x)
        tile = item.tile[: y1 - y0, : max(round(width), 1)]
        canvas[y0 : y0 + tile.shape[0], x0 : x0 + tile.shape[1]] = tile[:, : canvas.shape[1] - x0]
    else:
        _draw_bar(canvas, item, x, width, font_px)


def _draw_bar(canvas: U8, bar: Bar, x: float, width: float, font_px: int) -> None:
    x0, x1 = round(x), min(round(x + width), canvas.shape[1] - 2)
    y0, y1 = round(0.4 * font_px), round(1.2 * font_px)
    canvas[y0:y1, x0:x1] = bar.lut[np.linspace(0, 255, x1 - x0).astype(int)]
    # The last label carries the unit: it is placed first, and others give way to it and to each other.
    free_from, free_to = -np.inf, np.inf
    ticks = sorted(bar.ticks)
    for position, words in [*ticks[-1:], *ticks[:-1]]:
        at, half = x0 + position * (x1 - 1 - x0), 0.5 * text_width(words, font_px - 1)
        left = max(min(at - half, x1 - 2 * half), x0)
        if left < free_from + 0.5 * font_px or left + 2 * half > free_to:
            continue
        canvas[y1 : y1 + 3, round(at) : round(at) + 1] = INK
        write(canvas, words, left, 2.35 * font_px, font_px - 1, INK)
        if free_to == np.inf:
            free_to = left - 0.5 * font_px
        else:
            free_from = left + 2 * half
