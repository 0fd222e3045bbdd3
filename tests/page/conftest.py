"""The real page, served once for all tests of this folder; small clips; clients."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gradio_client import Client

import app
import toolkit as tk
from toolkit.page.studio import Studio
from toolkit.synthetic import example


@dataclass
class Served:
    """A page that runs.

    Attributes:
        url: Its address.
        studio: Its visitors and workers.
    """

    url: str
    studio: Studio

    def client(self) -> Client:
        """A new visitor."""
        return Client(self.url, verbose=False)

    def files(self) -> list[Path]:
        """What lies on disk of visitors; posters are the page's, and Gradio leaves an empty file with each upload."""
        found = [path for path in self.studio.scratch.root.rglob("*") if path.is_file() and path.name != "poster.jpg"]
        return [path for path in found if path.exists() and path.stat().st_size > 0]


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Served]:
    page, studio, url = app.launch(block=False, place=str(tmp_path_factory.mktemp("place")), left_s=2.0)
    yield Served(url, studio)
    page.close()
    studio.close()


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A short VR180 street."""
    path = tmp_path_factory.mktemp("clip") / "street.mp4"
    return tk.write_video(path, example("street", frames=6, eye_size=(256, 256), bounds_on="edges").video.frames, 30)


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., None]:
    """Waits until something is so; fails where it does not come true in time."""

    def wait(so: Callable[[], bool], seconds: float, what: str = "") -> None:
        end = time.monotonic() + seconds
        while not so():
            assert time.monotonic() < end, f"not within {seconds} s: {what}"
            time.sleep(0.05)

    return wait
