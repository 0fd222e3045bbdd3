"""What the views say of a result that lacks something to show."""

from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.page import texts
from toolkit.page.scratch import Scratch
from toolkit.page.showing import Showing


@pytest.fixture
def views_of(tmp_path):
    scratch = Scratch(tmp_path / "place")
    visitor = scratch.visitor("somebody")
    desk: Any = SimpleNamespace(visitor=lambda request: visitor, changes=lambda **changes: changes)

    def views(*names: str) -> dict[str, Any]:
        folder = visitor.new_folder("run-1")
        (folder / "files").mkdir()
        for name in names:
            (folder / name).write_text("something")
        visitor.kept["told"] = {"folder": str(folder), "opens_with": {}, "frames": 2, "summary": "a scene", "quality": "", "notes": []}
        return Showing(desk, desk).views(None)  # type: ignore[arg-type]

    yield views
    scratch.close()


def test_a_tab_with_nothing_to_show_says_so(views_of):
    shown = views_of("files/scene.npz")
    assert (shown["tracks_told"], shown["depth_told"], shown["cameras_told"]) == (texts.NO_TRACKS, texts.NO_DEPTH, texts.NO_CAMERAS)
    assert shown["tracks"] is shown["depth"] is shown["cameras"] is None


def test_a_tab_with_something_to_show_says_how_to_read_it(views_of):
    shown = views_of("files/tracks.mp4", "files/depth.mp4", "cameras.png")
    assert (shown["tracks_told"], shown["depth_told"], shown["cameras_told"]) == (texts.TRACKS, texts.DEPTH, texts.CAMERAS)
