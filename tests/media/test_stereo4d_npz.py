"""Stereo4D annotations in and out."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

import io
import zipfile
from dataclasses import replace

import fsspec
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.media.stereo4d_npz import load_dataset_npz, save_dataset_npz
from toolkit.scene import Cameras, Scene, Tracks3D


def annotation(tracks=30, frames=20, seed=0, shown=0.7):
    """Arrays of the released schema with ragged random tracks, and what they mean densely."""
    rng = np.random.default_rng(seed)
    visible = rng.random((tracks, frames)) < shown
    xyz = np.where(visible[..., None], rng.normal(size=(tracks, frames, 3)), np.nan).astype(np.float32)
    poses = np.tile(np.eye(3, 4, dtype=np.float32), (frames, 1, 1))
    poses[:, :, 3] = rng.normal(size=(frames, 3)) * 0.1
    arrays = {
        "name": np.array("CMwZrkhQ0ck_130030030"),
        "video_id": np.array("CMwZrkhQ0ck"),
        "timestamps": 130030030 + np.arange(frames) * 33367,
        "camera2world": poses,
        "track_lengths": visible.sum(1),
        "track_indices": np.nonzero(visible)[1],
        "track_coordinates": xyz[visible],
        "rectified2rig": np.tile(np.eye(3, dtype=np.float32), (2, 1, 1)),
        "fov_bounds": np.array([-90, 90, -90, 90], np.float32),
    }
    return arrays, xyz, visible


def write(path, arrays, **changes):
    merged = {k: v for k, v in {**arrays, **changes}.items() if v is not None}
    np.savez(path, **merged)
    return path


def test_the_published_decoder_is_matched_exactly(golden):
    scene = load_dataset_npz(golden / "stereo4d" / "clip_in.npz")
    truth = np.load(golden / "stereo4d" / "clip_out.npz")
    assert np.array_equal(scene.tracks_3d.xyz, truth["track3d"], equal_nan=True)
    assert np.array_equal(scene.tracks_3d.visible, np.isfinite(truth["track3d"]).all(2))
    np.testing.assert_allclose(scene.cameras.T_cw[:, :3], truth["extrs_rectified"], atol=1e-6)
    assert scene.report["fov_bounds_deg"] == truth["meta_fov"].tolist()


def test_writing_gives_the_very_arrays_that_were_read(golden, tmp_path):
    source = golden / "stereo4d" / "clip_in.npz"
    written = np.load(save_dataset_npz(load_dataset_npz(source), tmp_path / "again.npz"))
    original = np.load(source)
    assert set(written) == set(original)
    for key in original:
        assert np.array_equal(original[key], written[key]), key


def test_a_small_file_that_claims_endless_tracks_is_refused(tmp_path):
    arrays, _, _ = annotation(tracks=1, frames=2000, shown=2)
    lengths = np.zeros(1_000_000, np.int64)
    lengths[0] = 2000
    with pytest.raises(UserError, match="claims 1,000,000 tracks of 2,000 frames, more than the 200 million positions"):
        load_dataset_npz(write(tmp_path / "a.npz", arrays, track_lengths=lengths))


@pytest.mark.parametrize(("kind", "huge"), [(np.uint64, 2**63), (np.int64, 2**62)])
def test_lengths_that_overflow_to_the_right_sum_are_refused(tmp_path, kind, huge):
    arrays, _, _ = annotation(tracks=1, frames=6, shown=2)
    lengths = np.array([huge] * (2**64 // huge) + [6], kind)
    with pytest.raises(UserError, match=f"holds {huge}, but the clip has 6 frames"):
        load_dataset_npz(write(tmp_path / "a.npz", arrays, track_lengths=lengths))


@pytest.mark.parametrize("compress", [False, True])
def test_ragged_tracks_become_dense_and_ragged_again(tmp_path, compress):
    arrays, xyz, visible = annotation()
    scene = load_dataset_npz(write(tmp_path / "a.npz", arrays))
    assert np.array_equal(scene.tracks_3d.xyz, xyz, equal_nan=True)
    assert np.array_equal(scene.tracks_3d.visible, visible)
    assert scene.tracks_3d.xyz.dtype == np.float32
    again = np.load(save_dataset_npz(scene, tmp_path / "b.npz", compress=compress))
    for key, value in arrays.items():
        assert np.array_equal(again[key], value), key


def test_tracks_without_samples_and_clips_without_tracks_are_read(tmp_path):
    arrays, _, _ = annotation(tracks=4, shown=0.0)
    assert load_dataset_npz(write(tmp_path / "a.npz", arrays)).tracks_3d.visible.sum() == 0
    arrays, _, _ = annotation(tracks=0)
    assert len(load_dataset_npz(write(tmp_path / "b.npz", arrays)).tracks_3d) == 0


def test_samples_in_any_order_and_of_any_number_type_are_read(tmp_path):
    arrays, xyz, _ = annotation()
    ends = np.cumsum(arrays["track_lengths"])
    order = np.concatenate([np.arange(e - n, e)[::-1] for e, n in zip(ends, arrays["track_lengths"], strict=True)])
    path = write(
        tmp_path / "a.npz",
        arrays,
        track_indices=arrays["track_indices"][order].astype(">i2"),
        track_coordinates=np.asfortranarray(arrays["track_coordinates"][order].astype(np.float64)),
        track_lengths=arrays["track_lengths"].astype(np.uint8),
        camera2world=arrays["camera2world"].astype(np.float64),
    )
    assert np.array_equal(load_dataset_npz(path).tracks_3d.xyz, xyz, equal_nan=True)


def test_samples_that_are_not_finite_count_as_absent_and_are_told(tmp_path):
    arrays, _, visible = annotation()
    arrays["track_coordinates"][[3, 7], 1] = [np.nan, np.inf]
    scene = load_dataset_npz(write(tmp_path / "a.npz", arrays))
    assert scene.tracks_3d.visible.sum() == visible.sum() - 2
    assert np.isfinite(scene.tracks_3d.xyz).all(2).sum() == visible.sum() - 2
    assert "2 track samples" in scene.report["warnings"][0]


def test_the_rectified_video_has_sixty_degrees_on_512_pixels_unless_told(tmp_path):
    arrays, _, _ = annotation()
    path = write(tmp_path / "a.npz", arrays)
    assert load_dataset_npz(path).cameras.K[0, 0, 0] == pytest.approx(443.4050, abs=1e-4)
    wide = load_dataset_npz(path, hfov_deg=90, size=1024)
    assert wide.cameras.K[0, 0, 0] == pytest.approx(512)
    again = load_dataset_npz(save_dataset_npz(wide, tmp_path / "b.npz"))
    assert np.allclose(again.cameras.K, wide.cameras.K) and tuple(again.cameras.size[0]) == (1024, 1024)


def test_a_picture_that_is_no_square_keeps_its_lens(tmp_path):
    scene = load_dataset_npz(write(tmp_path / "a.npz", annotation()[0]))
    K = np.array([[721.5, 0, 609.6], [0, 721.5, 172.9], [0, 0, 1]])
    broad = replace(scene, cameras=Cameras.from_poses(K, scene.cameras.T_wc, (1242, 375)))
    again = load_dataset_npz(save_dataset_npz(broad, tmp_path / "b.npz")).cameras
    assert np.allclose(again.K, broad.cameras.K) and tuple(again.size[0]) == (1242, 375)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"track_lengths": None}, "lacks track_lengths"),
        ({"fov_bounds": None, "rectified2rig": None}, "lacks rectified2rig, fov_bounds"),
        ({"track_lengths": np.array([1, 2, 3])}, "add up to 6"),
        ({"track_lengths": np.array([-1, 10])}, "can't be negative"),
        ({"timestamps": np.zeros(0, np.int64)}, "no frames"),
        ({"timestamps": np.arange(20)[::-1].copy()}, "must rise"),
        ({"timestamps": np.arange(20) / 3}, "float64"),
        ({"timestamps": np.arange(19)}, "camera2world .* has shape"),
        ({"camera2world": np.zeros((20, 4, 4))}, r"\(20, 4, 4\)"),
        ({"camera2world": np.zeros((20, 3, 4))}, "something else than a rotation in 20 of 20 matrices, first in number 0"),
        ({"camera2world": np.full((20, 3, 4), np.nan)}, "numbers that are not finite in 20 of 20 matrices, first in number 0"),
        ({"camera2world": np.zeros((20, 3, 4), int)}, "int64"),
        ({"rectified2rig": np.zeros((3, 3))}, "rectified2rig"),
        ({"fov_bounds": np.array([90.0, -90, 0, 1])}, "yaw from, to"),
        ({"name": np.array([1, 2])}, "text"),
        ({"name": np.array([{"run": "code"}], dtype=object)}, "Python objects"),
        ({"another": np.array([None], dtype=object)}, "Python objects"),
        ({"hfov": np.array("wide")}, "'hfov' .* 'wide'.*, but a number is needed"),
        ({"hfov": np.array([60.0, 60.0])}, r"'hfov' .* float64 of shape \(2,\), but a number"),
        ({"hfov": np.array(np.nan)}, "'hfov' .* nan.*, but a number"),
        ({"hfov": np.array(500.0)}, "'hfov' .* 500, but 1 to 170 degrees"),
        ({"size": np.array("512")}, "'size' .* '512'.*, but a number"),
        ({"size": np.array(-5)}, "'size' .* -5, but 32 to 8192 pixels"),
        ({"size": np.array(10**12)}, "'size' .* 1e.12, but 32 to 8192 pixels"),
        ({"video_id": np.array("../../etc/passwd")}, "'video_id' .* without any folder"),
        ({"video_id": np.array("..")}, "'video_id'"),
        ({"video_id": np.array("a\0b")}, "'video_id'"),
        ({"video_id": np.array("x" * 300)}, "'video_id'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_sentence(tmp_path, changes, words):
    arrays, _, _ = annotation()
    path = write(tmp_path / "a.npz", arrays, **changes)
    with pytest.raises(UserError, match=words) as told:
        load_dataset_npz(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("value", "words"), [(20, "sample at frame 20"), (-1, "sample at frame -1")])
def test_a_frame_index_out_of_range_names_the_track(tmp_path, value, words):
    arrays, _, _ = annotation()
    track = 5
    place = arrays["track_lengths"][:track].sum()
    arrays["track_indices"][place] = value
    with pytest.raises(UserError, match=rf"Track {track} .*{words}, but the clip has frames 0 to 19"):
        load_dataset_npz(write(tmp_path / "a.npz", arrays))


def test_a_frame_used_twice_by_one_track_names_the_track(tmp_path):
    arrays, _, _ = annotation()
    track = 7
    place = arrays["track_lengths"][:track].sum()
    arrays["track_indices"][place + 1] = arrays["track_indices"][place]
    with pytest.raises(UserError, match=rf"Track {track} .* two samples at frame {arrays['track_indices'][place]}\."):
        load_dataset_npz(write(tmp_path / "a.npz", arrays))


def test_files_of_other_kinds_are_told(tmp_path):
    for name, content, words in (
        ("none.npz", None, "There is no file"),
        ("empty.npz", b"", "empty"),
        ("text.npz", b"hello, I am text", "not an .npz"),
        ("tracks.npz", b"\x80\x04\x95pickle", "not an .npz"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            load_dataset_npz(path)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "no arrays")
    with pytest.raises(UserError, match="holds no arrays"):
        load_dataset_npz(tmp_path / "other.npz")


def test_cut_and_altered_files_are_told(tmp_path):
    arrays, _, _ = annotation()
    data = bytearray(write(tmp_path / "a.npz", arrays).read_bytes())
    cut = tmp_path / "cut.npz"
    for length in (len(data) // 3, len(data) - 1):
        cut.write_bytes(data[:length])
        with pytest.raises(UserError):
            load_dataset_npz(cut)
    place = data.index(arrays["track_coordinates"].tobytes()[:64])
    data[place + 5] ^= 0xFF
    cut.write_bytes(data)
    with pytest.raises(UserError, match="checksum"):
        load_dataset_npz(cut)


def test_an_array_that_claims_more_than_it_holds_is_told(tmp_path):
    arrays, _, _ = annotation()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 3)})
    path = write(tmp_path / "a.npz", arrays, track_coordinates=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("track_coordinates.npy", header.getvalue())
    with pytest.raises(UserError, match="more than the 8 GB"):
        load_dataset_npz(path)


def test_annotations_are_read_from_any_place_that_fsspec_reaches(tmp_path):
    arrays, xyz, _ = annotation()
    data = write(tmp_path / "a.npz", arrays).read_bytes()
    with fsspec.open("memory://bucket/a.npz", "wb") as file:
        file.write(data)
    assert np.array_equal(load_dataset_npz("memory://bucket/a.npz").tracks_3d.xyz, xyz, equal_nan=True)
    assert len(load_dataset_npz(f"file://{tmp_path}/a.npz").tracks_3d) == len(xyz)
    with pytest.raises(UserError, match="There is no file memory://bucket/b.npz"):
        load_dataset_npz("memory://bucket/b.npz")
    with pytest.raises(UserError, match="nowhere://"):
        load_dataset_npz("nowhere://bucket/a.npz")


def test_scenes_that_the_schema_can_not_hold_are_refused(tmp_path):
    arrays, _, _ = annotation()
    scene = load_dataset_npz(write(tmp_path / "a.npz", arrays))
    lost = scene.cameras.T_wc.copy()
    lost[3] = np.nan
    for broken, words in (
        (Scene(cameras=scene.cameras), "no tracks"),
        (Scene(tracks_3d=scene.tracks_3d), "no cameras"),
        (Scene(cameras=scene.cameras, tracks_3d=scene.tracks_3d, unit="relative"), "metres"),
        (Scene(cameras=Cameras(scene.cameras.K, lost, scene.cameras.size), tracks_3d=scene.tracks_3d), "1 frames have none"),
        (Scene(cameras=scene.cameras, tracks_3d=scene.tracks_3d, report={"timestamps_us": [1]}), "1 timestamps"),
    ):
        with pytest.raises(UserError, match=words):
            save_dataset_npz(broken, tmp_path / "b.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_a_scene_of_our_own_gets_sensible_values_where_it_tells_nothing(tmp_path):
    tracks = Tracks3D(np.zeros((2, 3, 3)), np.ones((2, 3), bool), np.zeros((2, 3), np.uint8), np.zeros(2))
    cameras = Cameras.from_poses([[443.405, 0, 256], [0, 443.405, 256], [0, 0, 1]], np.tile(np.eye(4), (3, 1, 1)), (512, 512))
    path = save_dataset_npz(Scene(cameras=cameras, tracks_3d=tracks), tmp_path / "my_clip.npz")
    report = load_dataset_npz(path).report
    assert report["name"] == "my_clip_0" and report["video_id"] == "my_clip"
    assert report["timestamps_us"] == [0, 33333, 66667]
    assert report["fov_bounds_deg"] == [-90, 90, -90, 90]


def bundle(path, frames=12, tracks=40, seed=3):
    """A reduced bundle of a rolling camera, and its poses."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    R = Rotation.from_euler("ZYX", rng.normal(0, 0.2, (frames, 3))).as_matrix()
    centre = rng.normal(0, 0.3, (frames, 3))
    T = np.tile(np.eye(4), (frames, 1, 1))
    T[:, :3, :3], T[:, :3, 3] = R, centre
    K = np.array([[443.405, 0, 256], [0, 443.405, 256], [0, 0, 1]])
    xyz = rng.uniform(-2, 2, (tracks, 1, 3)) + [0, 0, 6] + rng.normal(0, 0.05, (tracks, frames, 3)).cumsum(1)
    xy, _ = project(xyz, K, T)
    seen = rng.random((tracks, frames)) < 0.7
    seen[:, 4] = False  # a frame without any track
    np.savez(
        path,
        pts3d=xyz.astype(np.float32),
        vis3d=seen,
        tracks2d=xy.transpose(1, 0, 2).astype(np.float32),
        vis2d=seen.T,
        dim=np.array([512, 512]),
        cam_pos=centre.astype(np.float32),
        cam_fwd=R[:, :, 2].astype(np.float32),
        object_ids=np.zeros(tracks, int),
    )
    return T, xy, seen


