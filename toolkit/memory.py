"""Between the stages of a run, memory that nobody uses any more goes back to the system."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Returns freed memory to the system, where its C library can.

    glibc keeps what arrays of a stage freed, scattered over its arenas; the next stage's larger arrays do not fit there, so the peak of
    a run was a tenth higher.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc; None on other systems."""
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None
