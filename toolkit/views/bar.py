"""A progress bar in a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from toolkit.progress import Listener, Progress
from toolkit.views.notebook_bar import NotebookBars
from toolkit.views.page_display import in_notebook


@contextmanager
def progress_bar() -> Iterator[Listener]:
    """A listener that draws one bar a stage, with the time left; the bars stay when it is done.

    In a terminal it writes to stderr: what a command hands on is on stdout alone.
    """
    if in_notebook():  # there rich needs widgets, and warns without them at every redraw
        yield NotebookBars()
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    bars = Bars(*columns, console=Console(stderr=True), transient=False)
    tasks: dict[str, int] = {}

    def listen(event: Progress) -> None:
        if not tasks:
            bars.start()
        if event.stage not in tasks:
            tasks[event.stage] = bars.add_task(event.message or event.stage, total=None)
        bars.update(tasks[event.stage], completed=event.done, total=event.total or None)  # type: ignore[arg-type]

    try:
        yield listen
    finally:
        if tasks:  # what is refused before its first stage leaves no empty line
            bars.stop()
