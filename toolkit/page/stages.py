"""The bars of a run: one for each stage, with its time left; as HTML."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from dataclasses import dataclass

from toolkit.page import texts

_TELLS_FROM = 0.04
"""Share of a stage from which its pace says something."""


@dataclass
class Stage:
    """One stage of a run.

    Attributes:
        message: For a person, such as "Tracking points".
        began_s: When it began.
        share: How much of it is done, 0..1.
        took_s: How long it took; None while it runs.
    """

    message: str
    began_s: float
    share: float = 0.0
    took_s: float | None = None


class Stages:
    """The stages of one run, in the order in which they come."""

    def __init__(self, *, expected_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has begun.

        Args:
            expected_s: How long the whole run should take.
            clock: Tells seconds.
        """
        self._stages: dict[str, Stage] = {}
        self._clock, self._expected_s, self._began_s = clock, expected_s, clock()

    def take(self, stage: str, done: int, total: int, message: str) -> None:
        """Takes an event; a new stage ends the one before it."""
        now = self._clock()
        if stage not in self._stages:
            for earlier in self._stages.values():
                if earlier.took_s is None:
                    earlier.share, earlier.took_s = 1.0, now - earlier.began_s
            self._stages[stage] = Stage(message or stage, now)
        here = self._stages[stage]
        here.share = max(here.share, min(1.0, done / total if total > 0 else 0.0))

    def left_s(self) -> float | None:
        """Seconds until the current stage should be over; None while its pace is not known."""
        running = [s for s in self._stages.values() if s.took_s is None]
        if not running or running[0].share < _TELLS_FROM:
            return None
        stage = running[0]
        return (self._clock() - stage.began_s) * (1 - stage.share) / stage.share

    def html(self) -> str:
        """All bars; the last line says how long the whole may still take."""
        rows = [self._row(stage) for stage in self._stages.values()] or [self._row(Stage(texts.STARTING, self._began_s))]
        foot = ""
        if self._expected_s is not None:
            rest = self._expected_s - (self._clock() - self._began_s)
            told = texts.IN_ALL.format(time=texts.duration(max(rest, self.left_s() or 0))) if rest > 1 else texts.LONGER
            foot = f'<div class="l4-foot">{html.escape(told)}</div>'
        return f'<div class="l4-stages" role="status">{"".join(rows)}{foot}</div>'

    def _row(self, stage: Stage) -> str:
        if stage.took_s is not None:
            state, told = "done", texts.duration(stage.took_s) if stage.took_s >= 1 else "under 1 s"
        else:
            left = self.left_s()
            state, told = "now", "" if left is None else texts.TIME_LEFT.format(time=texts.duration(left))
        percent = round(100 * stage.share)
        return (
            f'<div class="l4-stage {state}"><span class="l4-name">{html.escape(stage.message)}</span>'
            f'<span class="l4-track" role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100">'
            f'<span class="l4-fill" style="width:{percent}%"></span></span><span class="l4-told">{html.escape(told)}</span></div>'
        )


def line(sentence: str, *, kind: str = "plain") -> str:
    """One sentence in the place of the bars."""
    return f'<div class="l4-line {kind}" role="status">{html.escape(sentence)}</div>'
