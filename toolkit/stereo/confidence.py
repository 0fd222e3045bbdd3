"""How likely a disparity is right: what both images, the other eye and the neighbourhood say, weighed by a logistic model."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolkit.geometry.sampling import pixel_centres, remap
from toolkit.scene import F32, U8, B


@dataclass(frozen=True)
class ConfidenceWeights:
    """Weights of a logistic model of P(error < 2 px), fitted on generated pairs with exact ground truth.

    Attributes:
        bias: Log-odds of a pixel whose evidence is all zero.
        known: The other eye agreed; 0 = the value was filled in.
        disagreement: Difference of both eyes' disparities, px, up to 3.
        colour: Mean colour difference of the matched 5 x 5 windows after their means are matched, in units of 10 grey levels, up to 3.
        texture: Logarithm of the mean horizontal gradient of the window, grey levels.
        step: Logarithm of the disparity range within 7 x 7 px: an edge of depth is near.
        holes: Share of filled pixels within 15 x 15 px.
        margin: Logarithm of the matcher's own margin over the second-best answer, where it gives one.
    """

    bias: float = 0.0
    known: float = 0.0
    disagreement: float = 0.0
    colour: float = 0.0
    texture: float = 0.0
    step: float = 0.0
    holes: float = 0.0
    margin: float = 0.0


# Order of the fields as in the class; each row is one fit; the last one to block matching at full resolution.
_WEIGHTS = {
    "draft": ConfidenceWeights(3.35, -0.47, 0.15, -0.01, 0.04, -0.76, -3.09, 0.0),
    "normal": ConfidenceWeights(2.45, -0.32, 0.20, 0.27, -0.17, -0.50, -2.54, 3.08),
    "fine": ConfidenceWeights(2.55, -0.16, 0.03, 0.39, -0.15, -0.47, -2.42, 3.04),
    "other": ConfidenceWeights(4.53, -0.47, -0.03, 0.22, -0.10, -0.77, -3.46, 0.0),
}


def weights_of(matcher: str) -> ConfidenceWeights:
    """The weights that were fitted for a matcher; for an unknown one those of block matching, which gives no margin either."""
    return _WEIGHTS.get("normal" if matcher == "auto" else matcher, _WEIGHTS["other"])


def evidence(left: U8, right: U8, px: F32, right_px: F32, known: B, margin: F32 | None = None) -> F32:
    """What speaks for and against each disparity, in the order of `ConfidenceWeights` after its bias.

    Args:
        left: (H, W, 3) uint8.
        right: (H, W, 3) uint8.
        px: (H, W) float32 final disparity, filled.
        right_px: (H, W) float32 disparity of the right image, NaN where unknown.
        known: (H, W) bool, False where `px` was filled in.
        margin: (H, W) float32 margin over the second-best answer; None where the matcher gives none.

    Returns:
        (7, H, W) float32.
    """
    h, w = px.shape
    xy = pixel_centres((w, h))
    xy[..., 0] -= np.nan_to_num(px)
    there = remap(right, xy, interpolation="bilinear")
    other = remap(np.where(np.isnan(right_px), np.float32(1e4), right_px), xy, interpolation="nearest", fill=1e4)
    grey = cv2.cvtColor(left, cv2.COLOR_RGB2GRAY).astype(np.float32)
    difference = grey - cv2.cvtColor(there, cv2.COLOR_RGB2GRAY)
    window = (5, 5)
    residual = cv2.blur(np.abs(difference - cv2.blur(difference, (9, 9))), window)
    texture = cv2.blur(np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3)) / 4, window)
    around = np.ones((7, 7), np.uint8)
    step = cv2.dilate(px, around) - cv2.erode(px, around)
    return np.stack(
        [
            known.astype(np.float32),
            np.minimum(np.abs(other - px), 3),
            np.minimum(residual / 10, 3),
            np.log1p(texture),
            np.log1p(step),
            1 - cv2.blur(known.astype(np.float32), (15, 15)),
            np.zeros_like(px) if margin is None else np.log1p(np.maximum(margin, 0)),
        ]
    ).astype(np.float32)


def confidence(facts: F32, weights: ConfidenceWeights) -> F32:
    """P(error < 2 px) of each pixel from its `evidence`; (H, W) float32, 0..1."""
    w = weights
    each = (w.known, w.disagreement, w.colour, w.texture, w.step, w.holes, w.margin)
    odds = np.full(facts.shape[1:], w.bias, np.float32)
    for fact, weight in zip(facts, each, strict=True):
        odds += np.float32(weight) * fact
    return (1 / (1 + np.exp(-np.clip(odds, -30, 30)))).astype(np.float32)
