"""Large arrays live in unnamed files, so that memory holds what is being worked on and not the length of a clip."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LARGE_MB = 4  # smaller arrays stay in memory: what a few of them take does not matter
TOGETHER = 16  # frames after which who goes through a clip once may `let_go`
_RESIDENT_MB = 384  # of all such arrays together, before their pages go back; with a quarter of it a run takes a fifth longer
_LEAST_RESIDENT_MB = 128
_WINDOW, _PIXEL_BYTES = 200, 24  # frames that may stay in memory, and what a pixel takes of them: pictures, depth, flow
_CODE_MB = 8  # that libraries may have grown by from one look to the next; more is an array that somebody asks for meanwhile
_PIECE = 1_000_000  # samples that are computed with at a time: some ten arrays of them are there at once
_BLOCK = 32 << 20  # bytes that are copied at a time
_LOOK_S = 0.01
_PAGES_MB = mmap.PAGESIZE / 2**20
_STATM = Path("/proc/self/statm")


def large_empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Room for an array, in an unnamed file where it is large; in memory where it is not, or where no file can be had.

    The file has no name, so that nothing is left of it however the process ends, and all its room is taken beforehand, so that a disk
    which fills up later does no harm. It lies where `tempfile` puts its own. A large array begins as zeros.

    Args:
        shape: Of the array.
        dtype: Of the array.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size < LARGE_MB << 20 or not hasattr(mmap, "MADV_DONTNEED"):
        return np.empty(shape, dtype)
    try:
        room = _mapped(size)
    except OSError:  # no such folder, no room on the disk, no leave for files so large
        return np.empty(shape, dtype)
    _keeper.watch(room)
    return np.ndarray(shape, dtype, buffer=room)


def large_full(shape: tuple[int, ...], value: float | bool, dtype: DTypeLike) -> NDArray[Any]:
    """`numpy.full`, in a file where it is large."""
    array = large_empty(shape, dtype)
    for some in _blocks(array):
        array[some] = value
    return array


def large_copy(array: NDArray[Any]) -> NDArray[Any]:
    """`array.copy()`, in a file where it is large."""
    copy = large_empty(array.shape, array.dtype)
    for some in _blocks(array):
        copy[some] = array[some]
    return copy


def large_take(array: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    """`array[rows]` for a mask or indices of the first axis, in a file where it is large."""
    if array.nbytes < LARGE_MB << 20:
        return array[rows]
    index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    taken = large_empty((len(index), *array.shape[1:]), array.dtype)
    for some in pieces(len(index), array[:1].size):
        np.take(array, index[some], axis=0, out=taken[some])
    return taken


def some_frames(array: NDArray[Any], rows: NDArray[Any], frames: slice) -> NDArray[Any]:
    """`array[rows, frames]` of an (N, T, ...) array, in memory.

    Tracks lie one after the other: whoever goes through frame by frame takes several at a time, as every frame is all over the disk.
    """
    out = np.empty((len(rows), *array[:0, frames].shape[1:]), array.dtype)
    for part in pieces(len(rows), array[:1].size):
        out[part] = array[rows[part], frames]
    return out


def pieces(rows: int, samples: int, *, most: int = _PIECE) -> Iterator[slice]:
    """All rows, so many at a time that what is computed from them fits into memory, however long they are; see `stay_small`.

    Args:
        rows: How many there are.
        samples: In each of them.
        most: Samples at a time.
    """
    step = max(1, most // max(samples, 1))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))
        stay_small()


def stay_small() -> None:
    """Gives all pages back where so many are there that it is time to.

    A thread does so, too, every few milliseconds; but while it is at it, or waits for its turn on a busy machine, whoever works asks for
    further pages as fast as memory is. So those that go through much of a clip call this after every frame, or piece.
    """
    _keeper.stay_small()


def _blocks(array: NDArray[Any]) -> Iterator[slice]:
    """Some rows of an array after the other, a few dozen megabytes each; all of one without axes."""
    if array.ndim == 0 or array.nbytes < LARGE_MB << 20:
        yield slice(None) if array.ndim else ...  # type: ignore[misc]
        return
    yield from pieces(len(array), array[:1].nbytes, most=_BLOCK)


def frames_are(size: tuple[int, int]) -> None:
    """Says how large the frames are that are worked on: of small ones less stays in memory, as much as a clip of usual length takes.

    Args:
        size: (width, height) in pixels.
    """
    window_mb = _WINDOW * size[0] * size[1] * _PIXEL_BYTES / 2**20
    _keeper.most_mb = min(max(window_mb, _LEAST_RESIDENT_MB), _RESIDENT_MB)


def let_go() -> None:
    """Gives all pages of such arrays back at once, for whoever is done with a part: otherwise hundreds of megabytes stay for speed."""
    _keeper.give_back()


def _mapped(size: int) -> mmap.mmap:
    """Memory that is a file."""
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free < 2 * size:  # others need some, too
        raise OSError("not enough room")
    with tempfile.TemporaryFile(dir=folder, prefix="lift4d-") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return mmap.mmap(file.fileno(), size)


class _Keeper:
    """Gives pages of mapped files back while they are worked on: they stay in the file, and come again when they are asked for.

    The system would only do so when all memory is full, and counts them as the program's own until then.
    """

    def __init__(self) -> None:
        self._rooms: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._lock, self._giving = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._least_mb = float("inf")
        self._process = 0
        self.most_mb: float = _RESIDENT_MB

    def watch(self, room: mmap.mmap) -> None:
        """From now on its pages are given back."""
        if self._process != os.getpid():  # threads and locks do not outlive a fork
            self._lock, self._giving, self._thread, self._process = threading.Lock(), threading.Lock(), None, os.getpid()
            self._least_mb = _shared_mb()
        with self._lock:
            self._rooms.add(room)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="lift4d-pages", daemon=True)
                self._thread.start()

    def _keep(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            self.stay_small()
            with self._lock:
                if not len(self._rooms):
                    self._thread = None
                    return

    def stay_small(self) -> None:
        """Every page goes back to its file where there are many."""
        if not len(self._rooms):
            return
        with self._giving:  # who comes second waits, rather than ask for further pages meanwhile
            shared_mb = _shared_mb()
            self._least_mb = min(self._least_mb, shared_mb)
            if not shared_mb - self._least_mb <= self.most_mb:  # where the system does not tell, at every look
                self.give_back()
                self._least_mb = min(_shared_mb(), self._least_mb + _CODE_MB)  # code of libraries counts, too

    def give_back(self) -> None:
        """Every page goes back to its file."""
        with self._lock:
            rooms = list(self._rooms)
        for room in rooms:
            room.madvise(mmap.MADV_DONTNEED)


def _shared_mb() -> float:
    """Memory of this process that belongs to files; NaN where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[2]) * _PAGES_MB
    except OSError:
        return float("nan")


_keeper = _Keeper()
