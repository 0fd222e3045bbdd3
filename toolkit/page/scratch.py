"""The folders of the page's visitors: each has one of its own, which is gone when its visitor is, or when the whole page is."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.page import texts

log = logging.getLogger("lift4d")
PREFIX = "lift4d-page-"
IDLE_S = 3600.0
"""A visitor's files are deleted when nothing was asked for so long."""
LEFT_S = 60.0
"""The same after the page was closed: a phone that changes its network comes back within seconds."""
KEPT = "poster.jpg"
"""Pictures of this name belong to the page, not to a visitor."""
_SWEEP_EVERY_S = 10.0
_UPLOAD = re.compile(r"[0-9a-f]{64}")


PICTURES_KEPT = 8
"""Of each kind: browsers may still be fetching the one before the last."""


@dataclass
class Visitor:
    """One open page.

    Attributes:
        folder: Its files: `clip/` with what was brought, `run-*/` with results, and pictures to look at.
        seen_s: When something was asked for, by the monotonic clock.
        left_s: When its page was closed; None while it is open.
        kept: What the page remembers of it: names, numbers and paths, never pictures.
        job: The worker that runs for it.
    """

    folder: Path
    seen_s: float = field(default_factory=time.monotonic)
    left_s: float | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    job: Any = None

    def new_folder(self, name: str) -> Path:
        """An empty folder; an earlier one of that name is deleted."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def new_picture(self, name: str) -> Path:
        """A place for a picture to show. Its name is a new one each time, as browsers keep pictures by name; old ones are deleted."""
        folder = self.folder / "pictures"
        folder.mkdir(exist_ok=True)
        number = self.kept["pictures"] = self.kept.get("pictures", 0) + 1
        olds = sorted(folder.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)
        for old in olds[: -PICTURES_KEPT + 1]:
            old.unlink(missing_ok=True)
        return folder / f"{name}-{number}.jpg"


class Scratch:
    """All visitors' folders of one page process, under one root that no other process uses."""

    def __init__(self, place: str | os.PathLike[str] | None = None, *, idle_s: float = IDLE_S, left_s: float = LEFT_S) -> None:
        """Makes the root, and deletes those of pages that no longer run.

        Args:
            place: Where the roots lie; the system's folder for temporary files by default.
            idle_s: A visitor's files are deleted when nothing was asked for so long.
            left_s: The same after its page was closed.
        """
        base = Path(place or tempfile.gettempdir())
        base.mkdir(parents=True, exist_ok=True)
        sweep_dead(base)
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base)).resolve()
        self._held = _hold(self.root)
        self.temporary = self.root / "temporary"
        self.temporary.mkdir()
        self._idle_s, self._left_s = idle_s, left_s
        self._visitors: dict[str, Visitor] = {}
        self._connections: Counter[str] = Counter()
        self._gone: dict[str, float] = {}
        self._taken: dict[Path, float] = {}
        self.anybody_waits: Callable[[], bool] = lambda: False
        self._waited_s = -float("inf")
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._sweep, name="lift4d-sweep", daemon=True).start()

    def visitor(self, session: str | None) -> Visitor:
        """The visitor of a browser's session; a new one with a folder where there is none yet."""
        key = session or secrets.token_hex(16)
        with self._lock:
            found = self._visitors.get(key)
            if found is None:
                # The name is a secret: whoever knows it could read what lies in it.
                folder = self.root / secrets.token_hex(16)
                folder.mkdir()
                found = self._visitors[key] = Visitor(folder)
            # What is done for somebody who left, such as a run that was waiting for its turn, is no sign of life.
            found.seen_s = time.monotonic()
            found.left_s = found.seen_s if key in self._gone else None
        return found

    def connected(self, session: str) -> None:
        """Notes that a visitor has the page open, or has it open again."""
        with self._lock:
            self._connections[session] += 1
            self._gone.pop(session, None)
            found = self._visitors.get(session)
            if found is not None:
                found.left_s = None

    def disconnected(self, session: str) -> None:
        """Notes that one of a visitor's connections ended."""
        with self._lock:
            self._connections[session] -= 1
            if self._connections[session] <= 0:
                del self._connections[session]

    def left(self, session: str | None) -> Visitor | None:
        """Notes that a visitor closed the page, whose connection is about to end; its files stay a moment longer.

        Returns:
            The visitor; None where nothing is known of it, or where another connection tells that it is back already.
        """
        with self._lock:
            if session is None or self._connections[session] > 1:
                return None
            found, now = self._visitors.get(session), time.monotonic()
            self._gone[session] = now
            if found is not None:
                found.left_s = now
        return found

    def take_upload(self, path: str | os.PathLike[str], folder: Path) -> Path:
        """Links an uploaded file into a visitor's folder; where it was, the next sweeps delete it once nobody waits any more.

        The same bytes under the same name, brought by several visitors, are one upload: who still waits for a place needs it there.

        Raises:
            UserError: the path is not one of an upload: nobody may name files of the server.
        """
        uploaded = Path(path)
        inside = uploaded.is_absolute() and uploaded.parent.parent == self.root and _UPLOAD.fullmatch(uploaded.parent.name)
        if not inside or uploaded.is_symlink() or not uploaded.is_file():
            raise UserError(texts.NOT_HERE)
        target = folder / uploaded.name
        number = 1
        while target.exists():
            number += 1
            target = folder / f"{uploaded.stem}-{number}{uploaded.suffix}"
        with self._lock:
            os.link(uploaded, target)
            self._taken[uploaded] = time.time()
        return target

    def refuse(self, uploads: Sequence[str | os.PathLike[str]]) -> None:
        """Deletes uploads of which nothing can be made, at once; unless somebody waits, who could have brought the same bytes."""
        if self.anybody_waits():
            return
        with self._lock:
            for uploaded in map(Path, uploads):
                if uploaded in self._taken:
                    self._forget(uploaded)

    def _forget(self, uploaded: Path) -> None:
        """Deletes an upload that was taken."""
        try:
            uploaded.unlink()
            uploaded.parent.rmdir()
        except OSError:
            pass  # gone already, or the same bytes were also brought under another name
        del self._taken[uploaded]

    def close(self) -> None:
        """Deletes everything."""
        self._closed.set()
        shutil.rmtree(self.root, ignore_errors=True)
        os.close(self._held)

    def sweep(self) -> None:
        """Deletes the folders of visitors who left or have been idle for long."""
        now = time.monotonic()
        with self._lock:
            gone = [
                key
                for key, v in self._visitors.items()
                if v.job is None and (now - v.seen_s > self._idle_s or (v.left_s is not None and now - v.left_s > self._left_s))
            ]
            folders = [self._visitors.pop(key).folder for key in gone]
            self._gone = {key: since for key, since in self._gone.items() if now - since <= self._idle_s}
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._sweep_taken(now)
        # What was brought but never asked for; and the empty files that Gradio makes beside each upload.
        for path in [*self.root.glob("*/*"), *self.root.glob("tmp*")]:
            try:
                told = path.stat()
            except FileNotFoundError:  # its visitor left just now
                continue
            age_s = time.time() - told.st_ctime
            if path.parent == self.root:
                if age_s > (self._idle_s if told.st_size else self._left_s):  # what is being brought is not empty for so long
                    path.unlink(missing_ok=True)
            elif age_s > self._idle_s and _UPLOAD.fullmatch(path.parent.name) and path.name != KEPT:
                shutil.rmtree(path.parent, ignore_errors=True)

    def _sweep_taken(self, now: float) -> None:
        """Deletes uploads that were taken, unless somebody waits, or waited a moment ago: it could be for the same bytes."""
        if self.anybody_waits():
            self._waited_s = now
        if now - self._waited_s <= self._left_s:
            return
        with self._lock:
            for uploaded, taken in list(self._taken.items()):
                # Whoever brings the bytes again makes the file anew.
                if not uploaded.exists() or time.time() - max(taken, uploaded.stat().st_ctime) > self._left_s:
                    self._forget(uploaded)

    def _sweep(self) -> None:
        while not self._closed.wait(min(_SWEEP_EVERY_S, self._left_s / 2)):
            try:
                self.sweep()
            except OSError as problem:  # somebody else deleted something meanwhile; the next sweep does the rest
                log.info("sweeping: %s", problem)


def sweep_dead(base: Path) -> list[Path]:
    """Deletes what pages that were killed left behind: folders whose lock nobody holds any more."""
    swept = []
    for folder in base.glob(f"{PREFIX}*"):
        try:
            held = _hold(folder)
        except OSError:
            continue  # of a page that runs, or of somebody else
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
        swept.append(folder)
    if swept:
        log.info("deleted what %d pages left that were killed", len(swept))
    return swept


def _hold(folder: Path) -> int:
    """Locks a folder for this process; the system lets go of it however the process ends.

    Raises:
        OSError: another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
