"""What all handlers of the page share: its visitors, its components by name, and how a problem is told."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, replace
from functools import wraps
from typing import Any

import cv2
import gradio as gr
import numpy as np

from toolkit.errors import Cancelled, UserError
from toolkit.gallery import Example, examples
from toolkit.media.estimates import Costs, estimate
from toolkit.methods.registry import methods
from toolkit.page import picking, texts
from toolkit.page.scratch import Visitor
from toolkit.page.settings import parse_settings
from toolkit.page.stages import line
from toolkit.page.studio import Studio
from toolkit.page.workers import Fault
from toolkit.scene import U8

TICK_S = 1.0
Changes = dict[Any, Any]
"""Components and what becomes of them."""


def heard(handler: Callable[..., AsyncIterator[Changes]]) -> Callable[..., AsyncIterator[Changes]]:
    """A handler of the page that answers in any case: where it has nothing to say, that nothing changes.

    Gradio empties every component that a generator could have changed when it ends without having said anything.
    """

    @wraps(handler)
    async def answering(*arguments: Any, **named: Any) -> AsyncIterator[Changes]:
        silent, changes = True, handler(*arguments, **named)
        try:
            async for change in changes:
                silent = False
                yield change
        finally:
            await changes.aclose()  # type: ignore[attr-defined]
        if silent:
            yield gr.skip()

    return answering


def sentence(problem: BaseException) -> str:
    """What a person sees of a problem: its sentence, or the number under which the log holds the rest."""
    if isinstance(problem, Cancelled):
        return texts.CANCELLED
    if isinstance(problem, UserError | Fault):
        return str(problem)
    return str(Fault("".join(traceback.format_exception(problem))))


class Desk:
    """One page's components and visitors."""

    def __init__(self, studio: Studio) -> None:
        """For the visitors of a studio."""
        self.studio = studio
        self.examples: list[Example] = list(examples().values())
        self.parts: dict[str, Any] = {}

    def changes(self, **changes: Any) -> Changes:
        """Changes of components, by their names; none where none is named."""
        if not changes:
            return gr.skip()
        return {self.parts[name]: value for name, value in changes.items()}

    def visitor(self, request: gr.Request) -> Visitor:
        """Whoever asks."""
        return self.studio.scratch.visitor(request.session_hash)

    def ready(self, visitor: Visitor) -> str:
        """The status of a visitor for whom nothing is in work: it names what is shown, which need not be what was brought last."""
        shown = visitor.kept.get("shown")
        return line(texts.READY if shown is None else texts.READY_SHOWN.format(what=shown))

    def options(self, kind: str, settings: str, method: str | None) -> dict[str, Any]:
        """What the visitor says of the clip, and the settings asked for."""
        return {**texts.KINDS[kind][1], **parse_settings(settings, method)}


def frames_used(found: dict[str, Any], method: str | None = None, asked: int | None = None) -> int:
    """How many frames of a clip a run takes.

    Args:
        found: The answer of the job `look`.
        method: Of those that suit the clip; the first one otherwise.
        asked: How many the visitor asks for; None for as many as the method takes by itself.
    """
    if asked:
        return min(found["frames"], asked)
    chosen = [name for name in found["methods"] if name == method] or found["methods"][:1]
    most = [getattr(methods()[name].settings(), "max_frames", found["frames"]) for name in chosen]
    return min([found["frames"], *most])


def costs(found: dict[str, Any], method: str | None, asked: int | None = None) -> dict[str, dict[str, float]]:
    """What each preset costs of a clip, as the job `look` tells it; of so many frames, where a number is asked for."""
    told = found["estimates"].get(method, found["estimate"])
    if not told or not asked:
        return told
    frames = frames_used(found, method, asked)
    unlimited = replace(Costs(), frames_at_most=max(frames, Costs().frames_at_most))
    anew = estimate(found["kind"], frames, tuple(found["size"]), found["views"], unlimited, method=method or "auto")
    return {preset: asdict(cost) for preset, cost in anew.items()}


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


def marked(visitor: Visitor, picture: str, points: Sequence[picking.Point], frame: int, size: list[int], name: str) -> str:
    """A picture of the visitor's with points on it, as a new file: browsers keep pictures by name."""
    image = picture_of(picture)
    target = visitor.new_picture(name)
    drawn = picking.draw_points(image, points, frame, (size[0], size[1]))
    cv2.imwrite(str(target), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return str(target)


def picture_of(path: str) -> U8:
    """A picture that was made for the visitor.

    Raises:
        UserError: it is gone.
    """
    image = cv2.imread(path)
    if image is None:
        raise UserError(texts.NOT_HERE)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
