"""The page's side of its workers: starts them ahead of time, hands them jobs, ends them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from toolkit.beside import buried, kill_group
from toolkit.errors import Cancelled, UserError
from toolkit.page import texts

log = logging.getLogger("lift4d")
_ROOT = Path(__file__).resolve().parents[2]


class Fault(Exception):  # noqa: N818  (told by a number)
    """A mistake of ours: the log holds it under a number, which is all that a visitor sees."""

    def __init__(self, details: str) -> None:
        self.incident = uuid.uuid4().hex[:8]
        log.error("incident %s\n%s", self.incident, details, extra={"incident": self.incident})
        super().__init__(texts.FAULT.format(incident=self.incident))


class Worker:
    """One process that works for the page; it does one job at a time."""

    def __init__(self, temporary: Path) -> None:
        """Starts it; importing takes it a second or more, during which jobs may already be given.

        Args:
            temporary: The folder for its temporary files.
        """
        self.cancelled = self.late = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "toolkit.page.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(_ROOT)},
            start_new_session=True,
            text=True,
        )

    @property
    def alive(self) -> bool:
        """Whether it can take a job."""
        return self.process.poll() is None

    def end(self) -> None:
        """Ends it at once, whatever it does; what it had in memory is free again when this returns."""
        self.cancelled = True
        if self.process.poll() is None:
            kill_group(self.process)
        buried(self.process)

    def ended_after(self, seconds: float) -> threading.Timer:
        """Ends it then unless the timer is cancelled before; `late` tells that this was why."""

        def late() -> None:
            self.late = True
            self.end()

        timer = threading.Timer(seconds, late)
        timer.daemon = True
        timer.start()
        return timer

    async def work(self, job: str, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        """Gives it a job and yields its events; the last one is {"answer": ...}.

        Raises:
            UserError: what the visitor can put right.
            Cancelled: `end` was called.
            Fault: what only we can.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError) as problem:
            raise self._gone(job) from problem
        while True:
            line = await _in_thread(self._line)
            if not line:
                raise self._gone(job)
            event = json.loads(line)
            if "ready" in event:
                continue
            if "problem" in event:
                raise UserError(event["problem"])
            if "bug" in event:
                raise Fault(f"{job}\n{event['bug']}")
            yield event
            if "answer" in event:
                return

    def _line(self) -> str:
        assert self.process.stdout is not None
        try:
            return self.process.stdout.readline()
        except ValueError:  # closed by `end`
            return ""

    def _gone(self, job: str) -> Exception:
        if self.cancelled:
            return Cancelled()
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return UserError(texts.OUT_OF_MEMORY)
        return Fault(f"{job}: the worker ended with {code}")


async def _exhaust(events: AsyncIterator[dict[str, Any]]) -> None:
    async for _ in events:
        pass


async def _in_thread(function: Any) -> Any:
    """Runs a blocking function on a thread of its own: a pool's could all be waiting."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future = loop.create_future()

    def body() -> None:
        result = function()
        try:
            loop.call_soon_threadsafe(lambda: future.done() or future.set_result(result))
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    threading.Thread(target=body, name="lift4d-worker-line", daemon=True).start()
    return await future


class Crew:
    """The workers of one page: one that looks at clips for everybody, one that stands ready for the next run."""

    LOOK_AT_MOST_S = 20.0

    def __init__(self, temporary: Path) -> None:
        """Starts both.

        Args:
            temporary: The folder for what they write on the way.
        """
        self.temporary = temporary
        self._looker = Worker(temporary)
        self._spare: Worker | None = Worker(temporary)
        self._warming: Worker | None = None
        self._looking: asyncio.Lock | None = None
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Compiles the inner loops beside the page, with the lowest priority: a fresh installation has none compiled."""
        worker = self._warming = Worker(self.temporary)

        def body() -> None:
            try:
                asyncio.run(_exhaust(worker.work("warm_up")))
            except (Exception, Cancelled) as problem:
                log.warning("warming up ended early: %s", problem)
            worker.end()

        threading.Thread(target=body, name="lift4d-warm-up", daemon=True).start()

    async def look(self, job: str, **arguments: Any) -> dict[str, Any]:
        """A short job; whoever comes second waits for the first.

        Raises:
            UserError: what the visitor can put right; also when it takes too long.
        """
        self._looking = self._looking or asyncio.Lock()
        async with self._looking:
            if not self._looker.alive:
                self._looker = Worker(self.temporary)
            try:
                async with asyncio.timeout(self.LOOK_AT_MOST_S):
                    async for event in self._looker.work(job, **arguments):
                        if "answer" in event:
                            return event["answer"]
            except TimeoutError:
                self._looker.end()
                raise UserError(texts.TOO_SLOW.format(seconds=self.LOOK_AT_MOST_S)) from None
            except asyncio.CancelledError:
                self._looker.end()  # it is in the middle of something that nobody waits for
                raise
        raise AssertionError("a job ends with an answer or is raised")

    def hire(self) -> Worker:
        """A worker for one long job; end it afterwards."""
        with self._lock:
            worker, self._spare = self._spare, None
        return worker if worker is not None and worker.alive else Worker(self.temporary)

    def dismiss(self, worker: Worker) -> None:
        """Ends a hired worker and lets another one stand ready."""
        worker.end()
        with self._lock:
            if self._spare is None:
                self._spare = Worker(self.temporary)

    def close(self) -> None:
        """Ends all that stand ready."""
        with self._lock:
            spare, self._spare = self._spare, None
        for worker in (self._looker, spare, self._warming):
            if worker is not None:
                worker.end()
