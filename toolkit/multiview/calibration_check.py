"""Whether the cameras of several views fit their pictures: what moves, and what two views show alike, must lie on epipolar lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.poses import invert
from toolkit.geometry.sampling import from_opencv
from toolkit.multiview.checking import LEAST_VARIETY
from toolkit.multiview.synchrony import SynchronyOptions, disagreement, lags, moving_masks
from toolkit.scene import F64, U8


@dataclass(frozen=True)
class CheckOptions:
    """What counts as a fit.

    Attributes:
        good_px: Median distance from an epipolar line, in pixels of pictures of `side_px`, of matches under a calibration that fits ...
        bad_px: ... and under one that does not.
        side_px: Longer side of the pictures that are compared.
        least: Matches of a pair that tell anything: walls that repeat give a score that agree with each other and with nothing else.
        ratio: Of descriptions, see Lowe 2004.
        least_motion: Frames with something that moves, of which the middle is compared.
        surer: How much smaller the error must get to blame something else than the pair.
        synchrony: How clips are compared.
    """

    good_px: float = 3.0
    bad_px: float = 8.0
    side_px: int = 720
    least: int = 24
    ratio: float = 0.75
    least_motion: int = 12
    surer: float = 0.4
    synchrony: SynchronyOptions = field(default_factory=SynchronyOptions)


@dataclass(frozen=True, eq=False)
class Sighted:
    """A camera with some of its frames.

    Attributes:
        name: Of the view.
        frames: (T, H, W) grey, of one moment each with those of the other views.
        K: (3, 3) for these pictures.
        T_wc: (4, 4) world-from-camera.
    """

    name: str
    frames: U8
    K: F64
    T_wc: F64


@dataclass(frozen=True)
class RigCheck:
    """What was found.

    Attributes:
        matches_px: Pair of names to (median epipolar distance in pixels of the compared pictures, matches) of what looks alike.
        movers_px: The same for the middle of what moves.
        lag_frames: Name of a view to how many frames it is late against the first, where that shows.
        warnings: Sentences for a person.
    """

    matches_px: dict[str, tuple[float, int]] = field(default_factory=dict)
    movers_px: dict[str, tuple[float, int]] = field(default_factory=dict)
    lag_frames: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def check_rig(views: list[Sighted], options: CheckOptions | None = None) -> RigCheck:
    """Compares every pair of views.

    Args:
        views: Each with some frames, of the same moments.
        options: What counts as a fit.
    """
    options = options or CheckOptions()
    warnings = [
        f"{v.name} shows nothing: a run leaves it out." for v in views if float(np.std(v.frames[len(v.frames) // 2])) < LEAST_VARIETY
    ]
    warnings += _copies(views)
    late_by = lags_of(views, options)
    movers = _movers(views)
    matches = {(a, b): _matches(views[a], views[b], options) for a, b in combinations(range(len(views)), 2)}
    shifted = {(a, b): _together(movers[a], movers[b], late_by.get(a, 0), late_by.get(b, 0)) for a, b in matches}
    looks = {pair: _error(views[pair[0]], views[pair[1]], *found) for pair, found in matches.items() if len(found[0]) >= options.least}
    moves = {
        pair: _error(views[pair[0]], views[pair[1]], *found) for pair, found in shifted.items() if len(found[0]) >= options.least_motion
    }
    blame = _blame(views, matches, looks, shifted, moves, options)
    warnings += blame or _pairs(views, looks, options)
    for v, lag in late_by.items():
        if lag:
            late = "late" if lag > 0 else "early"
            warnings.append(
                f"{views[v].name} seems {abs(lag)} frames {late} against {views[0].name}: cut the clips to begin at the same moment."
            )
    return RigCheck(
        {_name(views, p): (round(e, 2), len(matches[p][0])) for p, e in looks.items()},
        {_name(views, p): (round(e, 2), len(shifted[p][0])) for p, e in moves.items()},
        {views[v].name: lag for v, lag in late_by.items()},
        tuple(warnings),
    )


def epipolar_px(xy_a: NDArray, xy_b: NDArray, a: tuple[NDArray, NDArray], b: tuple[NDArray, NDArray]) -> F64:
    """(M,) distance from each place to the epipolar line of its partner, mean of both views.

    Args:
        xy_a: (M, 2) pixels in the first view.
        xy_b: (M, 2) their partners.
        a: K and T_wc of the first view.
        b: Of the second.
    """
    (K_a, T_a), (K_b, T_b) = a, b
    T = invert(T_b) @ T_a
    t = T[:3, 3]
    E = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ T[:3, :3]
    F = np.linalg.inv(K_b).T @ E @ np.linalg.inv(K_a)
    h_a, h_b = (np.concatenate([xy, np.ones((len(xy), 1))], 1) for xy in (xy_a, xy_b))
    line_b, line_a = h_a @ F.T, h_b @ F
    across = np.abs((h_b * line_b).sum(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.5 * (across / np.linalg.norm(line_a[:, :2], axis=1) + across / np.linalg.norm(line_b[:, :2], axis=1))


def _name(views: list[Sighted], pair: tuple[int, int]) -> str:
    return f"{views[pair[0]].name} - {views[pair[1]].name}"


def _error(a: Sighted, b: Sighted, xy_a: NDArray, xy_b: NDArray) -> float:
    if not len(xy_a):
        return float("nan")
    error = float(np.median(epipolar_px(xy_a, xy_b, (a.K, a.T_wc), (b.K, b.T_wc))))
    # Cameras at one place have no epipolar lines: nothing that two pictures show differently fits that.
    return error if np.isfinite(error) else float(max(a.frames.shape[1:]))


def _copies(views: list[Sighted]) -> list[str]:
    """Cameras that are at the same place and look the same way: one of them was copied."""
    told = []
    for a, b in combinations(views, 2):
        apart = np.linalg.norm(a.T_wc[:3, 3] - b.T_wc[:3, 3])
        turned = np.arccos(np.clip((np.trace(a.T_wc[:3, :3].T @ b.T_wc[:3, :3]) - 1) / 2, -1, 1))
        size = max(np.linalg.norm(v.T_wc[:3, 3] - a.T_wc[:3, 3]) for v in views)
        if apart <= max(1e-3 * size, 1e-9) and turned < 1e-2:
            told.append(f"The calibration has {a.name} and {b.name} at the same place: one of them seems to be a copy of the other.")
    return told


def _matches(a: Sighted, b: Sighted, options: CheckOptions) -> tuple[F64, F64]:
    """Places that look alike in both views and share some epipolar geometry, whatever the calibration says."""
    sift = cv2.SIFT_create(nfeatures=3000, contrastThreshold=0.02)
    here, there = [], []
    for t in sorted({0, len(a.frames) // 2}):
        points_a, desc_a = sift.detectAndCompute(a.frames[t], None)  # type: ignore[call-overload]
        points_b, desc_b = sift.detectAndCompute(b.frames[t], None)  # type: ignore[call-overload]
        if desc_a is None or desc_b is None or min(len(points_a), len(points_b)) < 2:
            continue
        ways = []
        for one, two in ((desc_a, desc_b), (desc_b, desc_a)):
            pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(one, two, k=2)
            ways.append({p[0].queryIdx: p[0].trainIdx for p in pairs if len(p) == 2 and p[0].distance < options.ratio * p[1].distance})
        for i, j in ways[0].items():
            if ways[1].get(j) == i:
                here.append(points_a[i].pt)
                there.append(points_b[j].pt)
    xy_a, xy_b = np.array(here, np.float64).reshape(-1, 2), np.array(there, np.float64).reshape(-1, 2)
    empty = np.zeros((0, 2))
    if len(xy_a) < options.least:
        return empty, empty
    cv2.setRNGSeed(0)
    _, good = cv2.findFundamentalMat(xy_a, xy_b, cv2.USAC_MAGSAC, 1.5, 0.999, 5000)
    # Any geometry explains eight of them; it must explain a good part of many.
    if good is None or good.sum() < max(options.least, 0.35 * len(xy_a)):
        return empty, empty
    rows = good.ravel() > 0
    return from_opencv(xy_a[rows]), from_opencv(xy_b[rows])


def _movers(views: list[Sighted]) -> list[F64]:
    """(T, 2) middle of what moves in each view, NaN where nothing does or the camera does."""
    out = []
    for view in views:
        frames = view.frames
        middle = np.full((len(frames), 2), np.nan)
        behind = np.median(frames[:: max(1, len(frames) // 25)], axis=0).astype(np.float32)
        for t, frame in enumerate(frames):
            change = cv2.GaussianBlur(np.abs(frame.astype(np.float32) - behind), (0, 0), 2.0)
            mask = (change > max(14.0, 4 * float(np.median(change)))).astype(np.uint8)
            count, _, stats, centres = cv2.connectedComponentsWithStats(mask)
            if count < 2 or mask.mean() > 0.4:
                continue
            area = stats[1:, cv2.CC_STAT_AREA]
            k = int(area.argmax())
            # Two things of like size: nobody knows which is which in the other view.
            rest = np.sort(area)[-2] if count > 2 else 0
            x, y, w, h = stats[1 + k, :4]
            cut = x <= 1 or y <= 1 or x + w >= frame.shape[1] - 1 or y + h >= frame.shape[0] - 1
            if area[k] >= 60 and rest < 0.5 * area[k] and not cut:
                middle[t] = centres[1 + k] + 0.5
        out.append(middle)
    return out


def _together(a: F64, b: F64, lag_a: int, lag_b: int) -> tuple[F64, F64]:
    """Places of one moment in both views, where one is late."""
    t = np.arange(max(0, -lag_a, -lag_b), min(len(a) - max(lag_a, 0), len(b) - max(lag_b, 0)))
    one, two = a[t + lag_a], b[t + lag_b]
    good = np.isfinite(one[:, 0]) & np.isfinite(two[:, 0])
    return one[good], two[good]


def lags_of(views: list[Sighted], options: CheckOptions | None = None) -> dict[int, int]:
    """By how many frames each view is late against the first, see `toolkit.multiview.synchrony`; {} where nothing tells.

    Args:
        views: Each with some frames.
        options: What counts.
    """
    options = options or CheckOptions()
    apart = disagreement([moving_masks(v.frames) for v in views], [v.K for v in views], [v.T_wc for v in views], options.synchrony)
    return lags(apart, len(views), options.synchrony)


Places = dict[tuple[int, int], tuple[F64, F64]]


def _total(views: list[Sighted], places: Places) -> float:
    """Median epipolar distance over all pairs alike."""
    errors = [_error(views[a], views[b], *found) for (a, b), found in places.items() if len(found[0])]
    return float(np.median(errors)) if errors else float("nan")


def _blame(
    views: list[Sighted],
    matches: Places,
    looks: dict[tuple[int, int], float],
    moved: Places,
    moves: dict[tuple[int, int], float],
    options: CheckOptions,
) -> list[str]:
    """What would explain errors of most pairs at once: poses the wrong way round, or K for pictures of another size."""
    places = {p: matches[p] for p in looks} or {p: moved[p] for p in moves}
    errors = looks or moves
    if not errors or np.median(list(errors.values())) < options.bad_px:
        return []
    given = _total(views, places)
    turned = [Sighted(v.name, v.frames, v.K, invert(v.T_wc)) for v in views]
    if _total(turned, places) < options.surer * given:
        return [
            "The poses seem to be the wrong way round (camera-to-world where world-to-camera is expected, or the reverse): "
            f"pictures disagree by {given:.0f} px, with inverted poses by {_total(turned, places):.1f} px."
        ]
    for scale in (0.5, 2.0, 2 / 3, 1.5, 0.75, 4 / 3, 0.25, 4.0):
        other = [Sighted(v.name, v.frames, np.diag([scale, scale, 1.0]) @ v.K, v.T_wc) for v in views]
        if _total(other, places) < options.surer * given:
            return [
                f"The intrinsics seem to be for pictures {1 / scale:.3g} times as large: pictures disagree by {given:.0f} px, with K times "
                f"{scale:.3g} by {_total(other, places):.1f} px."
            ]
    return []


def _pairs(views: list[Sighted], looks: dict[tuple[int, int], float], options: CheckOptions) -> list[str]:
    """Views that disagree with all others, else pairs that do: by what looks alike alone, as the middle of what moves is but a guess."""
    bad = {p for p, e in looks.items() if e > options.bad_px}
    good = {p for p, e in looks.items() if e <= options.bad_px}
    told = []
    for v, view in enumerate(views):
        mine_bad, mine_good = [p for p in bad if v in p], [p for p in good if v in p]
        others_good = [p for p in good if v not in p]
        if mine_bad and not mine_good and others_good:
            worst = max(looks[p] for p in mine_bad)
            told.append(
                f"{view.name} does not fit the other views (up to {worst:.0f} px from their epipolar lines), which fit each other: "
                "its calibration is wrong, or it was moved or filmed at another time."
            )
            bad -= set(mine_bad)
    return told + [f"{_name(views, pair)}: pictures disagree with the calibration by {looks[pair]:.0f} px." for pair in sorted(bad)]
