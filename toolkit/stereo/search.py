"""What a rectified pair is like before it is matched: its range of disparities, its vertical misalignment, swapped eyes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolkit.scene import F32, U8, B, StereoVideo
from toolkit.stereo.fill import agrees_both_ways, without_speckles
from toolkit.stereo.matchers import block_match
from toolkit.stereo.registry import SearchRange


@dataclass(frozen=True)
class SearchSettings:
    """How the pair is looked over.

    Attributes:
        frames: How many frames of a clip are looked at, evenly spread.
        width: Images wider than this are halved until they are not, px: the look is coarse and quick.
        nearest: Largest disparity that is looked for, as a share of the width; nearer things hardly overlap in both eyes.
        behind: Largest negative disparity that is looked for, as a share of the width: rectification that is a little off.
        area: A disparity counts where connected pixels cover so many millionths of the frame ...
        area_px: ... and at least so many pixels of the small image.
        negative_tail: Negative disparities count from this share of the matches on: no rectified pair should have any.
        margin: Room left beyond the extremes, as a share of the largest disparity ...
        margin_px: ... plus so many px.
        texture: Mean gradient, grey levels a pixel, below which a match proves nothing.
        crossed_share: The eyes are taken as swapped where so many matches are negative ...
        crossed_px: ... and their median is below minus so many px.
        vertical_px: Median vertical offset from which a pair is called misaligned: the published pipeline rejects pixels over 1 px.
        negative_share: Share of matches behind infinity that is worth a word.
    """

    frames: int = 9
    width: int = 400
    nearest: float = 0.35
    behind: float = 0.1
    area: int = 250
    area_px: int = 24
    negative_tail: float = 0.01
    margin: float = 0.06
    margin_px: float = 2.0
    texture: float = 2.0
    crossed_share: float = 0.8
    crossed_px: float = 1.5
    vertical_px: float = 0.7
    negative_share: float = 0.05


@dataclass(frozen=True)
class SearchCheck:
    """What was found.

    Attributes:
        search: Disparities worth trying.
        median_px: Median disparity of the reliable matches; NaN where there are none.
        negative_share: Share of them behind infinity (under -0.5 px), 0..1.
        vertical_px: Median vertical offset, right minus left, in px; NaN where it cannot be measured.
        vertical_spread_px: Median absolute deviation of it.
        crossed: The eyes look swapped.
        warnings: Sentences for a person.
    """

    search: SearchRange
    median_px: float
    negative_share: float
    vertical_px: float
    vertical_spread_px: float
    crossed: bool
    warnings: tuple[str, ...] = ()


def check_pair(stereo: StereoVideo, *, settings: SearchSettings | None = None) -> SearchCheck:
    """Looks over a few frames of a rectified pair.

    Args:
        stereo: The two eyes.
        settings: How coarse the look is.

    Returns:
        The range of disparities that the clip needs, and what is odd about it.
    """
    use = settings or SearchSettings()
    picks = np.unique(np.linspace(0, len(stereo) - 1, min(use.frames, len(stereo))).round().astype(int))
    return check_images([(stereo.left.frames[t], stereo.right.frames[t]) for t in picks], settings=use)


def check_images(pairs: list[tuple[U8, U8]], *, settings: SearchSettings | None = None) -> SearchCheck:
    """The same for single pairs of (H, W, 3) uint8 images."""
    use = settings or SearchSettings()
    width = pairs[0][0].shape[1]
    lowest, highest, values, vertical = [], [], [], []
    for left, right in pairs:
        px, sure, small_left, small_right, scale = _coarse(left, right, use)
        least = max(use.area_px, use.area * 1e-6 * px.size)
        if sure.sum() >= least:
            lowest.append(scale * float(np.quantile(px[sure], use.negative_tail)))
            highest.append(scale * float(np.quantile(px[sure], 1 - min(least / sure.sum(), 0.5))))
            values.append(scale * px[sure])
            vertical.append(scale * _vertical_offsets(small_left, small_right, px, sure))
    if not values:
        most = int(np.ceil(use.nearest * width))
        nothing = ("The two eyes hardly match anywhere; disparities are searched over the whole range and will be doubtful.",)
        return SearchCheck(SearchRange(0, max(most, 15)), np.nan, 0.0, np.nan, np.nan, False, nothing)
    every, offsets = np.concatenate(values), np.concatenate(vertical)
    room = use.margin * max(highest) + use.margin_px
    low = int(np.floor(min(lowest) - use.margin_px)) if min(lowest) < 0 else 0
    high = int(np.ceil(max(highest) + room))
    median, negative = float(np.median(every)), float((every < -0.5).mean())  # noqa: PLR2004  (half a pixel: coarse matches are no better)
    up = float(np.median(offsets)) if len(offsets) else np.nan
    spread = float(np.median(np.abs(offsets - up))) if len(offsets) else np.nan
    crossed = negative > use.crossed_share and median < -use.crossed_px
    warnings = []
    if crossed:
        warnings.append(f"The eyes look swapped: {100 * negative:.0f} % of the matches have a negative disparity (median {median:.1f} px).")
    elif negative > use.negative_share:
        warnings.append(
            f"{100 * negative:.0f} % of the matches have a negative disparity (down to {min(lowest):.1f} px), which no rectified pair has: "
            "depth will be too large, and unknown there; check the calibration."
        )
    if abs(up) > use.vertical_px:
        warnings.append(f"The eyes are {abs(up):.1f} px apart vertically (median); matching suffers, check the rectification.")
    return SearchCheck(SearchRange(low, max(high, low + 15)), median, negative, up, spread, crossed, tuple(warnings))


def _coarse(left: U8, right: U8, use: SearchSettings) -> tuple[F32, B, U8, U8, float]:
    """Disparity of the pair made small, which pixels of it are sure, the small images and the scale back."""
    scale = 1
    while left.shape[1] / scale > use.width:
        scale *= 2
    h, w = max(left.shape[0] // scale, 1), max(left.shape[1] // scale, 1)
    a, b = (np.asarray(cv2.resize(im, (w, h), interpolation=cv2.INTER_AREA) if scale > 1 else im, np.uint8) for im in (left, right))
    found = block_match(a, b, SearchRange(-int(np.ceil(use.behind * w)), int(np.ceil(use.nearest * w))))
    sure = agrees_both_ways(found.px, found.right_px, within_px=1.0)
    grey = cv2.cvtColor(a, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sure &= cv2.blur(np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3)) / 4, (5, 5)) > use.texture
    sure = without_speckles(found.px, sure, area=use.area_px, step_px=1.0)
    return found.px, sure, a, b, left.shape[1] / w


def _vertical_offsets(left: U8, right: U8, px: F32, sure: B) -> F32:
    """Vertical offset at the sure pixels with texture along y, by one least-squares step over a window."""
    h, w = px.shape
    x = np.arange(w, dtype=np.float32)[None] - np.nan_to_num(px)
    y = np.repeat(np.arange(h, dtype=np.float32)[:, None], w, 1)
    a, b = (cv2.GaussianBlur(cv2.cvtColor(im, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0) for im in (left, right))
    there = cv2.remap(b, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = a - there
    difference -= cv2.blur(difference, (15, 15))  # eyes exposed differently
    slope = (cv2.Sobel(a, cv2.CV_32F, 0, 1, ksize=3) + cv2.Sobel(there, cv2.CV_32F, 0, 1, ksize=3)) / 16
    window = (9, 9)
    force, mass = cv2.blur(slope * difference, window), cv2.blur(slope * slope, window)
    good = sure & (mass > 4)  # noqa: PLR2004  (2 grey levels a pixel along y)
    return (force[good] / mass[good]).astype(np.float32)
