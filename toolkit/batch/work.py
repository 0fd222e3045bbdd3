"""One clip of many: from the file to its folder of results, which appears whole or not at all. The same code for every engine."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.batch.clips import is_address
from toolkit.batch.inputs import Unreachable, at_hand, content_of, print_of
from toolkit.batch.ledger import RECEIPT, DiskFull, is_full
from toolkit.batch.thumbnail import thumbnail
from toolkit.batch.wanted import Wanted
from toolkit.errors import UserError
from toolkit.export.bundle import export
from toolkit.export.manifest import versions
from toolkit.media.estimates import estimate
from toolkit.media.inspection import inspect
from toolkit.media.scene_file import load
from toolkit.memory import forget_peak, give_back, peak_mb
from toolkit.progress import Progress
from toolkit.run import run_inspected
from toolkit.scene import Scene, Source
from toolkit.stage_cache import StageCache, keeping
from toolkit.views.report import quality_lines

CLIPS, WORK, FAULTS, STAGES = "clips", "work", "faults", "stages"
"""Folders below that of results: finished clips by name; what is in work; tracebacks of mistakes of ours by their incident; what single
stages found, for runs with other settings."""

Ask = Callable[[float], None]
"""ask(memory_mb): tells what the clip is expected to need, and comes back when that may be used."""


@dataclass(frozen=True)
class Task:
    """What a worker is given.

    Attributes:
        clip: Name of the clip's folder.
        path: The clip.
        out: The folder of results.
        wanted: What is asked of it.
        attempt: The how many-th time it is tried.
        cache_gb: That what single stages found may take, of all clips together.
    """

    clip: str
    path: str
    out: str
    wanted: Wanted
    attempt: int = 1
    cache_gb: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For a worker."""
        plain = {name: getattr(self, name) for name in ("clip", "path", "out", "attempt", "cache_gb")}
        return {**plain, "wanted": self.wanted.as_json()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Task:
        """What `as_json` told."""
        return cls(**{**told, "wanted": Wanted.from_json(told["wanted"])})


def compute(task: Task, ask: Ask = lambda memory_mb: None) -> dict[str, Any]:
    """Does a clip; its result is in its folder when this returns.

    Returns:
        The line of the ledger: state, keys, seconds, memory, quality, or the sentence about what is wrong.

    Raises:
        DiskFull: there is no room for the result.
    """
    try:
        return _computed(task, Path(task.out), ask)
    finally:
        shutil.rmtree(_partial(Path(task.out), task.clip), ignore_errors=True)
        give_back()


def _computed(task: Task, out: Path, ask: Ask) -> dict[str, Any]:
    began, began_cpu = time.monotonic(), time.process_time()
    forget_peak()
    line: dict[str, Any] = {"clip": task.clip, "path": task.path, "attempt": task.attempt, "print": print_or_none(task.path)}
    try:
        line |= _done(task, out, line["print"], ask)
    except Unreachable as problem:
        line |= {"state": "failed", "sentence": str(problem)}
    except UserError as problem:
        if is_full(problem):
            raise DiskFull(out) from problem
        line |= {"state": "refused", "sentence": str(problem).replace(task.path, Path(task.path).name)}
    except MemoryError:
        line |= {"state": "failed", "sentence": "This takes more memory than there is; use preset draft, or fewer frames."}
    except Exception as problem:
        if is_full(problem):
            raise DiskFull(out) from problem
        line |= {"state": "failed", **_fault(out, task)}
    line |= {
        "run_key": task.wanted.run_key,
        "files_key": task.wanted.files_key,
        "preset": task.wanted.preset,
        "seconds": round(time.monotonic() - began, 3),
        "cpu_s": round(time.process_time() - began_cpu, 3),
        "peak_mb": round(peak_mb()),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
    }
    if line["state"] == "finished":
        _move_into_place(task, out, line)
    return line


def _done(task: Task, out: Path, known: str | None, ask: Ask) -> dict[str, Any]:
    """The scene and its files in the folder of what is in work; what the ledger tells of them."""
    partial = _partial(out, task.clip)
    partial.mkdir(parents=True)
    earlier, cache = _scene_at_hand(out / CLIPS / task.clip, task, known), None
    if earlier is not None:
        scene, content, computed = load(earlier / "scene.npz"), receipt_in(earlier)["content"], "files"
    else:
        with at_hand(task.path, partial) as path:
            source = inspect(path)
            ask(memory_needed(source, task.wanted))
            content = content_of(path)
            cache = StageCache(out / STAGES, 1000 * task.cache_gb, content) if task.cache_gb else None
            with keeping(cache):
                scene, computed = _run(path, source, task.wanted), "scene"
    export(scene, partial / "result", task.wanted.formats, seed=task.wanted.seed)
    picture = thumbnail(scene)
    if picture is not None:
        (partial / "result" / "thumbnail.jpg").write_bytes(picture)
    return {
        "state": "finished",
        "content": content,
        "computed": computed,
        "stages_kept": [] if cache is None else list(dict.fromkeys(cache.kept)),
        "method": scene.method,
        "unit": scene.unit,
        "frames": scene.frames,
        "tracks": 0 if (tracks := scene.tracks_3d if scene.tracks_3d is not None else scene.tracks_2d) is None else len(tracks),
        "summary": str(scene),
        "quality": [
            {"name": q.name, "value": None if q.value != q.value else float(f"{q.value:.6g}"), "unit": q.unit, "light": q.light}
            for q in quality_lines(scene)
        ],
        "warnings": [str(warning) for warning in scene.report.get("warnings", [])],
    }


def _run(path: Path, source: Source, wanted: Wanted) -> Scene:
    def listen(event: Progress) -> None:
        """Nobody looks at one clip of many."""

    return run_inspected(
        path, source, wanted.method, preset=wanted.preset, frames=wanted.frames, seed=wanted.seed, progress=listen, **wanted.options
    )


def expected_memory_mb(told: Mapping[str, Any]) -> float | None:
    """What the clip of a task is expected to need; None where that can't be told before it is opened."""
    task = Task.from_json(told)
    if is_address(task.path):
        return None
    try:
        return float(memory_needed(inspect(task.path), task.wanted))
    except UserError:
        return None


def memory_needed(source: Source, wanted: Wanted) -> float:
    """Megabytes that a run of the clip is expected to take, by its first look."""
    told = source.estimate
    frames = min(source.frames or wanted.frames or 0, wanted.frames or source.frames)
    if source.kind == "mono" or wanted.frames:
        views = int(source.details.get("views", 2 if source.layout == "separate" else 1))
        told = estimate(source.kind, frames, source.size, views, method=wanted.method) if source.kind != "scene" else {}
    return told[wanted.preset].memory_mb if wanted.preset in told else _LEAST_MB


_LEAST_MB = 500.0


def already_done(task: Task) -> dict[str, Any] | None:
    """The line of a task whose result lies in its place already, made with the same settings of the same clip."""
    told = receipt_in(Path(task.out) / CLIPS / task.clip)
    keys = {"path": task.path, "run_key": task.wanted.run_key, "files_key": task.wanted.files_key}
    if any(told.get(name) != key for name, key in keys.items()):
        return None
    if told.get("print") != print_or_none(task.path) and not _same_content(task.path, told):
        return None
    return {name: value for name, value in told.items() if name != "bytes"}


def _same_content(path: str, receipt: Mapping[str, Any]) -> bool:
    """Whether only the times of the clip's files are others."""
    if is_address(path):
        return False
    try:
        return content_of(path) == receipt.get("content")
    except OSError:
        return False


def print_or_none(path: str) -> str | None:
    """By which a clip is known to be unchanged; None where it can't be reached."""
    try:
        return print_of(path)
    except UserError:
        return None


def _scene_at_hand(folder: Path, task: Task, known: str | None) -> Path | None:
    """The folder of an earlier result of the same clip and settings, of which only other files are wanted."""
    told = receipt_in(folder)
    same = told.get("run_key") == task.wanted.run_key and told.get("print") == known
    return folder if same and (folder / "scene.npz").is_file() else None


def receipt_in(folder: Path) -> dict[str, Any]:
    """What the receipt of a finished clip tells; nothing where there is none, or where files that it names are not as it says."""
    try:
        told = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        whole = isinstance(told, dict) and all((folder / name).stat().st_size == size for name, size in told["bytes"].items())
    except (OSError, ValueError, KeyError, AttributeError):
        return {}
    return told if whole else {}


def _move_into_place(task: Task, out: Path, line: Mapping[str, Any]) -> None:
    """One renaming makes the result and its receipt appear; an earlier result of the clip is out of the way just before."""
    partial, target = _partial(out, task.clip), out / CLIPS / task.clip
    try:
        result = partial / "result"
        sizes = {path.name: path.stat().st_size for path in sorted(result.iterdir()) if path.is_file()}
        (result / RECEIPT).write_text(json.dumps({**line, "bytes": sizes}, indent=1, allow_nan=False), encoding="utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(partial / "before")
        result.rename(target)
    except OSError as problem:
        if is_full(problem):
            raise DiskFull(out) from problem
        raise


def put_back(out: Path) -> None:
    """What killed workers left in work goes; an earlier result that was just being replaced is put back."""
    for partial in (out / WORK).glob("*"):
        before, target = partial / "before", out / CLIPS / partial.name.rpartition(".")[0]
        if before.is_dir() and not target.exists():
            before.rename(target)
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _partial(out: Path, clip: str) -> Path:
    return out / WORK / f"{clip}.{os.getpid()}"


def _fault(out: Path, task: Task) -> dict[str, Any]:
    """A mistake of ours, under a number."""
    incident = uuid.uuid4().hex[:8]
    folder = out / FAULTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{incident}.txt").write_text(f"{task.path}\n{json.dumps(task.wanted.as_json())}\n\n{traceback.format_exc()}", "utf-8")
    return {"incident": incident, "sentence": f"This is a mistake of ours, not of the clip: {FAULTS}/{incident}.txt holds its details."}


_versions = functools.cache(versions)


def scratch_of(out: Path) -> Path:
    """A folder for temporary files of workers, which goes with what is in work."""
    folder = out / WORK
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="temporary-", dir=folder))
