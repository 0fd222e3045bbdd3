"""The built-in stereo matchers: draft, normal and fine."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolkit.scene import F32, U8
from toolkit.stereo.registry import Match, SearchRange, add_matcher, mirror
from toolkit.stereo.sgm import semi_global_match


@dataclass(frozen=True)
class BlockSettings:
    """OpenCV's semi-global block matcher.

    Attributes:
        block: Width of the compared block, px; 3 keeps thin things.
        small_step: Penalty P1 for each channel and block pixel. A quarter of OpenCV's advice, as the other eye is checked anyway.
        large_step: Penalty P2, likewise.
        gradient_cap: Cap of its pre-filtered gradient.
    """

    block: int = 3
    small_step: int = 4
    large_step: int = 16
    gradient_cap: int = 31


def block_match(left: U8, right: U8, search: SearchRange, *, settings: BlockSettings | None = None) -> Match:
    """OpenCV's StereoSGBM with three paths, run for both eyes, without its own checks."""
    use = settings or BlockSettings()
    count = -(-search.count // 16) * 16
    area = 3 * use.block**2
    engine = cv2.StereoSGBM.create(
        minDisparity=search.minimum_px,
        numDisparities=count,
        blockSize=use.block,
        P1=use.small_step * area,
        P2=use.large_step * area,
        disp12MaxDiff=-1,
        preFilterCap=use.gradient_cap,
        uniquenessRatio=0,
        speckleWindowSize=0,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    # Columns whose matches may lie outside are given up by OpenCV; a border keeps them.
    before, after = max(0, search.minimum_px + count), max(0, -search.minimum_px)

    def one_way(a: U8, b: U8) -> F32:
        wide = [cv2.copyMakeBorder(im, 0, 0, before, after, cv2.BORDER_REPLICATE) for im in (a, b)]
        fixed = engine.compute(wide[0], wide[1])[:, before : before + a.shape[1]]
        return np.where(fixed < 16 * search.minimum_px, np.nan, fixed / np.float32(16)).astype(np.float32)

    return Match(one_way(left, right), mirror(one_way(mirror(right), mirror(left))))


def draft(left: U8, right: U8, search: SearchRange) -> Match:
    """Block matching at half the resolution."""
    h, w = left.shape[:2]
    small = SearchRange(search.minimum_px // 2 - 1, -(-search.maximum_px // 2) + 1)
    half = [np.asarray(cv2.resize(im, (max(w // 2, 1), max(h // 2, 1)), interpolation=cv2.INTER_AREA), np.uint8) for im in (left, right)]
    found = block_match(half[0], half[1], small)
    scale = np.float32(w / half[0].shape[1])
    px, right_px = (np.asarray(scale * cv2.resize(d, (w, h), interpolation=cv2.INTER_NEAREST)) for d in (found.px, found.right_px))
    return Match(px, right_px)


def normal(left: U8, right: U8, search: SearchRange) -> Match:
    """Compiled semi-global matching along eight directions."""
    found = semi_global_match(left, right, minimum_px=search.minimum_px, count=search.count)
    return Match(found.px, found.right_px, found.margin)


def fine(left: U8, right: U8, search: SearchRange) -> Match:
    """Compiled semi-global matching for each eye on its own: what is hidden from one eye shows."""
    found = semi_global_match(left, right, minimum_px=search.minimum_px, count=search.count)
    other = semi_global_match(mirror(right), mirror(left), minimum_px=search.minimum_px, count=search.count)
    return Match(found.px, mirror(other.px), found.margin)


add_matcher("draft", draft, sentence="Half the resolution: quick, coarse at edges.", subpixel_steps=2)
add_matcher("normal", normal, sentence="Full resolution: for most clips.")
add_matcher("fine", fine, sentence="Matches from each eye on its own: slower, best at what only one eye sees.")
