"""The 4D page holds the scene it was given, fits its budget, and says what it lacks."""

import base64
import errno
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import toolkit as tk
from toolkit.errors import Cancelled, UserError
from toolkit.progress import silent
from toolkit.scene import Cameras, DepthVideo, PointCloud, Scene, Tracks3D, Video
from toolkit.views import page_display
from toolkit.views.page import lacks, page_html, write_page
from toolkit.views.page_packing import Box, byte_planes, depth_steps, held
from toolkit.views.page_parts import PageSettings, choose_parts
from toolkit.views.page_view import starting_view


def block(html: str, name: str) -> str:
    """The text of one of the page's data blocks."""
    found = re.search(rf'<script type="[a-z/]+" id="{name}">(.*?)</script>', html, re.DOTALL)
    assert found
    return found[1]


def contents(html: str) -> tuple[dict[str, Any], dict[str, np.ndarray], bytes]:
    """(meta, arrays of bytes, pictures) as the page's script reads them."""
    meta = json.loads(block(html, "meta"))
    numbers = np.frombuffer(zlib.decompress(base64.b64decode(block(html, "numbers"))), np.uint8)
    return meta, {k: numbers[a : a + n] for k, (a, n) in meta["arrays"].items()}, base64.b64decode(block(html, "pictures"))


def unzigzag(planes: np.ndarray) -> np.ndarray:
    low, high = planes.astype(np.uint16).reshape(2, -1)
    value = low | (high << 8)
    return (value >> 1) ^ (0 - (value & 1))


def positions(html: str) -> tuple[np.ndarray, np.ndarray]:
    """(F, N, 3) positions in the world and (F, N) which are known."""
    meta, arrays, _ = contents(html)
    shape = meta["counts"]["frames"], meta["counts"]["tracks"]
    steps = np.cumsum(unzigzag(arrays["track_xyz"]).reshape(*shape, 3), axis=0, dtype=np.uint16)
    known = np.unpackbits(arrays["track_known"])[: shape[0] * shape[1]].reshape(shape).astype(bool)
    return np.array(meta["box"]["low"]) + steps / 65534 * meta["box"]["side"], known


def test_tracks_in_the_page_are_those_of_the_scene(room):
    xyz, known = positions(page_html(room))
    meta = contents(page_html(room))[0]
    step = meta["box"]["side"] / 65534
    there = np.isfinite(room.tracks_3d.xyz).all(-1)
    assert known.sum() == there.sum()
    for t in range(10):
        mine, theirs = np.sort(xyz[t][known[t]], axis=0), np.sort(room.tracks_3d.xyz[there[:, t], t], axis=0)
        np.testing.assert_allclose(mine, theirs, atol=0.6 * step)
    assert step < 0.001, "a millimetre is kept in a room"
    moving = meta["counts"]["moving"]
    assert moving == (room.tracks_3d.motion > 0.5).sum()
    assert np.nanmax(np.ptp(np.where(known[:, :moving, None], xyz[:, :moving], np.nan), axis=0)) > 0.1


def test_motion_levels_are_in_the_page_those_that_may_move_first(room):
    motion = np.random.default_rng(0).random(len(room.tracks_3d)).astype(np.float32)
    motion[:9] = [0, 0, 0, 0.04, 0.06, 0.499, 0.5, 0.501, np.nan]
    meta, arrays, _ = contents(page_html(replace(room, tracks_3d=replace(room.tracks_3d, motion=motion))))
    known, counts, level = np.nan_to_num(motion), meta["counts"], arrays["track_level"]
    assert (counts["moving"], counts["doubtful"]) == ((known > 0.5).sum(), (known >= 0.05).sum())
    assert (level[: counts["moving"]] > 127.5).all() and (level[counts["moving"] :] < 127.5).all()
    assert (level[counts["doubtful"] :] < 0.05 * 255 + 0.5).all()
    np.testing.assert_allclose(np.sort(level) / 255, np.sort(known), atol=0.0025)
    assert len(arrays["track_pace"]) == counts["doubtful"] * counts["frames"]


