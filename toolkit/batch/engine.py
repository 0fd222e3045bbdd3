"""What every engine does: takes tasks, hands back lines of the ledger in the order in which they are ready."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from toolkit.batch.work import Task

_SHARE = 0.8
"""Of the memory that is free: others need some, and expectations are no promises."""


@dataclass(frozen=True)
class Limits:
    """What a clip, and all together, may take.

    Attributes:
        workers: Clips at a time.
        memory_mb: All clips in work together.
        seconds: One clip; None for as long as it takes.
        retries: How often a clip is tried again after it took its worker along.
        gpus: Graphics processors, or a share of one, for each clip; on Ray alone.
    """

    workers: int
    memory_mb: float
    seconds: float | None = None
    retries: int = 2
    gpus: float = 0.0


class Engine(Protocol):
    """A way to have tasks done."""

    def work(self, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
        """Does all tasks.

        Yields:
            Lines for the ledger: one with the state "started" whenever a clip is begun where that is known, and one of its end.

        Raises:
            DiskFull: no room is left.
        """
        ...

    def close(self) -> None:
        """Ends everything at once; whatever is in work is dropped."""
        ...


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory_mb() -> float:
    """What may be taken of the memory that is free now, of this machine or of the container it runs in."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    except (OSError, ValueError):
        pass  # no container, or one without a limit
    return _SHARE * free / 2**20


def lost_line(task: Task, sentence: str) -> dict[str, Any]:
    """The line of a clip that no worker came back from."""
    from toolkit.batch.work import print_or_none

    keys = {"run_key": task.wanted.run_key, "files_key": task.wanted.files_key, "print": print_or_none(task.path)}
    return {"clip": task.clip, "path": task.path, "attempt": task.attempt, "state": "failed", "sentence": sentence, **keys}
