"""Who has the page open: each keeps a connection for as long, and a run that was asked for before leaving does not bring anybody back."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from toolkit.page.scratch import Scratch

_HEARTBEAT = re.compile(r"/heartbeat/([^/]+)$")


class Presence:
    """Stands before Gradio and notes the connections that tell that a page is open."""

    def __init__(self, app: ASGIApp, scratch: Scratch) -> None:
        """Around an application.

        Args:
            app: The application.
            scratch: Is told who comes and goes.
        """
        self._app, self._scratch = app, scratch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        beat = _HEARTBEAT.search(scope["path"]) if scope["type"] == "http" else None
        if beat is None:
            await self._app(scope, receive, send)
            return
        self._scratch.connected(beat[1])
        try:
            await self._app(scope, receive, send)
        finally:
            self._scratch.disconnected(beat[1])