def test_the_cloud_and_its_colours_are_those_of_the_scene(room):
    meta, arrays, _ = contents(page_html(room))
    steps = np.cumsum(unzigzag(arrays["cloud_xyz"]).reshape(-1, 3), axis=0, dtype=np.uint16)
    xyz = np.array(meta["box"]["low"]) + steps / 65534 * meta["box"]["side"]
    assert meta["counts"]["cloud"] == len(room.points)
    np.testing.assert_allclose(xyz, room.points.xyz, atol=0.6 * meta["box"]["side"] / 65534)
    np.testing.assert_array_equal(arrays["cloud_rgb"].reshape(-1, 3), room.points.rgb)


def test_the_surface_is_the_depth_of_its_pixels_and_unknown_where_that_is(room):
    meta, arrays, pictures = contents(page_html(room))
    width, height = meta["surface"]["size"]
    assert (width, height) == (96, 64), "a small picture keeps all of its pixels"
    steps = np.cumsum(unzigzag(arrays["surface"]).reshape(10, height, width), axis=2, dtype=np.uint16)
    near, far = meta["surface"]["near"], meta["surface"]["far"]
    depth = near * (far / near) ** ((steps - 1.0) / (meta["surface"]["levels"] - 1))
    shown = steps > 0
    assert shown.mean() > 0.7 and not shown[:, 2:10, 2:16].any()
    assert np.abs(depth / room.depth.depth - 1)[shown].max() < 0.002
    assert sum(meta["pictures"]) == len(pictures) and len(meta["pictures"]) == 10
    assert pictures[:2] == b"\xff\xd8"


