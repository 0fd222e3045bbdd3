"""What each control of the page does: words and files in, changes of components out; the work itself is the studio's."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import gradio as gr

from toolkit.errors import Cancelled, UserError
from toolkit.gallery import Example, examples
from toolkit.methods.registry import methods
from toolkit.page import cards, picking, texts
from toolkit.page.results import downloads, in_words
from toolkit.page.scratch import Visitor
from toolkit.page.settings import explain_settings, parse_settings
from toolkit.page.stages import Stages, line
from toolkit.page.studio import Studio
from toolkit.page.workers import Fault

log = logging.getLogger("lift4d")
TICK_S = 1.0
Changes = dict[Any, Any]


def sentence(problem: BaseException) -> str:
    """What a person sees of a problem: its sentence, or the number under which the log holds the rest."""
    if isinstance(problem, Cancelled):
        return texts.CANCELLED
    if isinstance(problem, UserError | Fault):
        return str(problem)
    log.error("unexpected", exc_info=problem)
    return str(Fault(repr(problem)))


class Handlers:
    """The handlers of one page."""

    def __init__(self, studio: Studio) -> None:
        """For the visitors of a studio."""
        self.studio = studio
        self.examples: list[Example] = list(examples().values())
        self._parts: dict[str, Any] = {}

    def connect(self, parts: dict[str, Any]) -> None:
        """The components by name, for the handlers to change."""
        self._parts = parts

    # --- what the layout starts with -----------------------------------------------------------------------------

    def posters(self) -> list[tuple[str, str]]:
        """Pictures and titles of the examples."""
        return [(str(example.poster), example.title) for example in self.examples]

    def nothing_yet(self) -> str:
        """The card before there is a clip."""
        return cards.quiet_card(texts.NOTHING_YET)

    def method_choices(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Methods with a sentence each on when to use them."""
        known = methods()
        return [(f"{name}: {known[name].sentence}", name) for name in names]

    def preset_choices(self, estimate: dict[str, Any]) -> list[tuple[str, str]]:
        """Presets with what each costs, where that is known."""
        out = []
        for name, title in texts.PRESETS.items():
            cost = estimate.get(name)
            told = (
                title
                if cost is None
                else texts.COST.format(name=title, seconds=texts.duration(cost["seconds"]), memory=cost["memory_mb"] / 1000)
            )
            out.append((told, name))
        return out

    # --- bring a clip --------------------------------------------------------------------------------------------

    async def bring(self, uploads: list[str] | None, request: gr.Request) -> AsyncIterator[Changes]:
        """Takes what was uploaded and says what it is; then shows it."""
        if not uploads:
            return
        visitor = self._visitor(request)
        try:
            if visitor.job is not None:
                raise UserError(texts.BUSY)
            name = ", ".join(Path(path).name for path in uploads[:3]) + (" …" if len(uploads) > 3 else "")
            yield self._changes(found=cards.quiet_card(texts.LOOKING.format(name=name)), pair=gr.update(visible=False))
            visitor.kept.pop("found", None)
            await self.studio.take(visitor, uploads)
            visitor.kept["name"] = name
            async for changes in self._looked_at(visitor, "found", "", method=None):
                yield changes
        except Exception as problem:
            yield self._changes(upload=None, found=cards.problem_card(sentence(problem)), pair=gr.update(visible=False))

    async def declare(self, kind: str, method: str | None, settings: str, request: gr.Request) -> AsyncIterator[Changes]:
        """Takes the clip for what the visitor says it is, and shows it so."""
        visitor = self._visitor(request)
        if visitor.kept.get("clip") is None:
            return
        try:
            async for changes in self._looked_at(visitor, kind, settings, method=method):
                yield changes
        except Exception as problem:
            yield self._changes(found=cards.problem_card(sentence(problem)), pair=gr.update(visible=False))

    async def _looked_at(self, visitor: Visitor, kind: str, settings: str, *, method: str | None) -> AsyncIterator[Changes]:
        """The card and the choices; after that the picture, which takes longer."""
        options = self._options(kind, settings, None)
        found = visitor.kept["found"] = await self.studio.look(visitor, options)
        visitor.kept.pop("frame", None)
        name, notes = visitor.kept.get("name", ""), self._notes(found)
        suited = found["methods"]
        chosen = method if method in suited else (suited[0] if suited else None)
        one_file = found["layout"] != "separate" and found["kind"] in ("vr180", "stereo", "mono") and not found["has_result"]
        yield self._changes(
            upload=None,
            found=cards.found_card(name, found, notes),
            kind=gr.update(value=kind, visible=one_file),
            method=gr.update(choices=self.method_choices(suited), value=chosen, visible=bool(suited)),
            preset=gr.update(choices=self.preset_choices(found["estimate"]), visible=bool(suited)),
            explained=explain_settings(chosen) if chosen else "",
            frame=gr.update(maximum=max(1, self._frames(found) - 1), value=0),
            picture=None,
            points="",
            status=line(texts.READY),
        )
        if found["kind"] == "scene":
            return
        try:
            pair = await self.studio.picture(visitor, "pair", options=options)
        except UserError as problem:
            found["warnings"].append(str(problem))
            yield self._changes(found=cards.found_card(name, found, notes))
            return
        title = texts.PAIR if pair["vertical_px"] or pair.get("matches") is not None else texts.FRAME_OF_CLIP
        yield self._changes(
            found=cards.found_card(name, found, notes, pair), pair=gr.update(value=pair["picture"], label=title, visible=True)
        )

    def _notes(self, found: dict[str, Any]) -> list[str]:
        notes = []
        if found["has_result"]:
            notes.append(texts.HAS_RESULT)
            found["warnings"] = [w for w in found["warnings"] if "No method takes" not in w]
        used = self._frames(found)
        if found["methods"] and used < found["frames"]:
            notes.append(texts.CUT.format(frames=found["frames"], used=used))
        return notes

    @staticmethod
    def _frames(found: dict[str, Any]) -> int:
        """How many frames a run takes where no others are asked for."""
        most = [getattr(methods()[name].settings(), "max_frames", found["frames"]) for name in found["methods"][:1]]
        return min([found["frames"], *most])

    def explain(self, method: str) -> Changes:
        """The settings that a method knows."""
        return self._changes(explained=explain_settings(method))

    # --- points --------------------------------------------------------------------------------------------------

    async def show_frame(self, frame: float, text: str, kind: str, method: str | None, settings: str, request: gr.Request) -> Changes:
        """A frame of the clip with the points on it."""
        visitor = self._visitor(request)
        try:
            options = self._options(kind, settings, method)
            visitor.kept["frame"] = await self.studio.picture(visitor, "frame", frame=int(frame), options=options)
            return self._changes(picture=self._drawn(visitor, text, int(frame)))
        except Exception as problem:
            return self._changes(picture=None, status=line(sentence(problem), kind="poor"))

    def click(self, text: str, frame: float, request: gr.Request, event: gr.SelectData) -> Changes:
        """One more point, where the visitor clicked."""
        visitor = self._visitor(request)
        return self._picked(visitor, frame, lambda: self._with_click(visitor, text, frame, event.index))

    def _with_click(self, visitor: Visitor, text: str, frame: float, index: Any) -> list[picking.Point]:
        shown = visitor.kept["frame"]
        image = cv2.imread(shown["picture"])
        if image is None:
            raise UserError(texts.NOT_HERE)
        x, y = picking.to_clip(index, (image.shape[1], image.shape[0]), tuple(shown["size"]))
        return picking.add_point(self._points(visitor, text), int(frame), x, y)

    def undo(self, text: str, frame: float, request: gr.Request) -> Changes:
        """Without the last point."""
        visitor = self._visitor(request)
        return self._picked(visitor, frame, lambda: self._points(visitor, text)[:-1])

    def clear(self, frame: float, request: gr.Request) -> Changes:
        """Without any point."""
        return self._picked(self._visitor(request), frame, list)

    def paste(self, text: str, frame: float, request: gr.Request) -> Changes:
        """The points of the text, checked."""
        visitor = self._visitor(request)
        return self._picked(visitor, frame, lambda: self._points(visitor, text))

    def _picked(self, visitor: Visitor, frame: float, change: Any) -> Changes:
        if "frame" not in visitor.kept:
            return self._changes(status=line(texts.NO_CLIP, kind="poor"))
        try:
            text = picking.as_text(change())
            return self._changes(points=text, picture=self._drawn(visitor, text, int(frame)), status=line(texts.READY))
        except Exception as problem:
            return self._changes(status=line(sentence(problem), kind="poor"))

    def _points(self, visitor: Visitor, text: str) -> list[picking.Point]:
        found, shown = visitor.kept["found"], visitor.kept["frame"]
        return picking.parse_points(text, frames=self._frames(found), size=tuple(shown["size"]))

    def _drawn(self, visitor: Visitor, text: str, frame: int) -> str:
        """The shown frame with its points, as a new file: browsers keep pictures by name."""
        shown = visitor.kept["frame"]
        points = self._points(visitor, text)
        return shown["picture"] if not points else _marked(visitor, shown["picture"], points, frame, shown["size"], "points")

    # --- run -----------------------------------------------------------------------------------------------------

    async def run(
        self, kind: str, method: str | None, settings: str, preset: str, text: str, frames: float | None, request: gr.Request
    ) -> AsyncIterator[Changes]:
        """Runs the clip with a bar a stage, then shows what came of it."""
        visitor = self._visitor(request)
        try:
            found = visitor.kept.get("found")
            if found is None or visitor.kept.get("clip") is None:
                raise UserError(texts.NO_CLIP)
            async for state in self._running(visitor, found, kind, method, settings, preset, text, frames):
                yield self._changes(status=state) if isinstance(state, str) else self.shown(visitor, state)
        except Exception as problem:
            yield self._changes(status=line(sentence(problem), kind="plain" if isinstance(problem, Cancelled) else "poor"))

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
        options = self._options(kind, settings, method)
        arguments: dict[str, Any] = {}
        job = "open" if found["has_result"] and not found["methods"] else "run"
        if job == "run":
            if not found["methods"]:
                raise UserError(texts.NO_METHOD.format(kind=found["kind"]))
            if text.strip() and "frame" not in visitor.kept:
                visitor.kept["frame"] = await self.studio.picture(visitor, "frame", frame=0, options=options)
            points = self._points(visitor, text) if text.strip() else []
            count = int(frames) if frames else None
            arguments = {"method": method or "auto", "preset": preset, "options": options, "points": points, "frames": count}
        cost = found["estimate"].get(preset)
        stages = Stages(expected_s=cost["seconds"] if cost and job == "run" else None)
        yield stages.html()
        async for event in ticking(self.studio.run(visitor, job, **arguments), TICK_S):
            if event is not None and "answer" in event:
                yield event["answer"]
                return
            if event is not None:
                stages.take(**event)
            yield stages.html()

    def cancel(self, request: gr.Request) -> Changes:
        """Stops what runs, at once."""
        stopped = self.studio.cancel(self._visitor(request))
        return self._changes(status=line(texts.CANCELLED if stopped else texts.READY))

    def leave(self, request: gr.Request) -> None:
        """The page was closed: what runs for it stops, its files go soon."""
        self.studio.cancel(self.studio.scratch.left(request.session_hash))

    # --- see -----------------------------------------------------------------------------------------------------

    def shown(self, visitor: Visitor, told: dict[str, Any]) -> Changes:
        """Every view of the visitor's result."""
        visitor.kept["told"] = told
        folder = Path(told["folder"])
        notes = "".join(f"\n- {note}" for note in told["notes"])
        words = texts.DONE.format(seconds=texts.duration(told["seconds"]), memory=told["memory_mb"] / 1000)
        return self._changes(
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
        visitor = self._visitor(request)
        try:
            if visitor.job is not None:
                raise UserError(texts.BUSY)
            example = self.examples[int(event.index)]
            folder = self.studio.open_example(visitor, example)
            manifest = json.loads((folder / "files" / "manifest.json").read_text())
            opens = {name: entry.get("opens_with", "") for name, entry in manifest.get("files", {}).items()}
            visitor.kept.pop("found", None)
            visitor.kept["name"] = f"{example.title}. {example.sentence}"
            yield self._changes(
                **self._views(folder, {name: opens.get(name, "") for name in example.files if name != "manifest.json"}),
                status=line(texts.OPENED.format(what=f"{example.title}, {example.result_title}"), kind="good"),
                found=cards.quiet_card(texts.LOOKING.format(name=example.title)),
                pair=gr.update(visible=False),
            )
            told = await self.studio.crew.look("describe", folder=str(folder))
            visitor.kept["told"] = told
            yield self._changes(
                quality=f"**{told['summary']}**\n\n{told['quality']}",
                cameras=_if_there(folder / "cameras.png"),
                moment=gr.update(maximum=max(1, told["frames"] - 1), value=0),
            )
            settings = "\n".join(f"{name} = {value!r}" for name, value in example.settings.items())
            async for changes in self._looked_at(visitor, "found", settings, method=None):
                changes.pop(self._parts["status"], None)
                yield {**changes, **self._changes(settings=settings)}
        except Exception as problem:
            yield self._changes(status=line(sentence(problem), kind="poor"))

    async def stabilise(self, wanted: bool, request: gr.Request) -> AsyncIterator[Changes]:
        """The track video with or without the camera's motion."""
        visitor = self._visitor(request)
        try:
            result = self.studio.result(visitor)
            target = result / "tracks_stabilised.mp4"
            if wanted and not target.exists():
                folder, stages = await self.studio.laid_out(visitor), Stages()
                events = self.studio.work("stabilised", visitor, folder=str(folder), target=str(target))
                async for event in ticking(events, TICK_S):
                    if event is not None and "answer" not in event:
                        stages.take(**event)
                    yield self._changes(status=stages.html())
            yield self._changes(tracks=str(target if wanted else result / "files" / "tracks.mp4"), status=line(texts.READY))
        except Exception as problem:
            yield self._changes(status=line(sentence(problem), kind="poor"))

    # --- measure -------------------------------------------------------------------------------------------------

    async def show_still(self, frame: float, request: gr.Request) -> Changes:
        """A frame of the result to measure in."""
        visitor = self._visitor(request)
        try:
            folder = await self.studio.laid_out(visitor)
            pictures = visitor.folder / "pictures"
            pictures.mkdir(exist_ok=True)
            number = visitor.kept["pictures"] = visitor.kept.get("pictures", 0) + 1
            target = pictures / f"still-{number}.jpg"
            visitor.kept["still"] = await self.studio.crew.look("still", folder=str(folder), frame=int(frame), picture=str(target))
            visitor.kept["marks"] = []
            return self._changes(still=str(target))
        except Exception as problem:
            return self._changes(measured=line(sentence(problem), kind="poor"))

    def measure_anew(self, request: gr.Request) -> Changes:
        """Forgets a first point."""
        self._visitor(request).kept["marks"] = []
        return self._changes(measured=line(texts.MEASURE_HOW))

    async def measure(self, frame: float, mode: str, request: gr.Request, event: gr.SelectData) -> Changes:
        """What was clicked, measured."""
        visitor = self._visitor(request)
        try:
            shown = visitor.kept["still"]
            image = cv2.imread(shown["picture"])
            at = picking.to_clip(event.index, (image.shape[1], image.shape[0]), tuple(shown["size"]))
            folder = await self.studio.laid_out(visitor)
            marks = [] if mode == "speed" or len(visitor.kept.get("marks", [])) > 1 else visitor.kept.get("marks", [])
            marks = visitor.kept["marks"] = [*marks, (int(frame), *at)]
            if mode == "speed":
                answer = await self.studio.crew.look("speed", folder=str(folder), frame=int(frame), xy=list(at))
            elif len(marks) < 2:
                answer = {"sentence": texts.MEASURE_FIRST}
            else:
                a, b = (list(mark[1:]) for mark in marks)
                answer = await self.studio.crew.look("distance", folder=str(folder), frame=int(frame), a=a, b=b)
            return self._changes(
                still=_marked(visitor, shown["picture"], marks, int(frame), shown["size"], "marks"),
                measured=line(answer["sentence"], kind="good"),
            )
        except Exception as problem:
            return self._changes(measured=line(sentence(problem), kind="poor"))

    # --- the rest ------------------------------------------------------------------------------------------------

    def _visitor(self, request: gr.Request) -> Visitor:
        return self.studio.scratch.visitor(request.session_hash)

    def _options(self, kind: str, settings: str, method: str | None) -> dict[str, Any]:
        """What the visitor says of the clip, and the settings asked for."""
        return {**texts.KINDS[kind][1], **parse_settings(settings, method)}

    def _changes(self, **changes: Any) -> Changes:
        return {self._parts[name]: value for name, value in changes.items()}


async def ticking(events: AsyncIterator[Any], every_s: float) -> AsyncIterator[Any]:
    """The events, and None wherever none came for a while: a time that is left should be seen to pass."""
    upcoming: asyncio.Task | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([upcoming], timeout=every_s)
            if not done:
                yield None
                continue
            finished, upcoming = upcoming, None
            try:
                event = finished.result()
            except StopAsyncIteration:
                return
            yield event
    finally:
        if upcoming is not None:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)
        await events.aclose()  # type: ignore[attr-defined]


def _marked(visitor: Visitor, picture: str, points: Sequence[picking.Point], frame: int, size: list[int], name: str) -> str:
    image = cv2.imread(picture)
    number = visitor.kept["pictures"] = visitor.kept.get("pictures", 0) + 1
    for old in Path(picture).parent.glob(f"{name}-*"):
        old.unlink(missing_ok=True)
    target = Path(picture).with_name(f"{name}-{number}.jpg")
    drawn = picking.draw_points(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), points, frame, (size[0], size[1]))
    cv2.imwrite(str(target), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return str(target)


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
