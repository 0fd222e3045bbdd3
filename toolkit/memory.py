"""How much memory a run took, and how what nobody uses any more goes back to the system between its stages."""

from __future__ import annotations

import ctypes
import functools
import resource
from collections.abc import Callable
from pathlib import Path

_M_MMAP_THRESHOLD = -3  # as malloc.h has it
_KEPT_BYTES = 6 << 20  # pictures of usual size stay cheap to ask for again


def give_back() -> None:
    """Returns freed memory to the system, where its C library can.

    glibc keeps what arrays of a stage freed, scattered over its arenas; the next stage's larger arrays do not fit there, so the peak of
    a run was a tenth higher.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


def peak_mb() -> float:
    """The largest memory of this process so far, in MB, since `forget_peak` where that works.

    Not `ru_maxrss` on Linux: a new process begins there with what its parent had.
    """
    try:
        told = Path("/proc/self/status").read_text()
        return int(told.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak() -> None:
    """From here on the system measures the largest memory of this process anew, where it can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # not Linux: the peak is then that of everything this process has done


@functools.cache
def _c_library() -> ctypes.CDLL | None:
    """glibc, told once to give arrays of more than a few megabytes back as soon as they are freed; None on other systems.

    By itself it keeps up to 32 MB of each size that was freed, in each thread: the longer a run, the more.
    """
    try:
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    except (OSError, AttributeError):
        return None
    return library


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc; None on other systems."""
    library = _c_library()
    return None if library is None else library.malloc_trim
