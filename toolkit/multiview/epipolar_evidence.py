"""What two views show alike, and what moves in both: places that must lie on each other's epipolar lines."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.poses import invert
from toolkit.geometry.sampling import from_opencv
from toolkit.scene import F64, U8


@dataclass(frozen=True)
class MatchOptions:
    """What counts as looking alike.

    Attributes:
        least: Matches of a pair that tell anything: walls that repeat give a score that agree with each other and with nothing else.
        ratio: Of descriptions, see Lowe 2004.
    """

    least: int = 24
    ratio: float = 0.75


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


def pair_error(a: Sighted, b: Sighted, xy_a: NDArray, xy_b: NDArray) -> float:
    """Median distance of places from the epipolar lines of their partners, in pixels; NaN where there are none."""
    if not len(xy_a):
        return float("nan")
    error = float(np.median(epipolar_px(xy_a, xy_b, (a.K, a.T_wc), (b.K, b.T_wc))))
    # Cameras at one place have no epipolar lines: nothing that two pictures show differently fits that.
    return error if np.isfinite(error) else float(max(a.frames.shape[1:]))


def matches_of(a: Sighted, b: Sighted, options: MatchOptions) -> tuple[F64, F64]:
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


def movers_of(views: list[Sighted]) -> list[F64]:
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


def together(a: F64, b: F64, lag_a: int, lag_b: int) -> tuple[F64, F64]:
    """Places of one moment in both views, where one is late."""
    t = np.arange(max(0, -lag_a, -lag_b), min(len(a) - max(lag_a, 0), len(b) - max(lag_b, 0)))
    one, two = a[t + lag_a], b[t + lag_b]
    good = np.isfinite(one[:, 0]) & np.isfinite(two[:, 0])
    return one[good], two[good]
