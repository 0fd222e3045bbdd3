"""One decorator for inner loops: compiled by numba, kept on disk, and compiled anew when a file they are made of changes."""

from __future__ import annotations

import functools
import hashlib
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """Like `numba.njit(cache=True, nogil=True, **options)`, for functions that call others of their folder.

    numba keeps what it compiled until the file of the function itself changes, although it holds code of the files it calls too;
    after a change in one of those it would go on with the old code. Here any change in the folder counts. Call compiled functions
    of other folders from Python only.

    Sums in any order (`fastmath`) are for functions that no other compiled one calls: what is called is there twice, once by itself and
    once within its caller, each in an order of its own, and which of the two is taken depends on whether the code was compiled just now
    or found on disk.

    A read-only installation only costs time: numba looks for a writable place beside the source, then in the user's cache folder,
    and where there is none the code is compiled at each start, with a warning that says so.
    """
    options = {"nogil": True, **options}

    def decorate(function: Callable) -> Any:
        try:
            dispatcher: Any = njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "cache" not in str(error):
                raise
            warnings.warn(
                "Compiled code cannot be kept on disk, so each start spends some seconds compiling it again; "
                "set NUMBA_CACHE_DIR to a writable folder to avoid this.",
                RuntimeWarning,
                stacklevel=2,
            )
            return njit(**options)(function)
        index = dispatcher._cache._cache_file
        index._source_stamp = (index._source_stamp, _fingerprint(Path(inspect.getfile(function)).parent))
        return dispatcher

    return decorate


@functools.cache
def _fingerprint(folder: Path) -> str:
    """Changes with the text of any Python file of the folder."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()
