"""The camera's own motion sensor: orientations from a `camm` track (Camera Motion Metadata specification)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from toolkit.media.boxes import Box, find
from toolkit.scene import F64

_ANGLE_AXIS = 0  # the one of the eight kinds of samples that holds an orientation
MAX_SAMPLES = 5_000_000
"""More samples than an hour at 1 kHz: the table is broken."""


@dataclass(frozen=True, eq=False)
class Orientations:
    """How the camera was turned, over time.

    Attributes:
        times_s: (S,) seconds since the start of the movie, rising.
        R_wc: (S, 3, 3) rotation from camera axes (x right, y down, z forward) to a fixed world.
    """

    times_s: F64
    R_wc: F64

    def at(self, times_s: F64) -> F64:
        """(T, 3, 3) orientations at other times, along the shortest turn; held at both ends."""
        if len(self.times_s) == 1:
            return np.repeat(self.R_wc, len(np.atleast_1d(times_s)), axis=0)
        inside = np.clip(times_s, self.times_s[0], self.times_s[-1])
        return Slerp(self.times_s, Rotation.from_matrix(self.R_wc))(inside).as_matrix()


def read_orientations(data: bytes, table: Box, timescale: int, shift_s: float, file: BinaryIO) -> Orientations | None:
    """The angle-axis samples of a motion track; None where it has none.

    Args:
        data: The payload of the file's `moov` box.
        table: The track's `stbl` box in it.
        timescale: Ticks per second of the track.
        shift_s: Seconds to add to its times.
        file: The open file that holds the samples.

    Raises:
        ValueError: the tables contradict each other.
        struct.error: a table is cut short.
    """
    sizes = _sizes(data, _required(data, table, b"stsz"))
    offsets = _offsets(data, table, sizes)
    ticks = _ticks(data, _required(data, table, b"stts"), len(sizes))
    times, vectors = [], []
    for at, size, tick in zip(offsets, sizes, ticks, strict=True):
        if size < 16:
            continue
        file.seek(int(at))
        sample = file.read(16)
        if len(sample) == 16 and struct.unpack_from("<H", sample, 2)[0] == _ANGLE_AXIS:
            times.append(tick / timescale + shift_s)
            vectors.append(struct.unpack_from("<3f", sample, 4))
    if not times:
        return None
    stamps, turns = np.asarray(times, np.float64), np.asarray(vectors, np.float64)
    good = np.isfinite(turns).all(1)
    stamps, first = np.unique(stamps[good], return_index=True)
    return Orientations(stamps, Rotation.from_rotvec(turns[good][first]).as_matrix()) if len(stamps) else None


def _required(data: bytes, table: Box, kind: bytes) -> Box:
    box = find(data, table, kind)
    if box is None:
        raise ValueError(f"its {kind.decode()} table is missing")
    return box


def _entries(data: bytes, box: Box, columns: int, skip: int = 4) -> np.ndarray:
    """A counted table of big-endian 32-bit numbers, (rows, columns)."""
    (count,) = struct.unpack_from(">I", data, box.start + skip)
    start = box.start + skip + 4
    if start + 4 * columns * count > box.end:
        raise ValueError("a table is cut short")
    return np.frombuffer(data, ">u4", count * columns, start).astype(np.int64).reshape(-1, columns)


def _sizes(data: bytes, box: Box) -> np.ndarray:
    """(S,) bytes of each sample."""
    fixed, count = struct.unpack_from(">2I", data, box.start + 4)
    if count > MAX_SAMPLES:
        raise ValueError(f"it claims {count} samples")
    return np.full(count, fixed, np.int64) if fixed else _entries(data, box, 1, skip=8)[:, 0]


def _offsets(data: bytes, table: Box, sizes: np.ndarray) -> np.ndarray:
    """(S,) place of each sample in the file, from chunks and how many samples each holds."""
    box = find(data, table, b"stco")
    if box is not None:
        chunks = _entries(data, box, 1)[:, 0]
    else:
        pairs = _entries(data, _required(data, table, b"co64"), 2)
        chunks = (pairs[:, 0] << 32) | pairs[:, 1]
    runs = _entries(data, _required(data, table, b"stsc"), 3)
    if len(sizes) == 0:
        return np.zeros(0, np.int64)
    if len(runs) == 0 or len(chunks) == 0:
        return _contradiction()
    # Each run of `stsc` says how many samples every chunk from its first chunk on holds.
    per_chunk = runs[np.searchsorted(runs[:, 0], np.arange(1, len(chunks) + 1), side="right") - 1, 1]
    if per_chunk.sum() < len(sizes) or per_chunk.max(initial=0) > MAX_SAMPLES:
        return _contradiction()
    chunk = np.repeat(np.arange(len(chunks)), per_chunk)[: len(sizes)]
    ends = np.cumsum(sizes)
    starts = ends - sizes
    first = np.searchsorted(chunk, np.arange(len(chunks)))
    return chunks[chunk] + starts - starts[np.minimum(first, len(sizes) - 1)][chunk]


def _contradiction() -> np.ndarray:
    raise ValueError("its tables contradict each other")


def _ticks(data: bytes, box: Box, count: int) -> np.ndarray:
    """(S,) time of each sample in ticks."""
    runs = _entries(data, box, 2)
    if runs[:, 0].sum() > MAX_SAMPLES or runs[:, 0].sum() < count:
        raise ValueError("its times do not match its samples")
    lasts = np.repeat(runs[:, 1], runs[:, 0])[:count]
    return np.cumsum(lasts) - lasts
