"""How well a stereo pair is rectified, from what both eyes see: vertical disparity, and which eye is which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.sampling import from_opencv
from toolkit.scene import F64, U8

_MOST_KEYPOINTS = 6000  # strongest SIFT points an eye; more cost time and add weak ones
_LARGEST_RATIO = 0.75  # distance of the best match over the second best (Lowe 2004)
_FEWEST_MATCHES = 12  # below it medians say nothing
_MANY_FEATURES = 50  # of each eye in a moment, from which it tells something that they do not match
_BY_CHANCE = 0.03  # share of the features: of pictures of different things about 0.01 match, of two eyes' 0.2 and more


@dataclass(frozen=True)
class PairCheck:
    """What matched features say about a pair.

    Attributes:
        vertical_median_px: Median of y_left - y_right; near 0 when rectified. NaN with too few matches.
        vertical_mad_px: Median distance from that median: how far rows disagree beyond a constant shift.
        horizontal_p5_px: 5th percentile of x_left - x_right; not below 0 for parallel eyes.
        horizontal_p95_px: 95th percentile of it: the nearest things.
        matches: Features found in both eyes.
        swapped: True when nearly everything shifts the wrong way, as if the eyes were exchanged.
    """

    vertical_median_px: float
    vertical_mad_px: float
    horizontal_p5_px: float
    horizontal_p95_px: float
    matches: int
    swapped: bool

    def __str__(self) -> str:
        """For a person, one line."""
        if self.matches < _FEWEST_MATCHES:
            return f"only {self.matches} features match, too few to check the pair"
        rows = f"rows differ by {self.vertical_median_px:+.2f} px (MAD {self.vertical_mad_px:.2f})"
        shift = f"shift {self.horizontal_p5_px:.1f} to {self.horizontal_p95_px:.1f} px"
        return f"{rows}, {shift}, {self.matches} matches" + (", eyes look swapped" if self.swapped else "")


def vertical_disparity(left: U8, right: U8) -> PairCheck:
    """Checks a rectified pair with SIFT matches; nothing is assumed about rows, so a bad pair shows.

    Args:
        left: (H, W, 3) uint8 RGB or (H, W) grey image of the left eye.
        right: The same moment in the right eye.
    """
    xy_left, xy_right = match_pair(left, right)
    return summarise(xy_left, xy_right)


def unlike(pairs: Iterable[tuple[U8, U8]]) -> str | None:
    """Why the eyes of some moments show different things, for a sentence; None where they do not, or have too little in them to tell.

    Args:
        pairs: (H, W, 3) uint8 RGB or (H, W) grey images of the left and the right eye.
    """
    features = matches = moments = 0
    for left, right in pairs:
        found = len(match_pair(left, right)[0])
        if found >= _FEWEST_MATCHES:
            return None
        sift = cv2.SIFT_create(nfeatures=_MOST_KEYPOINTS)
        features += min(len(sift.detect(_grey(eye), None)) for eye in (left, right))
        matches, moments = matches + found, moments + 1
    if features < _MANY_FEATURES * max(moments, 1) or matches > _BY_CHANCE * features:
        return None
    return f"{matches} of {features} features of one eye are found in the other"


def summarise(xy_left: NDArray, xy_right: NDArray) -> PairCheck:
    """The check for matches (P, 2) in pixels that are already there, of one pair or of many."""
    count = len(xy_left)
    if count < _FEWEST_MATCHES:
        return PairCheck(np.nan, np.nan, np.nan, np.nan, count, False)
    dx, dy = (xy_left - xy_right).T
    median = float(np.median(dy))
    p5, p95 = (float(v) for v in np.percentile(dx, [5, 95]))
    middle = float(np.median(dx))
    # Parallel eyes shift everything to one side, and the few near things farthest: eyes that merely squint keep that long tail.
    swapped = p5 < -1.0 and -p5 > 2 * max(p95, 0.0) and middle - p5 > p95 - middle
    return PairCheck(median, float(np.median(np.abs(dy - median))), p5, p95, count, bool(swapped))


def match_pair(left: U8, right: U8, *, masks: tuple[U8 | None, U8 | None] = (None, None)) -> tuple[F64, F64]:
    """Features that both images agree on: SIFT, ratio test, and each the other's best.

    Args:
        left: (H, W, 3) uint8 RGB or (H, W) grey.
        right: The same, of any size.
        masks: (H, W) uint8 for each image, 0 where no feature is wanted.

    Returns:
        xy_left: (P, 2) float64 continuous pixels.
        xy_right: (P, 2) their partners.
    """
    sift = cv2.SIFT_create(nfeatures=_MOST_KEYPOINTS)
    found = [sift.detectAndCompute(_grey(image), mask) for image, mask in zip((left, right), masks, strict=True)]
    (points_left, words_left), (points_right, words_right) = found
    if words_left is None or words_right is None or min(len(words_left), len(words_right)) < 2:
        return np.empty((0, 2)), np.empty((0, 2))
    # Square roots of normalised histograms compare better than the histograms themselves (Arandjelovic and Zisserman 2012).
    a, b = (np.sqrt(w / np.maximum(w.sum(1, keepdims=True), 1e-9)) for w in (words_left, words_right))
    likeness = a @ b.T
    best, back = likeness.argmax(1), likeness.argmax(0)
    rows = np.arange(len(a))
    first = likeness[rows, best]
    likeness[rows, best] = -1
    second = likeness.max(1)
    clear = np.sqrt(np.maximum(2 - 2 * first, 0)) < _LARGEST_RATIO * np.sqrt(np.maximum(2 - 2 * second, 0))
    kept = np.flatnonzero(clear & (back[best] == rows))
    xy_left = np.array([points_left[i].pt for i in kept], np.float64).reshape(-1, 2)
    xy_right = np.array([points_right[i].pt for i in best[kept]], np.float64).reshape(-1, 2)
    return from_opencv(xy_left), from_opencv(xy_right)


def _grey(image: U8) -> U8:
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]
