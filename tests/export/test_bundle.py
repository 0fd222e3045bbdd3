"""The bundle: which files, what the manifest says, and that nothing half-written is ever left."""

import errno
import hashlib
import json
import os
import threading
from dataclasses import replace
from typing import Any

import av
import cv2
import numpy as np
import pytest

from toolkit.errors import Cancelled, UserError
from toolkit.export.bundle import FORMATS, check_export, export
from toolkit.media.scene_file import load
from toolkit.media.stereo4d_npz import load_dataset_npz
from toolkit.media.video import read_video
from toolkit.scene import PointCloud, Scene
from toolkit.views.depth import draw_depth
from toolkit.views.flyaround import draw_tracks_3d
from toolkit.views.overlay import draw_tracks

OF_OTHERS = {"reprojections.mp4", "pointmaps.mp4", "transforms_photos.json", "masks", "views", "scene.rrd"}
"""What scenes of other methods give, or packages that are not required."""
OF_TWO_EYES = [name for name in FORMATS if name not in OF_OTHERS]


@pytest.fixture(scope="module")
def bundle(room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "deep" / "out"
    return export(room, folder)


def contents(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_full_scene_gives_every_format_and_a_manifest(bundle):
    assert list(bundle) == [*OF_TWO_EYES, "manifest.json"]
    assert all(path.exists() for path in bundle.values())
    assert contents(bundle["manifest.json"].parent.parent)[0] == "out"  # no temporary folder beside it
    assert sorted(p.name for p in bundle["manifest.json"].parent.parent.iterdir()) == ["out"]


def test_the_manifest_tells_units_conventions_versions_settings_seeds_and_true_hashes(bundle, room):
    manifest = json.loads(bundle["manifest.json"].read_text())
    assert manifest["unit"] == "metre" and manifest["method"] == "stereo4d" and manifest["frames"] == len(room.video)
    assert manifest["settings"] == {"preset": "normal"} and manifest["seeds"] == {"run": 0, "export": 0}
    assert {"camera_axes", "pose", "pixels", "depth", "queries"} <= set(manifest["conventions"])
    assert {"lift4d", "python", "numpy", "av", "pycolmap"} <= set(manifest["versions"])
    assert set(manifest["skipped"]) == set(FORMATS) - set(OF_TWO_EYES) and set(manifest["files"]) == set(OF_TWO_EYES)
    for name, notes in manifest["files"].items():
        assert notes["opens_with"]
        path = bundle[name]
        if path.is_dir():
            inside = [p for p in path.rglob("*") if p.is_file()]
            assert notes["sha256"] == {p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in inside}
        else:
            assert notes["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and notes["bytes"] == path.stat().st_size


def test_the_manifest_is_strict_json_whatever_the_report_holds(room, tmp_path):
    report = {
        "nan": float("nan"),
        "array": np.arange(3),
        "big": np.zeros(5000),
        "nested": {"inf": np.float32(np.inf)},
        3: (1, 2),
        "obj": object,
    }
    text = export(replace(room, report=report), tmp_path / "o", "cameras.tum")["manifest.json"].read_text()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))["report"]
    assert found["nan"] is None and found["array"] == [0, 1, 2] and found["nested"] == {"inf": None} and found["3"] == [1, 2]


def test_the_scene_file_reads_back_as_the_scene(bundle, room):
    back: Any = load(bundle["scene.npz"])
    np.testing.assert_array_equal(back.tracks_3d.xyz, room.tracks_3d.xyz)
    np.testing.assert_array_equal(back.tracks_2d.xy, room.tracks_2d.xy)
    np.testing.assert_array_equal(back.cameras.T_wc, room.cameras.T_wc)
    np.testing.assert_allclose(back.depth.depth, room.depth.depth, rtol=1 / 2000)
    # H.264 stores colour at half the resolution, and the room is all texture: what must stay is the brightness, at 30 dB.
    grey = (back.video.frames.astype(float) - room.video.frames) @ [0.2126, 0.7152, 0.0722]
    assert 20 * np.log10(255 / np.sqrt((grey**2).mean())) > 30


def test_the_dataset_file_reads_back_as_the_tracks(bundle, room):
    back: Any = load_dataset_npz(bundle["stereo4d.npz"])
    np.testing.assert_allclose(back.cameras.T_wc, room.cameras.T_wc, atol=1e-6)
    seen = room.tracks_3d.visible.any(1)
    known = back.tracks_3d.visible.any(1)
    np.testing.assert_allclose(
        back.tracks_3d.xyz[known], np.where(room.tracks_3d.visible[..., None], room.tracks_3d.xyz, np.nan)[seen], atol=1e-5
    )


def test_numpy_alone_reads_the_dataset_file_and_its_points_fall_on_their_pixels(bundle, room):
    with np.load(bundle["stereo4d.npz"]) as file:
        arrays = {name: file[name] for name in file.files}
    lengths, frame, xyz = arrays["track_lengths"], arrays["track_indices"], arrays["track_coordinates"]
    track = np.repeat(np.arange(len(lengths)), lengths)
    seen = np.flatnonzero(room.tracks_3d.visible.any(1))
    np.testing.assert_allclose(xyz, room.tracks_3d.xyz[seen[track], frame], atol=1e-5)
    T_wc = arrays["camera2world"]
    x, y, z = np.einsum("nji,nj->in", T_wc[frame, :, :3], xyz - T_wc[frame, :, 3])
    K = room.cameras.K[0]
    xy = np.stack([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], 1)
    np.testing.assert_allclose(xy, room.tracks_2d.xy[seen[track], frame], atol=2e-3)


def test_numpy_alone_reads_the_scene_file(bundle, room):
    with np.load(bundle["scene.npz"], allow_pickle=False) as file:
        np.testing.assert_array_equal(file["tracks_3d.xyz"], room.tracks_3d.xyz)
        assert json.loads(str(file["header"]))["unit"] == "metre"


@pytest.mark.parametrize("name", ["tracks.mp4", "depth.mp4", "tracks_3d.mp4"])
def test_each_video_is_h264_that_browsers_play_while_it_loads(bundle, room, name):
    with av.open(str(bundle[name])) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    raw = bundle[name].read_bytes()
    assert raw.find(b"moov") < raw.find(b"mdat")
    capture, count = cv2.VideoCapture(str(bundle[name])), 0
    while capture.read()[0]:
        count += 1
    assert count == len(room.video) and capture.get(cv2.CAP_PROP_FPS) == pytest.approx(room.video.fps, rel=1e-3)


@pytest.mark.parametrize("name", ["tracks.mp4", "depth.mp4", "tracks_3d.mp4"])
def test_each_video_has_the_frames_and_the_rate_of_the_clip(bundle, room, name):
    video = read_video(bundle[name])
    assert len(video) == len(room.video)
    assert video.fps == pytest.approx(room.video.fps, rel=1e-3)
    assert video.size[0] % 2 == 0 and video.size[1] % 2 == 0


def test_the_same_scene_and_seed_give_the_same_bytes(room, bundle, tmp_path):
    first = json.loads(bundle["manifest.json"].read_text())["files"]
    again = json.loads(export(room, tmp_path / "o")["manifest.json"].read_text())["files"]
    assert {n: v["sha256"] for n, v in first.items()} == {n: v["sha256"] for n, v in again.items()}


@pytest.mark.parametrize("draw", [draw_tracks, draw_depth, draw_tracks_3d])
def test_the_same_scene_is_drawn_the_same(room, draw):
    for first, second in zip(draw(room), draw(room), strict=True):
        np.testing.assert_array_equal(first, second)


def test_what_the_scene_lacks_is_skipped_with_its_reason(room, tmp_path):
    scene = Scene(tracks_2d=room.tracks_2d, video=room.video, method="stereo4d", unit="relative")
    written = export(scene, tmp_path / "o")
    assert set(written) == {"scene.npz", "tracks.csv", "tracks.mp4", "images", "manifest.json"}
    skipped = json.loads(written["manifest.json"].read_text())["skipped"]
    assert skipped["depth.mp4"] == "needs depth"
    assert skipped["views"] == "needs several cameras"
    assert skipped["cameras.tum"] == "needs camera poses"
    assert skipped["stereo4d.npz"] == "needs a metric scale"
    assert skipped["points.ply"] == "needs points, or video and depth and cameras"


def test_a_scene_of_cameras_and_points_alone_exports(room, tmp_path):
    written = export(Scene(cameras=room.cameras, points=room.points, method="vggsfm", unit="relative"), tmp_path / "o")
    assert {"cameras.tum", "transforms.json", "colmap", "points.ply", "tracks.glb"} <= set(written)


def test_asking_only_for_what_the_scene_lacks_is_refused(room, tmp_path):
    with pytest.raises(UserError, match=r"Nothing can be exported: depth\.mp4 needs depth\."):
        export(replace(room, depth=None), tmp_path / "o", ["depth.mp4"])
    assert contents(tmp_path) == []


def test_an_unknown_format_names_the_known_ones(room, tmp_path):
    with pytest.raises(UserError, match=r"no export format 'tracks\.gif'; there are: all, scene\.npz, tracks\.csv"):
        export(room, tmp_path / "o", ["tracks.csv", "tracks.gif"])
    check_export(tmp_path / "out", ["all", "points.ply"])  # which "all" holds anyway
    with pytest.raises(UserError, match="no export format 'nope'"):
        export(room, tmp_path / "o", "nope")
    assert contents(tmp_path) == []


def test_one_format_may_be_named_by_a_plain_string(room, tmp_path):
    assert set(export(room, tmp_path / "o", "cameras.tum")) == {"cameras.tum", "manifest.json"}


def test_a_second_export_of_another_scene_replaces_and_removes_the_files_of_the_first_and_nothing_else(room, tmp_path):
    folder = tmp_path / "o"
    export(room, folder, ["depth", "cameras.tum"])
    (folder / "mine.txt").write_text("keep")
    (folder / "depth" / "mine.png").write_text("keep")
    (folder / "colmap").mkdir()
    short = Scene(depth=replace(room.depth, depth=room.depth.depth[:2], confidence=room.depth.confidence[:2]), method="stereo4d")
    export(short, folder, ["depth"])
    assert sorted(p.name for p in (folder / "depth").iterdir()) == ["000000.png", "000001.png", "mine.png"]
    assert (folder / "mine.txt").read_text() == (folder / "depth" / "mine.png").read_text() == "keep" and (folder / "colmap").is_dir()
    assert not (folder / "cameras.tum").exists(), "of the other scene"
    assert set(json.loads((folder / "manifest.json").read_text())["files"]) == {"depth"}


def test_formats_of_one_scene_come_one_after_the_other_also_from_its_saved_file(room, tmp_path):
    folder = tmp_path / "o"
    export(room, folder, ["scene.npz", "cameras.tum"])
    export(load(folder / "scene.npz"), folder, ["tracks.csv", "cameras.tum"])
    assert contents(folder) == ["cameras.tum", "manifest.json", "scene.npz", "tracks.csv"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == {"cameras.tum", "scene.npz", "tracks.csv"}
    for name, notes in manifest["files"].items():
        assert notes["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    export(replace(room, points=None), folder, ["points.ply", "scene.npz"])
    export(load(folder / "scene.npz"), folder, "cameras.tum")
    assert {"scene.npz", "points.ply", "cameras.tum"} <= set(contents(folder))


@pytest.mark.parametrize("theirs", ["images/IMG_1.jpg", "scene.npz", "manifest.json", "depth", "points.ply/note.txt", "images/000000.jpg"])
def test_files_that_no_export_wrote_are_never_touched_and_told_before_the_work(room, tmp_path, theirs):
    (tmp_path / theirs).parent.mkdir(exist_ok=True)
    (tmp_path / theirs).write_text("mine")
    before = contents(tmp_path)
    for attempt in (lambda: check_export(tmp_path), lambda: export(room, tmp_path, "all")):
        with pytest.raises(UserError, match=f"{theirs} lies where a result file goes"):
            attempt()
    assert contents(tmp_path) == before and (tmp_path / theirs).read_text() == "mine"


def test_a_result_file_that_was_changed_since_and_one_beside_the_frames_are_kept(room, tmp_path):
    export(room, tmp_path, ["tracks.csv", "images"])
    (tmp_path / "tracks.csv").write_text("my own columns")
    with pytest.raises(UserError, match=r"tracks\.csv lies where a result file goes, .* changed since"):
        export(room, tmp_path, "tracks.csv")
    longer = tmp_path / "images" / "000001.jpg"
    longer.write_text("painted over")
    with pytest.raises(UserError, match=r"000001\.jpg lies where a result file goes"):
        export(room, tmp_path, "images")
    assert (tmp_path / "tracks.csv").read_text() == "my own columns" and longer.read_text() == "painted over"


def test_links_are_never_followed_and_a_manifest_names_no_file_outside(room, tmp_path):
    outside, folder = tmp_path / "mine", tmp_path / "o"
    outside.mkdir()
    (outside / "photo.jpg").write_text("mine")
    folder.mkdir()
    (folder / "images").symlink_to(outside)
    with pytest.raises(UserError, match="lies where a result file goes"):
        export(room, folder, "images")
    (folder / "images").unlink()
    digest = hashlib.sha256(b"mine").hexdigest()
    listed = {"made_by": "Lift4D", "scene": "another", "files": {"../mine/photo.jpg": {"sha256": digest}}}
    (folder / "manifest.json").write_text(json.dumps(listed))
    export(room, folder, "cameras.tum")
    assert (outside / "photo.jpg").read_text() == "mine"


def test_what_is_no_scene_no_folder_no_format_and_no_seed_is_told_in_a_sentence(room, tmp_path):
    wrong: list[tuple[Any, ...]] = [(None, "o", "all", 0), (room, None, "all", 0), (room, "o", None, 0), (room, "o", "all", -1)]
    for scene, folder, formats, seed in wrong:
        with pytest.raises(UserError, match="is needed|is exported|are needed"):
            export(scene, folder and tmp_path / folder, formats, seed=seed)
    assert contents(tmp_path) == []


@pytest.mark.parametrize("after", [1, 2, 9, 20])
def test_cancelling_leaves_nothing_and_keeps_an_earlier_bundle(room, tmp_path, after):
    folder = tmp_path / "o"
    export(room, folder, "cameras.tum")
    before = {name: (folder / name).read_bytes() for name in contents(folder)}
    calls = 0

    def cancel(done, total):
        nonlocal calls
        calls += 1
        if calls > after:
            raise Cancelled

    with pytest.raises(Cancelled):
        export(room, folder, ["cameras.tum", "tracks.mp4", "depth", "points.ply"], report=cancel)
    assert {name: (folder / name).read_bytes() for name in contents(folder)} == before
    assert [p.name for p in tmp_path.iterdir()] == ["o"]


def test_an_error_in_the_middle_leaves_nothing(room, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("disk")

    monkeypatch.setitem(FORMATS, "depth", replace(FORMATS["depth"], write=broken))
    with pytest.raises(RuntimeError, match="disk"):
        export(room, tmp_path / "o", ["cameras.tum", "depth"])
    assert contents(tmp_path) == []


def test_a_file_in_the_place_of_the_folder_is_refused(room, tmp_path):
    (tmp_path / "o").write_text("a file")
    with pytest.raises(UserError, match="is a file, but a folder is needed"):
        export(room, tmp_path / "o", "cameras.tum")


def test_a_file_in_the_place_of_a_parent_and_a_full_disk_are_told_in_a_sentence(room, tmp_path, monkeypatch):
    (tmp_path / "o").write_text("a file")
    with pytest.raises(UserError, match="can't be written: Not a directory"):
        export(room, tmp_path / "o" / "deeper", "cameras.tum")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setitem(FORMATS, "depth", replace(FORMATS["depth"], write=full))
    with pytest.raises(UserError, match="can't be written: No space left on device"):
        export(room, tmp_path / "p", "depth")
    assert contents(tmp_path) == ["o"]


@pytest.mark.parametrize("place", ["/proc/lift4d", "/proc", "/sys/lift4d/out", "/dev/null/out", "a" * 300, "deep/" * 5 + "b" * 300])
def test_a_place_that_takes_no_folder_is_told_before_and_after_the_work_and_nothing_is_made(room, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    for attempt in (lambda: check_export(place), lambda: export(room, place, "cameras.tum")):
        with pytest.raises(UserError, match=r"can't be written: [A-Z][a-z ]+\.$"):
            attempt()
    assert contents(tmp_path) == []


def test_checking_a_place_leaves_no_trace_and_takes_a_folder_that_is_there(room, tmp_path):
    check_export(tmp_path / "new" / "er")
    check_export(tmp_path)
    assert contents(tmp_path) == []


def test_what_a_killed_export_left_is_in_nobodys_way(room, tmp_path):
    left = tmp_path / f".o.{os.getpid()}-{threading.get_ident()}.partial"
    left.mkdir()
    (left / "half.csv").write_text("1,2")
    export(room, tmp_path / "o", "cameras.tum")
    assert contents(tmp_path) == ["o", "o/cameras.tum", "o/manifest.json"]


def test_progress_rises_to_the_number_of_files(room, tmp_path):
    seen = []
    export(room, tmp_path / "o", ["cameras.tum", "depth"], report=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 3) and seen[-1] == (3, 3)
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_a_scene_without_a_cloud_gets_one_from_its_depth(room, tmp_path):
    written = export(replace(room, points=None), tmp_path / "o", ["points.ply"])
    manifest = json.loads(written["manifest.json"].read_text())
    assert manifest["files"]["points.ply"]["points"] > 1000


def test_a_scene_with_no_moving_track_and_an_empty_cloud_exports(room, tmp_path):
    still = replace(room.tracks_3d, motion=np.zeros(len(room.tracks_3d), np.float32))
    empty = PointCloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))
    written = export(replace(room, tracks_3d=still, points=empty), tmp_path / "o")
    assert set(written) == {*OF_TWO_EYES, "manifest.json"}


@pytest.mark.parametrize(("frames", "size"), [(1, (33, 31)), (2, (64, 48)), (5, (21, 64))])
def test_short_odd_and_narrow_clips_export(rooms, tmp_path, frames, size):
    written = export(rooms.room_scene(frames=frames, size=size, tracks=40), tmp_path / "o")
    assert set(written) == {*OF_TWO_EYES, "manifest.json"}
    assert len(read_video(written["tracks.mp4"])) == frames


def test_frames_without_a_pose_and_tracks_without_a_position_export(room, tmp_path):
    T_wc = room.cameras.T_wc.copy()
    T_wc[[0, 4, 5]] = np.nan
    xyz = room.tracks_3d.xyz.copy()
    xyz[::3] = np.nan
    xyz[:, [2, 5]] = np.nan
    cameras, tracks = replace(room.cameras, T_wc=T_wc), replace(room.tracks_3d, xyz=xyz)
    written = export(replace(room, cameras=cameras, tracks_3d=tracks), tmp_path / "o")
    assert set(written) == {*OF_TWO_EYES, "manifest.json"} - {"stereo4d.npz"}


def test_a_scene_of_no_tracks_at_all_exports(room, tmp_path):
    none = np.zeros(0, np.int64)
    written = export(replace(room, tracks_2d=room.tracks_2d.select(none), tracks_3d=room.tracks_3d.select(none)), tmp_path / "o")
    assert "tracks_3d.mp4" not in written and "tracks.csv" in written
