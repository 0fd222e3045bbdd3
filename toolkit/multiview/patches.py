"""Following small windows of a picture from one frame to another, and how alike two of them are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.sampling import from_opencv, to_opencv
from toolkit.scene import F64, U8, B


@dataclass(frozen=True)
class WindowOptions:
    """How windows are matched.

    Attributes:
        window_px: Side of the window.
        levels: Halvings of the picture: motion of some 8 px times two to this power is found.
        likeness_px: Side of the window by which two places are compared; smaller, as it must not reach past the point's own surface.
        return_px: A window that does not find its way back this closely is lost.
    """

    window_px: int = 21
    levels: int = 4
    likeness_px: int = 15
    return_px: float = 1.0


_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)


def follow_windows(
    first: U8, second: U8, xy: NDArray, guess: NDArray, options: WindowOptions, *, levels: int | None = None
) -> tuple[F64, F64]:
    """Windows of one picture found in another (Lucas and Kanade in a pyramid), and back.

    Args:
        first: (H, W) grey picture in which the windows are.
        second: (H, W) the other.
        xy: (N, 2) continuous pixels in the first.
        guess: (N, 2) about where they are in the second.
        options: Size of the windows.
        levels: Halvings that are used; a good guess needs few.

    Returns:
        (N, 2) pixels in the second, NaN where lost, and (N,) by how many pixels the way back misses its start.
    """
    if not len(xy):
        return np.zeros((0, 2)), np.zeros(0)
    most = options.levels if levels is None else levels
    side = (options.window_px, options.window_px)
    corner, crop_a, crop_b = _cropped(first, second, xy, guess, options.window_px << most)
    start = (to_opencv(np.asarray(xy, np.float64)) - corner).astype(np.float32)[:, None]
    aim = (to_opencv(np.asarray(guess, np.float64)) - corner).astype(np.float32)[:, None]
    common = {"winSize": side, "maxLevel": most, "criteria": _STOP, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW, "minEigThreshold": 1e-5}
    there, found, _ = cv2.calcOpticalFlowPyrLK(crop_a, crop_b, start, aim.copy(), **common)  # type: ignore[call-overload]
    back, returned, _ = cv2.calcOpticalFlowPyrLK(crop_b, crop_a, there, start.copy(), **common)  # type: ignore[call-overload]
    miss = np.linalg.norm(back - start, axis=-1)[:, 0].astype(np.float64)
    good = (found.ravel() > 0) & (returned.ravel() > 0) & (miss < options.return_px)
    out = from_opencv(there[:, 0].astype(np.float64) + corner)
    height, width = second.shape[:2]
    good &= (out >= 0).all(1) & (out[:, 0] <= width) & (out[:, 1] <= height)
    return np.where(good[:, None], out, np.nan), miss


def _cropped(first: U8, second: U8, xy: NDArray, guess: NDArray, margin: int) -> tuple[NDArray, U8, U8]:
    """The part of both pictures that windows may reach, and its corner: pyramids of whole pictures take most of the time."""
    both = np.concatenate([xy, guess])
    low = np.maximum(np.floor(both.min(0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(both.max(0)).astype(int) + margin, [first.shape[1], first.shape[0]])
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    if (high - low < 2 * margin).any():  # a place far outside
        return np.zeros(2), first, second
    return low, np.ascontiguousarray(first[part]), np.ascontiguousarray(second[part])


def likeness(first: U8, second: U8, xy: NDArray, other: NDArray, side_px: int, *, turns: NDArray | None = None) -> F64:
    """(N,) normalised correlation of the surroundings of places in two grey pictures, -1..1; NaN where a place is unknown.

    Args:
        first: (H, W) picture of `xy`.
        second: (H, W) picture of `other`.
        xy: (N, 2) continuous pixels.
        other: (N, 2) continuous pixels.
        side_px: Side of the window.
        turns: (N, 2, 2) how offsets in the first picture become offsets in the second; None for not at all.
    """
    out = np.full(len(xy), np.nan)
    known = np.flatnonzero(np.isfinite(xy).all(1) & np.isfinite(other).all(1))
    if not len(known):
        return out
    half = (side_px - 1) / 2
    steps = np.linspace(-half, half, side_px)
    offsets = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    bell = np.exp(-0.5 * (offsets**2).sum(1) / (0.4 * side_px) ** 2)
    bell = (bell / bell.sum()).astype(np.float32)
    there = np.broadcast_to(offsets, (len(known), *offsets.shape)) if turns is None else offsets @ turns[known].transpose(0, 2, 1)
    a = _sampled(first, xy[known, None] + offsets)
    b = _sampled(second, other[known, None] + there)
    a = a - (a @ bell)[:, None]
    b = b - (b @ bell)[:, None]
    product = (a * b) @ bell
    power = np.sqrt((a * a) @ bell + 4.0) * np.sqrt((b * b) @ bell + 4.0)  # noise of two grey levels: flat windows are not alike
    out[known] = product / power
    return out


def _sampled(image: U8, xy: NDArray) -> NDArray:
    at = to_opencv(xy).astype(np.float32)
    return cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def inside_of(xy: NDArray, image: NDArray, margin: float = 4.0) -> B:
    """Which (..., 2) places lie in an image and not at its very border."""
    height, width = image.shape[:2]
    with np.errstate(invalid="ignore"):
        return np.asarray((xy >= margin).all(-1) & (xy[..., 0] <= width - margin) & (xy[..., 1] <= height - margin))