def test_the_same_scene_gives_the_same_bytes(room, tmp_path):
    first, second = write_page(room, tmp_path / "a.html"), write_page(room, tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()
    assert page_html(room).encode() == first.read_bytes()


def test_the_page_names_no_host_and_forbids_asking_any(room):
    html = page_html(room)
    assert not re.findall(r"(?:https?:|wss?:)//", html)
    assert "default-src 'none'" in html
    assert html.count("<script") == 4


def test_words_of_the_scene_cannot_break_out_of_the_page(room):
    html = page_html(replace(room, method='x</script><script>alert("1")</script>'))
    assert html.count("<script") == 4
    assert json.loads(block(html, "meta"))["method"].startswith("x</script>")


def test_sixty_frames_of_twenty_thousand_noisy_points_stay_in_budget():
    rng = np.random.default_rng(0)
    frames, count, size = 60, 20_000, (256, 192)
    depth = (4 + rng.normal(size=(frames, *size[::-1])) * 0.05).astype(np.float32)
    xyz = (rng.normal(size=(count, 1, 3)) + rng.normal(size=(count, frames, 3)) * 0.3 + [0, 0, 4]).astype(np.float32)
    K = [[200, 0, 128], [0, 200, 96], [0, 0, 1]]
    scene = Scene(
        cameras=Cameras.from_poses(K, np.tile(np.eye(4), (frames, 1, 1)), size),
        tracks_3d=Tracks3D(xyz, np.ones((count, frames), bool), np.zeros((count, 3), np.uint8), np.linspace(0, 1, count, dtype=np.float32)),
        depth=DepthVideo(depth, np.ones_like(depth)),
        points=PointCloud(rng.normal(size=(100_000, 3)).astype(np.float32), rng.integers(0, 255, (100_000, 3), np.uint8)),
        video=Video.from_frames([cv2.resize(rng.integers(0, 255, (16, 16, 3), np.uint8), size) for _ in range(frames)]),
    )
    html = page_html(scene)
    assert len(html) < 15_000_000
    counts = contents(html)[0]["counts"]
    assert (counts["tracks"], counts["frames"], counts["trails"]) == (count, frames, 500)
    small = page_html(scene, settings=PageSettings(max_bytes=1_000_000))
    assert 600_000 < len(small) < 1_000_000
    assert any("tracks are in this page" in note for note in contents(small)[0]["notes"])


def test_a_long_clip_is_shown_every_second_frame_and_says_so(rooms):
    scene = rooms.room_scene(frames=150, size=(24, 16), tracks=40)
    meta = contents(page_html(scene))[0]
    assert meta["frame"] == list(range(0, 150, 2))
    np.testing.assert_allclose(meta["times_s"], np.arange(75) / 12.5, rtol=1e-6)
    assert "75 of 150 frames are in this page, evenly spread." in meta["notes"]


@pytest.mark.parametrize(
    ("without", "note"),
    [
        (["video"], "The scene holds no video, so no pictures are shown."),
        (["depth"], None),
        (["points", "depth"], "The scene holds no static cloud."),
        (["cameras", "tracks_2d"], "The scene holds no camera poses."),
        (["tracks_3d"], "The scene holds no 3D tracks."),
        (["tracks_3d", "video", "depth", "points"], "The scene holds no 3D tracks."),
        (["cameras", "video", "depth", "points", "tracks_2d"], "The scene holds no video, so no pictures are shown."),
    ],
)
def test_a_scene_that_lacks_parts_still_has_a_page_that_says_so(room, without, note):
    meta = contents(page_html(replace(room, unit="relative", **dict.fromkeys(without))))[0]
    assert meta["unit"] == "relative"
    assert note is None or note in meta["notes"]


def test_a_cloud_is_made_from_depth_where_the_scene_has_none(room):
    assert contents(page_html(replace(room, points=None)))[0]["counts"]["cloud"] > 100


def test_frames_without_a_pose_and_positions_without_a_value_are_left_out(room):
    T_wc, xyz = room.cameras.T_wc.copy(), room.tracks_3d.xyz.copy()
    T_wc[3:5], xyz[:, 5], xyz[7] = np.nan, np.nan, np.nan
    tracks = Tracks3D(xyz, np.isfinite(xyz).all(-1), room.tracks_3d.rgb, room.tracks_3d.motion)
    html = page_html(replace(room, cameras=Cameras(room.cameras.K, T_wc, room.cameras.size), tracks_3d=tracks))
    meta = contents(html)[0]
    assert [c is None for c in meta["cameras"]] == [t in (3, 4) for t in range(10)]
    assert meta["path"][3] == [None] * 3
    assert "2 of 10 frames have no camera pose." in meta["notes"]
    assert not positions(html)[1][5].any()


def test_one_frame_is_a_page_without_trails(rooms):
    meta = contents(page_html(rooms.room_scene(frames=1, tracks=50)))[0]
    assert meta["times_s"] == [0] and meta["counts"]["trails"] == 0


def test_far_points_do_not_shrink_the_rest(room):
    xyz = room.points.xyz.copy()
    xyz[0] = 1e6
    meta = contents(page_html(replace(room, points=PointCloud(xyz, room.points.rgb))))[0]
    assert meta["box"]["side"] < 40
    assert "1 point far away from the rest left out." in meta["notes"]


def test_an_empty_scene_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="A 4D page needs 3D tracks, a cloud or camera poses, but the scene holds none of them."):
        write_page(Scene(method="x"), tmp_path / "a.html")
    assert not list(tmp_path.iterdir())
    assert lacks(Scene(method="x"))


def test_a_place_that_cannot_be_written_is_told(room, tmp_path):
    with pytest.raises(UserError, match="can't be written"):
        write_page(room, tmp_path / "missing" / "a.html")


def test_what_is_no_page_is_never_replaced_by_one(room, tmp_path):
    saved = tk.save(room, tmp_path / "scene.npz")
    before = saved.read_bytes()
    with pytest.raises(UserError, match="scene.npz does not end with .html"):
        tk.view(room, path=saved)
    assert saved.read_bytes() == before


def test_a_full_disk_leaves_the_page_that_was_there(room, tmp_path, monkeypatch):
    page = write_page(room, tmp_path / "a.html")
    before = page.read_bytes()

    def full(self: Path, text: str, **_: Any) -> int:
        self.write_bytes(text[:100].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="a.html can't be written: No space left on device"):
        write_page(room, page)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_it_can_be_cancelled_and_leaves_nothing(room, tmp_path):
    def stop(done: int, total: int) -> None:
        if done > 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_page(room, tmp_path / "a.html", report=stop)
    assert not list(tmp_path.iterdir())


