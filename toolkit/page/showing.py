"""Every view of a result, of a run or of an example, whose result is there already."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from toolkit.gallery import Example
from toolkit.page import cards, texts
from toolkit.page.bringing import Bringing, bring_example
from toolkit.page.desk import TICK_S, Changes, Desk, heard, sentence, ticking
from toolkit.page.results import downloads, in_words
from toolkit.page.scratch import Visitor
from toolkit.page.stages import Stages, line
from toolkit.views.report import as_plain_text


class Showing:
    """What happens when there is a result to show."""

    def __init__(self, desk: Desk, bringing: Bringing) -> None:
        """For the visitors of a desk."""
        self.desk, self._bringing = desk, bringing

    def views(self, request: gr.Request) -> Changes:
        """Every view of the visitor's result."""
        visitor = self.desk.visitor(request)
        told = visitor.kept["told"]
        folder = Path(told["folder"])
        files = folder / "files"
        page = _if_there(files / "scene.html")
        tracks, depth, path = (_if_there(file) for file in (files / "tracks.mp4", files / "depth.mp4", folder / "cameras.png"))
        return self.desk.changes(
            tracks=tracks,
            tracks_told=texts.TRACKS if tracks else texts.NO_TRACKS,
            depth=depth,
            depth_told=texts.DEPTH if depth else texts.NO_DEPTH,
            fly=_if_there(files / "pointmaps.mp4") or _if_there(files / "tracks_3d.mp4"),
            scene={"page": _file(files / "scene.html"), "gone": texts.NOT_HERE} if page else None,
            files=_offered(folder, told["opens_with"]),
            partly=gr.update(value=told.get("partly", ""), visible="partly" in told),
            stabilise=False,
            still=None,
            measured=line(texts.MEASURE_HOW),
            quality=_quality(told),
            cameras=path,
            cameras_told=texts.CAMERAS if path or "quality" not in told else texts.NO_CAMERAS,  # an example's is drawn later
            moment=gr.update(maximum=max(1, told["frames"] - 1), value=0),
        )

    def open_first(self, request: gr.Request) -> Changes:
        """The result of the first example, so that a page that was just opened shows what this is about."""
        if not self.desk.examples:
            return self.desk.changes()
        return self._opened(self.desk.visitor(request), self.desk.examples[0])

    def open_example(self, request: gr.Request, event: gr.SelectData) -> Changes:
        """An example to look at and to run: its result can be shown at once."""
        visitor = self.desk.visitor(request)
        if visitor.job is not None:
            gr.Warning(texts.BUSY)  # the bars of the run would write over a status at once
            return self.desk.changes()
        try:
            example = self.desk.examples[int(event.index)]
            changes = self._opened(visitor, example)
            self.desk.studio.drop_clip(visitor)
            visitor.kept.pop("run", None)
            bring_example(visitor, example)
            return {
                **changes,
                **self.desk.changes(
                    found=cards.quiet_card(texts.LOOKING.format(name=example.title)),
                    pair=gr.update(visible=False),
                    settings=visitor.kept["settings"],
                ),
            }
        except Exception as problem:
            return self.desk.changes(status=line(sentence(problem), kind="poor"))

    def _opened(self, visitor: Visitor, example: Example) -> Changes:
        folder = self.desk.studio.open_example(visitor, example)
        manifest = json.loads((folder / "files" / "manifest.json").read_text())
        offered = {name: entry.get("opens_with", "") for name, entry in manifest["files"].items() if name in example.files}
        visitor.kept["example"] = example
        visitor.kept["told"] = {"folder": str(folder), "opens_with": offered, "frames": manifest["frames"], "shipped": True}
        visitor.kept["told"]["partly"] = texts.WITHOUT_FILES
        shown = visitor.kept["shown"] = f"{example.title}, {example.result_title}"
        return self.desk.changes(status=line(texts.OPENED.format(what=shown), kind="good"), result=visitor.kept["runs"])

    async def describe_example(self, request: gr.Request) -> Changes:
        """What an example's result tells of itself."""
        visitor = self.desk.visitor(request)
        told = visitor.kept.get("told")
        try:
            if told is not None and "quality" not in told:
                told.update(await self.desk.studio.crew.look("describe", folder=told["folder"]))
            if told is None:
                return self.desk.changes()
            return self.desk.changes(quality=_quality(told), cameras=_if_there(Path(told["folder"]) / "cameras.png"))
        except Exception as problem:
            return self.desk.changes(quality=sentence(problem))

    async def offer_all(self, request: gr.Request) -> Changes:
        """The files to take away; a shipped result gets all that it can have."""
        visitor = self.desk.visitor(request)
        told = visitor.kept.get("told")
        if told is None:
            return self.desk.changes()
        try:
            if told.get("shipped") and not (Path(told["folder"]) / "lift4d.zip").is_file():
                told["opens_with"] = await self.desk.studio.complete(visitor)
            return self.desk.changes(files=_offered(Path(told["folder"]), told["opens_with"]))
        except Exception as problem:
            offered = _offered(Path(told["folder"]), told["opens_with"])
            return self.desk.changes(files=offered, status=line(sentence(problem), kind="poor"))

    @heard
    async def look_at_example(self, request: gr.Request) -> AsyncIterator[Changes]:
        """What an example's clip is, as for any clip."""
        visitor = self.desk.visitor(request)
        if "found" in visitor.kept or visitor.kept.get("clip") is None:
            return
        try:
            async for changes in self._bringing.looked_at(visitor, "found", visitor.kept.get("settings", ""), method=None):
                changes.pop(self.desk.parts["status"], None)
                yield changes
        except Exception as problem:
            yield self.desk.changes(found=cards.problem_card(sentence(problem)))

    @heard
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
            yield self.desk.changes(tracks=str(target if wanted else result / "files" / "tracks.mp4"), status=self.desk.ready(visitor))
        except Exception as problem:
            yield self.desk.changes(status=line(sentence(problem), kind="poor"))


def _quality(told: dict[str, Any]) -> str:
    """The quality report as markdown, and what the run noted."""
    if "quality" not in told:
        return texts.A_MOMENT
    notes = "".join(f"\n- {as_plain_text(note)}" for note in told["notes"])
    return f"**{as_plain_text(told['summary'])}**\n\n{told['quality']}" + (f"\n\n**{texts.NOTES}**\n{notes}" if notes else "")


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
