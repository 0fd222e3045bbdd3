"""A folder of clips that cost nearly nothing, and an engine that does them in this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toolkit as tk
from toolkit.batch import driver
from toolkit.batch.work import Task, compute


@pytest.fixture(scope="session")
def saved(tmp_path_factory, rooms) -> Path:
    """A finished scene, small."""
    return tk.save(rooms.room_scene(), tmp_path_factory.mktemp("saved") / "scene.npz")


@pytest.fixture
def clips(tmp_path, saved) -> Path:
    """Four finished scenes, a video of nothing, and a file that is no clip at all."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.npz").write_bytes(saved.read_bytes())
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "notes.md").write_text("no clip")
    return folder


class Here:
    """An engine without processes."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def work(self, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
        """Does all tasks, one after the other."""
        for task in tasks:
            self.done.append(task.clip)
            yield compute(task)

    def close(self) -> None:
        """Has nothing to end."""


@pytest.fixture
def here(monkeypatch) -> Here:
    """Batches are done in this process; it remembers which clips."""
    engine = Here()

    @contextmanager
    def opened(*_: Any) -> Iterator[Here]:
        yield engine

    monkeypatch.setattr(driver, "_opened", opened)
    return engine


def tiny_video(path: Path, frames: int = 4) -> Path:
    """A short clip of a texture that drifts."""
    texture = np.random.default_rng(0).integers(0, 255, (64, 128 + frames, 3), np.uint8)
    return tk.write_video(path, np.stack([texture[:, t : t + 128] for t in range(frames)]), 30)
