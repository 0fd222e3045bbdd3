"""The page for language models, behind one switch: needs the packages of gradio[mcp], which the page itself does without."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason='mcp is not installed: pip install "gradio[mcp]==6.31.0"')


def test_with_the_switch_on_the_three_endpoints_are_tools(tmp_path):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def names() -> list[str]:
        place = f"http://127.0.0.1:{port}/gradio_api/mcp/"
        async with streamablehttp_client(place) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return [tool.name for tool in (await session.list_tools()).tools]

    own = {"LIFT4D_MCP": "1", "GRADIO_SERVER_PORT": str(port), "TMPDIR": str(tmp_path)}
    page = subprocess.Popen([sys.executable, "app.py"], cwd=Path(__file__).parents[2], env={**os.environ, **own})
    try:
        end = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < end, "the page did not open"
                time.sleep(0.5)
        time.sleep(3)
        assert asyncio.run(names()) == ["inspect", "run", "export"]
    finally:
        page.terminate()
        page.wait(60)
