"""WorldTrack and TAPVid-3D files: written and read back, as objects too without running any, and told what is wrong with them."""

from typing import Any

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.evaluation.worldtrack import track_sequence
from toolkit.media.worldtrack_npz import is_worldtrack, load_worldtrack_npz, save_worldtrack_npz


@pytest.fixture
def written(room, tmp_path):
    path = tmp_path / "clip.npz"
    save_worldtrack_npz(room, path)
    return path


def _changed(path, **new):
    with np.load(path) as f:
        arrays = {name: f[name] for name in f.files}
    arrays |= new
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_a_scene_that_was_written_is_read_back(written, room):
    assert is_worldtrack(written)
    scene: Any = load_worldtrack_npz(written).scene()
    first = room.cameras.T_cw[0]
    want = np.einsum("ij,ntj->nti", first[:3, :3], room.tracks_3d.xyz) + first[:3, 3]
    assert np.allclose(scene.tracks_3d.xyz, want, atol=1e-3, equal_nan=True)
    assert np.array_equal(scene.tracks_3d.visible, room.tracks_3d.visible)
    assert np.allclose(scene.cameras.K, room.cameras.K, atol=1e-3)
    assert np.abs(scene.video.frames.astype(int) - room.video.frames).mean() < 6
    seen = scene.tracks_2d.visible & room.tracks_2d.visible
    assert np.nanmedian(np.linalg.norm(scene.tracks_2d.xy - room.tracks_2d.xy, axis=-1)[seen]) < 0.5


def test_pictures_kept_as_objects_are_cut_out(written):
    before = load_worldtrack_npz(written).pictures
    objects = np.empty(len(before), object)
    objects[:] = before
    assert load_worldtrack_npz(_changed(written, images_jpeg_bytes=objects)).pictures == before


def test_objects_that_are_no_pictures_are_never_run(written, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    count = len(load_worldtrack_npz(written).pictures)
    objects = np.empty(count, object)
    objects[:] = [Evil() for _ in range(count)]
    with pytest.raises(UserError, match="could run code and are not opened"):
        load_worldtrack_npz(_changed(written, images_jpeg_bytes=objects))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ({"visibility": np.ones((3, 4), bool)}, "'tracks_XYZ' in clip.npz has shape"),
        ({"fx_fy_cx_cy": np.ones(3)}, "'fx_fy_cx_cy' in clip.npz has shape"),
        ({"fx_fy_cx_cy": None}, "has no 'fx_fy_cx_cy'"),
        ({"extrinsics_w2c": np.eye(4)}, "'extrinsics_w2c' in clip.npz has shape"),
        ({"images_jpeg_bytes": np.zeros(10)}, "JPEG files as bytes are needed"),
        ({"tracks_XYZ": np.array([{}])}, "numbers are needed"),
    ],
)
def test_what_does_not_fit_is_told(written, new, told):
    with pytest.raises(UserError, match=told):
        load_worldtrack_npz(_changed(written, **new))


def test_files_that_are_none_are_told(tmp_path, written):
    (tmp_path / "text.npz").write_text("hello")
    assert not is_worldtrack(tmp_path / "text.npz")
    with pytest.raises(UserError, match="not an .npz file"):
        load_worldtrack_npz(tmp_path / "text.npz")
    (tmp_path / "half.npz").write_bytes(written.read_bytes()[:500])
    with pytest.raises(UserError, match="cut off"):
        load_worldtrack_npz(tmp_path / "half.npz")


def test_a_file_is_a_sequence_of_the_benchmark(written):
    found = load_worldtrack_npz(written)
    sequence = track_sequence(found.name, found.points, found.lens, found.visible, found.T_cw)
    assert sequence.xyz_w.shape[1] == len(found.pictures) and len(sequence.uv) == int(found.visible[0].sum())


def test_a_file_is_a_clip_to_run_and_a_truth_to_compare_with(written, room):
    import toolkit as tk
    from toolkit.media.mono_input import opened_mono
    from toolkit.media.truth_npz import load_truth

    source = tk.inspect(written)
    assert source.kind == "mono" and source.frames == len(room.video) and source.size == room.video.size
    with opened_mono(written, slice(2, 6)) as clip:
        frames = list(clip.frames())
    assert len(frames) == 4 and np.abs(frames[0].astype(int) - room.video.frames[2]).mean() < 6
    truth: Any = load_truth(written)
    assert truth.tracks_3d.xyz.shape == room.tracks_3d.xyz.shape
