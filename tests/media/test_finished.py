"""Files that hold a finished scene are opened by `run`, in Python and in the shell, as on the page."""

import shutil

import numpy as np
import pytest

import toolkit as tk
from toolkit.cli import main
from toolkit.gallery import examples


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return shutil.copy(examples()["room"].result / "scene.npz", tmp_path_factory.mktemp("saved") / "scene.npz")


def test_running_a_saved_scene_opens_it_and_tells_so(saved):
    seen = []
    scene = tk.run(saved, progress=seen.append)
    assert str(scene) == str(tk.load(saved))
    assert [event.message for event in seen] == ["Opening the finished scene"] * 2
    assert [event.result for event in tk.steps(saved)][-1] is not None


def test_a_saved_scene_of_which_something_is_to_be_computed_is_refused(saved):
    with pytest.raises(tk.UserError, match="No method takes a scene recording"):
        tk.run(saved, frames=3, progress=print)
    with pytest.raises(tk.UserError, match="The method stereo4d takes"):
        tk.run(saved, "stereo4d", progress=print)


def test_the_shell_writes_the_files_of_a_saved_scene_also_from_a_zip(saved, tmp_path, capsys):
    shutil.make_archive(str(tmp_path / "packed"), "zip", saved.parent)
    for path in (saved, tmp_path / "packed.zip"):
        assert main(["run", str(path), "--out", str(tmp_path / "out"), "--formats", "tracks.csv,cameras.tum"]) == 0, capsys.readouterr()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"tracks.csv", "cameras.tum", "manifest.json"}


@pytest.mark.data
def test_a_bundle_of_a_released_clip_is_opened(data, tmp_path):
    bundle = next(iter(sorted((data / "stereo4d_clips" / "dev").glob("*[0-9].npz"))))
    scene = tk.run(bundle, progress=lambda event: None)
    assert scene.tracks_3d is not None and len(scene.tracks_3d) > 10 and scene.video is not None
    assert np.isfinite(scene.tracks_3d.xyz).any()
