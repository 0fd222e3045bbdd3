"""What the status says of a run that ended from outside."""

import asyncio
import inspect
import threading
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

import app
from toolkit.errors import Cancelled, UserError
from toolkit.page import running as running_module
from toolkit.page import texts
from toolkit.page.desk import heard
from toolkit.page.endpoints import Endpoints
from toolkit.page.pointing import Pointing
from toolkit.page.running import Running
from toolkit.page.scratch import Scratch
from toolkit.page.studio import Studio


class Desk:
    """A desk with one visitor, whose status is what is told last."""

    def __init__(self, scratch: Scratch) -> None:
        self.parts = {"status": "status"}
        self.studio: Any = SimpleNamespace(scratch=scratch, cancel=lambda visitor: False)

    def visitor(self, request):
        return self.studio.scratch.visitor("somebody")

    def changes(self, **changes):
        return changes

    def ready(self, visitor):
        return texts.READY


@pytest.fixture
def running(tmp_path):
    scratch = Scratch(tmp_path)
    desk: Any = Desk(scratch)
    yield Running(desk, Pointing(desk))
    scratch.close()


CALLS = {
    "cancel": lambda running: running.cancel(None)["status"],
    "refused": lambda running: running.refused(None)["status"],
}


async def begun(running) -> Any:
    """A run in work, as Gradio holds it."""
    running.asked(None)
    events = running.run("found", None, "", "draft", "", None, None)
    assert "in work" in (await anext(events))["status"]
    return events


@pytest.mark.parametrize("order", list(permutations(["close", "cancel", "refused"])) + [("end", *p) for p in permutations(CALLS)])
def test_a_cancelled_run_says_so_in_whatever_order_gradio_closes_it_and_asks(running, monkeypatch, order):
    async def working(*_):
        yield "in work"
        if order[0] == "end":
            raise Cancelled
        await asyncio.sleep(60)

    async def told() -> list[str]:
        monkeypatch.setattr(running, "_running", working)
        running.desk.visitor(None).kept.update(clip="a.mp4", found={})
        events, told = await begun(running), []
        for step in order:
            if step == "close":
                await events.aclose()
            elif step == "end":
                told += [changes["status"] async for changes in events]
            else:
                told.append(CALLS[step](running))
        return told

    said = asyncio.run(told())
    assert len(said) >= 2 and all(texts.CANCELLED in status for status in said)
    running.asked(None)
    assert texts.READY in running.refused(None)["status"], "a control that is refused later was not cancelled"


def test_a_run_whose_task_is_cancelled_says_so_too(running, monkeypatch):
    async def working(*_):
        yield "in work"
        await asyncio.sleep(60)

    async def told() -> str:
        monkeypatch.setattr(running, "_running", working)
        running.desk.visitor(None).kept.update(clip="a.mp4", found={})
        events = await begun(running)
        task = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return running.refused(None)["status"]

    assert texts.CANCELLED in asyncio.run(told())


def test_cancel_says_so_of_a_run_that_waits_and_that_nothing_was_in_work_after_a_run_has_ended(running, monkeypatch):
    assert texts.READY in running.cancel(None)["status"]
    running.asked(None)
    assert texts.CANCELLED in running.cancel(None)["status"]

    async def working(*_):
        yield "in work"

    async def to_the_end() -> None:
        async for _ in await begun(running):
            pass

    monkeypatch.setattr(running, "_running", working)
    running.desk.visitor(None).kept.update(clip="a.mp4", found={})
    asyncio.run(to_the_end())
    assert texts.READY in running.cancel(None)["status"]


def test_every_handler_that_tells_in_steps_answers_even_where_it_has_nothing_to_say():
    page = app.build(SimpleNamespace())  # type: ignore[arg-type]
    in_steps = [
        f for f in page.fns.values() if f.fn is not None and inspect.isasyncgenfunction(f.fn) and type(f.fn.__self__) is not Endpoints
    ]
    assert len(in_steps) >= 4
    assert [f.name for f in in_steps if not hasattr(f.fn, "__wrapped__")] == []


def test_a_handler_with_nothing_to_say_changes_nothing():
    @heard
    async def silent():
        for nothing in ():
            yield nothing

    async def told() -> list[Any]:
        return [changes async for changes in silent()]

    assert asyncio.run(told()) == [gr.skip()]


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


@pytest.mark.parametrize("poor", [[], ["rows of the two eyes", "camera path"]])
def test_what_came_out_poor_is_named_where_the_run_is_said_to_be_done(running, monkeypatch, poor):
    async def working(*_):
        yield {"seconds": 12, "memory_mb": 900, "poor": poor}

    async def told() -> str:
        monkeypatch.setattr(running, "_running", working)
        running.desk.visitor(None).kept.update(clip="a.mp4", found={}, runs=1)
        running.asked(None)
        return [changes async for changes in running.run("found", None, "", "draft", "", None, None)][-1]["status"]

    status = asyncio.run(told())
    assert "Done in 12 s" in status and ("fair" in status) == bool(poor) and all(name in status for name in poor)


def test_run_pressed_while_a_clip_is_still_looked_at_runs_that_clip(running, monkeypatch):
    async def working(_visitor, found, *_):
        yield f"in work on {found['kind']}"

    async def told() -> list[str]:
        monkeypatch.setattr(running, "_running", working)
        monkeypatch.setattr(running_module, "TICK_S", 0.01)
        kept = running.desk.visitor(None).kept
        kept.update(clip="a.mp4", looking=True)
        running.asked(None)
        first = asyncio.ensure_future(anext(running.run("found", None, "", "draft", "", None, None)))
        await asyncio.sleep(0.05)
        assert not first.done(), "nothing is known of the clip yet"
        kept["found"] = {"kind": "vr180"}
        kept.pop("looking")
        return [(await first)["status"]]

    assert asyncio.run(told()) == ["in work on vr180"]


def test_a_value_that_the_method_refuses_is_told_before_a_worker_is_hired(running):
    running.desk.options = lambda kind, settings, method: {"fov_deg": 400}
    found = {"methods": ["stereo4d"], "has_result": False, "kind": "vr180"}
    states = running._running(running.desk.visitor(None), found, "found", None, "fov_deg = 400", "draft", "", None)
    with pytest.raises(UserError, match="fov_deg is 400, but a number from 1 to 170"):
        asyncio.run(anext(states))
