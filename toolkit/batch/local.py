"""The engine for one machine: processes of our own, restarted when a clip takes one along; nothing to install."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from toolkit.batch.engine import Limits, lost_line
from toolkit.batch.ledger import DiskFull
from toolkit.batch.work import Task
from toolkit.beside import buried, kill_group

_ROOT = Path(__file__).resolve().parents[2]
_TICK_S = 0.25
_WHOLE = 1 << 16


class _Worker:
    """One process, and the clip that it does."""

    def __init__(self, threads: int, temporary: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "toolkit.batch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env={**_environment(threads), "TMPDIR": str(temporary)},
            start_new_session=True,
        )
        self.task: Task | None = None
        self.asks_mb: float | None = None  # waits to be let go on
        self.granted_mb = 0.0
        self.since = 0.0
        self.killed_for = ""
        self._text = b""

    def give(self, task: Task) -> None:
        self.task, self.since, self.asks_mb, self.granted_mb = task, time.monotonic(), None, 0.0
        self._say(task.as_json())

    def let_go_on(self, memory_mb: float) -> None:
        self.granted_mb, self.asks_mb = memory_mb, None
        self.since = time.monotonic()  # waiting for memory is no fault of the clip
        self._say({"go": True})

    def _say(self, word: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write((json.dumps(word) + "\n").encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it was killed just now: the end of its answers tells so

    def hear(self) -> list[dict[str, Any]] | None:
        """What it said meanwhile; None when it is gone."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), _WHOLE)
        if not data:
            return None
        *lines, self._text = (self._text + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def memory_mb(self) -> float:
        try:
            return psutil.Process(self.process.pid).memory_info().rss / 2**20
        except psutil.Error:
            return 0.0

    def kill(self, why: str = "") -> None:
        self.killed_for = why
        kill_group(self.process)

    def buried(self) -> int:
        """Waits for its end; its exit code."""
        return buried(self.process)


class LocalEngine:
    """Worker processes on this machine."""

    def __init__(self, limits: Limits, temporary: Path, *, threads: int = 1) -> None:
        """Starts nothing yet.

        Args:
            limits: What clips may take.
            temporary: A folder for the workers' temporary files.
            threads: That each worker computes with.
        """
        self._limits, self._temporary, self._threads = limits, temporary, threads
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    def work(self, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
        """Does all tasks; see `Engine`."""
        todo = deque(tasks)
        while todo or any(worker.task is not None for worker in self._workers):
            yield from self._hand_out(todo)
            self._grant()
            for key, _ in self._selector.select(_TICK_S):
                yield from self._heard(key.data, todo)
            self._watch()

    def close(self) -> None:
        """Ends all workers."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.buried()
        self._workers.clear()
        self._selector.close()

    def _hand_out(self, todo: deque[Task]) -> Iterator[dict[str, Any]]:
        """A clip for everybody who has none."""
        busy = sum(worker.task is not None for worker in self._workers)
        while len(self._workers) < min(self._limits.workers, busy + len(todo)):
            worker = _Worker(self._threads, self._temporary)
            self._workers.append(worker)
            self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
        for worker in self._workers:
            if worker.task is not None:
                continue
            in_work = [other.task for other in self._workers if other.task is not None]
            # A clip that took a worker along may have taken too much memory: it is tried again when nothing else is in work.
            alone = any(task.attempt > 1 for task in in_work)
            if not todo or alone or (in_work and todo[0].attempt > 1):
                return
            task = todo.popleft()
            worker.give(task)
            yield _started(task, worker.process.pid)

    def _grant(self) -> None:
        """Lets clips go on whose memory there is, oldest first; one alone always."""
        for worker in sorted((w for w in self._workers if w.asks_mb is not None), key=lambda w: w.since):
            taken = sum(w.granted_mb for w in self._workers if w.task is not None)
            if taken > 0 and taken + worker.asks_mb > self._limits.memory_mb:  # type: ignore[operator]
                return
            worker.let_go_on(worker.asks_mb or 1.0)

    def _heard(self, worker: _Worker, todo: deque[Task]) -> Iterator[dict[str, Any]]:
        words = worker.hear()
        if words is None:
            self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
            self._workers.remove(worker)
            code = worker.buried()
            if worker.task is not None:
                yield from self._gone(worker, worker.task, code, todo)
            elif code > 0:
                raise RuntimeError(f"A worker ended with {code} before it was given a clip.")
            return
        for word in words:
            if "needs_mb" in word:
                worker.asks_mb = float(word["needs_mb"])
            elif "full" in word:
                raise DiskFull(self._temporary.parent.parent)
            elif "line" in word:
                worker.task, worker.granted_mb = None, 0.0
                yield word["line"]

    def _gone(self, worker: _Worker, task: Task, code: int, todo: deque[Task]) -> Iterator[dict[str, Any]]:
        """A clip whose worker is gone: another try at the end of the queue, or the last word about it."""
        if worker.killed_for:
            yield lost_line(task, worker.killed_for)
        elif task.attempt <= self._limits.retries:
            todo.append(replace(task, attempt=task.attempt + 1))
        else:
            ended = f"signal {-code}" if code < 0 else f"code {code}"
            yield lost_line(
                task, f"It ended its worker {task.attempt} times ({ended}): it may need more memory than there is, or be made to do harm."
            )

    def _watch(self) -> None:
        """Ends whoever takes too long or too much."""
        for worker in self._workers:
            if worker.task is None or worker.asks_mb is not None:
                continue
            limit = self._limits.seconds
            if limit is not None and time.monotonic() - worker.since > limit:
                worker.kill(f"It took longer than the {limit:.0f} s that a clip may take; use preset draft, or fewer frames.")
            elif worker.memory_mb() > self._limits.memory_mb:
                worker.kill(f"It took more than the {self._limits.memory_mb:.0f} MB that there are; use preset draft, or fewer frames.")


def _started(task: Task, pid: int) -> dict[str, Any]:
    return {"clip": task.clip, "path": task.path, "state": "started", "attempt": task.attempt, "pid": pid}


def _environment(threads: int) -> dict[str, str]:
    """Of a worker: as many threads as it has a share of the machine."""
    ours = {"PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))}
    defaults = {
        "LIFT4D_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }
    return {**os.environ, **{k: v for k, v in defaults.items() if k not in os.environ}, **ours}
