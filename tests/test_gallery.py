"""The shipped examples open at once and hold what the page shows."""

import time

import pytest

import toolkit as tk
from toolkit.errors import UserError
from toolkit.gallery import examples, open_example


def test_the_first_example_is_the_street():
    shown = examples()
    assert next(iter(shown)) == "street"
    assert (shown["street"].kind, shown["street"].truth) == ("vr180", False)
    assert shown["street"].result_title == "found by the method stereo4d, preset normal"


@pytest.mark.parametrize("name", list(examples()))
def test_an_example_opens_in_under_a_second(name):
    start = time.process_time()
    scene = open_example(name)
    assert time.process_time() - start < 1
    assert scene.video is not None and scene.tracks_3d is not None and scene.depth is not None and scene.points is not None
    files = examples()[name].files
    assert {"scene.npz", "tracks.mp4", "depth.mp4", "tracks_3d.mp4", "scene.html", "manifest.json"} == set(files)
    assert len(tk.read_video(files["tracks.mp4"])) == scene.frames


def test_an_unknown_example_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"no example 'ocean'; there are: street"):
        open_example("ocean")
