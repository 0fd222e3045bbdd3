"""One decorator for inner loops: compiled by numba, kept on disk where that is possible."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Like `numba.njit(cache=True, **options)`, but a read-only installation only costs time, with a warning that says so.

    numba looks for a writable place beside the source file, then in the user's cache folder, and raises while the module
    is imported if there is none.
    """

    def decorate(function: Callable) -> Callable:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "cache" not in str(error):
                raise
            warnings.warn(
                "Compiled stereo code cannot be kept on disk, so each start spends some seconds compiling it again; "
                "set NUMBA_CACHE_DIR to a writable folder to avoid this.",
                RuntimeWarning,
                stacklevel=3,
            )
            return njit(**options)(function)

    return decorate
