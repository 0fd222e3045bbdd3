"""The method on files of 2D tracks, from Python and the shell."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false
import zipfile

import numpy as np
import pytest

import toolkit as tk
from toolkit.cli import main
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene


@pytest.fixture(scope="module")
def scene():
    return track_scene(4003, 20, 100, recipe=HELD_OUT)


@pytest.fixture
def file(scene, tmp_path):
    np.savez(tmp_path / "tracks.npz", xy=scene.tracks.xy, visible=scene.tracks.visible, K=scene.K, size=np.array(scene.size))
    return tmp_path / "tracks.npz"


def test_a_file_gives_what_the_same_tracks_in_memory_do(scene, file):
    found = tk.run(file, weights="none", progress=lambda event: None)
    same = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=None)
    assert found.method == "tracksto4d" and found.report["source"]["path"] == "tracks.npz"
    np.testing.assert_array_equal(found.tracks_3d.xyz, same.tracks_3d.xyz)
    np.testing.assert_array_equal(found.cameras.T_wc, same.cameras.T_wc)


def test_frames_pictures_and_a_lens_of_ones_own_count(scene, tmp_path):
    picture = np.full((20, scene.size[1], scene.size[0], 3), 77, np.uint8)
    np.savez(tmp_path / "t.npz", xy=scene.tracks.xy, visible=scene.tracks.visible, queries=scene.tracks.queries, video=picture)
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.write(tmp_path / "t.npz", "t.npz")
    found = tk.run(tmp_path / "t.zip", "tracksto4d", K=scene.K, frames=slice(0, 20, 2), weights="none", progress=lambda event: None)
    assert found.frames == 10 and found.video.frames.shape[:3] == (10, scene.size[1], scene.size[0])
    assert found.report["focal"]["source"] == "given" and set(found.tracks_3d.rgb.ravel().tolist()) == {77}
    np.testing.assert_array_equal(found.tracks_2d.xy, scene.tracks.xy[:, ::2])


def test_the_shell_runs_a_file_of_tracks(file, tmp_path, capsys):
    assert main(["run", str(file), "--out", str(tmp_path / "out"), "--formats", "scene.npz,tracks.csv", "--set", "weights=none"]) == 0
    assert "tracksto4d scene in relative units: 100 tracks x 20 frames" in capsys.readouterr().out
    assert tk.load(tmp_path / "out" / "scene.npz").cameras.registered.all()


def arrays_of(scene, **change):
    return {"xy": scene.tracks.xy, "visible": scene.tracks.visible, "size": np.array(scene.size)} | change


@pytest.mark.parametrize(
    ("change", "arguments", "sentence"),
    [
        (lambda s: {"xy": s.tracks.xy[:5], "visible": s.tracks.visible[:5]}, [], "5 tracks came, but at least 8"),
        (lambda s: {"xy": s.tracks.xy[:, :1], "visible": s.tracks.visible[:, :1]}, [], "through 1 frame, but at least 3"),
        (lambda s: {"visible": np.zeros_like(s.tracks.visible)}, [], "None of the 100 tracks in bad.npz is ever seen"),
        (lambda s: {"K": np.eye(3)}, [], "all four must be in pixels"),
        (lambda s: {}, ["--method", "vggsfm"], "takes photos or mono recordings, but this is tracks"),
        (lambda s: {}, ["--frames", "40"], None),
        (lambda s: {"K": s.K}, ["--set", "fov_deg=60"], "Both K and fov_deg (60) tell the lens"),
        (lambda s: {}, ["--set", "fov_deg=wide"], "fov_deg is 'wide', but degrees from 0.3 to 160"),
        (lambda s: {}, ["--set", "weights=nowhere"], "no file of weights 'nowhere'"),
    ],
)
def test_the_shell_tells_what_a_file_of_tracks_lacks(scene, tmp_path, capsys, change, arguments, sentence):
    np.savez(tmp_path / "bad.npz", **arrays_of(scene, **change(scene)))
    quick = [] if "--set" in arguments else ["--set", "weights=none"]
    code = main(["run", str(tmp_path / "bad.npz"), "--out", str(tmp_path / "out"), "--formats", "scene.npz", *quick, *arguments])
    told = capsys.readouterr().err
    assert code == (0 if sentence is None else 2), told
    assert sentence is None or sentence in told
    assert "Traceback" not in told


def test_a_field_of_view_is_a_lens(scene, tmp_path):
    np.savez(tmp_path / "t.npz", **arrays_of(scene))
    fov = float(np.degrees(2 * np.arctan(0.5 * scene.size[0] / scene.K[0, 0])))
    found = tk.run(tmp_path / "t.npz", fov_deg=fov, weights="none", progress=lambda event: None)
    assert found.report["focal"]["source"] == "given"
    np.testing.assert_allclose(found.cameras.K[0], scene.K, rtol=1e-6)


def test_points_to_follow_have_no_meaning_there(file):
    with pytest.raises(tk.UserError, match="holds tracks already"):
        tk.run(file, queries=[[0, 3.0, 4.0]], progress=lambda event: None)


def test_tracks_in_memory_are_sent_to_their_verb(scene):
    with pytest.raises(tk.UserError, match="go to reconstruct_tracks"):
        tk.run(scene.tracks)
