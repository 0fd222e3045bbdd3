"""A method that is registered is on the page: chosen, explained and run, with no line of the page changed."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import toolkit as tk
from toolkit.methods import registry
from toolkit.methods.registry import MethodInfo
from toolkit.page import jobs
from toolkit.page.bringing import method_choices
from toolkit.page.settings import explain_settings, parse_settings
from toolkit.progress import reporter
from toolkit.scene import Cameras, Scene


@dataclass(frozen=True)
class Settings:
    """Settings of a method that only this test knows.

    Attributes:
        patience: How often it looks, in glances.
    """

    patience: int = 3

    @staticmethod
    def preset(name):
        return Settings()


def work(request, listener):
    reporter(listener, "gaze", "Gazing at it")(1, 1)
    video = tk.read_video(request.recording)
    cameras = Cameras.from_poses(np.diag([50.0, 50, 1]), np.tile(np.eye(4), (len(video), 1, 1)), video.size)
    return Scene(cameras=cameras, video=video, unit="relative", method="gaze", report={"patience": request.settings.patience})


@pytest.fixture
def registered(monkeypatch):
    info = MethodInfo("gaze", "One camera: for whoever has time.", ("mono",), "", "", work, Settings)
    known = {name: replace(i, inputs=tuple(k for k in i.inputs if k != "mono")) for name, i in registry._METHODS.items()}
    monkeypatch.setattr(registry, "_METHODS", {**known, "gaze": info})


def test_a_clip_with_its_annotation_is_opened_even_where_a_method_takes_its_kind(registered, tmp_path, monkeypatch):
    clip = str(tk.write_video(tmp_path / "a.mp4", np.random.default_rng(0).integers(0, 255, (4, 64, 96, 3), np.uint8), 30))
    plain = tk.inspect(clip)
    annotated = replace(plain, details={**plain.details, "annotation": "reduced bundle"})
    monkeypatch.setattr(jobs, "inspect", lambda path: annotated)
    found = jobs.look(clip=clip, options={}, tell=lambda **event: None)
    assert found["has_result"] and found["methods"] == [], "the page opens what holds a result and offers no method"
    wanted = jobs.look(clip=clip, options={"layout": "side-by-side", "projection": "pinhole"}, tell=lambda **event: None)
    assert wanted["methods"] == ["stereo4d"]


def test_a_registered_method_is_offered_explained_and_run(registered, tmp_path):
    clip = str(tk.write_video(tmp_path / "a.mp4", np.random.default_rng(0).integers(0, 255, (4, 64, 96, 3), np.uint8), 30))
    told = []
    found = jobs.look(clip=clip, options={}, tell=lambda **event: told.append(event))
    assert found["methods"] == ["gaze"] and set(found["estimate"]) == {"draft", "normal", "fine"}
    assert method_choices(found["methods"]) == [("gaze: One camera: for whoever has time.", "gaze")]
    assert "| `patience` | `3` | How often it looks, in glances. |" in explain_settings("gaze")
    options = parse_settings("patience = 5", "gaze")
    shown = jobs.frame(clip=clip, options=options, frame=2, picture=str(tmp_path / "a.jpg"), tell=lambda **event: None)
    assert shown["size"] == [96, 64]
    answer = jobs.run(
        clip=clip,
        folder=str(tmp_path / "out"),
        method="gaze",
        preset="normal",
        options=options,
        points=[],
        frames=None,
        tell=lambda **event: told.append(event),
    )
    assert answer["method"] == "gaze" and answer["unit"] == "relative"
    assert {"gaze", "files"} <= {event["stage"] for event in told}
    assert tk.load(tmp_path / "out" / "files" / "scene.npz").report["patience"] == 5
