"""What several cameras saw, as videos with a file of cameras, and as a recording for the Rerun viewer."""

import json
from dataclasses import replace

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.export import rerun_files
from toolkit.export.bundle import export
from toolkit.media.rig_formats import read_rig_file
from toolkit.scene import Cameras, Scene, Tracks2D, Tracks3D, Video

FRAMES, SIZE = 4, (64, 48)


def view(x: float, *, filmed: bool) -> Scene:
    rng = np.random.default_rng(0)
    T_wc = np.eye(4)
    T_wc[0, 3] = x
    cameras = Cameras.from_poses(np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]), np.repeat(T_wc[None], FRAMES, 0), SIZE)
    xyz = np.repeat(rng.uniform([-1, -1, 4], [1, 1, 5], (5, 1, 3)), FRAMES, 1).astype(np.float32)
    seen = np.ones((5, FRAMES), bool)
    xy = np.full((5, FRAMES, 2), 20.0, np.float32)
    tracks_2d = Tracks2D(xy, seen, seen.astype(np.float32), np.zeros((5, 3), np.float32))
    tracks_3d = Tracks3D(xyz, seen, np.full((5, 3), 200, np.uint8), np.ones(5, np.float32))
    video = Video.from_frames(rng.integers(0, 255, (FRAMES, SIZE[1], SIZE[0], 3)).astype(np.uint8)) if filmed else None
    return Scene(cameras=cameras, tracks_2d=tracks_2d, tracks_3d=tracks_3d, method="mvtracker", video=video, unit="metre")


@pytest.fixture(scope="module")
def scene() -> Scene:
    report = {"views": [{"name": "left"}, {"name": "no film"}]}
    return replace(view(0.0, filmed=True), views=(view(1.0, filmed=False),), report=report)


def test_views_without_a_video_have_a_camera_alone(scene, tmp_path):
    export(scene, tmp_path / "out", "views")
    place = tmp_path / "out" / "views"
    assert sorted(p.name for p in place.iterdir()) == ["cameras.json", "left.mp4"]
    told = json.loads((place / "cameras.json").read_text())["cameras"]
    assert [entry.get("video") for entry in told] == ["left.mp4", None]
    cameras = read_rig_file(place / "cameras.json")
    assert cameras is not None and [camera.names[0] for camera in cameras] == ["left", "no_film"]
    np.testing.assert_allclose(cameras[1].T_wc, scene.views[0].cameras.T_wc[0])


def test_without_its_package_a_recording_for_rerun_says_how_to_get_it(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(rerun_files, "find_spec", lambda name: None)
    with pytest.raises(UserError, match='scene.rrd needs the package rerun-sdk .pip install "rerun-sdk>=0.23".'):
        export(scene, tmp_path / "out", "scene.rrd")


def test_a_recording_for_rerun_holds_all_views_and_tracks(scene, tmp_path):
    pytest.importorskip("rerun", reason="the package rerun-sdk is an extra")
    made = export(scene, tmp_path / "out", "scene.rrd")["scene.rrd"]
    content = made.read_bytes()
    for name in (b"views/left", b"views/no_film", b"tracks/trails"):
        assert name in content
