"""Each file read back by another reader, compared with the scene it came from."""

import csv
import json
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from toolkit.export.camera_files import write_transforms, write_tum
from toolkit.export.cloud_files import write_glb, write_ply
from toolkit.export.picture_files import write_depth_pngs, write_images
from toolkit.export.tables import write_tracks_csv
from toolkit.scene import Cameras, PointCloud, Scene


def nothing():
    """A tick that lets the writer go on."""


def test_tum_lines_are_camera_to_world_with_the_real_part_last(room, tmp_path):
    write_tum(room, tmp_path / "c.tum")
    rows = np.loadtxt(tmp_path / "c.tum")
    np.testing.assert_allclose(rows[:, 0], room.video.times_s, atol=1e-8)
    np.testing.assert_allclose(rows[:, 1:4], room.cameras.centres, atol=1e-8)
    # The point 2 m ahead of each camera, from the file alone.
    x, y, z, w = rows[:, 4:].T
    ahead = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    np.testing.assert_allclose(rows[:, 1:4] + 2 * ahead, room.cameras.centres + 2 * room.cameras.T_wc[:, :3, 2], atol=1e-7)


def test_tum_leaves_out_frames_without_a_pose_and_says_so(room, tmp_path):
    T_wc = room.cameras.T_wc.copy()
    T_wc[[2, 5]] = np.nan
    notes = write_tum(replace(room, cameras=Cameras(room.cameras.K, T_wc, room.cameras.size)), tmp_path / "c.tum")
    assert notes["frames_without_pose"] == [2, 5]
    np.testing.assert_allclose(np.loadtxt(tmp_path / "c.tum")[:, 0], np.delete(room.video.times_s, [2, 5]), atol=1e-8)


def test_transforms_project_world_points_to_the_pixels_of_the_tracks(room, tmp_path):
    write_transforms(room, tmp_path / "transforms.json")
    told = json.loads((tmp_path / "transforms.json").read_text())
    assert [f["file_path"] for f in told["frames"][:2]] == ["images/000000.jpg", "images/000001.jpg"]
    for t, frame in enumerate(told["frames"]):
        seen = room.tracks_2d.visible[:, t] & np.isfinite(room.tracks_3d.xyz[:, t]).all(1)
        world = np.c_[room.tracks_3d.xyz[seen, t], np.ones(seen.sum())]
        # OpenGL camera: looks along -z, y up.
        x, y, z, _ = np.linalg.inv(np.array(frame["transform_matrix"])) @ world.T
        xy = np.stack([frame["cx"] + frame["fl_x"] * x / -z, frame["cy"] - frame["fl_y"] * y / -z], 1)
        assert (z < 0).all()
        np.testing.assert_allclose(xy, room.tracks_2d.xy[seen, t], atol=1e-3)


def test_transforms_name_depth_only_where_its_levels_are_millimetres(room, tmp_path):
    far = replace(room, depth=replace(room.depth, depth=100 * room.depth.depth))
    for scene, named in ((room, True), (far, False), (replace(room, depth=replace(room.depth, unit="relative")), False)):
        write_transforms(scene, tmp_path / "transforms.json")
        frame = json.loads((tmp_path / "transforms.json").read_text())["frames"][3]
        assert frame.get("depth_file_path") == ("depth/000003.png" if named else None)


def test_ply_holds_points_and_colours_in_world_coordinates(room, tmp_path):
    write_ply(room.points, tmp_path / "p.ply", unit="metre")
    back: Any = trimesh.load(tmp_path / "p.ply")
    np.testing.assert_array_equal(np.asarray(back.vertices, np.float32), room.points.xyz)
    np.testing.assert_array_equal(np.asarray(back.colors)[:, :3], room.points.rgb)
    assert b"comment unit metre" in (tmp_path / "p.ply").read_bytes()[:300]


