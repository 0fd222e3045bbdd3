"""The process of a local worker: a clip a line comes in, what becomes of it goes out, a line each; it ends with the one that started it."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO, Any


def main() -> None:
    """Does clips until there are no more, or the driver is gone."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    _ends_first()
    words: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(words,), name="words", daemon=True).start()
    from toolkit.batch.ledger import DiskFull
    from toolkit.batch.work import Task, compute

    def ask(memory_mb: float) -> None:
        _say(out, {"needs_mb": memory_mb})
        words.get()

    _say(out, {"ready": True})
    while True:
        told = words.get()
        try:
            _say(out, {"line": compute(Task.from_json(told), ask)})
        except DiskFull as problem:
            _say(out, {"full": str(problem)})


def _read(words: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Words of the driver; without it nobody waits for what is in work, and the next driver would do it a second time."""
    for line in sys.stdin:
        words.put(json.loads(line))
    os._exit(0)


def _say(out: IO[str], word: dict[str, Any]) -> None:
    out.write(json.dumps(word) + "\n")
    out.flush()


def _ends_first() -> None:
    """When memory runs out, the system ends this process before any other of the person's."""
    try:
        Path("/proc/self/oom_score_adj").write_text("800")
    except OSError:
        pass  # not every system has this; the work is the same without


if __name__ == "__main__":
    main()
