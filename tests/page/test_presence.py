"""Connections that tell that a page is open are counted for as long as they last; other requests pass as they are."""

import asyncio
from typing import Any

import pytest

from toolkit.page.presence import Presence
from toolkit.page.scratch import Scratch


@pytest.mark.parametrize("ends", [None, ConnectionResetError])
def test_a_visitor_is_connected_while_its_connection_lasts_however_it_ends(tmp_path, ends):
    scratch, seen = Scratch(tmp_path), []

    async def app(scope, receive, send):
        seen.append((scope["path"], scratch._connections["abc"]))
        if ends is not None:
            raise ends

    async def nothing(*_) -> Any:
        return {}

    async def asked(path):
        await Presence(app, scratch)({"type": "http", "path": path}, nothing, nothing)

    for path in ("/gradio_api/heartbeat/abc", "/gradio_api/queue/join"):
        if ends is None:
            asyncio.run(asked(path))
        else:
            with pytest.raises(ends):
                asyncio.run(asked(path))
    assert seen == [("/gradio_api/heartbeat/abc", 1), ("/gradio_api/queue/join", 0)]
    assert not scratch._connections
    scratch.close()
