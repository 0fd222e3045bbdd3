"""Whether clips are of the same moments: planes through two cameras that just touch what moves must touch it in both pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F64, U8, B


@dataclass(frozen=True)
class SynchronyOptions:
    """How clips are compared.

    Attributes:
        changed: Grey levels by which a pixel must differ from its median over time to move ...
        noise: ... and in so many times the usual change of the picture.
        least_px: Smaller parts don't count.
        most_share: A picture that changes in more of its area shows a camera that moves.
        most_lag: Frames by which clips are shifted against each other at most.
        least: Moments that two views must share.
        least_way_px: What moves must move so far to tell a moment.
        better: How much smaller the disagreement of a view with others must get to call it late ...
        sure_px: ... and how small ...
        witnesses: ... with so many others; a shadow or a border may fool two.
        strong: Two tell it where it gets this much smaller ...
        strong_px: ... and so small with each, and no other objects.
    """

    changed: float = 14.0
    noise: float = 4.0
    least_px: int = 80
    most_share: float = 0.4
    most_lag: int = 20
    least: int = 12
    least_way_px: float = 6.0
    better: float = 0.6
    sure_px: float = 4.0
    witnesses: int = 3
    strong: float = 0.25
    strong_px: float = 2.0


def moving_masks(frames: U8, options: SynchronyOptions | None = None) -> B:
    """(T, H, W) what moves before a camera that stands; nothing where the camera moves."""
    options = options or SynchronyOptions()
    behind = np.median(frames[:: max(1, len(frames) // 25)], axis=0).astype(np.float32)
    out = np.zeros(frames.shape, bool)
    for t, frame in enumerate(frames):
        change = cv2.GaussianBlur(np.abs(frame.astype(np.float32) - behind), (0, 0), 1.5)
        mask = (change > max(options.changed, options.noise * float(np.median(change)))).astype(np.uint8)
        count, label, stats, _ = cv2.connectedComponentsWithStats(mask)
        kept = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= options.least_px)
        if count > 1 and mask.mean() <= options.most_share:
            out[t] = np.isin(label, kept[kept > 0])
    return out


def tangent_planes(mask: B, K: NDArray, T_wc: NDArray, axis: NDArray, across: tuple[NDArray, NDArray]) -> F64:
    """(2,) angles about an axis of the first and the last plane that touches a mask, NaN where it is cut off there by the picture's border.

    Args:
        mask: (H, W).
        K: (3, 3).
        T_wc: (4, 4) world-from-camera; the axis goes through its centre.
        axis: (3,) unit vector in the world.
        across: Two unit vectors at right angles to it and to each other.
    """
    rows, columns = np.nonzero(mask ^ cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool))
    if len(rows) < 8:  # noqa: PLR2004 (of an outline)
        return np.full(2, np.nan)
    rays = np.column_stack([(columns + 0.5 - K[0, 2]) / K[0, 0], (rows + 0.5 - K[1, 2]) / K[1, 1], np.ones(len(rows))]) @ T_wc[:3, :3].T
    angle = np.unwrap(np.sort(np.arctan2(rays @ across[1], rays @ across[0])))
    turn = np.arctan2(rays @ across[1], rays @ across[0])
    if angle[-1] - angle[0] > np.pi / 2:  # the camera stands in the axis' way: planes all around
        return np.full(2, np.nan)
    height, width = mask.shape
    border = (rows <= 1) | (columns <= 1) | (rows >= height - 2) | (columns >= width - 2)
    out = np.array([np.percentile(turn, 1), np.percentile(turn, 99)])
    slack = 0.04 * (out[1] - out[0])
    if border.any():
        cut = turn[border]
        out[0] = np.nan if (cut < out[0] + slack).any() else out[0]
        out[1] = np.nan if (cut > out[1] - slack).any() else out[1]
    return out


def disagreement(
    masks: Sequence[B], K: Sequence[NDArray], T_wc: Sequence[NDArray], options: SynchronyOptions | None = None
) -> dict[tuple[int, int], F64]:
    """For each pair of views and shift of the second, from -`most_lag` to `most_lag`, how far tangent planes come and go apart, in pixels.

    What always is apart (a shadow, feet behind a table) does not count. NaN where too little moves or shows.

    Args:
        masks: V arrays (T, H, W) of what moves.
        K: V (3, 3).
        T_wc: V (4, 4) world-from-camera.
        options: How.
    """
    options = options or SynchronyOptions()
    most = min(options.most_lag, len(masks[0]) // 3)
    found = {}
    for pair, (here, there, focal) in _touching(masks, K, T_wc).items():
        found[pair] = np.array([_apart(here, there, lag, focal, options) for lag in range(-most, most + 1)])
    return found


def outlines_apart(masks: Sequence[B], K: Sequence[NDArray], T_wc: Sequence[NDArray], options: SynchronyOptions | None = None) -> F64:
    """(M,) how far tangent planes of two views are apart in pixels, the median over time, of each pair and side that show enough moments.

    Args:
        masks: V arrays (T, H, W) of what moves.
        K: V (3, 3).
        T_wc: V (4, 4) world-from-camera.
        options: How many moments are enough.
    """
    options = options or SynchronyOptions()
    gaps = [focal * (here[:, side] - there[:, side]) for here, there, focal in _touching(masks, K, T_wc).values() for side in range(2)]
    return np.array([abs(float(np.nanmedian(gap))) for gap in gaps if np.isfinite(gap).sum() >= options.least])


def _touching(masks: Sequence[B], K: Sequence[NDArray], T_wc: Sequence[NDArray]) -> dict[tuple[int, int], tuple[F64, F64, float]]:
    """For each pair of views the angles (T, 2) of tangent planes in both, about the line through both, and pixels a radian."""
    found = {}
    for a, b in combinations(range(len(masks)), 2):
        base = T_wc[b][:3, 3] - T_wc[a][:3, 3]
        axis = base / max(float(np.linalg.norm(base)), 1e-12)
        middle = T_wc[a][:3, 2] + T_wc[b][:3, 2]  # angles are counted from where both look, so that none jumps
        one = middle - (middle @ axis) * axis
        one /= max(float(np.linalg.norm(one)), 1e-12)
        across = (one, np.cross(axis, one))
        here, there = (np.array([tangent_planes(m, K[v], T_wc[v], axis, across) for m in masks[v]]) for v in (a, b))
        found[a, b] = (here, there, float(np.sqrt(K[a][0, 0] * K[b][0, 0])))
    return found


def _apart(here: F64, there: F64, lag: int, focal: float, options: SynchronyOptions) -> float:
    one, two = (here[: len(here) - lag], there[lag:]) if lag >= 0 else (here[-lag:], there[: len(there) + lag])
    off = []
    for side in range(2):
        gap = focal * (one[:, side] - two[:, side])
        known = np.isfinite(gap)
        way = focal * two[known, side]
        if known.sum() >= options.least and np.subtract(*np.percentile(way, [90, 10])) >= options.least_way_px:
            off.append(np.abs(gap[known] - np.median(gap[known])))
    return float(np.mean(np.concatenate(off))) if off else float("nan")


def lags(apart: dict[tuple[int, int], F64], views: int, options: SynchronyOptions | None = None) -> dict[int, int]:
    """By how many frames each view is late against the first, where what moves tells; {} where nothing does.

    Args:
        apart: As `disagreement` tells.
        views: V.
        options: How sure it must be.
    """
    options = options or SynchronyOptions()
    if not apart:
        return {}
    most = len(next(iter(apart.values()))) // 2

    def cost(v: int, shift: int, shifts: list[int]) -> float:
        """Mean disagreement of a view with the others."""
        told = []
        for (a, b), values in apart.items():
            if v in (a, b):
                lag = (shift - shifts[a]) if v == b else (shifts[b] - shift)
                if abs(lag) <= most and np.isfinite(values[most]):
                    told.append(values[lag + most])
        return float(np.mean(told)) if told and np.isfinite(told).all() else float("nan")

    def backed(v: int, shift: int, shifts: list[int]) -> bool:
        """Whether enough other views agree that this one is late."""
        pairs = []
        for (a, b), values in apart.items():
            if v in (a, b) and np.isfinite(values[most]):
                now = (shifts[v] - shifts[a]) if v == b else (shifts[b] - shifts[v])
                then = (shift - shifts[a]) if v == b else (shifts[b] - shift)
                pairs.append((values[then + most], values[now + most]) if max(abs(now), abs(then)) <= most else (np.nan, np.nan))
        good = sum(then < min(options.better * now, options.sure_px) for then, now in pairs)
        strong = sum(then < min(options.strong * now, options.strong_px) for then, now in pairs)
        return good >= options.witnesses or (strong >= 2 and all(then < max(now + 1, options.sure_px) for then, now in pairs))  # noqa: PLR2004 (as one may err)

    shifts = [0] * views
    for _ in range(3 * views):
        # The view that gains most is shifted first: one that is late must not drag others along.
        best: tuple[float, int, int] | None = None
        for v in range(views):
            now = cost(v, shifts[v], shifts)
            tried = {s: cost(v, s, shifts) for s in range(-most, most + 1)}
            tried = {s: c for s, c in tried.items() if np.isfinite(c)}
            if not tried or not np.isfinite(now):
                continue
            s = min(tried, key=lambda k: (tried[k], abs(k)))
            gain = tried[s] / max(now, 1e-9)
            if s != shifts[v] and gain < options.better and backed(v, s, shifts) and (best is None or gain < best[0]):
                best = (gain, v, s)
        if best is None:
            break
        shifts[best[1]] = best[2]
    known = [v for v in range(views) if np.isfinite(cost(v, shifts[v], shifts))]
    if not known:
        return {}
    first = shifts[0]
    return {v: shifts[v] - first for v in sorted({0, *known})}
