"""Numbers made small for a web page: positions on a 16-bit grid, differences over time, and one compressed stream."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.scene import F32, F64, U8, B

U16 = NDArray[np.uint16]
_TOP = 65534  # 65535 stands for "unknown" in the page
DEPTH_LEVELS = 4095


@dataclass(frozen=True, eq=False)
class Box:
    """An upright box in the world that positions are rounded in.

    Attributes:
        low: (3,) float64 lowest corner, in the scene's unit.
        side: Length of all its edges: one step for all axes keeps angles.
    """

    low: F64
    side: float

    @staticmethod
    def around(xyz: NDArray, *, tails: float = 0.01, margin: float = 0.75) -> Box:
        """A box around the bulk of the points (P, 3), grown on each side: what lies further out would only shrink the rest.

        Args:
            xyz: (P, 3) points, NaN where unknown.
            tails: Share of the points beyond each end that may set no limit.
            margin: Growth on each side, in lengths of the bulk.
        """
        known = xyz[np.isfinite(xyz).all(-1)]
        if len(known) == 0:
            return Box(np.full(3, -1.0), 2.0)
        low, high = np.quantile(known[:: max(1, len(known) // 200_000)], [tails, 1 - tails], axis=0)
        side = float((high - low).max()) * (1 + 2 * margin) or 1.0
        return Box((low + high) / 2 - side / 2, side)

    def rounded(self, xyz: NDArray) -> tuple[U16, B]:
        """Positions (..., 3) as uint16 steps of side / 65534, and (...) which are known and inside."""
        share = (xyz - self.low.astype(np.float32)) / np.float32(self.side)
        with np.errstate(invalid="ignore"):
            inside = np.asarray(((share >= 0) & (share <= 1)).all(-1))
        return (np.where(inside[..., None], share, 0) * _TOP + 0.5).astype(np.uint16), inside


def held(steps: U16, known: B) -> U16:
    """(T, N, 3) positions with unknown ones replaced by the last known one, so that differences over time stay small."""
    frames = np.arange(len(steps))[:, None]
    last = np.maximum.accumulate(np.where(known, frames, 0), axis=0)
    return np.take_along_axis(steps, last[..., None], axis=0)


def byte_planes(values: U16, *, axis: int) -> U8:
    """Differences along an axis, small in both directions, as all low bytes and then all high bytes: what zlib packs best."""
    first = np.zeros_like(np.take(values, [0], axis=axis)) if values.size else values
    step = np.diff(values, axis=axis, prepend=first).astype(np.int16)
    zigzag = ((step.astype(np.int32) << 1) ^ (step.astype(np.int32) >> 15)).astype(np.uint16).reshape(-1)
    return np.concatenate([(zigzag & 255).astype(np.uint8), (zigzag >> 8).astype(np.uint8)])


def depth_steps(depth: F32, near: float, far: float) -> U16:
    """Depths as 1..4095, evenly in their logarithm between `near` and `far`; 0 where unknown or outside."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.log(depth / near) / np.log(far / near)
        slack = 1e-5  # the ends themselves belong to the range
        good = (share >= -slack) & (share <= 1 + slack)
    return np.where(good, np.clip(np.where(good, share, 0), 0, 1) * (DEPTH_LEVELS - 1) + 1.5, 0).astype(np.uint16)


def packed(parts: Mapping[str, U8]) -> tuple[bytes, dict[str, list[int]]]:
    """One zlib stream of all parts, and where each lies in it: name to [start, length]. The same input gives the same bytes."""
    places, start = {}, 0
    for name, part in parts.items():
        places[name] = [start, part.size]
        start += part.size
    everything = np.concatenate([p.reshape(-1) for p in parts.values()]) if parts else np.zeros(0, np.uint8)
    return zlib.compress(everything.tobytes(), 6), places


def short(values: ArrayLike, digits: int = 7) -> Any:
    """Numbers for JSON: nested lists with so many significant digits, None where not finite."""
    array = np.asarray(values, np.float64)
    if array.ndim == 0:
        return float(f"{float(array):.{digits}g}") if np.isfinite(array) else None
    return [short(v, digits) for v in array]