def glb_parts(path):
    """Primitives of a GLB by name, decoded by hand from the file format's words."""
    raw = path.read_bytes()
    assert raw[:4] == b"glTF" and int.from_bytes(raw[8:12], "little") == len(raw)
    length = int.from_bytes(raw[12:16], "little")
    tree, data = json.loads(raw[20 : 20 + length]), raw[28 + length :]
    types = {5126: "<f4", 5123: "<u2", 5125: "<u4"}
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}

    def array(i):
        accessor = tree["accessors"][i]
        view = tree["bufferViews"][accessor["bufferView"]]
        flat = np.frombuffer(data, types[accessor["componentType"]], accessor["count"] * width[accessor["type"]], view["byteOffset"])
        return flat.reshape(accessor["count"], -1)

    parts = {}
    for mesh in tree["meshes"]:
        primitive = mesh["primitives"][0]
        parts[mesh["name"]] = {k: array(i) for k, i in primitive["attributes"].items()} | {"mode": primitive["mode"]}
        if "indices" in primitive:
            parts[mesh["name"]]["indices"] = array(primitive["indices"])[:, 0]
    return parts


def test_glb_colours_are_linear_light_and_its_axes_have_y_up(room, tmp_path):
    rgb = np.array([[0, 0, 0], [255, 255, 255], [128, 10, 200]], np.uint8)
    cloud = PointCloud(np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32), rgb)
    write_glb(Scene(points=cloud, method="x"), tmp_path / "t.glb", fps=30)
    part = glb_parts(tmp_path / "t.glb")["static cloud"]
    order = np.argsort(part["POSITION"][:, 0])
    np.testing.assert_array_equal(part["POSITION"][order], cloud.xyz * [1, -1, -1])
    linear = part["COLOR_0"][order]
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_array_equal(np.round(255 * srgb), rgb)


def test_glb_lines_join_neighbouring_known_samples_of_moving_tracks_only(room, tmp_path):
    write_glb(room, tmp_path / "t.glb", fps=25)
    parts = glb_parts(tmp_path / "t.glb")
    assert set(parts) == {"static cloud", "moving tracks", "camera path"} and parts["moving tracks"]["mode"] == 1
    moving = room.tracks_3d.xyz[room.tracks_3d.motion > 0.5] * np.array([1, -1, -1], np.float32)
    known = np.isfinite(moving).all(-1)
    lines = parts["moving tracks"]
    assert len(lines["indices"]) == 2 * (known[:, 1:] & known[:, :-1]).sum()
    steps = lines["POSITION"][lines["indices"].reshape(-1, 2)]
    assert np.linalg.norm(steps[:, 1] - steps[:, 0], axis=1).max() < 1.05 * np.nanmax(np.linalg.norm(np.diff(moving, axis=1), axis=-1))


def test_glb_opens_in_trimesh_with_its_points_colours_and_lines(room, tmp_path):
    write_glb(room, tmp_path / "t.glb", fps=25)
    scene: Any = trimesh.load(tmp_path / "t.glb")
    cloud = scene.geometry["static cloud"]
    order = np.lexsort(np.asarray(cloud.vertices).T)
    mine = np.lexsort((room.points.xyz * [1, -1, -1]).T)
    np.testing.assert_allclose(np.asarray(cloud.vertices)[order], (room.points.xyz * [1, -1, -1])[mine], atol=1e-6)
    linear = np.asarray(cloud.colors)[order, :3] / 255.0
    srgb = room.points.rgb[mine] / 255.0
    np.testing.assert_allclose(linear, np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4), atol=1 / 200)
    path = scene.geometry["camera path"]
    np.testing.assert_allclose(path.vertices, room.cameras.centres * [1, -1, -1], atol=1e-6)
    assert path.length == pytest.approx(np.linalg.norm(np.diff(room.cameras.centres, axis=0), axis=1).sum(), rel=1e-5)
    assert len(scene.geometry["moving tracks"].entities) > 0