def test_an_annotation_without_its_video_is_not_called_a_result_of_ours(tmp_path):
    from toolkit.media.inspection import inspect

    arrays, _, _ = annotation()
    assert str(inspect(write(tmp_path / "a.npz", arrays))).startswith("Stereo4D annotation, 20 frames")
    bundle(tmp_path / "clip_1.npz")
    assert str(inspect(tmp_path / "clip_1.npz")).startswith("reduced bundle annotation")


def test_the_roll_of_a_bundle_comes_from_its_tracks(tmp_path):
    T, xy, seen = bundle(tmp_path / "clip_1.npz")
    scene = load_dataset_npz(tmp_path / "clip_1.npz")
    shown = np.arange(12) != 4
    np.testing.assert_allclose(scene.cameras.T_wc[shown], T[shown], atol=1e-4)
    assert scene.cameras.registered.all()
    assert np.array_equal(scene.tracks_2d.visible, seen)
    np.testing.assert_allclose(scene.tracks_2d.xy[seen], xy[seen], atol=1e-3)
    assert np.isnan(scene.tracks_2d.xy[~seen]).all(), "the file tells no place there"
    assert np.isnan(scene.tracks_3d.xyz[~seen]).all()


def test_a_bundle_without_its_video_says_so_only_when_asked(tmp_path):
    bundle(tmp_path / "clip_1.npz")
    assert load_dataset_npz(tmp_path / "clip_1.npz").video is None
    with pytest.raises(UserError, match=r"no video clip_1\.mp4"):
        load_dataset_npz(tmp_path / "clip_1.npz", with_video=True)


@pytest.mark.data
def test_real_bundles_reproject_within_a_fifth_of_a_pixel(data):
    for path in sorted((data / "stereo4d_clips" / "dev").glob("*_*.npz")):
        if path.name.endswith(".pnp_w2c.npz"):
            continue
        scene = load_dataset_npz(path)
        xy, _ = project(scene.tracks_3d.xyz, scene.cameras.K, scene.cameras.T_wc)
        both = scene.tracks_2d.visible & scene.tracks_3d.visible
        assert np.median(np.linalg.norm(xy - scene.tracks_2d.xy, axis=2)[both]) < 0.2
        poses = np.load(path.with_suffix("").with_suffix(".pnp_w2c.npz"))["w2c"]
        known = np.isfinite(poses).all((1, 2))
        relative = scene.cameras.T_wc[known, :3, :3].transpose(0, 2, 1) @ poses[known, :3, :3].transpose(0, 2, 1)
        angle = np.rad2deg(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
        assert np.median(angle) < 0.1 and angle.max() < 1
