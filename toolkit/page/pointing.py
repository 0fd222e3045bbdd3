"""The points of the page: clicked on any frame, taken back, pasted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from toolkit.page import picking, texts
from toolkit.page.desk import Changes, Desk, frames_used, marked, picture_of, sentence
from toolkit.page.scratch import Visitor
from toolkit.page.stages import line


class Pointing:
    """What happens when a visitor chooses points."""

    def __init__(self, desk: Desk) -> None:
        """For the visitors of a desk."""
        self.desk = desk

    async def show_frame(self, frame: float, text: str, kind: str, method: str | None, settings: str, request: gr.Request) -> Changes:
        """A frame of the clip with the points on it."""
        visitor = self.desk.visitor(request)
        try:
            options = self.desk.options(kind, settings, method)
            visitor.kept["frame"] = await self.desk.studio.picture(visitor, "frame", frame=int(frame), options=options)
            return self.desk.changes(picture=self._drawn(visitor, text))
        except Exception as problem:
            return self.desk.changes(picture=None, status=line(sentence(problem), kind="poor"))

    def click(self, text: str, request: gr.Request, event: gr.SelectData) -> Changes:
        """One more point, where the visitor clicked."""
        visitor = self.desk.visitor(request)
        return self._picked(visitor, lambda: self._with_click(visitor, text, event.index))

    def _with_click(self, visitor: Visitor, text: str, index: Any) -> list[picking.Point]:
        shown = visitor.kept["frame"]
        image = picture_of(shown["picture"])
        x, y = picking.to_clip(index, (image.shape[1], image.shape[0]), tuple(shown["size"]))
        return picking.add_point(self.points(visitor, text), shown["frame"], x, y)

    def undo(self, text: str, request: gr.Request) -> Changes:
        """Without the last point."""
        visitor = self.desk.visitor(request)
        return self._picked(visitor, lambda: self.points(visitor, text)[:-1])

    def clear(self, request: gr.Request) -> Changes:
        """Without any point."""
        return self._picked(self.desk.visitor(request), list)

    def paste(self, text: str, request: gr.Request) -> Changes:
        """The points of the text, checked."""
        visitor = self.desk.visitor(request)
        return self._picked(visitor, lambda: self.points(visitor, text))

    def _picked(self, visitor: Visitor, change: Callable[[], list[picking.Point]]) -> Changes:
        if "frame" not in visitor.kept:
            return self.desk.changes(status=line(texts.NO_CLIP, kind="poor"))
        try:
            text = picking.as_text(change())
            return self.desk.changes(points=text, picture=self._drawn(visitor, text), status=self.desk.ready(visitor))
        except Exception as problem:
            return self.desk.changes(status=line(sentence(problem), kind="poor"))

    def points(self, visitor: Visitor, text: str) -> list[picking.Point]:
        """The points of the text, checked against the clip and the picture that is shown."""
        found, shown = visitor.kept["found"], visitor.kept["frame"]
        return picking.parse_points(
            text, frames=max(frames_used(found, method) for method in found["methods"] or [None]), size=tuple(shown["size"])
        )

    def _drawn(self, visitor: Visitor, text: str) -> str:
        """The shown frame with its points."""
        # A slider may have moved on while its frame is still being made: what counts is the frame that is on the screen.
        shown = visitor.kept["frame"]
        points = self.points(visitor, text)
        return shown["picture"] if not points else marked(visitor, shown["picture"], points, shown["frame"], shown["size"], "points")