def test_view_gives_a_path_and_in_a_notebook_a_display(room, tmp_path, monkeypatch):
    assert tk.view(room, path=tmp_path / "scene.html") == tmp_path / "scene.html"
    monkeypatch.setattr(page_display, "in_notebook", lambda: True)
    shown = tk.view(room)
    assert 'sandbox="allow-scripts"' in shown.data and 'srcdoc="&lt;!doctype html&gt;' in shown.data
    assert tk.view(room, path=tmp_path / "scene.html").data == shown.data


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_up_is_against_gravity_for_level_cameras_however_the_world_is_turned(seed):
    rng = np.random.default_rng(seed)
    turn = Rotation.from_quat(rng.normal(size=4)).as_matrix()
    yaw, pitch = rng.uniform(-60, 60, 12), rng.uniform(-30, 10, 12)
    T = np.tile(np.eye(4), (12, 1, 1))
    T[:, :3, :3] = turn @ Rotation.from_euler("YX", np.stack([yaw, pitch], 1), degrees=True).as_matrix()
    view = starting_view((rng.normal(size=(50, 3)) + [0, 0, 9]) @ turn.T, Cameras.from_poses(np.eye(3), T, (4, 4)))
    assert view.up @ (turn @ [0, -1, 0]) > np.cos(np.radians(6))
    assert abs(view.up @ view.ahead) < 1e-9
    np.testing.assert_allclose([np.linalg.norm(view.up), np.linalg.norm(view.ahead)], 1)


def test_a_camera_that_looks_straight_down_has_a_view_too():
    T = np.eye(4)[None]
    T[0, :3, :3] = Rotation.from_euler("X", -90, degrees=True).as_matrix()
    view = starting_view(np.array([[0, 3.0, 0], [1, 3, 1]]), Cameras.from_poses(np.eye(3), T, (4, 4)))
    assert np.isfinite([*view.up, *view.ahead, *view.centre, view.reach]).all()
    assert view.reach == pytest.approx(3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_packing_comes_back(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 65536, (4, 5, 3)).astype(np.uint16)
    for axis in range(3):
        back = np.cumsum(unzigzag(byte_planes(values, axis=axis)).reshape(values.shape), axis=axis, dtype=np.uint16)
        np.testing.assert_array_equal(back, values)
    known = rng.random((4, 5)) < 0.6
    np.testing.assert_array_equal(held(values, known)[known], values[known])


def test_a_box_of_nothing_and_depth_out_of_range_are_unknown():
    assert Box.around(np.full((3, 3), np.nan)).side == 2
    steps = depth_steps(np.array([np.nan, 0, 0.5, 1, 2, 3], np.float32), 1, 2)
    assert steps.tolist() == [0, 0, 0, 1, 4095, 0]


def test_no_shard_of_the_surface_hangs_between_a_near_and_a_far_wall_and_specks_leave_no_hole():
    depth = np.full((1, 96, 128), 4.0, np.float32)
    depth[:, :, 63:] = 4.8  # a grid as coarse as this one has no sample on the edge itself
    depth[:, 5::17, 5::17] = np.nan
    cameras = Cameras.from_poses(np.array([[100.0, 0, 64], [0, 100, 48], [0, 0, 1]]), np.eye(4)[None], (128, 96))
    video = Video.from_frames(np.zeros((1, 96, 128, 3), np.uint8))
    scene = Scene(cameras=cameras, depth=DepthVideo(depth, np.ones_like(depth), "metre"), video=video, method="test")
    surface = choose_parts(scene, PageSettings(surface_pixels=192), seed=0, report=silent).surface
    assert surface is not None and surface.shape == (1, 12, 16)
    beside = np.abs(np.diff(surface, axis=2))
    assert not (beside > 0.1).any(), "no two neighbours lie on different walls"
    assert np.isfinite(surface[:, :, :6]).mean() > 0.9 and np.isfinite(surface[:, :, 10:]).mean() > 0.9
