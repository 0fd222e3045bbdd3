"""Where a run may use a graphics processor: on a Space that lends them, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def gpu(duration_s: int = 60) -> Callable[[Function], Function]:
    """Marks a function that wants a graphics processor for so many seconds.

    On a ZeroGPU Space (the platform sets SPACES_ZERO_GPU) it runs with one; elsewhere the function is returned as it is, and
    nothing is imported.
    """

    def mark(function: Function) -> Function:
        if os.environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "true", "t", "yes"):
            return function
        import spaces  # type: ignore[import-not-found]  # the platform brings it

        return spaces.GPU(duration=duration_s)(function)

    return mark
