"""The first step of the page: a clip is brought, or an example opened, and said to be what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from toolkit.errors import UserError
from toolkit.gallery import Example
from toolkit.methods.registry import methods
from toolkit.page import cards, texts
from toolkit.page.desk import Changes, Desk, costs, frames_used, heard, sentence
from toolkit.page.scratch import Visitor
from toolkit.page.settings import explain_settings
from toolkit.page.studio import Studio


class Bringing:
    """What happens when a visitor brings a clip."""

    def __init__(self, desk: Desk) -> None:
        """For the visitors of a desk."""
        self.desk = desk

    @heard
    async def bring(self, uploads: list[str] | None, request: gr.Request) -> AsyncIterator[Changes]:
        """Takes what was uploaded and says what it is; then shows it."""
        if not uploads:
            return
        visitor = self.desk.visitor(request)
        try:
            if visitor.job is not None:
                raise UserError(texts.BUSY)
            name = ", ".join(Path(path).name for path in uploads[:3]) + (" …" if len(uploads) > 3 else "")
            yield self.desk.changes(found=cards.quiet_card(texts.LOOKING.format(name=name)), pair=gr.update(visible=False))
            for known in ("found", "example", "run", "method"):
                visitor.kept.pop(known, None)
            visitor.kept["looking"] = True
            await self.desk.studio.take(visitor, uploads)
            visitor.kept["name"] = visitor.kept["title"] = name
            async for changes in self.looked_at(visitor, "found", "", method=None):
                yield changes
        except Exception as problem:
            yield self.desk.changes(upload=None, found=cards.problem_card(sentence(problem)), pair=gr.update(visible=False))
        finally:
            visitor.kept.pop("looking", None)

    @heard
    async def declare(self, kind: str, method: str | None, settings: str, request: gr.Request) -> AsyncIterator[Changes]:
        """Takes the clip for what the visitor says it is, and shows it so."""
        visitor = self.desk.visitor(request)
        if visitor.kept.get("clip") is None:
            return
        try:
            async for changes in self.looked_at(visitor, kind, settings, method=method):
                yield changes
        except Exception as problem:
            yield self.desk.changes(found=cards.problem_card(sentence(problem)), pair=gr.update(visible=False))

    async def looked_at(self, visitor: Visitor, kind: str, settings: str, *, method: str | None) -> AsyncIterator[Changes]:
        """The card and the choices; after that the picture, which takes longer."""
        options = self.desk.options(kind, settings, None)
        found = visitor.kept["found"] = await self.desk.studio.look(visitor, options)
        visitor.kept.pop("looking", None)
        visitor.kept.pop("frame", None)
        suited = found["methods"]
        preferred = method or visitor.kept.get("method")
        chosen = preferred if preferred in suited else (suited[0] if suited else None)
        name, notes = visitor.kept.get("name", ""), self._notes(visitor, found, chosen)
        run_waits = visitor.kept.get("run") in ("asked", "in work")  # and shows its bars
        one_file = found["layout"] != "separate" and found["kind"] in ("vr180", "stereo", "mono") and not found["has_result"]
        yield self.desk.changes(
            upload=None,
            found=cards.found_card(name, found, notes),
            kind=gr.update(value=kind, visible=one_file),
            method=gr.update(choices=method_choices(suited), value=chosen, visible=bool(suited)),
            preset=gr.update(choices=preset_choices(costs(found, chosen, visitor.kept.get("frames"))), visible=bool(suited)),
            explained=explain_settings(chosen) if chosen else "",
            # Hidden, but still there: what is made anew has lost what was typed.
            picking=gr.update(visible=True if suited else "hidden"),
            advanced=gr.update(visible=True if suited else "hidden"),
            frame=gr.update(maximum=max(1, frames_used(found, chosen) - 1), value=0),
            picture=None,
            points="",
            **({} if run_waits else {"status": self.desk.ready(visitor)}),
        )
        if found["kind"] == "scene":
            return
        try:
            pair = await self.desk.studio.picture(visitor, "pair", options=options)
        except UserError as problem:
            found["warnings"].append(str(problem))
            yield self.desk.changes(found=cards.found_card(name, found, notes))
            return
        found["pair"], notes = pair, self._notes(visitor, found, chosen)
        yield self.desk.changes(found=cards.found_card(name, found, notes, pair), pair=gr.update(value=pair["picture"], visible=True))

    def _notes(self, visitor: Visitor, found: dict[str, Any], method: str | None) -> list[str]:
        notes, asked = [], visitor.kept.get("frames")
        if found["has_result"]:
            notes.append(texts.HAS_RESULT)
            found["warnings"] = [w for w in found["warnings"] if "No method takes" not in w]
        elif found["kind"] == "multiview" and not found["methods"]:
            notes.append(texts.SEVERAL)
            found["warnings"] = [w for w in found["warnings"] if "No method takes" not in w]
        used = frames_used(found, method, asked)
        if found["methods"] and used < found["frames"]:
            notes.append(texts.CUT.format(frames=found["frames"], used=used))
        return notes + too_long(costs(found, method, asked))

    def explain(self, method: str, request: gr.Request) -> Changes:
        """The settings that a method knows, and what it costs and takes of the clip."""
        visitor = self.desk.visitor(request)
        kept = visitor.kept
        found = kept.get("found")
        if found is None or method not in found["methods"]:
            return self.desk.changes(explained=explain_settings(method))
        return self.desk.changes(
            explained=explain_settings(method),
            preset=gr.update(choices=preset_choices(costs(found, method, kept.get("frames")))),
            frame=gr.update(maximum=max(1, frames_used(found, method) - 1)),
            found=cards.found_card(kept.get("name", ""), found, self._notes(visitor, found, method), found.get("pair")),
        )

    def limit(self, frames: float | None, method: str | None, request: gr.Request) -> Changes:
        """What so many frames cost; they are remembered for the next clip, whose control still shows them."""
        visitor = self.desk.visitor(request)
        asked = visitor.kept["frames"] = int(frames) if frames and frames > 0 else None
        found = visitor.kept.get("found")
        if found is None or not found["methods"]:
            return self.desk.changes()
        notes = self._notes(visitor, found, method)
        return self.desk.changes(
            preset=gr.update(choices=preset_choices(costs(found, method, asked))),
            found=cards.found_card(visitor.kept.get("name", ""), found, notes, found.get("pair")),
        )


def too_long(estimate: dict[str, Any]) -> list[str]:
    """A note where even the quickest preset should take longer than a run may: nobody should wait half an hour for a refusal."""
    quickest = min((cost["seconds"] for cost in estimate.values()), default=0.0)
    if quickest <= Studio.RUN_AT_MOST_S:
        return []
    limit = texts.duration(Studio.RUN_AT_MOST_S)
    return [texts.TOO_LONG_AHEAD.format(quickest=texts.duration(quickest), limit=limit)]


def bring_example(visitor: Visitor, example: Example) -> None:
    """Makes an example's clip the visitor's, with what a person with such a camera would know of it."""
    visitor.kept.pop("found", None)
    visitor.kept["clip"] = str(example.clip)
    visitor.kept["title"] = example.title
    visitor.kept["name"] = f"{example.title}. {example.sentence}"
    visitor.kept["method"] = example.method
    visitor.kept["settings"] = "\n".join(f"{name} = {value!r}" for name, value in example.settings.items())


def method_choices(names: Sequence[str]) -> list[tuple[str, str]]:
    """Methods with a sentence each on when to use them."""
    known = methods()
    return [(f"{name}: {known[name].sentence}", name) for name in names]


def preset_choices(estimate: dict[str, Any]) -> list[tuple[str, str]]:
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
