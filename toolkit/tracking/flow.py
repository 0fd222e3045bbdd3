"""Optical flow between frames 1, 2, 4 and 16 apart, both ways, computed once per clip and shared by all tracks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import large_empty
from toolkit.errors import UserError
from toolkit.parallel import workers
from toolkit.progress import Report, silent
from toolkit.scene import F32, U8

I16 = NDArray[np.int16]

# Fields are kept as 1/64 px in 16 bits: half the memory of float32, an error of 0.005 px, displacements up to 511 px.
UNITS_PER_PX = 64.0
MIN_SIDE_PX = 16  # DIS matches 8 px patches on an image of half the size.
_EMPTY = np.zeros((0, 0, 2), np.int16)


@dataclass(frozen=True)
class FlowSettings:
    """How flow is computed.

    Attributes:
        strides: Frame distances. Long ones stop drift (a hop costs the same error whatever its length), short ones survive fast change.
        refined_strides: Distances whose fields get a variational refinement at full resolution; it moves most where hops are long.
        quick_strides: Distances that get half the search effort: so near, frames hardly differ, and more effort or refinement changes
            none of the scores.
        max_pixels: Larger frames are shrunk to about this area first: DIS is tuned to images of this size.
        memory_mb: All fields of a clip together stay below it, at half or a quarter of the resolution if need be (costs about 0.1 point).
    """

    strides: tuple[int, ...] = (1, 2, 4, 16)
    refined_strides: tuple[int, ...] = (4, 16)
    quick_strides: tuple[int, ...] = (1, 2)
    max_pixels: int = 420_000
    memory_mb: float = 700.0


@dataclass(frozen=True, eq=False)
class FlowBank:
    """All flow fields of a clip.

    Attributes:
        size: (width, height) of the frames that displacements are in pixels of; fields may be stored smaller.
        frames: Number of frames, T.
        later: Per stride s, (max(T - s, 0), h, w, 2) int16: from frame t to t + s, in 1/64 px.
        earlier: Per stride s, (max(T - s, 0), h, w, 2) int16: from frame t + s back to t, in 1/64 px.
    """

    size: tuple[int, int]
    frames: int
    later: dict[int, I16]
    earlier: dict[int, I16]

    @property
    def strides(self) -> tuple[int, ...]:
        """Frame distances, shortest first."""
        return tuple(self.later)

    def into(self, t: int, direction: int) -> tuple[tuple[I16, ...], tuple[I16, ...]]:
        """Fields that lead into frame `t` and back out of it, one per stride; empty where the clip has no such frame.

        Args:
            t: The frame that tracks are carried to.
            direction: +1 carries from t - s, -1 from t + s.
        """
        there, back = (self.later, self.earlier) if direction > 0 else (self.earlier, self.later)
        first = {s: t - s if direction > 0 else t for s in self.strides}
        exists = {s: 0 <= first[s] < len(self.later[s]) for s in self.strides}
        return (
            tuple(there[s][first[s]] if exists[s] else _EMPTY for s in self.strides),
            tuple(back[s][first[s]] if exists[s] else _EMPTY for s in self.strides),
        )

    def part(self, first: int, last: int) -> FlowBank:
        """The fields between frames first .. last-1, in the same memory."""
        later, earlier = ({s: fields[first : max(first, last - s)] for s, fields in way.items()} for way in (self.later, self.earlier))
        return FlowBank(self.size, last - first, later, earlier)


def working_frames(frames: U8, *, max_pixels: int) -> U8:
    """(T, h, w) gray frames of at most about `max_pixels`, from (T, H, W, 3) RGB.

    Raises:
        UserError: If the frames are too small to hold texture.
    """
    height, width = frames.shape[1:3]
    if min(height, width) < MIN_SIDE_PX:
        raise UserError(f"The video is {width} x {height} px, but tracking points needs at least {MIN_SIDE_PX} x {MIN_SIDE_PX}.")
    shrink = min(1.0, float(np.sqrt(max_pixels / (width * height))))
    size = (max(MIN_SIDE_PX, round(width * shrink)), max(MIN_SIDE_PX, round(height * shrink)))
    gray = large_empty((len(frames), size[1], size[0]), np.uint8)
    for t, frame in enumerate(frames):
        full = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        gray[t] = full if shrink == 1.0 else cv2.resize(full, size, interpolation=cv2.INTER_AREA)
    return gray


def compute_flows(gray: U8, settings: FlowSettings, *, report: Report = silent) -> FlowBank:
    """Dense inverse-search flow (Kroeger et al., ECCV 2016) between all frames a stride apart, both ways.

    Args:
        gray: (T, H, W) uint8 frames.
        settings: Strides, effort and memory.
        report: Called once per frame.

    Returns:
        The fields, no larger than `settings.memory_mb` together.
    """
    count, height, width = gray.shape
    # All strides are there in short clips too, without fields: the compiled loops then always see the same types.
    pairs = {s: max(count - s, 0) for s in settings.strides}
    stored = _stored_size((width, height), sum(pairs.values()), settings.memory_mb)
    later, earlier = ({s: large_empty((n, stored[1], stored[0], 2), np.int16) for s, n in pairs.items()} for _ in range(2))
    bank = FlowBank((width, height), count, later, earlier)
    local = threading.local()

    def fill(t: int) -> None:
        if not hasattr(local, "flow"):
            local.flow = _matcher()
        for s in pairs:
            if t >= s:
                effort = s in settings.quick_strides, s in settings.refined_strides
                bank.later[s][t - s] = _stored(local.flow(gray[t - s], gray[t], *effort), stored)
                bank.earlier[s][t - s] = _stored(local.flow(gray[t], gray[t - s], *effort), stored)

    # OpenCV lets go of the interpreter while it computes, and frames are independent of each other.
    pool = ThreadPoolExecutor(max_workers=workers())
    try:
        for t, _ in enumerate(pool.map(fill, range(count))):
            report(t + 1, count)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return bank


def _matcher() -> Callable[[U8, U8, bool, bool], F32]:
    thorough = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    hasty = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    hasty.setPatchStride(4)  # 3 in the preset
    hasty.setGradientDescentIterations(12)  # 25 in the preset
    # DIS stops at half resolution; five more rounds of its own energy at full resolution sharpen the field.
    refinement = cv2.VariationalRefinement.create()
    refinement.setAlpha(20.0)
    refinement.setDelta(5.0)
    refinement.setGamma(10.0)
    refinement.setFixedPointIterations(5)
    refinement.setSorIterations(5)

    def flow(source: U8, target: U8, quick: bool, refined: bool) -> F32:
        field = (hasty if quick else thorough).calc(source, target, None)  # type: ignore[call-overload]
        if refined:
            u, v = cv2.split(field)
            u, v = refinement.calcUV(source, target, u, v)
            field = cv2.merge([u, v])
        return np.asarray(field, np.float32)

    return flow


def _stored_size(size: tuple[int, int], pairs: int, memory_mb: float) -> tuple[int, int]:
    """The largest of the full, half, quarter ... size at which `pairs` fields each way fit into the memory."""
    shrink = 1
    while pairs * 2 * 4 * (size[0] // shrink) * (size[1] // shrink) > memory_mb * 1e6 and min(size) // (shrink * 2) >= MIN_SIDE_PX // 2:
        shrink *= 2
    return size[0] // shrink, size[1] // shrink


def _stored(field: F32, size: tuple[int, int]) -> I16:
    if (field.shape[1], field.shape[0]) != size:
        field = np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_AREA), np.float32)
    limit = np.iinfo(np.int16).max
    return np.clip(np.rint(field * UNITS_PER_PX), -limit, limit).astype(np.int16)
