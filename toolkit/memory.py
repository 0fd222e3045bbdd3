"""How much memory a run took, and how what nobody uses any more goes back to the system between its stages."""

from __future__ import annotations

import ctypes
import functools
import resource
from collections.abc import Callable
from pathlib import Path


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
def _trim() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc; None on other systems."""
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None
