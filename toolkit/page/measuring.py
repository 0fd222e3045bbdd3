"""Measuring in the result: a frame of it, and what was clicked there."""

from __future__ import annotations

import gradio as gr

from toolkit.page import picking, texts
from toolkit.page.desk import Changes, Desk, marked, picture_of, sentence
from toolkit.page.stages import line


class Measuring:
    """What happens when a visitor measures."""

    def __init__(self, desk: Desk) -> None:
        """For the visitors of a desk."""
        self.desk = desk

    async def show_still(self, frame: float, request: gr.Request) -> Changes:
        """A frame of the result to measure in."""
        visitor = self.desk.visitor(request)
        try:
            folder = await self.desk.studio.laid_out(visitor)
            target = visitor.new_picture("still")
            visitor.kept["still"] = await self.desk.studio.crew.look("still", folder=str(folder), frame=int(frame), picture=str(target))
            visitor.kept["marks"] = []
            return self.desk.changes(still=str(target), measured=line(texts.MEASURE_HOW))
        except Exception as problem:
            return self.desk.changes(still=None, measured=line(sentence(problem), kind="poor"))

    def anew(self, request: gr.Request) -> Changes:
        """Forgets a first point."""
        self.desk.visitor(request).kept["marks"] = []
        return self.desk.changes(measured=line(texts.MEASURE_HOW))

    async def measure(self, frame: float, mode: str, request: gr.Request, event: gr.SelectData) -> Changes:
        """What was clicked, measured."""
        visitor = self.desk.visitor(request)
        try:
            shown = visitor.kept["still"]
            image = picture_of(shown["picture"])
            at = picking.to_clip(event.index, (image.shape[1], image.shape[0]), tuple(shown["size"]))
            folder = await self.desk.studio.laid_out(visitor)
            marks = [] if mode == "speed" or len(visitor.kept.get("marks", [])) > 1 else visitor.kept.get("marks", [])
            marks = visitor.kept["marks"] = [*marks, (int(frame), *at)]
            if mode == "speed":
                answer = await self.desk.studio.crew.look("speed", folder=str(folder), frame=int(frame), xy=list(at))
            elif len(marks) < 2:
                answer = {"sentence": texts.MEASURE_FIRST}
            else:
                a, b = (list(mark[1:]) for mark in marks)
                answer = await self.desk.studio.crew.look("distance", folder=str(folder), frame=int(frame), a=a, b=b)
            return self.desk.changes(
                still=marked(visitor, shown["picture"], marks, int(frame), shown["size"], "marks"),
                measured=line(answer["sentence"], kind="good"),
            )
        except Exception as problem:
            return self.desk.changes(measured=line(sentence(problem), kind="poor"))
