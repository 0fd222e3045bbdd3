"""The run of the page: a bar a stage while it works, a way to stop it, and a number that rises when its result can be shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from toolkit.errors import Cancelled, UserError
from toolkit.methods.registry import methods
from toolkit.page import cards, texts
from toolkit.page.bringing import bring_example
from toolkit.page.desk import TICK_S, Changes, Desk, costs, heard, sentence, ticking
from toolkit.page.pointing import Pointing
from toolkit.page.scratch import Visitor
from toolkit.page.settings import check_values, checked_frames
from toolkit.page.stages import Stages, line


class Running:
    """What happens when a visitor runs a clip.

    What became of a visitor's last press of Run is `kept["run"]`: "asked", "in work", "ended", or "cancelled". Cancel is answered by two
    events that come in any order, Gradio's closing of the run, after which it asks `refused`, and the handler `cancel`; each finds out
    from that alone, and none but the next press takes "cancelled" back.
    """

    def __init__(self, desk: Desk, pointing: Pointing) -> None:
        """For the visitors of a desk."""
        self.desk, self._pointing = desk, pointing

    def asked(self, request: gr.Request) -> None:
        """Run was pressed; the clip may have to wait for its turn."""
        visitor = self.desk.visitor(request)
        if visitor.job is None:
            visitor.kept["run"] = "asked"

    @heard
    async def run(
        self, kind: str, method: str | None, settings: str, preset: str, text: str, frames: float | None, request: gr.Request
    ) -> AsyncIterator[Changes]:
        """Runs the clip with a bar a stage, and says when there is something to show."""
        visitor = self.desk.visitor(request)
        visitor.kept["run"] = "in work"
        try:
            while visitor.kept.get("looking"):  # Run was pressed while the clip was still being looked at
                await asyncio.sleep(TICK_S)
            if "example" in visitor.kept and visitor.kept.get("clip") is None:
                # The page opens with an example on show: who presses Run means that.
                bring_example(visitor, visitor.kept["example"])
                settings, method = settings or visitor.kept["settings"], method or visitor.kept["method"]
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
                    visitor.kept["shown"] = visitor.kept.get("title", "")
                    words = texts.DONE.format(seconds=texts.duration(state["seconds"]), memory=state["memory_mb"] / 1000)
                    poor = ", ".join(state.get("poor", []))
                    words = texts.DONE_POORLY.format(done=words, poor=poor) if poor else words
                    yield self.desk.changes(status=line(words, kind="good fair" if poor else "good"), result=visitor.kept["runs"])
        except (GeneratorExit, asyncio.CancelledError):
            visitor.kept["run"] = "cancelled"
            raise
        except Exception as problem:
            if isinstance(problem, Cancelled):
                visitor.kept["run"] = "cancelled"
            yield self.desk.changes(status=line(sentence(problem), kind="plain" if isinstance(problem, Cancelled) else "poor"))
        if visitor.kept["run"] == "in work":
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
        if method not in found["methods"]:  # it was chosen for the clip before
            method = None
        options = self.desk.options(kind, settings, method)
        arguments: dict[str, Any] = {}
        job = "open" if found["has_result"] and not found["methods"] else "run"
        if job == "run":
            if not found["methods"]:
                takes = sorted({known for info in methods().values() for known in info.inputs})
                raise UserError(texts.NO_METHOD.format(kind=found["kind"], takes=", ".join(takes)))
            check_values(method or found["methods"][0], preset, options)
            if text.strip() and "frame" not in visitor.kept:
                visitor.kept["frame"] = await self.desk.studio.picture(visitor, "frame", frame=0, options=options)
            points = self._pointing.points(visitor, text) if text.strip() else []
            asked = checked_frames(frames)
            arguments = {"method": method or "auto", "preset": preset, "options": options, "points": points, "frames": asked}
        cost = costs(found, method, arguments["frames"]).get(preset) if job == "run" else None
        stages = Stages(expected_s=cost["seconds"] if cost else None)
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
        visitor = self.desk.visitor(request)
        begun = visitor.kept.get("run") in ("in work", "cancelled")
        return self.desk.changes(status=line(texts.CANCELLED) if begun else self.desk.ready(visitor))

    def cancel(self, request: gr.Request) -> Changes:
        """Stops what runs, at once."""
        visitor = self.desk.visitor(request)
        if self.desk.studio.cancel(visitor) or visitor.kept.get("run") in ("asked", "in work", "cancelled"):
            visitor.kept["run"] = "cancelled"
            return self.desk.changes(status=line(texts.CANCELLED))
        return self.desk.changes(status=self.desk.ready(visitor))

    def leave(self, request: gr.Request) -> None:
        """The page was closed: what runs for it stops, its files go soon."""
        self.desk.studio.cancel(self.desk.studio.scratch.left(request.session_hash))
