"""A process beside the one that a person started: words come in and answers go out, a line of JSON each; and how it ends."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Word = dict[str, Any]


def conversation() -> tuple[Callable[[], Word], Callable[[Word], None]]:
    """The process's own side: what hears the next word, and what says one. It ends when nobody is left to hear it.

    Whatever a library prints goes where errors go: it must not be taken for an answer.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    words: queue.SimpleQueue[Word] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            words.put(json.loads(line))
        os._exit(0)  # nobody waits for what is in work, and the next to ask would have it done a second time

    def say(word: Word) -> None:
        out.write(json.dumps(word) + "\n")
        out.flush()

    threading.Thread(target=listen, name="words", daemon=True).start()
    return words.get, say


def ends_first() -> None:
    """When memory runs out, the system ends this process before any other of the person's."""
    try:
        Path("/proc/self/oom_score_adj").write_text("800")
    except OSError:
        pass  # not every system has this; the work is the same without


def kill_group(process: subprocess.Popen) -> None:
    """Ends a process that leads a session, and all that it started, at once."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was quicker


def buried(process: subprocess.Popen) -> int:
    """Waits for the end of a process; its exit code. What it had in memory is free again then."""
    code = process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass  # a word was still to be written
    return code
