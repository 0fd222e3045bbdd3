"""Workers: they answer, they are ended at once, they die with the page, and their mistakes are told by a number."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolkit.errors import Cancelled, UserError
from toolkit.page.workers import Crew, Fault, Worker

ROOT = Path(__file__).parents[2]


async def last(events):
    async for _ in events:
        pass


@pytest.fixture(scope="module")
def crew(tmp_path_factory):
    opened = Crew(tmp_path_factory.mktemp("temporary"))
    yield opened
    opened.close()


def test_a_job_is_answered_and_the_worker_lives_on(crew, clip):
    for _ in range(2):
        told = asyncio.run(crew.look("look", clip=str(clip), options={}))
        assert told["kind"] == "vr180"


def test_what_a_visitor_can_put_right_is_a_sentence(crew, tmp_path):
    (tmp_path / "a.mp4").write_text("no film")
    with pytest.raises(UserError, match="not a video"):
        asyncio.run(crew.look("look", clip=str(tmp_path / "a.mp4"), options={}))


def test_our_own_mistake_is_told_by_a_number_and_the_log_holds_it(crew, caplog):
    with pytest.raises(Fault) as raised:
        asyncio.run(crew.look("look", unheard_of=1))
    assert raised.value.incident in str(raised.value) and "unheard" not in str(raised.value)
    assert raised.value.incident in caplog.text and "unheard_of" in caplog.text


def test_a_worker_is_ended_in_the_middle_of_a_job(crew, clip, tmp_path):
    worker = crew.hire()

    async def cancelled():
        events = worker.work("run", clip=str(clip), folder=str(tmp_path), method="auto", preset="fine", options={}, points=[], frames=None)
        await anext(events)
        began = time.monotonic()
        worker.end()
        with pytest.raises(Cancelled):
            await last(events)
        return time.monotonic() - began

    assert asyncio.run(cancelled()) < 2
    assert not worker.alive
    crew.dismiss(worker)


def test_a_worker_that_the_system_killed_ran_out_of_memory(tmp_path):
    worker = Worker(tmp_path)

    async def killed():
        os.kill(worker.process.pid, 9)
        await last(worker.work("look", clip="a", options={}))

    with pytest.raises(UserError, match="more memory"):
        asyncio.run(killed())
    worker.end()


def test_what_takes_too_long_to_look_at_is_given_up_and_the_next_look_works(tmp_path, clip, monkeypatch):
    crew = Crew(tmp_path)
    monkeypatch.setattr(crew, "LOOK_AT_MOST_S", 0.01)

    async def both():
        with pytest.raises(UserError, match="given up"):
            await crew.look("look", clip=str(clip), options={})
        monkeypatch.setattr(crew, "LOOK_AT_MOST_S", 60.0)
        return await crew.look("look", clip=str(clip), options={})

    assert asyncio.run(both())["frames"] == 6
    crew.close()


def test_a_worker_dies_with_its_page(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from toolkit.page.workers import Worker; "
        "w = Worker(Path(sys.argv[1])); print(w.process.pid, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    page = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=environment, text=True)
    assert page.stdout is not None
    worker = int(page.stdout.readline())
    page.kill()
    page.wait()
    end = time.monotonic() + 30
    while _runs(worker):
        assert time.monotonic() < end
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    """Whether a process is there and not just waiting to be forgotten."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
