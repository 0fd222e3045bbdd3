"""Hostile calls of a page, one after the other: each is told in a sentence or refused, and the page is as it was."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from toolkit.soak.calls import Answer, made, write_call
from toolkit.soak.corpus import small_pair
from toolkit.soak.page_process import opened_page, used, wait_until_calm

_FEW = 20  # posters of examples, and what Gradio leaves empty


def call_page(url: str, numbers: Sequence[int], folder: Path, *, seed: int = 0) -> Iterator[Answer]:
    """Makes hostile calls of a page.

    Args:
        url: Its address.
        numbers: Which calls.
        folder: An empty one for what is uploaded, and for a file that nobody may read.
        seed: Of the calls.
    """
    marker = secrets.token_hex(16)
    secret = folder / "secret.mp4"
    secret.write_text(marker)
    clip = small_pair(folder / "small_sbs.mp4").read_bytes()
    with httpx.Client(base_url=url) as client:
        for number in numbers:
            yield made(client, write_call(number, seed, _uploaded(client, clip), str(secret)), marker)


def still_serves(url: str, folder: Path) -> bool:
    """Whether an honest visitor is served."""
    clip = small_pair(folder / "honest_sbs.mp4").read_bytes()
    with httpx.Client(base_url=url, timeout=60) as client:
        event = client.post("gradio_api/call/inspect", json={"data": [[_uploaded(client, clip)]]}).json()["event_id"]
        return "event: complete" in client.get(f"gradio_api/call/inspect/{event}").text and client.get("healthz").is_success


def soak_calls(count: int, *, seed: int = 0, tell: Callable[[str], None] = lambda line: None) -> tuple[list[Answer], list[str]]:
    """Opens a page and makes hostile calls of it.

    Args:
        count: How many.
        seed: Of the calls.
        tell: Called with a line about each that is not good.

    Returns:
        What became of each, and what was not as before afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="lift4d-calls-") as name:
        folder, answers, wrong = Path(name), [], []
        with opened_page(folder / "page", folder / "log") as (url, process):
            for answer in call_page(url, range(count), folder, seed=seed):
                answers.append(answer)
                if not answer.good:
                    tell(f"call {answer.call.number} of seed {seed}: {answer.call.told}: {answer.outcome}\n{answer.text[-2000:]}")
            if not still_serves(url, folder):
                wrong.append("an honest visitor is not served any more")
            wait_until_calm(folder / "page")
            left = used(process, folder / "page")
            if left["files"] > _FEW:
                wrong.append(f"{left['files']:.0f} files of {left['disk_mb']:.1f} MB are left")
        told = (folder / "log").read_text(errors="replace")
        faults = told.count("Traceback")
        if faults:
            wrong.append(f"the log of the page holds {faults} tracebacks, the first of which is: {told[told.index('Traceback') :][:3000]}")
        return answers, wrong


def _uploaded(client: httpx.Client, clip: bytes) -> Any:
    """A clip, uploaded, as the endpoints take it."""
    path = client.post("gradio_api/upload", files={"files": ("small_sbs.mp4", clip, "video/mp4")}).raise_for_status().json()[0]
    return {"path": path, "orig_name": "small_sbs.mp4", "meta": {"_type": "gradio.FileData"}}
