"""How likely a depth from several views is right: what matching and the other views' maps say, weighed by a logistic model."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import cv2
import numpy as np

from toolkit.scene import F32, U8
from toolkit.stereo.consistency import Agreement
from toolkit.stereo.plane_sweep import Sweep


@dataclass(frozen=True)
class DenseWeights:
    """Weights of a logistic model of P(error < 2 % of the depth), fitted on 21 generated photos of a room, a street and a square.

    Attributes:
        bias: Log-odds of a pixel whose evidence is all zero.
        one: That another view agrees.
        agree: Each view that agrees, up to four.
        past: Each view that sees past the point, up to two.
        spread: Mean difference of the views that agree, in steps.
        margin: Logarithm of the margin over the second-best plane.
        cost: Cost of the winner.
        texture: Logarithm of the mean gradient of the window, grey levels.
        edge: Logarithm of the range of labels within 7 x 7 px: an edge of depth is near.
        coarse: Logarithm of the step as a share of the depth, over 1 %: what one plane is worth.
        holes: Share of pixels within 15 x 15 px that no other view confirms.
    """

    bias: float = 3.18
    one: float = 0.06
    agree: float = 0.3
    past: float = -1.28
    spread: float = -1.21
    margin: float = 1.44
    cost: float = -0.52
    texture: float = -0.19
    edge: float = -0.35
    coarse: float = -1.19
    holes: float = -0.83


def dense_evidence(found: Sweep, agreed: Agreement, grey: U8) -> F32:
    """What speaks for and against each depth, in the order of `DenseWeights` after its bias; (10, H, W) float32."""
    label = np.nan_to_num(found.label)
    step = found.planes.step
    around = np.ones((7, 7), np.uint8)
    edge = cv2.dilate(label, around) - cv2.erode(label, around)
    slope = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3)) + np.abs(cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3))
    alone = (agreed.agree == 0).astype(np.float32)
    with np.errstate(invalid="ignore"):
        coarse = np.log(100 * step / np.maximum(np.nan_to_num(agreed.inverse_depth, nan=step), 0.1 * step))
    return np.stack(
        [
            1 - alone,
            np.minimum(agreed.agree, 4),
            np.minimum(agreed.past, 2),
            agreed.spread,
            np.log1p(np.maximum(found.margin, 0)),
            np.minimum(found.cost, 2),
            np.log1p(cv2.blur(slope / 4, (5, 5))),
            np.log1p(edge),
            coarse,
            cv2.blur(alone, (15, 15)),
        ]
    ).astype(np.float32)


def dense_confidence(facts: F32, weights: DenseWeights | None = None) -> F32:
    """P(error < 2 %) of each pixel from its `dense_evidence`; (H, W) float32, 0..1."""
    bias, *each = astuple(weights or DenseWeights())
    odds = np.full(facts.shape[1:], bias, np.float32)
    for fact, weight in zip(facts, each, strict=True):
        odds += np.float32(weight) * fact
    return (1 / (1 + np.exp(-np.clip(odds, -30, 30)))).astype(np.float32)
