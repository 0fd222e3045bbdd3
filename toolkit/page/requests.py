"""Requests that can't be understood get one sentence and a 4xx code: no visitor's mistake is one of the server's."""

from __future__ import annotations

import json
import logging
from functools import wraps
from typing import Any

import gradio as gr
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolkit.page import texts
from toolkit.page.desk import sentence

log = logging.getLogger("lift4d")
NOT_UNDERSTOOD = "This request can't be understood; the link Use via API at the foot of the page tells what can be asked, and how."
NOT_TAKEN = "What was given can't be taken{why}; the link Use via API at the foot of the page tells the arguments and their types."
_LONGEST = 200  # letters of a reason


class Understood:
    """Stands before Gradio, which raises where a request names what is not there, or holds what it does not expect."""

    def __init__(self, app: ASGIApp) -> None:
        """Around an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = ended = events = False

        async def sent(message: Message) -> None:
            nonlocal began, ended, events
            began = True
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            events |= any(name == b"content-type" and b"event-stream" in value for name, value in message.get("headers", ()))
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as problem:
            log.warning("a request that can't be understood: %s, %s", scope["method"], type(problem).__name__, exc_info=problem)
            if not began:
                await JSONResponse({"detail": NOT_UNDERSTOOD}, 400)(scope, receive, send)
            elif events and not ended:  # a stream is ended with what is wrong, not in the middle of a word
                last = f"event: error\ndata: {json.dumps({'error': NOT_UNDERSTOOD})}\n\n"
                await send({"type": "http.response.body", "body": last.encode(), "more_body": False})


def tell_in_sentences(page: gr.Blocks) -> None:
    """What Gradio finds wrong with the arguments of a call is told in a sentence, which is otherwise in nobody's answer but in the log.

    Args:
        page: Once it is built.
    """
    step = page.preprocess_data

    @wraps(step)
    async def taken(*arguments: Any, **named: Any) -> Any:
        try:
            return await step(*arguments, **named)
        except Exception as problem:
            if isinstance(problem, gr.Error) and not problem.print_exception:
                raise  # a sentence of ours
            raise gr.Error(NOT_TAKEN.format(why=_why(problem)), title=texts.PROBLEM_TITLE, print_exception=False) from None

    setattr(page, "preprocess_data", taken)  # noqa: B010  (a method that is one of this page alone)
    handle = page.call_function

    @wraps(handle)
    async def handled(*arguments: Any, **named: Any) -> Any:
        try:
            return await handle(*arguments, **named)
        except gr.Error:
            raise
        except Exception as problem:
            raise gr.Error(sentence(problem), title=texts.FAULT_TITLE, print_exception=False) from None

    setattr(page, "call_function", handled)  # noqa: B010


def _why(problem: Exception) -> str:
    """What may be told of it: other problems name places of the server."""
    if type(problem) not in (gr.Error, ValueError):
        return ""
    lines = str(problem).strip().splitlines()
    first = lines[0].rstrip(".") if lines else ""
    return f" ({first if len(first) <= _LONGEST else first[:_LONGEST] + ' ...'})" if first else ""
