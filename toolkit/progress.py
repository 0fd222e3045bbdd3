"""How a long computation tells its caller where it is, and how the caller stops it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.disk_arrays import stay_small
from toolkit.errors import Cancelled

if TYPE_CHECKING:
    from toolkit.scene import Scene

Report = Callable[[int, int], None]
"""What a stage calls after each unit of work: `report(done, total)`. It may raise `Cancelled` to stop the stage."""


@dataclass(frozen=True)
class Progress:
    """One event of a run.

    Attributes:
        stage: Short name of the running stage, such as "tracks".
        done: Units of this stage that are finished.
        total: Units of this stage in all; 0 when not known.
        message: One line for a person, such as "Tracking points".
        result: The scene, on the last event only.
    """

    stage: str
    done: int
    total: int
    message: str = ""
    result: Scene | None = None

    @property
    def fraction(self) -> float:
        """Share of the stage that is done, 0..1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


Listener = Callable[[Progress], None]
"""What a method tells its events to. It may raise `Cancelled` to stop the method."""


def silent(done: int, total: int) -> None:
    """A `Report` that tells nobody."""


def reporter(listener: Listener, stage: str, message: str) -> Report:
    """The `Report` of one stage: turns its counts into events for the listener, the first one at once."""

    def report(done: int, total: int) -> None:
        stay_small()  # a stage reports after every frame
        listener(Progress(stage, done, total, message))

    report(0, 0)
    return report


def as_events(work: Callable[[Listener], Scene]) -> Iterator[Progress]:
    """Runs `work` beside the caller and yields what it tells; the last event carries the scene.

    Closing the generator cancels: the next report inside `work` raises `Cancelled`, and closing returns once `work` has
    stopped. An exception of `work` is raised to whoever iterates.
    """
    events: queue.SimpleQueue[Progress | BaseException] = queue.SimpleQueue()
    stop = threading.Event()

    def listen(event: Progress) -> None:
        if stop.is_set():
            raise Cancelled
        events.put(event)

    def body() -> None:
        try:
            events.put(Progress("done", 1, 1, "Done", work(listen)))
        except BaseException as problem:  # handed to the iterating thread, which raises it
            events.put(problem)

    worker = threading.Thread(target=body, name="lift4d-run", daemon=True)
    worker.start()
    try:
        while True:
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if event.result is not None:
                return
    finally:
        stop.set()
        worker.join()
