"""The process beside the page that opens what visitors bring: one job a line comes in, its events go out, a line each.

What a visitor's file does to a decoder, or a run to the memory, stays in here; to cancel a job is to end this process.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

NICE = 5
"""The page answers first, then what it waits for."""

_TELL_EVERY_S = 0.15

Tell = Callable[..., None]
"""tell(stage=..., done=..., total=..., message=...): a job says where it is."""


def main() -> None:
    """Reads jobs until the page is gone."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not be taken for an event
    _step_back()
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(jobs,), name="jobs", daemon=True).start()
    from toolkit.page import jobs as known

    _say(out, {"ready": True})
    while True:
        job = jobs.get()
        _serve(known.JOBS[job.pop("job")], job, out)


def _read(jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Jobs from the page; when it is gone, nobody waits for what is in work."""
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(0)


def _serve(work: Callable[..., dict[str, Any]], job: dict[str, Any], out: IO[str]) -> None:
    from toolkit.errors import UserError

    last = [0.0, ""]

    def tell(*, stage: str, done: int, total: int, message: str) -> None:
        now = time.monotonic()
        if stage != last[1] or done >= total or now - last[0] > _TELL_EVERY_S:
            last[:] = [now, stage]
            _say(out, {"stage": stage, "done": done, "total": total, "message": message})

    try:
        answer = {"answer": work(tell=tell, **job)}
    except UserError as problem:
        answer = {"problem": str(problem)}
    except MemoryError:
        answer = {"problem": "This takes more memory than there is; choose Draft, or fewer frames."}
    except Exception:
        answer = {"bug": traceback.format_exc()}
    _say(out, answer)


def _say(out: IO[str], event: dict[str, Any]) -> None:
    out.write(json.dumps(event) + "\n")
    out.flush()


def _step_back() -> None:
    """Lets the page go first, and lets the system end this process first when memory runs out."""
    try:
        os.nice(NICE)
        Path("/proc/self/oom_score_adj").write_text("800")
    except OSError:
        pass  # not every system has these; the work is the same without


if __name__ == "__main__":
    main()
