"""Scenes saved and loaded."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.media.scene_file import VERSION, load, save
from toolkit.scene import Cameras, DepthVideo, PointCloud, Scene, Tracks2D, Tracks3D, Video


def scene(height=34, width=47, sigma=True):
    """A scene with every part, of odd size, with gaps."""
    rng = np.random.default_rng(0)
    frames, tracks = 5, 7
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[2] = np.nan
    depth = rng.uniform(0.5, 9, (frames, height, width)).astype(np.float32)
    depth[0, :5] = np.nan
    spread = rng.random((tracks, frames)).astype(np.float32) if sigma else None
    return Scene(
        cameras=Cameras.from_poses(np.eye(3) * 50, poses, (width, height)),
        tracks_2d=Tracks2D(
            rng.random((tracks, frames, 2)),
            rng.random((tracks, frames)) < 0.5,
            rng.random((tracks, frames)),
            rng.random((tracks, 3)),
            spread,
        ),
        tracks_3d=Tracks3D(
            np.where(rng.random((tracks, frames, 1)) < 0.2, np.nan, rng.random((tracks, frames, 3))),
            rng.random((tracks, frames)) < 0.5,
            rng.integers(0, 255, (tracks, 3)),
            rng.random(tracks),
            spread,
        ),
        depth=DepthVideo(depth, rng.random((frames, height, width)).astype(np.float32)),
        points=PointCloud(rng.random((9, 3)), rng.integers(0, 255, (9, 3))),
        unit="metre",
        method="stereo4d",
        report={"numbers": np.arange(3), "share": np.float32(0.5), "words": ("a", "b"), "nested": {"ok": True}},
        video=Video(rng.integers(0, 255, (frames, height, width, 3), dtype=np.uint8), np.array([0, 0.1, 0.15, 0.4, 0.5])),
    )


def arrays_of(scene):
    for part in ("cameras", "tracks_2d", "tracks_3d", "depth", "points", "video"):
        value = getattr(scene, part)
        for name in getattr(value, "__dataclass_fields__", ()):
            yield f"{part}.{name}", getattr(value, name)


@pytest.mark.parametrize("sigma", [True, False])
def test_a_scene_comes_back_to_the_last_bit(tmp_path, sigma):
    before = scene(sigma=sigma)
    after = load(save(before, tmp_path / "clip.scene.npz"))
    for (name, a), (_, b) in zip(arrays_of(before), arrays_of(after), strict=True):
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), name
        else:
            assert a == b, name
    assert (after.method, after.unit) == ("stereo4d", "metre")
    assert after.report == {"numbers": [0, 1, 2], "share": 0.5, "words": ["a", "b"], "nested": {"ok": True}}


def test_a_compact_scene_is_smaller_and_close(tmp_path):
    before = scene(96, 128)
    after = load(save(before, tmp_path / "small.npz", compact=True))
    assert np.array_equal(np.isnan(after.depth.depth), np.isnan(before.depth.depth))
    np.testing.assert_allclose(after.depth.depth, before.depth.depth, rtol=6e-4)
    np.testing.assert_allclose(after.depth.confidence, before.depth.confidence, atol=0.5 / 255 + 1e-6)
    for name in ("xyz", "visible", "rgb", "motion", "sigma"):
        assert np.array_equal(getattr(after.tracks_3d, name), getattr(before.tracks_3d, name), equal_nan=name in ("xyz", "sigma"))
    assert after.video.size == before.video.size
    assert (tmp_path / "small.npz").stat().st_size < 0.6 * save(before, tmp_path / "full.npz").stat().st_size


def test_compact_tracks_are_as_exact_as_is_told(tmp_path):
    rng = np.random.default_rng(1)
    count, frames = 4500, 20  # more tracks than are packed at a time
    visible = rng.random((count, frames)) < 0.6
    xy = rng.uniform(-50, 4000, (count, frames, 2)).astype(np.float32)
    xy[7, 3:5] = [[np.nan, np.nan], [-2.4e8, 4.7e8]]  # hidden points may be anywhere
    visible[7, 3:5] = False
    sigma = np.exp(rng.uniform(-4, 5, (count, frames))).astype(np.float32)
    sigma[9, 2], sigma[9, 3] = np.nan, np.inf
    before = Scene(tracks_2d=Tracks2D(xy, visible, rng.random((count, frames)), rng.random((count, 3)), sigma))
    after = load(save(before, tmp_path / "small.npz", compact=True)).tracks_2d
    assert np.array_equal(after.visible, visible) and np.array_equal(after.queries, before.tracks_2d.queries)
    assert {a.dtype for a in (after.xy, after.confidence, after.sigma_px)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(after.xy, xy)
    np.testing.assert_allclose(after.confidence, before.tracks_2d.confidence, atol=1 / 512)
    np.testing.assert_allclose(after.sigma_px, sigma, rtol=1 / 500)


def test_still_points_take_hardly_any_room(tmp_path):
    rng = np.random.default_rng(2)
    count, frames = 2000, 100
    xyz = np.repeat(rng.normal(size=(count, 1, 3)), frames, axis=1)
    seen = np.ones((count, frames), bool)
    world = Tracks3D(xyz, seen, np.zeros((count, 3)), np.zeros(count), np.full((count, frames), 0.01))
    path = save(Scene(tracks_3d=world), tmp_path / "small.npz", compact=True)
    assert path.stat().st_size < 0.1 * world.xyz.nbytes
    np.testing.assert_array_equal(load(path).tracks_3d.xyz, world.xyz)


def test_a_damaged_compact_scene_is_told(tmp_path):
    path = save(scene(96, 128), tmp_path / "small.npz", compact=True)
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("depth.confidence.npy").header_offset
    data = bytearray(path.read_bytes())
    data[place + 20_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"depth\.confidence' in small\.npz is damaged"):
        load(path)


def test_saving_and_loading_need_little_more_memory_than_the_scene(tmp_path):
    depth = np.random.default_rng(0).uniform(1, 9, (40, 128, 128)).astype(np.float32)
    before = Scene(depth=DepthVideo(depth, np.ones_like(depth)))
    tracemalloc.start()
    try:
        save(before, tmp_path / "a.npz", compact=True)
        assert tracemalloc.get_traced_memory()[1] < 0.5 * depth.nbytes
        tracemalloc.reset_peak()
        after = load(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 2.6 * depth.nbytes
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(after.depth.depth, depth, rtol=6e-4)


def test_scenes_with_few_parts_come_back(tmp_path):
    for empty in (Scene(method="nothing"), Scene(points=PointCloud(np.zeros((1, 3)), np.zeros((1, 3))), unit="relative")):
        after = load(save(empty, tmp_path / "a.npz"))
        assert (after.method, after.unit, after.video, after.cameras) == (empty.method, empty.unit, None, None)


def test_the_same_scene_gives_the_same_bytes(tmp_path):
    first = save(scene(), tmp_path / "a.npz").read_bytes()
    assert save(scene(), tmp_path / "b.npz").read_bytes() == first


def test_other_programs_read_the_file_without_pickle(tmp_path):
    with np.load(save(scene(), tmp_path / "a.npz"), allow_pickle=False) as file:
        assert set(file) >= {"lift4d_version", "header", "cameras.T_wc", "tracks_3d.xyz", "depth.depth", "video.mp4"}
        assert all(file[name] is not None for name in file)


def test_foreign_newer_and_damaged_files_are_told(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "stereo4d.npz", track_coordinates=np.zeros(3))
    np.savez(tmp_path / "newer.npz", lift4d_version=np.array(VERSION + 1), header=np.array("{}"))
    np.savez(tmp_path / "header.npz", lift4d_version=np.array(VERSION), header=np.array("{"))
    np.savez(tmp_path / "pickle.npz", lift4d_version=np.array(VERSION), header=np.array([{}], object))
    np.savez(tmp_path / "versions.npz", lift4d_version=np.array([1, 2]), header=np.array("{}"))
    np.savez(tmp_path / "worded.npz", lift4d_version=np.array("one"), header=np.array("{}"))
    header = np.array('{"method": "", "unit": "metre", "report": {}}')
    video = dict(np.load(save(scene(), tmp_path / "good.npz")))
    np.savez(tmp_path / "video.npz", **(video | {"header": header, "video.size": np.array(7)}))
    (tmp_path / "text.npz").write_text("text")
    for name, words in (
        ("other", "not a Lift4D scene"),
        ("stereo4d", "load_dataset_npz"),
        ("newer", "newer Lift4D"),
        ("header", "header"),
        ("versions", r"'lift4d_version' .* shape \(2,\), but a number"),
        ("worded", "'lift4d_version' .* 'one', but a number"),
        ("video", "'video.size' .* 7, but a width and a height"),
        ("pickle", "Python objects"),
        ("text", "not an .npz"),
        ("absent", "no file"),
    ):
        with pytest.raises(UserError, match=words):
            load(tmp_path / f"{name}.npz")


def test_a_scene_with_a_damaged_video_is_told(tmp_path):
    path = save(scene(), tmp_path / "a.npz")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file}
    arrays["video.mp4"] = arrays["video.mp4"][:500]
    np.savez(path, **arrays)
    with pytest.raises(UserError, match="video inside a.npz is damaged"):
        load(path)


def test_a_report_that_json_can_not_hold_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="report"):
        save(Scene(report={"what": object()}), tmp_path / "a.npz")
    with pytest.raises(UserError, match="must end with"):
        save(Scene(), tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_members_that_are_packed_by_other_programs_are_read(tmp_path):
    source = save(scene(), tmp_path / "a.npz")
    packed = tmp_path / "b.npz"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, io.BytesIO(old.read(member)).getvalue())
    assert np.array_equal(load(packed).video.frames, scene().video.frames)
