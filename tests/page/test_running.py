"""What the status says of a run that ended from outside."""

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.errors import Cancelled, UserError
from toolkit.page import texts
from toolkit.page.pointing import Pointing
from toolkit.page.running import Running
from toolkit.page.scratch import Scratch
from toolkit.page.studio import Studio


class Desk:
    """A desk with one visitor, whose status is what is told last."""

    def __init__(self, scratch: Scratch) -> None:
        self.parts = {"status": "status"}
        self.studio: Any = SimpleNamespace(scratch=scratch, cancel=lambda visitor: True)

    def visitor(self, request):
        return self.studio.scratch.visitor("somebody")

    def changes(self, **changes):
        return changes


@pytest.fixture
def running(tmp_path):
    scratch = Scratch(tmp_path)
    desk: Any = Desk(scratch)
    yield Running(desk, Pointing(desk))
    scratch.close()


def test_a_refused_control_is_not_called_cancelled_after_a_cancelled_run(running):
    request: Any = None
    assert texts.READY in running.refused(request)["status"]
    assert texts.CANCELLED in running.cancel(request)["status"]
    assert texts.CANCELLED in running.refused(request)["status"], "the run that was cancelled ends so"
    assert texts.READY in running.refused(request)["status"], "what is refused later was not cancelled"


def test_a_cancelled_run_says_so_only_for_a_moment(running, monkeypatch):
    request: Any = None
    running.cancel(request)
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert texts.READY in running.refused(request)["status"]


class Slow:
    """A worker that works until it is ended."""

    def __init__(self) -> None:
        self.late, self.gone = False, threading.Event()

    def ended_after(self, seconds):
        def late():
            self.late = True
            self.gone.set()

        timer = threading.Timer(seconds, late)
        timer.start()
        return timer

    async def work(self, job, **arguments):
        while not self.gone.is_set():
            yield {"stage": job}
            await asyncio.sleep(0.01)
        raise Cancelled()


def test_a_run_that_holds_the_place_too_long_is_ended_with_a_sentence(tmp_path, monkeypatch):
    scratch, worker = Scratch(tmp_path), Slow()
    studio = Studio.__new__(Studio)
    studio.scratch, studio.crew = scratch, SimpleNamespace(hire=lambda: worker, dismiss=lambda worker: None)  # type: ignore[assignment]
    monkeypatch.setattr(Studio, "RUN_AT_MOST_S", 0.1)
    visitor = scratch.visitor("a")
    visitor.kept["clip"] = "a.mp4"

    async def run():
        async for _ in studio.run(visitor, "run"):
            pass

    with pytest.raises(UserError, match="at most on this page"):
        asyncio.run(run())
    assert visitor.job is None
    scratch.close()
