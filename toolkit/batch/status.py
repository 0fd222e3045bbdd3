"""What became of the clips of a batch, told from its ledger: while it runs, after it was killed, or when it is done."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from toolkit.batch.ledger import ENDS, LEDGER, read_ledger
from toolkit.wording import counted

BATCH = "batch.json"
"""What was asked for last, in the folder of results."""
_RECENT = 50


@dataclass(frozen=True)
class Status:
    """What became of the clips.

    Attributes:
        folder: Of the results.
        total: Clips of the last run.
        counts: How many "finished", were "refused", or "failed".
        in_work: Names of clips that are being done; none where nothing runs.
        running: Whether a batch works on the folder now.
        computed: How many scenes were computed in all, by the ledger: one a clip where nothing was done twice.
        left_s: Seconds until all are done at the pace of the last clips; None where nothing runs, or it is not known.
        sentences: Why clips were refused or failed, and how many for that reason, most frequent first.
        lines: The last word about each clip that came to an end, by its path.
    """

    folder: Path
    total: int
    counts: dict[str, int]
    in_work: tuple[str, ...]
    running: bool
    computed: int
    left_s: float | None
    sentences: dict[str, int]
    lines: dict[str, dict[str, Any]] = field(repr=False)

    @property
    def done(self) -> int:
        """Clips that came to an end."""
        return sum(self.counts.values())

    def __str__(self) -> str:
        """For a person: "197 of 200 clips finished, 2 refused, 1 failed"."""
        parts = [f"{self.counts.get('finished', 0)} of {counted(self.total, 'clip')} finished"]
        parts += [f"{self.counts[state]} {state}" for state in ENDS[1:] if self.counts.get(state)]
        if self.running:
            parts.append(f"{len(self.in_work)} in work")
            parts += [f"about {duration(self.left_s)} left"] if self.left_s is not None else []
        elif self.done < self.total:
            parts.append(f"{self.total - self.done} missing: run it again to go on")
        return ", ".join(parts)


def read_status(folder: str | os.PathLike[str]) -> Status:
    """The status of a folder of results.

    Raises:
        UserError: it holds no batch.
    """
    place = Path(folder)
    lines, begun, times = {}, {}, []
    computed = 0
    for line in read_ledger(place):
        if line["state"] == "started":
            begun[line["path"]] = line["clip"]
        elif line["state"] in ENDS:
            lines[line["path"]] = line
            begun.pop(line["path"], None)
            computed += line.get("computed") == "scene"
            times += [line["at"]] if "at" in line and not line.get("recovered") else []
    counts = Counter(line["state"] for line in lines.values())
    running = _is_held(place)
    done = sum(counts.values())
    total = max(_total(place), done)
    return Status(
        folder=place,
        total=total,
        counts=dict(counts),
        in_work=tuple(begun.values()) if running else (),
        running=running,
        computed=computed,
        left_s=_left_s(times[-_RECENT:], total - done) if running else None,
        sentences=dict(Counter(line["sentence"] for line in lines.values() if "sentence" in line).most_common()),
        lines=lines,
    )


def duration(seconds: float) -> str:
    """A time for a person.

    >>> duration(42), duration(300), duration(7200)
    ('42 s', '5 min', '2.0 h')
    """
    minute, hour = 60, 3600
    if seconds < 2 * minute:
        return f"{seconds:.0f} s"
    return f"{seconds / minute:.0f} min" if seconds < 2 * hour else f"{seconds / hour:.1f} h"


def _left_s(times: list[str], left: int) -> float | None:
    if len(times) < 2:
        return None
    first, last = datetime.fromisoformat(times[0]), datetime.fromisoformat(times[-1])
    return (last - first).total_seconds() / (len(times) - 1) * max(0, left)


def _total(folder: Path) -> int:
    try:
        told: Mapping[str, Any] = json.loads((folder / BATCH).read_text(encoding="utf-8"))
        return int(told["clips"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _is_held(folder: Path) -> bool:
    """Whether a process works on the folder."""
    handle = os.open(folder / LEDGER, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
