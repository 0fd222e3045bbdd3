"""The page for programs: three endpoints with names and types that stay, `inspect`, `run` and `export`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from toolkit.errors import UserError
from toolkit.export.bundle import FORMATS
from toolkit.page import texts
from toolkit.page.desk import sentence
from toolkit.page.picking import MOST_POINTS
from toolkit.page.settings import checked_settings
from toolkit.page.studio import Studio


def _told_in_a_sentence(place: gr.File, name: str) -> gr.File:
    """A place for files that says what it needs where a program gives something else; Gradio would say nothing."""
    # Not a component of our own: Gradio writes a file beside the source of each.
    form: Any = place.data_model

    def model_validate(cls: Any, value: Any, **options: Any) -> Any:
        several = place.file_count == "multiple"
        try:
            return form.model_validate([value] if several and isinstance(value, dict) else value, **options)
        except ValueError:
            given = repr(value)[:60] if isinstance(value, str) else type(value).__name__
            told = texts.NOT_UPLOADED.format(name=name, value=given)
            raise gr.Error(told, title=texts.PROBLEM_TITLE, print_exception=False) from None

    place.data_model = type(form.__name__, (form,), {"model_validate": classmethod(model_validate), "__module__": __name__})
    return place


def _none_for_none_chosen(place: gr.CheckboxGroup) -> gr.CheckboxGroup:
    """Choices of which a program may also give None."""
    chosen: Any = place.preprocess
    place.preprocess = lambda payload: chosen([] if payload is None else payload)
    return place


class Endpoints:
    """What programs can ask of a studio."""

    def __init__(self, studio: Studio) -> None:
        """For the visitors of a studio."""
        self.studio = studio

    async def inspect(self, files: list[str], request: gr.Request) -> dict[str, Any]:
        """Says what a recording is, before anything is computed.

        Args:
            files: A video; or a zip; or photos; or a Stereo4D .npz with its video.
            request: Whose session it is.

        Returns:
            kind, frames, size, fps, layout, projection, warnings, methods that take it, and what each preset costs.
        """
        visitor = self.studio.scratch.visitor(request.session_hash)
        try:
            await self.studio.take(visitor, files or [])
            return await self.studio.look(visitor, {})
        except Exception as problem:
            raise _told(problem) from None
        finally:
            self.studio.drop_clip(visitor)

    async def run(
        self,
        files: list[str],
        method: str,
        preset: str,
        points: list[list[float]] | None,
        settings: dict[str, Any] | None,
        request: gr.Request,
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Turns a recording into a 4D scene, and that into files.

        Args:
            files: A video; or a zip; or photos; or a Stereo4D .npz with its video.
            method: Name of a method, or "auto".
            preset: "draft", "normal" or "fine".
            points: Points to follow as [t, x, y], in pixels of the result's video; none for a grid.
            settings: Any setting of the method by name, such as {"fov_deg": 70}.
            request: Whose session it is.

        Returns:
            What was measured; all files as one zip; the files one by one. Before that, where the run is.
        """
        visitor = self.studio.scratch.visitor(request.session_hash)
        try:
            options = checked_settings({} if settings is None else settings)
            if len(points or []) > MOST_POINTS:
                raise UserError(f"{len(points or [])} points were asked for, but at most {MOST_POINTS} are followed on this page.")
            await self.studio.take(visitor, files or [])
            found = await self.studio.look(visitor, options)
            if found["has_result"] and not found["methods"] and method in ("", "auto"):
                events = self.studio.run(visitor, "open")
            else:
                frames = options.pop("frames", None)
                asked = {"method": method, "preset": preset, "options": options, "points": points or [], "frames": frames}
                events = self.studio.run(visitor, "run", **asked)
            try:
                async for event in events:
                    if "answer" not in event:
                        yield event, None, None
                        continue
                    told = event["answer"]
                    folder = Path(told.pop("folder"))
                    flat = [str(path) for path in sorted((folder / "files").iterdir()) if path.is_file()]
                    yield told, str(folder / "lift4d.zip"), flat
            finally:
                await events.aclose()  # type: ignore[attr-defined]
        except Exception as problem:
            raise _told(problem) from None
        finally:
            self.studio.drop_clip(visitor)

    async def export(self, scene: str, formats: list[str], request: gr.Request) -> tuple[str, list[str]]:
        """Writes files of a saved scene.

        Args:
            scene: A scene.npz.
            formats: Names of formats; none for all.
            request: Whose session it is.

        Returns:
            All files as one zip; the files one by one.
        """
        visitor = self.studio.scratch.visitor(request.session_hash)
        try:
            clip = await self.studio.take(visitor, [scene] if scene else [])
            folder = visitor.new_folder("export")
            async for event in self.studio.work("write", visitor, scene=str(clip), folder=str(folder / "files"), formats=formats or []):
                if "answer" in event:
                    return event["answer"]["zip"], event["answer"]["files"]
            raise UserError(texts.NO_RESULT)
        except Exception as problem:
            raise _told(problem) from None
        finally:
            self.studio.drop_clip(visitor)

    def add(self, compute: dict[str, Any]) -> None:
        """Adds them to the page that is being built, out of sight."""
        with gr.Group(visible=False):
            files = _told_in_a_sentence(gr.File(file_count="multiple", label="files"), "files")
            scene = _told_in_a_sentence(gr.File(label="scene"), "scene")
            method = gr.Textbox("auto", label="method")
            preset = gr.Radio(list(texts.PRESETS), value="normal", label="preset")
            points = gr.JSON([], label="points")
            settings = gr.JSON({}, label="settings")
            formats = _none_for_none_chosen(gr.CheckboxGroup([*FORMATS], label="formats"))
            told, everything, single = gr.JSON(label="told"), gr.File(label="zip"), gr.File(file_count="multiple", label="files")
            button = gr.Button()
            button.click(self.inspect, [files], [told], api_name="inspect", concurrency_limit=None)
            button.click(self.run, [files, method, preset, points, settings], [told, everything, single], api_name="run", **compute)
            button.click(self.export, [scene, formats], [everything, single], api_name="export", **compute)


def _told(problem: Exception) -> gr.Error:
    title = texts.PROBLEM_TITLE if isinstance(problem, UserError) else texts.FAULT_TITLE
    return gr.Error(sentence(problem), title=title, print_exception=False)
