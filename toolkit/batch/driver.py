"""Many clips from beginning to end: what is left to do is handed to an engine, what comes back goes into the ledger."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from toolkit.batch.clips import Clip, find_clips, is_address
from toolkit.batch.engine import Engine, Limits, cores, free_memory_mb
from toolkit.batch.ledger import ENDS, Ledger, latest
from toolkit.batch.local import LocalEngine
from toolkit.batch.status import BATCH, Status, read_status
from toolkit.batch.wanted import checked
from toolkit.batch.work import STAGES, Task, already_done, print_or_none, put_back, scratch_of
from toolkit.errors import UserError
from toolkit.media.writing import replacing
from toolkit.stage_cache import shrink

EngineName = Literal["local", "ray"]
_RECENT = 50  # clips whose pace tells how long the rest takes


@dataclass(frozen=True)
class BatchProgress:
    """Where a batch is.

    Attributes:
        done: Clips that came to an end, in this and in earlier runs.
        total: All clips.
        counts: How many of them ended as "finished", "refused" or "failed".
        left_s: Seconds until all are done, by the pace of the last ones; None where that is not known yet.
        line: What the ledger was just told, None at the beginning.
    """

    done: int
    total: int
    counts: dict[str, int]
    left_s: float | None = None
    line: dict[str, Any] | None = None


def run_batch(
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    method: str = "auto",
    preset: str = "normal",
    frames: int | None = None,
    seed: int = 0,
    formats: str | Iterable[str] = ("scene.npz",),
    engine: EngineName = "local",
    address: str | None = None,
    workers: int | None = None,
    memory_mb: float | None = None,
    limit_s: float | None = None,
    retries: int = 2,
    gpus: float = 0.0,
    retry_failed: bool = False,
    cache_gb: float = 5.0,
    progress: Callable[[BatchProgress], None] = lambda event: None,
    **options: Any,
) -> Status:
    """Runs the same method over many clips; called again it does what is missing, and nothing twice.

    Results are in `out/clips/NAME/`, each moved there when it is whole; `out/manifest.jsonl` tells what became of each clip. A clip that
    can't be used, or ends its worker, is told there and the rest goes on. Files that are asked for later are made of the saved scenes.

    Args:
        sources: A folder, a list (.txt), a table (.csv or .parquet), an address with or without *, a clip, or several of these.
        out: Folder of the results.
        method: Name of a method, or "auto".
        preset: "draft", "normal" or "fine".
        frames: The first so many frames of each clip.
        seed: Same seed, same bytes.
        formats: Result files of each clip; scene.npz is always written.
        engine: "local" for processes on this machine, "ray" for a cluster.
        address: Of a Ray cluster; None starts one on this machine.
        workers: Clips at a time; as many as there are cores by default.
        memory_mb: That all clips in work may take together; most of what is free by default.
        limit_s: A clip that takes longer is given up.
        retries: How often a clip is tried again after it took its worker along.
        gpus: Graphics processors, or a share of one, for each clip; only on Ray.
        retry_failed: Also do clips again that failed before through no fault of their own.
        cache_gb: On disk, for what single stages found: a run with other settings redoes only the stages that these touch. What was
            longest not used goes first; 0 for none.
        progress: Called after each clip; it may raise `Cancelled`.
        **options: Settings of the method by name.

    Returns:
        What became of all clips.

    Raises:
        UserError: wrong sources or settings, a folder that another batch works on, or a full disk. What is finished is kept.
        Cancelled: `progress` raised it.
    """
    if engine not in get_args(EngineName):
        raise UserError(f"There is no engine {engine!r}; there are: {', '.join(get_args(EngineName))}.")
    if address is not None and engine != "ray":
        raise UserError(f"The address {address} is one of a Ray cluster, but the engine is {engine}; choose the engine ray.")
    if gpus and engine != "ray":
        raise UserError(f"gpus is {gpus!r}, but only the engine ray hands out graphics processors.")
    limits = _limits(workers, memory_mb, limit_s, retries, gpus, cache_gb)
    wanted = checked(method=method, preset=preset, frames=frames, seed=seed, formats=formats, options=options)
    folder = _folder(out)
    clips = find_clips(sources, wanted, out=folder)
    with Ledger.held(folder) as ledger:
        put_back(folder)
        tasks, counts = _left(clips, folder, ledger, retry_failed=retry_failed)
        tasks = [replace(task, cache_gb=cache_gb) for task in tasks]
        with replacing(folder / BATCH) as partial:
            partial.write_text(json.dumps({"clips": len(clips), "wanted": wanted.as_json(), "engine": engine, "workers": limits.workers}))
        pace = _Pace(len(clips), counts, progress)
        pace.tell(None)
        if tasks:
            with _opened(engine, limits, folder, address) as chosen:
                for line in chosen.work(tasks):
                    ledger.add(line)
                    pace.tell(line)
    return read_status(folder)


def clean_batch(out: str | os.PathLike[str]) -> float:
    """Takes away what stages of a batch found, and what killed workers left; results, ledger and report stay.

    Args:
        out: Folder of the results.

    Returns:
        Megabytes that went.

    Raises:
        UserError: no results of a batch are there, or a batch works there.
    """
    folder = Path(out).absolute()
    if not (folder / BATCH).is_file():
        raise UserError(f"{folder} holds no results of a batch.")
    with Ledger.held(folder):
        put_back(folder)
        gone = shrink(folder / STAGES, 0.0)
        shutil.rmtree(folder / STAGES, ignore_errors=True)
    return gone


def _limits(workers: int | None, memory_mb: float | None, limit_s: float | None, retries: int, gpus: float, cache_gb: float) -> Limits:
    given = {"workers": (workers, 1), "memory_mb": (memory_mb, 1), "limit_s": (limit_s, 0.001), "retries": (retries, 0), "gpus": (gpus, 0)}
    given["cache_gb"] = (cache_gb, 0)
    for name, (value, least) in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= least):
            raise UserError(f"{name} is {value!r}, but a number from {least} is needed.")
    return Limits(int(workers or cores()), float(memory_mb or free_memory_mb()), limit_s, retries, gpus)


def _folder(out: str | os.PathLike[str]) -> Path:
    if not str(out).strip():
        raise UserError("The folder of results is empty, but its name is needed.")
    if is_address(str(out)):
        raise UserError(f"{out} is an address, but results go to a folder; mount it, or copy them afterwards.")
    folder = Path(out).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(f"{folder} can't be written: {problem.strerror}.") from problem
    return folder


def _left(clips: list[Clip], folder: Path, ledger: Ledger, *, retry_failed: bool) -> tuple[list[Task], Counter[str]]:
    """What is still to be done, and how many clips came to which end before."""
    said = latest(folder)
    taken = {line["clip"]: path for path, line in said.items()}
    tasks, counts = [], Counter()
    for clip in clips:
        line = said.get(clip.path)
        name = line["clip"] if line is not None else clip.name
        if taken.setdefault(name, clip.path) != clip.path:
            name = f"{name}-{_mark(clip.path)}"
            taken[name] = clip.path
        task = Task(name, clip.path, str(folder), clip.wanted)
        state, missing = _state(task, line, retry_failed=retry_failed)
        if state is None:
            tasks.append(task)
            continue
        counts[state] += 1
        if missing is not None:
            ledger.add({**missing, "recovered": True})
    return tasks, counts


def _mark(path: str) -> str:
    import hashlib

    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _state(task: Task, line: dict[str, Any] | None, *, retry_failed: bool) -> tuple[str | None, dict[str, Any] | None]:
    """How the clip ended with these very settings, or None; and what the ledger was not told of that, as its driver was killed."""
    finished = already_done(task)
    if finished is not None:
        told = line is not None and line["state"] == "finished" and line.get("at") == finished.get("at")
        return "finished", None if told else finished
    if line is None or line["state"] == "finished" or (retry_failed and line["state"] == "failed"):
        return None, None
    keys = {"run_key": task.wanted.run_key, "files_key": task.wanted.files_key, "print": print_or_none(task.path)}
    return (line["state"], None) if all(line.get(name) == key for name, key in keys.items()) else (None, None)


@contextmanager
def _opened(name: EngineName, limits: Limits, folder: Path, address: str | None) -> Iterator[Engine]:
    temporary = scratch_of(folder)
    try:
        if name == "ray":
            from toolkit.batch.cluster import RayEngine

            engine: Engine = RayEngine(limits, temporary, address=address)
        else:
            engine = LocalEngine(limits, temporary, threads=max(1, cores() // limits.workers))
        try:
            yield engine
        finally:
            engine.close()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        put_back(folder)


class _Pace:
    """Counts what comes in, and how fast."""

    def __init__(self, total: int, counts: Counter[str], progress: Callable[[BatchProgress], None]) -> None:
        self._total, self._counts, self._progress = total, counts, progress
        self._times_s: deque[float] = deque([time.monotonic()], maxlen=_RECENT)

    def tell(self, line: dict[str, Any] | None) -> None:
        if line is not None and line["state"] in ENDS:
            self._counts[line["state"]] += 1
            self._times_s.append(time.monotonic())
        done, each = sum(self._counts.values()), len(self._times_s) - 1
        left_s = (self._times_s[-1] - self._times_s[0]) / each * (self._total - done) if each else None
        self._progress(BatchProgress(done, self._total, dict(self._counts), left_s, line))
