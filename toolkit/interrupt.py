"""Ctrl-C in the shell: one sentence and exit code 130 wherever it strikes, also inside libraries that make another error of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

EXIT_CODE = 130
SENTENCE = "Cancelled; nothing was written."

_struck = threading.Event()


def was_struck() -> bool:
    """Whether somebody pressed Ctrl-C while it was listened for."""
    return _struck.is_set()


@contextmanager
def listening() -> Iterator[None]:
    """Remembers a Ctrl-C inside the block, which raises KeyboardInterrupt as ever; a shell that has it ignored keeps that."""
    _struck.clear()
    mine = threading.current_thread() is threading.main_thread()
    mine = mine and signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _strike)
    before = signal.signal(signal.SIGINT, _strike) if mine else None
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)


def listen_while_importing() -> None:
    """From now on an error after a Ctrl-C ends the program with the sentence: imports take seconds, and nothing else could catch it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _strike)
        sys.excepthook = _end


def _strike(number: int, frame: FrameType | None) -> None:
    _struck.set()
    signal.default_int_handler(number, frame)


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not was_struck():
        sys.__excepthook__(kind, error, trace)
        return
    print(SENTENCE, file=sys.stderr, flush=True)
    os._exit(EXIT_CODE)  # an interpreter that ends by itself would end with another code


# `python -m toolkit` imports the package before any line of the shell runs; only then is the name of the program this.
if sys.argv[:1] == ["-m"]:
    listen_while_importing()
