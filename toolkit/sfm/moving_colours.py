"""Which pixels have the colour of what moves around them, and which that of what stands: a mover ends where its colour does."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolkit.scene import F32, U8, B


@dataclass(frozen=True)
class ColourOptions:
    """How colours are compared.

    Attributes:
        reach: Standard deviation of the neighbourhood that colours are gathered in, in pixels of the reduced frame.
        spread: Least standard deviation of a colour, in grey levels of 255: noise and coding.
        most: Log-odds that a colour gives at most: things may look alike by chance.
        weight: A pixel's colour counts as so much of a pixel whose motion is seen, where it gives these.
        known: Evidence around a pixel, as a share of that of a sure one, under which nothing is known of a colour.
    """

    reach: float = 8.0
    spread: float = 8.0
    most: float = 3.0
    weight: float = 0.5
    known: float = 1e-3


def with_colours(picture: U8, odds: F32, weight: F32, moves: B, options: ColourOptions) -> tuple[F32, F32]:
    """Evidence of moving, joined by that of colour: flow is smooth and carries a mover's motion past its outline.

    Args:
        picture: (h, w, 3).
        odds: (h, w) log-odds of moving, times how much they count.
        weight: (h, w) how much they count.
        moves: (h, w) what is taken to move so far.
        options: How colours are compared.

    Returns:
        The new odds and weights; those that came in where one of the two colours is unknown.
    """
    o = options
    told_moving = np.where(moves, np.maximum(odds, 0), 0).astype(np.float32)
    told_standing = np.where(moves, 0, np.maximum(-odds, 0)).astype(np.float32)
    if not told_moving.any() or not told_standing.any():
        return odds, weight
    near = _around(told_moving > 0, round(3 * o.reach))
    smooth = cv2.GaussianBlur(picture[near], (0, 0), 1.0).astype(np.float32)
    told_moving, told_standing = told_moving[near], told_standing[near]
    like_moving, known_moving = _likelihood(smooth, told_moving, o)
    like_standing, known_standing = _likelihood(smooth, told_standing, o)
    said = np.where(known_moving & known_standing, np.clip(like_moving - like_standing, -o.most, o.most), 0)
    odds, weight = odds.copy(), weight.copy()
    odds[near] += o.weight * said
    weight[near] += o.weight / o.most * np.abs(said)
    return odds, weight


def _around(mask: B, px: int) -> tuple[slice, slice]:
    """The box around what is in a mask, wider by some pixels: no colour is known beyond it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(max(rows[0] - px, 0), rows[-1] + px + 1), slice(max(columns[0] - px, 0), columns[-1] + px + 1)


def _likelihood(picture: F32, told: F32, o: ColourOptions) -> tuple[F32, B]:
    """(h, w) log-likelihood of each pixel's colour under a normal density of the colours around it, and where these are known."""
    colours = _gathered(np.dstack([picture * told[..., None], told]), o.reach)
    square = _gathered(np.einsum("ijk,ijk->ij", picture, picture) * told, o.reach)
    total = colours[..., 3]
    mean = colours[..., :3] / np.maximum(total, 1e-6)[..., None]
    variance = np.maximum(square / np.maximum(total, 1e-6) - np.einsum("ijk,ijk->ij", mean, mean), 0) / 3 + o.spread**2
    off = picture - mean
    return (-0.5 * np.einsum("ijk,ijk->ij", off, off) / variance - 1.5 * np.log(variance)).astype(np.float32), np.asarray(total > o.known)


def _gathered(values: F32, reach: float) -> F32:
    """(h, w[, c]) values blurred, at half of their size: what is so smooth loses nothing by it."""
    height, width = values.shape[:2]
    half = cv2.resize(values, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(half, (0, 0), reach / 2), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
