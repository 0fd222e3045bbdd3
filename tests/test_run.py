"""The verbs: what is refused before anything is computed, and what a poor result says of itself."""

# pyright: reportArgumentType=false
# What no caller should pass is passed here.

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk
from toolkit.media.frame_choice import FrameChoice
from toolkit.methods import registry
from toolkit.methods.registry import MethodInfo, methods


@pytest.fixture
def pair():
    eye = tk.Video.from_frames(np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3), np.uint8), 30.0)
    return tk.StereoVideo(eye, eye, np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]), 0.063)


@pytest.fixture
def stages(pair):
    seen = []
    yield seen
    assert not seen, "nothing was computed"


@pytest.mark.parametrize("seed", [-1, "a", 1.5, None, True])
def test_a_seed_is_a_whole_number_from_0(pair, stages, seed):
    with pytest.raises(tk.UserError, match=f"The seed is {seed!r}, but a whole number from 0 is needed"):
        tk.run(pair, seed=seed, progress=stages.append)
    with pytest.raises(tk.UserError, match="The seed is"):
        tk.steps(pair, seed=seed)


@pytest.mark.parametrize(("what", "named"), [(None, "NoneType"), (np.zeros((2, 4, 4, 3)), "ndarray"), (7, "int")])
def test_what_is_no_recording_is_called_by_its_name(stages, what, named):
    with pytest.raises(tk.UserError, match=f"but this is {named}"):
        tk.run(what, progress=stages.append)
    with pytest.raises(tk.UserError, match=f"path of a file or folder is needed, but this is {named}"):
        tk.inspect(what)


def test_advice_on_two_eyes_in_a_frame_is_given_only_where_there_is_one_video(tmp_path):
    film = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), np.uint8)
    for name in "abc":
        tk.write_video(tmp_path / f"{name}.mp4", film, 30)
    several = tk.inspect(tmp_path)
    assert several.kind == "multiview" and not any("layout=" in told for told in several.warnings)


@pytest.mark.parametrize("K", [np.diag([0.9, 0.9, 1.0]), np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_intrinsics_that_are_not_in_pixels_are_refused(pair, stages, K):
    with pytest.raises(tk.UserError, match="K "):
        tk.run(pair, K=K, progress=stages.append)
    with pytest.raises(tk.UserError, match="The K of the StereoVideo"):
        tk.run(tk.StereoVideo(pair.left, pair.right, K, 0.063), progress=stages.append)


@pytest.mark.parametrize("masks", ["folder", ["a.png"] * 2, np.zeros((2, 48, 64, 3)), [np.zeros((48, 64)), np.zeros((48, 32))]])
def test_masks_that_are_none_are_refused_with_the_shape_that_is_needed(pair, stages, masks):
    with pytest.raises(tk.UserError, match=r"^masks .*\(frames, height, width\)"):
        tk.run(pair, masks=masks, progress=stages.append)


@pytest.mark.parametrize("count", [0, 3])
def test_a_result_without_tracks_says_so(pair, monkeypatch, count):
    tracks = tk.Tracks3D(np.zeros((count, 2, 3)), np.ones((count, 2)), np.zeros((count, 3)), np.zeros(count))
    scene = tk.Scene(tracks_3d=tracks, method="none", report={"warnings": ["It was dark."]})
    settings = registry.methods()["stereo4d"].settings
    info = MethodInfo("none", "", ("stereo",), "", "", lambda request, listener: scene, settings)
    monkeypatch.setattr(registry, "_METHODS", {"none": info})
    last = list(tk.steps(pair))[-1].result
    assert last is not None
    for found in (tk.run(pair, progress=lambda event: None), last):
        told = found.report["warnings"]
        assert told[0] == "It was dark."
        assert (len(told) == 2 and "no tracks" in told[1]) if count == 0 else len(told) == 1


STRANGE = (
    None,
    -1,
    0,
    "x",
    "",
    [1],
    (1,),
    {},
    float("nan"),
    float("inf"),
    True,
    10**400,
    [None, 3],
    (None, 1, 2, 3),
    [[1]],
    b"x",
    object(),
)


@pytest.mark.parametrize("info", methods().values(), ids=lambda info: info.name)
def test_a_setting_is_of_its_kind_or_told(info):
    for setting in fields(info.settings):
        for value in STRANGE:
            try:
                made = info.settings(**{setting.name: value})
            except tk.UserError:
                continue
            kept = getattr(made, setting.name)
            alike = kept is None if setting.default is None and value is None else isinstance(kept, int | float | str | tuple | list)
            assert alike and kept is value, (setting.name, value)
            assert value is not None or setting.default is None, setting.name
            assert not isinstance(value, list | tuple) or all(part is not None for part in value), setting.name


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: tk.run("a.mp4", [1]), "The method is"),
        (lambda: tk.run("a.mp4", progress=3), "progress is 3"),
        (lambda: tk.run("", progress=print), "The path is empty"),
        (lambda: tk.inspect(" "), "The path is empty"),
        (lambda: tk.inspect("gs://bucket/a.mp4"), "gs://bucket/a.mp4 is an address"),
        (lambda: tk.inspect(Path("https://host/a.mp4")), "https://host/a.mp4 is an address"),
        (lambda: tk.load(None), "The path of a saved scene"),
        (lambda: tk.view(3), "A Scene is shown"),
        (lambda: FrameChoice.of(slice(0.5, 3)), "frames is slice"),
        (lambda: FrameChoice.of([[1], [1, 2]]), "frames is"),
    ],
)
def test_arguments_of_another_kind_are_told_in_a_sentence(call, told):
    with pytest.raises(tk.UserError, match=told):
        call()
