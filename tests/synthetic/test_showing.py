"""Shown clips are files that a person might have; their truth is a scene."""

import json
import zipfile

import numpy as np
import pytest

import toolkit as tk
from toolkit.geometry.cameras import project
from toolkit.media.inspection import inspect
from toolkit.media.video import Encoding
from toolkit.synthetic import example, poster, true_scene, true_views, write_clip


@pytest.fixture(scope="module")
def ring():
    return example("ring", frames=2, size=(96, 72))


def test_four_cameras_become_a_zip_of_videos_with_their_calibration(tmp_path, ring):
    path = write_clip(ring, tmp_path / "ring.zip", encoding=Encoding())
    source = inspect(path)
    assert (source.kind, source.frames, source.details["views"], source.warnings) == ("multiview", 2, 4, ())
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
        cameras = json.loads(archive.read("cameras.json"))["cameras"]
    for i, (told, true) in enumerate(zip(cameras, ring.views.cameras, strict=True)):
        np.testing.assert_allclose(told["T_wc"], true.T_wc[0], atol=1e-6)
        np.testing.assert_allclose(told["K"], true.K[0], atol=1e-6)
        frames = tk.read_video(tmp_path / told["video"]).frames
        off = [np.abs(frames.astype(int) - view.frames).mean() for view in ring.views.views]
        assert off[i] < 0.3 * min(off[:i] + off[i + 1 :])


def test_the_same_clip_is_the_same_bytes(tmp_path, ring):
    one, two = (write_clip(ring, tmp_path / f"{i}.zip", encoding=Encoding()).read_bytes() for i in range(2))
    assert one == two


def test_the_truth_of_four_views_has_tracks_of_all_of_them_in_the_first(ring):
    scene = true_scene(ring, grid=(12, 9), every=1)
    assert scene.tracks_2d is not None and scene.tracks_3d is not None
    assert len(scene.tracks_3d) > 2 * 12 * 9
    xy, z = project(scene.tracks_3d.xyz.astype(float), ring.cameras.K, ring.cameras.T_wc)
    ahead = z > 0.1
    np.testing.assert_allclose(scene.tracks_2d.xy[ahead], xy[ahead], rtol=1e-3, atol=0.05)
    # What another view sees is not always seen in the first.
    assert scene.tracks_3d.visible.mean() > scene.tracks_2d.visible.mean() + 0.1
    assert [view.frames for view in true_views(ring)] == [2, 2, 2, 2]


@pytest.mark.parametrize("name", ["street", "room", "handheld", "ring"])
def test_a_poster_is_a_picture_with_something_in_it(name, ring):
    clip = ring if name == "ring" else example(name, frames=1, size=(64, 48), eye_size=(16, 16))
    picture = poster(clip)
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8 and picture.std() > 20
