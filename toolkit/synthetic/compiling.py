"""Compiled inner loops that are kept on disk, and compiled anew when any of the files they are made of changes."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

_SOURCES = ("surfaces.py", "textures.py", "light.py", "raycast.py")


def _fingerprint() -> str:
    """Changes with the text of any file of compiled code in this folder."""
    return hashlib.sha256(b"".join((Path(__file__).parent / name).read_bytes() for name in _SOURCES)).hexdigest()


_STAMP = _fingerprint()


def compiled(function: Callable) -> Any:
    """`numba.njit` for functions that call each other across files.

    numba keeps what it compiled until the file of the function itself changes, although it holds code of the files it calls too:
    after a change in one of those it would go on with the old code. Divisions by zero give infinities, as in numpy.
    """
    try:
        dispatcher: Any = njit(cache=True, error_model="numpy")(function)
    except RuntimeError as error:
        # A read-only installation without a home folder.
        if "cache" not in str(error):
            raise
        warnings.warn("Compiled code cannot be kept on disk; set NUMBA_CACHE_DIR to a writable folder.", RuntimeWarning, stacklevel=2)
        return njit(error_model="numpy")(function)
    index = dispatcher._cache._cache_file
    index._source_stamp = (index._source_stamp, _STAMP)
    return dispatcher
