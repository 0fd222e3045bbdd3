"""Spoilt recordings are inspected and run, each in a process of its own with limits: none may crash, hang, swell or leave anything."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import psutil

from toolkit.errors import UserError
from toolkit.export.bundle import export
from toolkit.export.formats import FORMATS
from toolkit.run import inspect, run
from toolkit.soak.cases import Case, write_case
from toolkit.soak.corpus import copied_corpus, write_corpus

GOOD = ("opened", "refused")
_FRAMES, _LONG = 3, 30  # a whole clip longer than the second would only take time
_SMALL: dict[str, Any] = {"size": 96, "grid": (16, 16)}  # pictures and points of two eyes: less to compute, the same code
_LONGEST_SENTENCE = 600


@dataclass(frozen=True)
class FuzzLimits:
    """What one recording may take.

    Attributes:
        cpu_s: Of one core: the same on a busy machine.
        idle_s: Who computes nothing for so long waits for something that never comes; on a busy machine everybody computes a little.
        wall_s: Nobody may take longer, however little is computed.
        memory_mb: At its peak, with the program itself.
        address_mb: More is not granted, so that a bomb hurts nobody beside it.
    """

    cpu_s: float = 20.0
    idle_s: float = 60.0
    wall_s: float = 1200.0
    memory_mb: float = 2000.0
    address_mb: int = 8000


@dataclass(frozen=True)
class Verdict:
    """What became of one spoilt recording.

    Attributes:
        number: Of the case.
        made_of: The sound recording.
        how: What was done to it.
        outcome: "opened" or "refused" are good; "traceback", "hang", "memory", "killed" and "left" are not.
        told: The sentence, the traceback, or what was left.
        cpu_s: Of one core.
        wall_s: Time that it took, on a machine that may have been busy.
        peak_mb: Memory at its peak.
    """

    number: int
    made_of: str
    how: str
    outcome: str
    told: str
    cpu_s: float
    wall_s: float
    peak_mb: float

    @property
    def good(self) -> bool:
        """Whether it did no harm."""
        return self.outcome in GOOD


def fuzz(
    sound: Sequence[Path], numbers: Sequence[int], folder: Path, *, seed: int = 0, limits: FuzzLimits | None = None
) -> Iterator[Verdict]:
    """Spoils recordings and opens them, one after the other.

    Call it in a process of its own that has no threads: it forks.

    Args:
        sound: Recordings to spoil.
        numbers: Which cases.
        folder: An empty one for what is worked on.
        seed: Of the cases.
        limits: What each may take.
    """
    for number in numbers:
        place = folder / "case"
        shutil.rmtree(place, ignore_errors=True)
        case = write_case(sound, number, seed, place)
        yield judged(case, folder, limits or FuzzLimits())
    shutil.rmtree(folder / "case", ignore_errors=True)


def judged(case: Case, folder: Path, limits: FuzzLimits) -> Verdict:
    """Opens a spoilt recording in a child of this process."""
    temporary, out = folder / "temporary", folder / "out"
    for place in (temporary, out):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    before = _all_below(case.path.parent)
    began = time.monotonic()
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(heard)
        _open_and_tell(case, said, temporary, out, limits)
    os.close(said)
    told = _listen(heard, child, limits)
    os.close(heard)
    outcome = told.get("outcome", "killed")
    words = told.get("told", "")
    left = [*_all_below(temporary), *(set(_all_below(case.path.parent)) ^ set(before))]
    if outcome in GOOD and left:
        outcome, words = "left", ", ".join(map(str, left))
    if told.get("peak_mb", 0.0) > limits.memory_mb:
        outcome = "memory"
    wall_s = round(time.monotonic() - began, 2)
    return Verdict(case.number, case.made_of, case.how, outcome, words, told["cpu_s"], wall_s, told.get("peak_mb", 0.0))


def _all_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def _listen(heard: int, child: int, limits: FuzzLimits) -> dict[str, Any]:
    """What the child says of itself, or how it ended."""
    ready = _until_it_speaks(heard, child, limits)
    text = b""
    while ready and (data := os.read(heard, 1 << 16)):
        text += data
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    cpu_s = round(usage.ru_utime + usage.ru_stime, 2)
    if text:
        return {**json.loads(text), "cpu_s": cpu_s}
    peak_mb = usage.ru_maxrss / 1024
    code = os.waitstatus_to_exitcode(status)
    if not ready or code == -signal.SIGXCPU:
        return {"outcome": "hang", "told": f"ended after {cpu_s:.0f} CPU-seconds", "cpu_s": cpu_s, "peak_mb": peak_mb}
    return {"outcome": "killed", "told": f"it ended with {code}", "cpu_s": cpu_s, "peak_mb": peak_mb}


def _until_it_speaks(heard: int, child: int, limits: FuzzLimits) -> bool:
    """Waits until the child says something or ends; False where it computes nothing any more, or never comes to an end."""
    began = moved = time.monotonic()
    cpu_s = 0.0
    while not select.select([heard], [], [], min(limits.idle_s / 4, 5.0))[0]:
        now, spent_s = time.monotonic(), _cpu_s(child)
        if spent_s > cpu_s:
            moved, cpu_s = now, spent_s
        if now - moved > limits.idle_s or now - began > limits.wall_s:
            return False
    return True


def _cpu_s(child: int) -> float:
    """What a child of this process that was not waited for has computed."""
    spent = psutil.Process(child).cpu_times()
    return spent.user + spent.system


def _open_and_tell(case: Case, said: int, temporary: Path, out: Path, limits: FuzzLimits) -> None:
    """The child: never returns."""
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = resource.getrusage(resource.RUSAGE_SELF)
        allowed = int(used.ru_utime + used.ru_stime + limits.cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (allowed, allowed + 5))
        resource.setrlimit(resource.RLIMIT_AS, (limits.address_mb << 20, limits.address_mb << 20))
        tempfile.tempdir = str(temporary)
        os.environ["TMPDIR"] = str(temporary)
        _say(said, _opened(case, out))
    finally:
        os._exit(0)


def _opened(case: Case, out: Path) -> dict[str, Any]:
    try:
        source = inspect(case.path)
        settings = _SMALL if source.kind in ("vr180", "stereo") else {}
        frames = _FRAMES if (case.number % 2 or source.frames > _LONG) and source.kind != "scene" else None
        scene = run(case.path, preset="draft", frames=frames, progress=lambda event: None, **settings)
        suited = [name for name, form in FORMATS.items() if not form.lacks(scene)]
        export(scene, out / "result", suited[case.number % len(suited)] if suited else [])
    except UserError as problem:
        sentence = str(problem)
        fit = sentence.endswith(".") and "\n" not in sentence and len(sentence) <= _LONGEST_SENTENCE
        return {"outcome": "refused" if fit else "traceback", "told": sentence}
    except BaseException:
        return {"outcome": "traceback", "told": traceback.format_exc()}
    return {"outcome": "opened", "told": str(scene)}


def _say(said: int, told: Mapping[str, Any]) -> None:
    status = Path("/proc/self/status")
    peak_mb = int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024 if status.exists() else 0.0
    data = json.dumps({**told, "peak_mb": round(peak_mb)}).encode()
    while data:
        data = data[os.write(said, data) :]


def corpus(folder: Path) -> list[Path]:
    """What is spoilt: recordings of every kind, and real ones where LIFT4D_DATA names a folder of them."""
    real = os.environ.get("LIFT4D_DATA")
    found = write_corpus(folder / "made")
    return found + (copied_corpus(Path(real), folder / "real") if real and Path(real).is_dir() else [])


def counted_outcomes(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many had which outcome."""
    return dict(Counter(verdict.outcome for verdict in verdicts).most_common())


def warm_up(sound: Sequence[Path], folder: Path) -> None:
    """Loads here what every child would otherwise load anew; a child compiles what only some need, which would take these long."""
    for path in sound:
        if path.name in ("room_sbs.mp4", "scene.npz"):
            _opened(Case(1, path, path.name, ""), folder)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        for path in sound:
            if path.name in ("mono.mp4", "rig_own", "tracks.npz"):
                _opened(Case(1, path, path.name, ""), folder)
    finally:
        os._exit(0)


def main(arguments: Sequence[str], tell: Callable[[str], None] = print) -> None:
    """`python -m toolkit.soak.fuzz COUNT SEED [FIRST]`: a verdict a line, as JSON."""
    cv2.setNumThreads(1)
    count, seed, first = int(arguments[0]), int(arguments[1]), int(arguments[2]) if len(arguments) > 2 else 0
    with tempfile.TemporaryDirectory(prefix="lift4d-fuzz-") as name:
        folder = Path(name)
        sound = corpus(folder / "sound")
        warm_up(sound, folder / "warm")
        for verdict in fuzz(sound, range(first, first + count), folder, seed=seed):
            tell(json.dumps(asdict(verdict)))
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
