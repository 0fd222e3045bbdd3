"""A page in a process of its own, with its files in a folder of its own, and what it uses at a moment."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def opened_page(place: Path, log: Path | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """Opens a page and closes it afterwards.

    Args:
        place: A folder for its files; it is made.
        log: Gets what it says; None for where this process says it.

    Yields:
        Its address and its process.
    """
    place.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "TMPDIR": str(place), "LIFT4D_LOG": "json"}
    with nullcontext() if log is None else log.open("wb") as told:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=told)
    url = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(url, process)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen) -> None:
    end = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(f"{url}healthz", timeout=10) as answer:
                if json.loads(answer.read())["status"]:
                    return
        except (OSError, urllib.error.URLError):
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.5)


def used(process: psutil.Process, place: Path) -> dict[str, float]:
    """Memory of a page and its workers in MB, bytes in its folder, open files of the page itself."""
    memory = 0
    for one in (process, *process.children(recursive=True)):
        try:
            memory += one.memory_full_info().pss
        except psutil.Error:
            pass  # it ended meanwhile
    sizes = []
    for folder, _, names in os.walk(place):  # says nothing of folders that go meanwhile, unlike a glob
        for name in names:
            with suppress(OSError):
                sizes.append(os.path.getsize(os.path.join(folder, name)))
    return {
        "memory_mb": memory / 1e6,
        "disk_mb": sum(sizes) / 1e6,
        "files": len(sizes),
        "open_files": process.num_fds(),
    }


def wait_until_calm(place: Path) -> None:
    """Until the page should have deleted what visitors left who closed it."""
    from toolkit.page.scratch import LEFT_S

    time.sleep(LEFT_S + 30.0)
