"""The run of the page: bars while it works, every view of its result afterwards; and the examples, whose results are there already."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from toolkit.errors import Cancelled, UserError
from toolkit.page import cards, texts
from toolkit.page.bringing import Bringing
from toolkit.page.desk import TICK_S, Changes, Desk, sentence, ticking
from toolkit.page.pointing import Pointing
from toolkit.page.results import downloads, in_words
from toolkit.page.scratch import Visitor
from toolkit.page.stages import Stages, line


class Running:
    """What happens when a visitor runs a clip, or opens an example."""

    def __init__(self, desk: Desk, bringing: Bringing, pointing: Pointing) -> None:
        """For the visitors of a desk."""
        self.desk, self._bringing, self._pointing = desk, bringing, pointing

    async def run(
        self, kind: str, method: str | None, settings: str, preset: str, text: str, frames: float | None, request: gr.Request
    ) -> AsyncIterator[Changes]:
        """Runs the clip with a bar a stage, then shows what came of it."""
        visitor = self.desk.visitor(request)
        try:
            found = visitor.kept.get("found")
            if found is None or visitor.kept.get("clip") is None:
                raise UserError(texts.NO_CLIP)
            async for state in self._running(visitor, found, kind, method, settings, preset, text, frames):
                yield self.desk.changes(status=state) if isinstance(state, str) else self.shown(visitor, state)
        except Exception as problem:
            yield self.desk.changes(status=line(sentence(problem), kind="plain" if isinstance(problem, Cancelled) else "poor"))

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
            count = int(frames) if frames else None
            arguments = {"method": method or "auto", "preset": preset, "options": options, "points": points, "frames": count}
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

    def cancel(self, request: gr.Request) -> Changes:
        """Stops what runs, at once."""
        stopped = self.desk.studio.cancel(self.desk.visitor(request))
        return self.desk.changes(status=line(texts.CANCELLED if stopped else texts.READY))

    def leave(self, request: gr.Request) -> None:
        """The page was closed: what runs for it stops, its files go soon."""
        self.desk.studio.cancel(self.desk.studio.scratch.left(request.session_hash))

    def shown(self, visitor: Visitor, told: dict[str, Any]) -> Changes:
        """Every view of the visitor's result."""
        visitor.kept["told"] = told
        folder = Path(told["folder"])
        notes = "".join(f"\n- {note}" for note in told["notes"])
        words = texts.DONE.format(seconds=texts.duration(told["seconds"]), memory=told["memory_mb"] / 1000)
        return self.desk.changes(
            **self._views(folder, told["opens_with"]),
            status=line(words, kind="good"),
            quality=f"**{told['summary']}**\n\n{told['quality']}" + (f"\n\n**{texts.NOTES}**\n{notes}" if notes else ""),
            cameras=_if_there(folder / "cameras.png"),
            moment=gr.update(maximum=max(1, told["frames"] - 1), value=0),
        )

    def _views(self, folder: Path, opens_with: dict[str, str]) -> dict[str, Any]:
        files = folder / "files"
        page = _if_there(files / "scene.html")
        return {
            "tracks": _if_there(files / "tracks.mp4"),
            "depth": _if_there(files / "depth.mp4"),
            "fly": _if_there(files / "tracks_3d.mp4"),
            "scene": {"page": _file(files / "scene.html"), "gone": texts.NOT_HERE} if page else None,
            "files": _offered(folder, opens_with),
            "stabilise": False,
            "still": None,
            "measured": line(texts.MEASURE_HOW),
        }

    async def open_example(self, request: gr.Request, event: gr.SelectData) -> AsyncIterator[Changes]:
        """Shows an example's result at once, then what there is to say about it and its clip."""
        visitor = self.desk.visitor(request)
        try:
            if visitor.job is not None:
                raise UserError(texts.BUSY)
            example = self.desk.examples[int(event.index)]
            folder = self.desk.studio.open_example(visitor, example)
            manifest = json.loads((folder / "files" / "manifest.json").read_text())
            opens = {name: entry.get("opens_with", "") for name, entry in manifest.get("files", {}).items()}
            visitor.kept.pop("found", None)
            visitor.kept["name"] = f"{example.title}. {example.sentence}"
            yield self.desk.changes(
                **self._views(folder, {name: opens.get(name, "") for name in example.files if name != "manifest.json"}),
                status=line(texts.OPENED.format(what=f"{example.title}, {example.result_title}"), kind="good"),
                found=cards.quiet_card(texts.LOOKING.format(name=example.title)),
                pair=gr.update(visible=False),
            )
            told = await self.desk.studio.crew.look("describe", folder=str(folder))
            visitor.kept["told"] = told
            yield self.desk.changes(
                quality=f"**{told['summary']}**\n\n{told['quality']}",
                cameras=_if_there(folder / "cameras.png"),
                moment=gr.update(maximum=max(1, told["frames"] - 1), value=0),
            )
            settings = "\n".join(f"{name} = {value!r}" for name, value in example.settings.items())
            async for changes in self._bringing.looked_at(visitor, "found", settings, method=None):
                changes.pop(self.desk.parts["status"], None)
                yield {**changes, **self.desk.changes(settings=settings)}
        except Exception as problem:
            yield self.desk.changes(status=line(sentence(problem), kind="poor"))

    async def stabilise(self, wanted: bool, request: gr.Request) -> AsyncIterator[Changes]:
        """The track video with or without the camera's motion."""
        visitor = self.desk.visitor(request)
        try:
            result = self.desk.studio.result(visitor)
            target = result / "tracks_stabilised.mp4"
            if wanted and not target.exists():
                folder, stages = await self.desk.studio.laid_out(visitor), Stages()
                events = self.desk.studio.work("stabilised", visitor, folder=str(folder), target=str(target))
                async for event in ticking(events, TICK_S):
                    if event is not None and "answer" not in event:
                        stages.take(**event)
                    yield self.desk.changes(status=stages.html())
            yield self.desk.changes(tracks=str(target if wanted else result / "files" / "tracks.mp4"), status=line(texts.READY))
        except Exception as problem:
            yield self.desk.changes(status=line(sentence(problem), kind="poor"))


def _if_there(path: Path) -> str | None:
    return str(path) if path.is_file() else None


def _file(path: Path) -> dict[str, Any]:
    """A file that the page's own scripts may fetch."""
    return gr.FileData(path=str(path), orig_name=path.name).model_dump()


def _offered(folder: Path, opens_with: dict[str, str]) -> dict[str, Any]:
    """The list of files to take away."""
    files, folders = downloads(folder / "files", opens_with)
    everything = folder / "lift4d.zip"
    rows = [{"name": d.path.name, "opens_with": d.opens_with, "size": d.size, "file": _file(d.path)} for d in files]
    if not everything.is_file():
        return {"files": rows}
    inside = texts.IN_ZIP.format(names=", ".join(folders)) if folders else ""
    whole = {"title": texts.EVERYTHING, "name": everything.name, "size": in_words(everything), "opens_with": inside}
    return {"files": rows, "all": {**whole, "file": _file(everything)}}