def test_depth_png_times_scale_is_the_depth_and_zero_is_unknown(room, tmp_path):
    notes = write_depth_pngs(room.depth, tmp_path / "depth", nothing)
    assert notes["scale"] == 0.001
    for t in range(len(room.depth)):
        levels = np.asarray(cv2.imread(str(tmp_path / "depth" / f"{t:06d}.png"), cv2.IMREAD_UNCHANGED))
        assert levels.dtype == np.uint16
        with Image.open(tmp_path / "depth" / f"{t:06d}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), levels)
        np.testing.assert_array_equal(levels == 0, np.isnan(room.depth.depth[t]))
        np.testing.assert_allclose(np.where(levels, levels * notes["scale"], np.nan), room.depth.depth[t], atol=0.00051)


@pytest.mark.parametrize(("unit", "factor"), [("relative", 1.0), ("metre", 100.0)])
def test_depth_that_does_not_fit_millimetres_uses_all_16_bits(room, tmp_path, unit, factor):
    depth = replace(room.depth, depth=room.depth.depth * factor, unit=unit)
    notes = write_depth_pngs(depth, tmp_path / "depth", nothing)
    levels = np.asarray(cv2.imread(str(tmp_path / "depth" / "000003.png"), cv2.IMREAD_UNCHANGED))
    np.testing.assert_allclose(np.where(levels, levels * notes["scale"], np.nan), depth.depth[3], atol=0.6 * notes["scale"])
    assert np.nanmax(depth.depth) / notes["scale"] == pytest.approx(65535)


def test_images_are_the_frames(room, tmp_path):
    write_images(room.video, tmp_path / "images", nothing)
    back = np.asarray(cv2.imread(str(tmp_path / "images" / "000004.jpg")))[..., ::-1]
    assert np.abs(back.astype(int) - room.video.frames[4]).mean() < 6


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def number(text):
    return float(text) if text else np.nan


def test_csv_rows_are_the_known_samples_of_the_tracks(room, tmp_path):
    notes = write_tracks_csv(room, tmp_path / "t.csv")
    rows = read_csv(tmp_path / "t.csv")
    known = np.isfinite(room.tracks_3d.xyz).all(-1) | room.tracks_2d.visible
    assert len(rows) == known.sum() == notes["rows"]
    for row in rows[:: max(1, len(rows) // 200)]:
        i, t = int(row["track"]), int(row["frame"])
        assert number(row["time_s"]) == pytest.approx(room.video.times_s[t], abs=1e-6)
        np.testing.assert_allclose([number(row[k]) for k in ("x_px", "y_px")], room.tracks_2d.xy[i, t], atol=6e-4)
        np.testing.assert_allclose([number(row[k]) for k in "xyz"], room.tracks_3d.xyz[i, t], atol=6e-6)
        assert row["visible"] == str(int(room.tracks_2d.visible[i, t])) and number(row["motion"]) == room.tracks_3d.motion[i]


def test_csv_stays_within_its_rows_and_says_what_it_left_out(room, tmp_path):
    notes = write_tracks_csv(room, tmp_path / "t.csv", max_rows=400)
    rows = read_csv(tmp_path / "t.csv")
    assert len(rows) <= 400 and notes["tracks_written"] < notes["tracks_in_scene"] and "spread-out choice" in notes["rule"]
    written = {int(r["track"]) for r in rows}
    assert room.tracks_3d.motion[list(written)].mean() > room.tracks_3d.motion.mean()


def test_csv_numbers_survive_signs_zeros_gaps_and_size(tmp_path, room):
    xyz = np.full((1, 6, 3), np.nan, np.float32)
    xyz[0, :4] = [[-0.000004, 0, 12345.678], [-1.5, 0.00001, -0.1], [1e9, 2e12, 3], [np.nan, 1, 2]]
    tracks = replace(room.tracks_3d.select([0]), xyz=xyz, visible=np.ones((1, 6), bool), motion=np.zeros(1, np.float32))
    write_tracks_csv(Scene(tracks_3d=tracks, method="x"), tmp_path / "t.csv")
    rows = read_csv(tmp_path / "t.csv")
    assert [r["frame"] for r in rows] == ["0", "1", "2"]
    assert [r["x"] for r in rows] == ["0.00000", "-1.50000", "1000000000.00000"]
    assert [r["y"] for r in rows] == ["0.00000", "0.00001", ""]
    assert rows[0]["x_px"] == "" and rows[0]["time_s"] == ""
    assert float(rows[0]["z"]) == pytest.approx(12345.678, abs=1e-3)


def test_rotation_of_tum_matches_scipy(room, tmp_path):
    write_tum(room, tmp_path / "c.tum")
    quaternion = np.loadtxt(tmp_path / "c.tum")[:, 4:]
    np.testing.assert_allclose(Rotation.from_quat(quaternion).as_matrix(), room.cameras.T_wc[:, :3, :3], atol=1e-8)
