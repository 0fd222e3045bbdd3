"""The run of the page: a bar a stage while it works, a way to stop it, and a number that rises when its result can be shown."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from toolkit.errors import Cancelled, UserError
from toolkit.page import cards, texts
from toolkit.page.bringing import bring_example
from toolkit.page.desk import TICK_S, Changes, Desk, sentence, ticking
from toolkit.page.pointing import Pointing
from toolkit.page.scratch import Visitor
from toolkit.page.settings import checked_frames
from toolkit.page.stages import Stages, line

_SOON_S = 5.0  # in which a cancelled run ends


class Running:
    """What happens when a visitor runs a clip."""

    def __init__(self, desk: Desk, pointing: Pointing) -> None:
        """For the visitors of a desk."""
        self.desk, self._pointing = desk, pointing

    async def run(
        self, kind: str, method: str | None, settings: str, preset: str, text: str, frames: float | None, request: gr.Request
    ) -> AsyncIterator[Changes]:
        """Runs the clip with a bar a stage, and says when there is something to show."""
        visitor = self.desk.visitor(request)
        visitor.kept["run"] = "in work"
        visitor.kept.pop("cancelled_s", None)
        try:
            if "example" in visitor.kept and visitor.kept.get("clip") is None:
                # The page opens with an example on show: who presses Run means that.
                bring_example(visitor, visitor.kept["example"])
                settings = settings or visitor.kept["settings"]
                visitor.kept["found"] = await self.desk.studio.look(visitor, self.desk.options(kind, settings, method))
                yield self.desk.changes(found=cards.found_card(visitor.kept["name"], visitor.kept["found"], []))
            found = visitor.kept.get("found")
            if found is None or visitor.kept.get("clip") is None:
                raise UserError(texts.NO_CLIP)
            async for state in self._running(visitor, found, kind, method, settings, preset, text, frames):
                if isinstance(state, str):
                    yield self.desk.changes(status=state)
                else:
                    visitor.kept["told"] = state
                    words = texts.DONE.format(seconds=texts.duration(state["seconds"]), memory=state["memory_mb"] / 1000)
                    yield self.desk.changes(status=line(words, kind="good"), result=visitor.kept["runs"])
        except Exception as problem:
            yield self.desk.changes(status=line(sentence(problem), kind="plain" if isinstance(problem, Cancelled) else "poor"))
        # Not in a finally: Gradio may close a run that is cancelled before the handler of Cancel is asked, which then could not tell.
        visitor.kept["run"] = "ended"

    async def _running(
        self,
        visitor: Visitor,
        found: dict[str, Any],
        kind: str,
        method: str | None,
        settings: str,
        preset: str,
        text: str,
        frames: float | None,
    ) -> AsyncIterator[str | dict[str, Any]]:
        """The bars as HTML; at the end what the result tells of itself."""
        options = self.desk.options(kind, settings, method)
        arguments: dict[str, Any] = {}
        job = "open" if found["has_result"] and not found["methods"] else "run"
        if job == "run":
            if not found["methods"]:
                raise UserError(texts.NO_METHOD.format(kind=found["kind"]))
            if text.strip() and "frame" not in visitor.kept:
                visitor.kept["frame"] = await self.desk.studio.picture(visitor, "frame", frame=0, options=options)
            points = self._pointing.points(visitor, text) if text.strip() else []
            asked = checked_frames(frames)
            arguments = {"method": method or "auto", "preset": preset, "options": options, "points": points, "frames": asked}
        cost = found["estimate"].get(preset)
        stages = Stages(expected_s=cost["seconds"] if cost and job == "run" else None)
        yield stages.html()
        async for event in ticking(self.desk.studio.run(visitor, job, **arguments), TICK_S):
            if event is not None and "answer" in event:
                yield event["answer"]
                return
            if event is not None:
                stages.take(**event)
            yield stages.html()

    def refused(self, request: gr.Request) -> Changes:
        """A run that ended from outside: it was cancelled, or a control held something impossible, which its own message tells."""
        # Once: whatever is refused after that was not cancelled.
        cancelled = self.desk.visitor(request).kept.pop("cancelled_s", -_SOON_S) + _SOON_S > time.monotonic()
        return self.desk.changes(status=line(texts.CANCELLED if cancelled else texts.READY))

    def cancel(self, request: gr.Request) -> Changes:
        """Stops what runs, at once."""
        visitor = self.desk.visitor(request)
        stopped = self.desk.studio.cancel(visitor) or visitor.kept.get("run") == "in work"
        if stopped:
            visitor.kept.update(run="cancelled", cancelled_s=time.monotonic())
        return self.desk.changes(status=line(texts.CANCELLED if stopped else texts.READY))

    def leave(self, request: gr.Request) -> None:
        """The page was closed: what runs for it stops, its files go soon."""
        self.desk.studio.cancel(self.desk.studio.scratch.left(request.session_hash))
