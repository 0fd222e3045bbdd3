"""Whether clips are of the same moments, by how much changes: on a plane through two cameras it changes in both at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, F64, U8


@dataclass(frozen=True)
class ChangeOptions:
    """How clips are compared.

    Attributes:
        blur_px: Standard deviation by which pictures are smoothed.
        least: Grey levels of change within two frames that count ...
        noise: ... and so many times the usual change of the picture.
        most: Grey levels that count at most: one bright thing must not drown the others.
        planes: Into so many planes what both views see is divided.
        widest_rad: Of that; more where a camera stands in the other's view, where planes go all around.
        most_lag: Frames by which clips are shifted against each other at most.
        least_moments: That two views must share under any shift.
        better: How much the correlation of a view with others must grow, on average, to call it late.
        alike: Least correlation with others, on average ...
        each: ... and with each of the views that say so.
        witnesses: Others whose correlation is the greatest there, up to a frame.
    """

    blur_px: float = 1.2
    least: float = 6.0
    noise: float = 4.0
    most: float = 40.0
    planes: int = 48
    widest_rad: float = 2.1
    most_lag: int = 10
    least_moments: int = 15
    better: float = 0.1
    alike: float = 0.5
    each: float = 0.4
    witnesses: int = 2


def changes(frames: U8, options: ChangeOptions | None = None) -> F32:
    """(T - 2, H, W) how much each pixel of a grey clip changes from the frame before to the one after."""
    options = options or ChangeOptions()
    smooth = np.stack([cv2.GaussianBlur(frame.astype(np.float32), (0, 0), options.blur_px) for frame in frames])
    change = np.abs(smooth[2:] - smooth[:-2])
    usual = float(np.median(change)) if change.size else 0.0
    return np.clip(change - np.float32(max(options.least, options.noise * usual)), 0, options.most).astype(np.float32, copy=False)


def changes_alike(
    frames: Sequence[U8], K: Sequence[NDArray], T_wc: Sequence[NDArray], options: ChangeOptions | None = None
) -> dict[tuple[int, int], F64]:
    """For each pair of views and shift of the second, from -`most_lag` to `most_lag`, how alike changes on planes through both are.

    That is the correlation over planes and time, of which the mean of each plane is taken off: what always changes tells no moment.
    Pairs of which a camera sees the other, and such as see too little together or change too little, are left out.

    Args:
        frames: V clips (T, H, W), grey.
        K: V (3, 3).
        T_wc: V (4, 4) world-from-camera.
        options: How.
    """
    options = options or ChangeOptions()
    most = min(options.most_lag, len(frames[0]) - 2 - options.least_moments)
    if most < 1:
        return {}
    change = [changes(clip, options) for clip in frames]
    found = {}
    for a, b in combinations(range(len(frames)), 2):
        both = _on_planes((change[a], change[b]), (K[a], K[b]), (T_wc[a], T_wc[b]), options)
        if both is not None:
            alike = np.array([_alike(*both, lag) for lag in range(-most, most + 1)])
            if np.isfinite(alike).all():
                found[a, b] = alike
    return found


def lags_of_changes(alike: dict[tuple[int, int], F64], views: int, options: ChangeOptions | None = None) -> dict[int, int]:
    """By how many frames each view is late against the first; {} where nothing surely is.

    Args:
        alike: As `changes_alike` tells.
        views: V.
        options: How sure it must be.
    """
    options = options or ChangeOptions()
    if not alike:
        return {}
    most = len(next(iter(alike.values()))) // 2
    shifts = [0] * views
    for _ in range(3 * views):
        best: tuple[float, int, int] | None = None  # the view that gains most is shifted first: it must not drag others along
        for v in range(views):
            seen = [_of_view(values, v, shifts, pair) for pair, values in alike.items() if v in pair]
            for shift in range(-most, most + 1):
                told = [(now, then, peak) for now, then, peak in (s(shift) for s in seen) if np.isfinite(then)]
                if shift == shifts[v] or not told:
                    continue
                gain = float(np.mean([then - now for now, then, _ in told]))
                agree = sum(peak and then >= options.each for _, then, peak in told)
                sure = agree >= options.witnesses and np.mean([then for _, then, _ in told]) >= options.alike
                if sure and gain >= options.better and (best is None or gain > best[0]):
                    best = (gain, v, shift)
        if best is None:
            break
        shifts[best[1]] = best[2]
    return {v: shift - shifts[0] for v, shift in enumerate(shifts)} if any(shifts) else {}


def _of_view(values: F64, v: int, shifts: Sequence[int], pair: tuple[int, int]) -> Callable[[int], tuple[float, float, bool]]:
    """A function of a shift of view v: how alike the pair is now and then, and whether that is its greatest, up to a frame."""
    most = len(values) // 2
    other = shifts[pair[0] if v == pair[1] else pair[1]]
    sign = 1 if v == pair[1] else -1
    now_lag = sign * (shifts[v] - other)
    now = float(values[now_lag + most]) if abs(now_lag) <= most else float(values.min())

    def told(shift: int) -> tuple[float, float, bool]:
        lag = sign * (shift - other)
        if abs(lag) >= most:  # at the end nobody knows whether it grows on
            return now, float("nan"), False
        return now, float(values[lag + most]), abs(lag + most - int(values.argmax())) <= 1

    return told


def _on_planes(
    change: tuple[F32, F32], K: tuple[NDArray, NDArray], T_wc: tuple[NDArray, NDArray], options: ChangeOptions
) -> tuple[F64, F64] | None:
    """(T, planes) change of two views on the planes through both cameras that both see; None where there are no such."""
    base = T_wc[1][:3, 3] - T_wc[0][:3, 3]
    axis = base / max(float(np.linalg.norm(base)), 1e-12)
    middle = T_wc[0][:3, 2] + T_wc[1][:3, 2]  # angles are counted from where both look
    one = middle - (middle @ axis) * axis
    one /= max(float(np.linalg.norm(one)), 1e-12)
    two = np.cross(axis, one)
    angles = []
    for k, T, moving in zip(K, T_wc, change, strict=True):
        rows, columns = np.mgrid[: moving.shape[1], : moving.shape[2]] + 0.5
        rays = np.stack([(columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1], np.ones_like(rows)], -1) @ T[:3, :3].T
        angles.append(np.arctan2(rays @ two, rays @ one))
    low = max(float(np.percentile(angle, 2)) for angle in angles)
    high = min(float(np.percentile(angle, 98)) for angle in angles)
    if not 0 < high - low <= options.widest_rad:
        return None
    out = []
    for angle, moving in zip(angles, change, strict=True):
        # The first and the last bin take what the other view does not see.
        place = np.clip(np.floor((angle - low) / (high - low) * options.planes), -1, options.planes).astype(int).ravel() + 1
        total = np.stack([np.bincount(place, frame.ravel(), options.planes + 2)[1:-1] for frame in moving])
        out.append(cv2.GaussianBlur(np.sqrt(total), (0, 0), 0.8, sigmaY=0.6))  # planes are off by the errors of poses
    return out[0], out[1]


def _alike(here: F64, there: F64, lag: int) -> float:
    one, two = (here[: len(here) - lag], there[lag:]) if lag >= 0 else (here[-lag:], there[: len(there) + lag])
    one, two = one - one.mean(0), two - two.mean(0)
    both = (one.std(0) > 1e-3) & (two.std(0) > 1e-3)
    size = float(np.sqrt((one[:, both] ** 2).sum() * (two[:, both] ** 2).sum()))
    return float((one[:, both] * two[:, both]).sum() / size) if size > 0 else float("nan")
