"""The process beside the page that opens what visitors bring: one job a line comes in, its events go out, a line each.

What a visitor's file does to a decoder, or a run to the memory, stays in here; to cancel a job is to end this process.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from typing import Any

from toolkit.beside import conversation, ends_first

NICE = 5
"""The page answers first, then what it waits for."""

_TELL_EVERY_S = 0.15

Tell = Callable[..., None]
"""tell(stage=..., done=..., total=..., message=...): a job says where it is."""


def main() -> None:
    """Reads jobs until the page is gone."""
    hear, say = conversation()
    os.nice(NICE)
    ends_first()
    from toolkit.page import jobs as known

    say({"ready": True})
    while True:
        job = hear()
        _serve(known.JOBS[job.pop("job")], job, say)


def _serve(work: Callable[..., dict[str, Any]], job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    from toolkit.errors import UserError

    last = [0.0, ""]

    def tell(*, stage: str, done: int, total: int, message: str) -> None:
        now = time.monotonic()
        if stage != last[1] or done >= total or now - last[0] > _TELL_EVERY_S:
            last[:] = [now, stage]
            say({"stage": stage, "done": done, "total": total, "message": message})

    try:
        answer = {"answer": work(tell=tell, **job)}
    except UserError as problem:
        answer = {"problem": str(problem)}
    except MemoryError:
        answer = {"problem": "This takes more memory than there is; choose Draft, or fewer frames."}
    except Exception:
        answer = {"bug": traceback.format_exc()}
    say(answer)


if __name__ == "__main__":
    main()
