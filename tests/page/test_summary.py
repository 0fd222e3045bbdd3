"""What the page says of an example's quality is said of the whole result, not of the few tracks that travel with the program."""

from dataclasses import replace
from typing import Any

from tests.room_scene import room_scene
from toolkit.export.bundle import export
from toolkit.page.jobs import describe
from toolkit.thinning import thinned


def test_a_thinned_example_is_described_by_the_numbers_of_the_whole_run(tmp_path):
    whole: Any = room_scene(tracks=900)
    thin: Any = thinned(thinned(whole))
    kept = len(thin.tracks_3d)
    assert kept <= 600 < len(whole.tracks_3d)
    export(thin, tmp_path / "files", "scene.npz")
    told = describe(folder=str(tmp_path), tell=lambda **_: None)["summary"]
    assert told == f"{whole}. Shown here: {kept} of the tracks, moving ones first."
    export(replace(whole, report={}), tmp_path / "files", "scene.npz")
    assert describe(folder=str(tmp_path), tell=lambda **_: None)["summary"] == str(whole)
