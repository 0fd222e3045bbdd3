"""The shipped examples open at once, hold what a page shows, and can be made again."""

import json

import cv2
import numpy as np
import pytest

import toolkit as tk
from toolkit.cli import main
from toolkit.errors import UserError
from toolkit.gallery import CATALOGUE, FOLDER, examples, open_example
from toolkit.media.inspection import inspect
from toolkit.synthetic import TAKES, film, write_clip

NAMES = list(CATALOGUE)


def test_the_first_of_four_examples_is_the_street():
    shown = examples()
    assert list(shown) == NAMES == ["street", "room", "handheld", "ring"]
    assert shown["street"].kind == "vr180"
    assert shown["street"].result_title == "found by the method stereo4d, preset normal"


def test_all_of_it_is_less_than_twelve_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 12_000_000


@pytest.mark.parametrize("name", NAMES)
def test_an_example_opens_with_all_that_the_page_shows(name):
    scene = open_example(name)
    assert scene.video is not None and scene.tracks_3d is not None and scene.points is not None
    assert scene.depth is None or scene.depth.depth.shape == scene.video.frames.shape[:3]
    files = examples()[name].files
    known = {"scene.npz", "tracks.mp4", "tracks_3d.mp4", "scene.html", "manifest.json"}
    assert set(files) == known | (set() if scene.depth is None else {"depth.mp4"})
    assert len(tk.read_video(files["tracks.mp4"])) == scene.frames
    poster = cv2.imread(str(examples()[name].poster))
    assert poster is not None and poster.shape == (480, 640, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_taken_for_what_it_is(name):
    shown = examples()[name]
    source = inspect(shown.clip)
    assert (source.kind, source.frames, source.warnings) == (shown.kind, TAKES[name].frames, ())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_was_found_by_a_method_that_takes_such_recordings(name):
    shown, scene = examples()[name], open_example(name)
    assert shown.kind in tk.methods()[scene.method].inputs and scene.method in shown.result_title
    told = json.loads(shown.files["manifest.json"].read_text())
    assert set(told["files"]) == set(shown.files) - {"manifest.json"}


def test_the_square_was_found_by_the_method_for_several_cameras():
    scene = open_example("ring")
    assert scene.method == "mvtracker" and len(scene.views) == 3
    assert scene.tracks_3d is not None and (scene.tracks_3d.motion > 0.5).sum() > 80
    assert scene.points is not None and np.linalg.svd(scene.points.xyz - scene.points.xyz.mean(0), compute_uv=False)[2] > 0


def test_the_walk_with_a_phone_is_found_by_the_method_for_what_moves():
    shown, scene = examples()["handheld"], open_example("handheld")
    assert scene.method == shown.method == "tracksto4d"
    assert scene.tracks_3d is not None and scene.cameras is not None and scene.cameras.registered.all()
    # The moving ones keep their way when thinned: a step of the shown positions is far less than it.
    moving = scene.tracks_3d.motion > 0.5
    step = np.abs(np.diff(scene.tracks_3d.xyz[moving], axis=1))
    assert moving.sum() > 100 and np.nanmedian(np.linalg.norm(step, axis=-1)) > 2 / 8192


def test_a_clip_made_again_is_the_same_bytes(tmp_path):
    """The others take longer: `python -m toolkit examples --out` makes them all."""
    again = write_clip(film("handheld"), tmp_path / "again.mp4", encoding=TAKES["handheld"].encoding)
    assert again.read_bytes() == examples()["handheld"].clip.read_bytes()


def test_an_unknown_example_is_refused_with_the_known_ones(tmp_path, capsys):
    with pytest.raises(UserError, match=r"no example 'ocean'; there are: street"):
        open_example("ocean")
    assert main(["examples", "--out", str(tmp_path), "--only", "ocean"]) == 2
    assert "street, room, handheld, ring" in capsys.readouterr().err


def test_a_folder_without_examples_has_none(tmp_path):
    assert examples(tmp_path) == {}
