"""Many visitors of a page at once, who run, look, bring rubbish, cancel and walk away: each gets its own answers, and all is as before."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.media.scene_file import load, save
from toolkit.media.video import write_video
from toolkit.scene import U8
from toolkit.soak.corpus import scene_of
from toolkit.soak.page_process import opened_page, used, wait_until_calm

_SIDE = 96
_FRAMES = (4, 5, 6, 7)
_WEIGHTS = {"run": 4, "open": 3, "inspect": 3, "rubbish": 2, "cancel": 2, "leave": 2}
_PATIENCE_S = 900.0
_ANSWER_S = 120.0  # to a single request, on a machine that five visitors keep busy
_DARKEST = 60  # of the colours of visitors, and as far from the brightest: their texture is not cut off
_TINT = 24  # how far a visitor's own colour may be off after encoding


@dataclass
class Tally:
    """What happened.

    Attributes:
        counts: How often each thing was done.
        lost: Asked for, but no answer came, with the reason.
        mixed: Answers that were not the asker's.
        start: Memory in MB, bytes on disk and open files before.
        end: The same afterwards.
        peak_mb: Most memory that was seen.
    """

    counts: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    start: dict[str, float] = field(default_factory=dict)
    end: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0

    def __str__(self) -> str:
        """For a person."""
        done = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        change = ", ".join(f"{name} {self.start[name]:.0f} -> {self.end[name]:.0f}" for name in self.start)
        return f"{done}; {len(self.lost)} lost, {len(self.mixed)} mixed; {change}, at most {self.peak_mb:.0f} MB"


class Visitor(threading.Thread):
    """One visitor with a clip of its own length and colour."""

    def __init__(self, number: int, url: str, folder: Path, until: float, tally: Tally, seed: int) -> None:
        """Is ready to start."""
        super().__init__(name=f"visitor-{number}", daemon=True)
        self._number, self._url, self._folder, self._until, self._tally = number, url, folder, until, tally
        self._chance = random.Random(f"{seed} {number}")
        self._colour = _DARKEST + np.array([50 * number, 77 * number + 40, 101 * number + 90]) % (256 - 2 * _DARKEST)
        self._own = _write_own(folder / str(number), self._colour, _FRAMES[number % len(_FRAMES)])

    def run(self) -> None:
        """Does one thing after the other until the time is over."""
        while time.monotonic() < self._until:
            what = self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            try:
                client = self._client()
                getattr(self, f"_{what}")(client)
                if what != "leave":
                    client.close()
                self._tally.counts[what] += 1
            except Exception as problem:  # whatever it is, the visitor got no answer
                self._tally.lost.append(f"{self.name} {what}: {problem!r:.300}")

    def _client(self) -> Any:
        from gradio_client import Client

        downloads = str(self._folder / str(self._number) / "downloads")
        return Client(self._url, verbose=False, download_files=downloads, httpx_kwargs={"timeout": _ANSWER_S})

    def _ask(self, client: Any, path: Path) -> Any:
        from gradio_client import handle_file

        return client.submit(
            [handle_file(path)], "auto", "draft", [], {"grid": [16, 16], "size": 128} if "sbs" in path.name else {}, api_name="/run"
        )

    def _run(self, client: Any) -> None:
        told, _, files = self._ask(client, self._own["sbs"]).result(timeout=_PATIENCE_S)
        self._check(told, files)

    def _open(self, client: Any) -> None:
        told, _, files = self._ask(client, self._own["scene"]).result(timeout=_PATIENCE_S)
        self._check(told, files)

    def _check(self, told: dict[str, Any], files: Sequence[str]) -> None:
        scene = load(next(name for name in files if name.endswith("scene.npz")))
        frames = _FRAMES[self._number % len(_FRAMES)]
        shown = scene.video.frames.mean((0, 1, 2)) if scene.video is not None else np.full(3, np.nan)
        if (told["frames"], scene.frames) != (frames, frames) or not np.all(np.abs(shown - self._colour) < _TINT):
            self._tally.mixed.append(f"{self.name} asked for {frames} frames of {self._colour}, but got {scene.frames} of {shown.round()}")
        shutil.rmtree(self._folder / str(self._number) / "downloads", ignore_errors=True)

    def _inspect(self, client: Any) -> None:
        from gradio_client import handle_file

        found = client.predict([handle_file(self._own["sbs"])], api_name="/inspect")
        if found["frames"] != _FRAMES[self._number % len(_FRAMES)]:
            self._tally.mixed.append(f"{self.name} looked at {_FRAMES[self._number % len(_FRAMES)]} frames, but was told {found['frames']}")

    def _rubbish(self, client: Any) -> None:
        from gradio_client.exceptions import AppError

        try:
            self._ask(client, self._own["rubbish"]).result(timeout=_PATIENCE_S)
        except AppError as problem:
            if "rubbish" not in str(problem):
                self._tally.mixed.append(f"{self.name} brought rubbish and was told {problem!r:.200}")
            return
        self._tally.mixed.append(f"{self.name} brought rubbish and got a result")

    def _cancel(self, client: Any) -> None:
        job = self._ask(client, self._own["sbs"])
        time.sleep(self._chance.uniform(0.0, 6.0))
        job.cancel()

    def _leave(self, client: Any) -> None:
        """Walks away in the middle, without a word."""
        self._ask(client, self._own["sbs"])
        time.sleep(self._chance.uniform(0.0, 4.0))
        client.close()


def soak_page(*, visitors: int = 5, minutes: float = 15.0, seed: int = 0, tell: Callable[[str], None] = lambda line: None) -> Tally:
    """Opens a page, lets visitors at it, and waits until what they left should be gone.

    Args:
        visitors: At a time.
        minutes: That they come.
        seed: Of what they do.
        tell: Called with a line now and then.
    """
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="lift4d-soak-") as name, opened_page(Path(name) / "page") as (url, process):
        folder = Path(name)
        first = Visitor(0, url, folder / "first", 0.0, tally, seed)
        for what in ("_run", "_open", "_inspect"):  # what every page loads once is no leak
            client = first._client()
            getattr(first, what)(client)
            client.close()
        wait_until_calm(folder / "page")
        tally.start = used(process, folder / "page")
        tell(f"before: {tally.start}")
        until = time.monotonic() + 60 * minutes
        crowd = [Visitor(number, url, folder / "crowd", until, tally, seed) for number in range(visitors)]
        for visitor in crowd:
            visitor.start()
        while any(visitor.is_alive() for visitor in crowd):
            time.sleep(2.0)
            tally.peak_mb = max(tally.peak_mb, used(process, folder / "page")["memory_mb"])
        tell(f"visitors are gone: {dict(tally.counts)}")
        wait_until_calm(folder / "page")
        tally.end = used(process, folder / "page")
    return tally


def _write_own(folder: Path, colour: np.ndarray, frames: int) -> dict[str, Path]:
    folder.mkdir(parents=True)
    pictures = _pictures(colour, frames)
    scene = save(scene_of(np.ascontiguousarray(pictures[:, :, :_SIDE])), folder / "own.npz")
    (folder / "rubbish.mp4").write_bytes(bytes(range(256)) * 40)
    return {"sbs": write_video(folder / "own_sbs.mp4", pictures, 30), "scene": scene, "rubbish": folder / "rubbish.mp4"}


def _pictures(colour: np.ndarray, frames: int) -> U8:
    """A pair of eyes with a faint texture around one colour."""
    import cv2

    noise = np.random.default_rng(0).normal(0, 15, (_SIDE // 3, _SIDE, 1))
    wide = cv2.resize(noise, (3 * _SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)[..., None] + colour
    wide = np.clip(wide, 0, 255).astype(np.uint8)
    eyes = [[wide[:, t + shift :][:, :_SIDE] for t in range(frames)] for shift in (0, 4)]
    return np.concatenate([np.stack(eyes[0]), np.stack(eyes[1])], axis=2)
