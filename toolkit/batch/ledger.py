"""What has become of each clip: a file of JSON lines that only ever grows, whole lines at a time, whoever is killed when."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.errors import UserError

LEDGER = "manifest.jsonl"
"""Its name in the folder of results."""
RECEIPT = "clip.json"
"""What lies in the folder of a finished clip: the line of the ledger about it, moved into place together with the result."""
ENDS = ("finished", "refused", "failed")
"""States after which a clip is left alone: it has a result; its input needs a change; or it was tried often enough."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(UserError):  # noqa: N818  (told by its sentence)
    """There is no room for results any more: nothing is wrong with the clip, and no other one would fare better."""

    def __init__(self, place: os.PathLike[str] | str) -> None:
        """Of the folder of results."""
        super().__init__(f"The disk of {place} is full; what is finished is kept. Make room, then run the same command again.")


def is_full(problem: BaseException | None) -> bool:
    """Whether the reason of a problem is a full disk."""
    while problem is not None:
        if isinstance(problem, OSError) and problem.errno in _FULL:
            return True
        problem = problem.__cause__ or problem.__context__
    return False


class Ledger:
    """The ledger of a folder, held by one process that adds lines to it."""

    def __init__(self, folder: Path, handle: int) -> None:
        """Use `held`, which opens it."""
        self.folder = folder
        self._handle = handle

    @classmethod
    @contextmanager
    def held(cls, folder: Path) -> Iterator[Ledger]:
        """Opens the ledger of a folder for one process alone; half a line that a killed one left is cut off.

        Raises:
            UserError: another process works on this folder, or it can't be written.
        """
        try:
            handle = os.open(folder / LEDGER, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as problem:
            raise UserError(f"{folder / LEDGER} can't be written: {problem.strerror}.") from problem
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as problem:
                raise UserError(f"Another batch works on {folder}; wait for it, or choose another folder.") from problem
            _cut_half_a_line(handle)
            yield cls(folder, handle)
        finally:
            os.close(handle)

    def add(self, line: Mapping[str, Any]) -> None:
        """Adds a line, on disk when this returns.

        Raises:
            DiskFull: there is no room for it; the ledger is as before.
        """
        data = (json.dumps(line, allow_nan=False) + "\n").encode()
        size = os.fstat(self._handle).st_size
        try:
            if os.write(self._handle, data) != len(data):
                raise OSError(errno.ENOSPC, "only a part was written")
            os.fsync(self._handle)
        except OSError as problem:
            os.ftruncate(self._handle, size)
            if is_full(problem):
                raise DiskFull(self.folder) from problem
            raise


def read_ledger(folder: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Every line of a folder's ledger, oldest first; half a line at the end, which somebody is writing, is left out.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = Path(folder) / LEDGER
    try:
        with path.open("rb") as file:
            for number, data in enumerate(file, start=1):
                if not data.endswith(b"\n"):
                    return
                try:
                    line = json.loads(data)
                except ValueError as problem:
                    raise UserError(f"Line {number} of {path} is damaged; remove it, and its clip is done again.") from problem
                if not isinstance(line, dict) or "clip" not in line:
                    raise UserError(f"Line {number} of {path} is not one of a batch.")
                yield line
    except OSError as problem:
        raise UserError(f"There is no batch in {folder}: {LEDGER} can't be read.") from problem


def latest(folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The last word about each clip that came to an end, by the clip's path."""
    return {line["path"]: line for line in read_ledger(folder) if line.get("state") in ENDS}


def _cut_half_a_line(handle: int) -> None:
    size = os.fstat(handle).st_size
    end, block = size, 1 << 16
    while end > 0:
        start = max(0, end - block)
        at = os.pread(handle, end - start, start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    if end < size:
        os.ftruncate(handle, end)
