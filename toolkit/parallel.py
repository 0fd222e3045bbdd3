"""Frames worked on side by side by a few threads, their results in order: OpenCV and compiled loops let go of Python's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from toolkit.disk_arrays import stay_small

In = TypeVar("In")
Out = TypeVar("Out")


def workers() -> int:
    """Threads that are used: the machine's cores up to four, or what LIFT4D_THREADS says."""
    return max(1, int(os.environ.get("LIFT4D_THREADS", min(4, os.cpu_count() or 1))))


def in_order(function: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """`map(function, items)` with a few items in work at a time; memory is bounded by these.

    Stopping early, or an exception, waits for the items in work and starts no others.
    """
    count = workers()
    if count == 1:
        for item in items:
            yield function(item)
            stay_small()
        return
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="lift4d") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
                    stay_small()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
