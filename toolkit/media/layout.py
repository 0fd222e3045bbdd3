"""What the pictures themselves tell: two eyes in one frame, half spheres or flat pictures, eyes the wrong way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, U8

Halves = Literal["side-by-side", "top-bottom"]


@dataclass(frozen=True)
class Evidence:
    """What counts as evidence; sizes are shares of one eye's width or height.

    Attributes:
        work_px: Longer side that an eye is scaled to for matching.
        features: Features per eye.
        ratio: Lowe's ratio test.
        max_dx: Two eyes differ by no more across; half of what the eyes see at arm's length.
        max_dy: Nor up and down; raw VR180 lenses are a few percent off.
        agreeing: Share of an eye's features that must be found again at the same place. Mono clips stay under 0.03, pairs above 0.15.
        consistent: Share of all matches that must lie at the same place.
        least_matches: Fewer matches tell nothing.
        shift: Shifts below it do not tell which eye is which.
        swapped: Share of shifts with the wrong sign from which the eyes are taken to be swapped.
        nearer_below: Rank correlation of nearness and place down the picture from which shifts are parallax, not an offset.
        dark: Grey level of the black around a lens's image.
        dark_corners: Share of the four corners' pixels that must be dark for a round picture.
        pole_stretch: Horizontal detail of the top and bottom bands over that of the middle, below which rows shrink towards poles.
        pole_nearing: The same over that of the bands next to them: on a sphere it goes on shrinking (0.4 by the cosine of the latitude),
            while planks that lie across a flat picture are as long everywhere. Half spheres were seen to have up to 0.5 at one pole.
    """

    work_px: int = 240
    features: int = 400
    ratio: float = 0.8
    max_dx: float = 0.2
    max_dy: float = 0.05
    agreeing: float = 0.08
    consistent: float = 0.5
    least_matches: int = 12
    shift: float = 0.004
    swapped: float = 0.85
    nearer_below: float = 0.2
    dark: int = 24
    dark_corners: float = 0.7
    pole_stretch: float = 0.5
    pole_nearing: float = 0.7


@dataclass(frozen=True, eq=False)
class Agreement:
    """How two pictures match.

    Attributes:
        share: Share of the features that were found again at nearly the same place.
        consistent: Share of all matches that are at nearly the same place.
        shift: (M, 2) float32 where they are in the first picture minus the second, over its width and height.
        at: (M, 2) float32 where they are in the first picture, 0..1.
    """

    share: float
    consistent: float
    shift: F32
    at: F32


def split(frame: U8, layout: Halves) -> tuple[U8, U8]:
    """The two halves of a frame: left and right, or top and bottom."""
    h, w = frame.shape[:2]
    return (
        (frame[:, : w // 2], frame[:, w // 2 : w // 2 * 2]) if layout == "side-by-side" else (frame[: h // 2], frame[h // 2 : h // 2 * 2])
    )


def agreement(first: U8, second: U8, evidence: Evidence | None = None) -> Agreement:
    """How well two (H, W, 3) pictures show the same thing at the same place, from SIFT features matched both ways."""
    e = evidence or Evidence()
    (xy_a, d_a), (xy_b, d_b) = _features(first, e), _features(second, e)
    nothing = Agreement(0.0, 0.0, np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))
    if min(len(xy_a), len(xy_b)) < e.least_matches:
        return nothing
    distance = np.maximum((d_a**2).sum(1)[:, None] + (d_b**2).sum(1)[None] - 2 * d_a @ d_b.T, 0)
    best, back = distance.argmin(1), distance.argmin(0)
    two = np.partition(distance, 1, axis=1)[:, :2]
    good = (back[best] == np.arange(len(best))) & (two[:, 0] < e.ratio**2 * two[:, 1])
    if good.sum() < e.least_matches:
        return nothing
    a, b = xy_a[good], xy_b[best[good]]
    near = (np.abs(a - b) < [e.max_dx, e.max_dy]).all(1)
    return Agreement(float(near.sum()) / min(len(xy_a), len(xy_b)), float(near.mean()), (a - b)[near], a[near])


def stereo_layout(frames: Sequence[U8], evidence: Evidence | None = None) -> tuple[Halves | None, list[Agreement]]:
    """Whether frames hold two eyes, and how; the matches of the eyes with it."""
    e = evidence or Evidence()
    found: dict[Halves, list[Agreement]] = {}
    layouts: tuple[Halves, ...] = ("side-by-side", "top-bottom")
    for layout in layouts:
        found[layout] = [agreement(*split(frame, layout), e) for frame in frames if min(frame.shape[:2]) >= 32]
    score = {k: float(np.median([a.share for a in v])) if v else 0.0 for k, v in found.items()}
    order = {k: float(np.median([a.consistent for a in v])) if v else 0.0 for k, v in found.items()}
    best: Halves = "side-by-side" if score["side-by-side"] >= score["top-bottom"] else "top-bottom"
    if score[best] < e.agreeing or order[best] < e.consistent:
        return None, []
    return best, found[best]


def eyes_swapped(matches: Sequence[Agreement], *, parallel: bool = False, evidence: Evidence | None = None) -> bool | None:
    """Whether the first picture is the right eye's: near things then shift the wrong way. None where the shifts do not tell.

    Args:
        matches: Of the first picture with the second, in several frames.
        parallel: Whether both eyes look the same way, as those of VR180 do; pictures for a screen are shifted against each other.
        evidence: What counts.
    """
    e = evidence or Evidence()
    if not matches:
        return None
    shift = np.concatenate([m.shift for m in matches])
    height = np.concatenate([m.at for m in matches])[:, 1]
    telling = np.abs(shift[:, 0]) > e.shift
    if telling.sum() < e.least_matches:
        return None
    wrong = float((shift[telling, 0] < 0).mean())
    if wrong <= 1 - e.swapped:
        return False
    if parallel:
        return True if wrong >= e.swapped else None
    # Pictures that were shifted for a screen have shifts of one sign too; but what is low in a picture is mostly near.
    nearer_below = _rank_correlation(shift[:, 0], height)
    return True if wrong >= e.swapped and nearer_below < -e.nearer_below else None


def looks_equirect(eyes: Sequence[U8], evidence: Evidence | None = None) -> tuple[bool | None, str]:
    """Whether pictures of one eye are half spheres: round in black, or stretched along rows near the poles; and why."""
    e = evidence or Evidence()
    eyes = [_reduced(eye) for eye in eyes]
    corners = float(np.median([_dark_corners(eye, e) for eye in eyes]))
    if corners >= e.dark_corners:
        return True, "the picture is round, with black corners"
    measured = [m for m in (_pole_detail(eye) for eye in eyes) if np.isfinite(m[0])]
    if not measured:
        return None, "there is too little texture to tell"
    ratio, nearing = (float(v) for v in np.median(measured, axis=0))
    if ratio < e.pole_stretch and nearing >= e.pole_nearing:
        return False, "rows near the top and bottom are smooth, but no more so towards the edge, as they would be on a sphere"
    if ratio < e.pole_stretch:
        return True, "rows near the top and bottom are stretched as near the poles of a sphere"
    return False, "rows near the top and bottom are as detailed as the others"


def _features(picture: U8, e: Evidence) -> tuple[F32, F32]:
    """Places (M, 2), 0..1, and descriptors (M, 128)."""
    h, w = picture.shape[:2]
    scale = min(1.0, e.work_px / max(h, w))
    size = (max(16, round(w * scale)), max(16, round(h * scale)))
    grey = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    points, described = cv2.SIFT_create(nfeatures=e.features).detectAndCompute(grey, None)  # type: ignore[attr-defined]
    if described is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    return np.array([p.pt for p in points], np.float32) / np.array(size, np.float32), described


def _reduced(eye: U8, longest_px: int = 1024) -> U8:
    """A picture of no more than `longest_px` on its longer side."""
    scale = min(1.0, longest_px / max(eye.shape[:2]))
    return eye if scale == 1 else np.asarray(cv2.resize(eye, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _dark_corners(eye: U8, e: Evidence) -> float:
    """Share of the corners of the lit part of a picture that is black; letter boxes around it do not count."""
    grey = eye.max(2)
    lit = grey > e.dark
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    if len(rows) < 32 or len(columns) < 32:
        return 0.0
    inner = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    h, w = inner.shape
    if inner[h // 3 : 2 * h // 3, w // 3 : 2 * w // 3].mean() <= 2 * e.dark:
        return 0.0  # a night scene has dark corners as well
    y, x = max(1, h // 16), max(1, w // 16)
    corners = np.concatenate([c.ravel() for c in (inner[:y, :x], inner[:y, -x:], inner[-y:, :x], inner[-y:, -x:])])
    return float((corners < e.dark).mean())


def _pole_detail(eye: U8) -> tuple[float, float]:
    """Detail along rows over detail across rows near the poles, over the same in the middle; NaN without texture there.

    And over the same in the band next to the pole, at the pole where that is less; 0 where it can not be told.
    """
    size = (256, 256)
    grey = cv2.cvtColor(cv2.resize(eye, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.float32)
    along, across = np.abs(np.diff(grey, axis=1))[:-1], np.abs(np.diff(grey, axis=0))[:, :-1]

    def detail(rows: slice) -> float:
        # The sides of a picture are vignetted; the middle half is enough.
        a, b = along[rows, 64:192].mean(), across[rows, 64:192].mean()
        return float(a / b) if a + b > 1.0 and b > 0 else float("nan")

    bands = [detail(slice(10, 28)), detail(slice(227, 245))]  # 7 to 20 degrees from the poles of a half sphere
    beside = [detail(slice(36, 64)), detail(slice(191, 219))]  # 25 to 45 degrees
    middle = detail(slice(80, 176))
    known = [b for b in bands if np.isfinite(b)]
    if not known or not middle > 0:
        return float("nan"), float("nan")
    nearing = [b / n for b, n in zip(bands, beside, strict=True) if np.isfinite(b) and n > 0]
    return max(known) / middle, min(nearing, default=0.0)


def _rank_correlation(a: NDArray, b: NDArray) -> float:
    """Spearman's rank correlation."""
    ranks = [np.argsort(np.argsort(v)).astype(np.float64) for v in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if len(a) > 2 else 0.0
