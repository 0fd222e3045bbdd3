"""A progress bar for the kernel of a notebook: one output that is redrawn, and no widgets to install."""

from __future__ import annotations

import html
import time
from typing import Any

from toolkit.progress import Progress

_REDRAW_S = 0.2  # faster is more than the eye follows, and each redraw is a message to the browser


class NotebookBars:
    """A listener that draws one bar a stage below the cell; the bars stay when it is done."""

    def __init__(self) -> None:
        self._stages: dict[str, tuple[Progress, float, float]] = {}  # last event, when the stage began, when it was heard last
        self._output: Any = None
        self._drawn_s = -float("inf")

    def __call__(self, event: Progress) -> None:
        """Takes one event, and redraws where enough time has passed or a stage is finished."""
        now = time.perf_counter()
        began = self._stages[event.stage][1] if event.stage in self._stages else now
        self._stages[event.stage] = (event, began, now)
        finished = 0 < event.total <= event.done
        if finished or now - self._drawn_s >= _REDRAW_S:
            self._drawn_s = now
            self._draw()

    def table(self) -> str:
        """The bars as HTML."""
        return f'<table style="margin-left:0">{"".join(_row(*stage) for stage in self._stages.values())}</table>'

    def _draw(self) -> None:
        from IPython.display import HTML, display

        if self._output is None:
            self._output = display(HTML(self.table()), display_id=True)
        else:
            self._output.update(HTML(self.table()))


def _row(event: Progress, began_s: float, heard_s: float) -> str:
    name = html.escape(event.message or event.stage)
    bar = f'<progress style="width:16em" value="{event.fraction:.3f}" max="1"></progress>'
    cells = (name, bar, f"{event.done} / {event.total}" if event.total else "", f"{heard_s - began_s:.1f} s")
    return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"
