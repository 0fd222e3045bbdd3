import json

import numpy as np
import pytest

from toolkit import UserError, inspect, write_video
from toolkit.media.rig_camera import RigCamera, matched
from toolkit.media.rig_formats import read_rig_file
from toolkit.media.rig_input import opened_rig
from toolkit.media.rig_reading import read_rig
from toolkit.synthetic.examples import Tripod

K = np.array([[300.0, 0, 159.5], [0, 300.0, 119.5], [0, 0, 1]])  # as OpenCV counts
POSES = [np.linalg.inv(Tripod(30.0 * v)(0.0)) for v in range(2)]


def toml(section: str, name: str, T_cw: np.ndarray, size: str = "[320, 240]", form: str = "vector") -> str:
    import cv2

    turn = cv2.Rodrigues(T_cw[:3, :3])[0].ravel().tolist() if form == "vector" else T_cw[:3, :3].tolist()
    return (
        f'[{section}]\nname = "{name}"\nsize = {size}\nmatrix = {K.tolist()}\ndistortions = [-0.2, 0.05, 0.0, 0.0, 0.0]\n'
        f"rotation = {turn}\ntranslation = {T_cw[:3, 3].tolist()}\n"
    )


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for v in range(2):
        frames = np.repeat(rng.integers(0, 255, (30, 40, 3)), 8, 0).repeat(8, 1).astype(np.uint8)
        write_video(tmp_path / f"cam{v}.mp4", [frames] * (5 + v), 30.0)
    (tmp_path / "calib.toml").write_text(toml("cam_00", "int_cam0", POSES[0]) + toml("cam_01", "int_cam1", POSES[1]) + "[metadata]\n")
    return tmp_path


def same(cameras):
    assert len(cameras) == 2
    for camera, T_cw in zip(cameras, POSES, strict=True):
        np.testing.assert_allclose(camera.K[:2, 2], [160, 120], atol=1e-6)
        np.testing.assert_allclose(camera.T_wc, np.linalg.inv(T_cw), atol=1e-6)


def test_toml_of_anipose_pose2sim_and_caliscope_tell_the_same(tmp_path):
    (tmp_path / "a.toml").write_text(toml("cam_0", "left", POSES[0]) + toml("cam_1", "right", POSES[1]))
    (tmp_path / "b.toml").write_text(
        "".join(toml(f"cameras.{v}", str(v), POSES[v], form="matrix") + f"cam_id = {v}\nignore = false\n" for v in range(2))
    )
    for name in ("a.toml", "b.toml"):
        same(read_rig_file(tmp_path / name))


def test_json_npz_yaml_and_colmap_tell_the_same(tmp_path):
    from scipy.spatial.transform import Rotation

    half = K + [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    flip = np.diag([1.0, -1, -1, 1])
    frames = [
        {
            "file_path": f"images/c{v}.jpg",
            "transform_matrix": (np.linalg.inv(POSES[v]) @ flip).tolist(),
            "fl_x": 300,
            "fl_y": 300,
            "cx": 160,
            "cy": 120,
        }
        for v in range(2)
    ]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    (tmp_path / "panoptic.json").write_text(json.dumps({str(v): {"K": K.tolist(), "w2c": POSES[v].tolist()} for v in range(2)}))
    own = [{"video": f"c{v}.mp4", "K": half.tolist(), "T_wc": np.linalg.inv(POSES[v]).tolist(), "size": [320, 240]} for v in range(2)]
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": own}))
    np.savez(tmp_path / "own.npz", names=["c0", "c1"], K=np.stack([half] * 2), T_wc=np.linalg.inv(POSES))
    np.savez(tmp_path / "mvtracker.npz", intrs=np.stack([K] * 2)[:, None].repeat(3, 1), extrs=np.stack(POSES)[:, None, :3].repeat(3, 1))
    matrix = "!!opencv-matrix\n  rows: {}\n  cols: {}\n  dt: d\n  data: {}\n"
    text = "%YAML:1.0\n---\n"
    for v in range(2):
        for name, value in (("K", K), ("R", POSES[v][:3, :3]), ("T", POSES[v][:3, 3:])):
            text += f"{name}_{v}: {matrix.format(*value.shape, value.ravel().tolist())}"
    (tmp_path / "opencv.yaml").write_text(text)
    sparse = tmp_path / "model" / "sparse" / "0"
    sparse.mkdir(parents=True)
    (sparse / "cameras.txt").write_text("# a comment\n1 PINHOLE 320 240 300 300 160 120\n")
    lines = ""
    for v in range(2):
        x, y, z, w = Rotation.from_matrix(POSES[v][:3, :3]).as_quat()
        lines += f"{v + 1} {w} {x} {y} {z} {' '.join(map(str, POSES[v][:3, 3]))} 1 c{v}.jpg\n\n"
    (sparse / "images.txt").write_text(lines)
    for name in ("transforms.json", "panoptic.json", "cameras.json", "own.npz", "opencv.yaml", "model"):
        same(read_rig_file(tmp_path / name))
    moving = read_rig_file(tmp_path / "mvtracker.npz")
    assert moving is not None
    first, second = moving[0].T_wc, moving[1].T_wc
    assert first is not None and second is not None and first.shape == (3, 4, 4)
    np.testing.assert_allclose(second[2], np.linalg.inv(POSES[1]), atol=1e-9)


def test_names_match_by_words_first_and_by_number_else():
    cameras = [RigCamera((n,), np.eye(3), np.eye(4)) for n in ("back", "side")]
    assert matched(cameras, ["back", "back_board", "side"]) == [(0, 0), (2, 1)]
    cameras = [RigCamera((n,), np.eye(3), np.eye(4)) for n in ("cam_0", "cam_1")]
    assert matched(cameras, ["video01", "video00"]) == [(0, 1), (1, 0)]


def test_views_are_read_without_distortion_and_cut_to_the_shortest(folder):
    with opened_rig(folder) as rig:
        assert "different numbers of frames (cam0 5, cam1 6)" in " ".join(rig.warnings)
        clip = read_rig(rig)
    assert [len(v) for v in clip.views] == [5, 5]
    assert clip.views[0].size[0] > 320  # barrel distortion bends the corners out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "No calibration of several cameras lies in"),
        (toml("cam_5", "north", POSES[0]) + toml("cam_6", "south", POSES[1]), "0 names fit, but two are needed"),
        (toml("cam_0", "a", POSES[0], "[100, 240]") + toml("cam_1", "b", POSES[1]), "which is another shape"),
        ("[cam_0]\nmatrix = [[1", "is not valid TOML"),
        (toml("cam_0", "a", 2 * POSES[0], form="matrix") + toml("cam_1", "b", POSES[1]), "is no rotation"),
    ],
)
def test_a_bad_calibration_gets_one_sentence(folder, text, told):
    (folder / "calib.toml").unlink() if text is None else (folder / "calib.toml").write_text(text)
    with pytest.raises(UserError, match=told), opened_rig(folder) as rig:
        read_rig(rig)
    assert any((told if text is not None else "cameras would be found from what stands still") in w for w in inspect(folder).warnings)


def test_a_spoilt_file_that_is_not_the_calibration_is_told_and_left_out_and_the_calibration_that_is_used_is_named(folder):
    (folder / "notes.json").write_text('{"a": ')
    found = inspect(folder)
    assert any(w.startswith("notes.json beside the views can't be read and is left out") for w in found.warnings)
    assert str(found).startswith("several cameras, 2 views, 5 frames, ") and str(found).endswith("cameras of calib.toml")


def test_spoilt_files_around_the_recording_are_nobodys_business(folder):
    (folder / "rig").mkdir()
    for file in [*folder.glob("cam*.mp4"), folder / "calib.toml"]:
        file.rename(folder / "rig" / file.name)
    (folder / "settings.json").write_text('{"a": ')
    assert not any("settings.json" in w for w in inspect(folder / "rig").warnings)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"T_wc": np.stack([np.eye(4)])}, "holds 2 cameras by K, 1 by T_wc and 2 by name"),
        ({"names": ["c0"]}, "holds 2 cameras by K, 2 by T_wc and 1 by name"),
        ({"K": np.full((2, 3, 3), np.nan)}, "camera c0 has intrinsics .*nan.* positive focal lengths are needed"),
        ({"K": np.stack([K, np.diag([-300.0, 300, 1])])}, "camera c1 has intrinsics .*-300"),
        ({"T_wc": np.stack([np.eye(4), np.diag([2.0, 2, 2, 1])])}, "the rotation of camera c1 is no rotation"),
    ],
)
def test_an_npz_whose_numbers_are_no_cameras_gets_one_sentence(tmp_path, change, told):
    np.savez(tmp_path / "cameras.npz", **{"names": ["c0", "c1"], "K": np.stack([K] * 2), "T_wc": np.linalg.inv(POSES), **change})
    with pytest.raises(UserError, match=told):
        read_rig_file(tmp_path / "cameras.npz")


def test_intrinsics_that_are_none_are_told_in_our_own_json_too(tmp_path):
    own = [{"video": f"c{v}.mp4", "K": np.full((3, 3), np.nan).tolist(), "T_wc": np.eye(4).tolist()} for v in range(2)]
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": own}))
    with pytest.raises(UserError, match="camera c0 has intrinsics"):
        read_rig_file(tmp_path / "cameras.json")


def test_a_colmap_model_that_is_spoilt_gets_one_sentence(tmp_path):
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 320 240 300 300 160 120\n")
    (tmp_path / "images.txt").write_text("1 one 0 0 0 0 0 0 1 c0.jpg\n\n")
    with pytest.raises(UserError, match="can't be read"):
        read_rig_file(tmp_path)


def test_a_camera_whose_recording_is_missing_is_told(folder):
    (folder / "calib.toml").write_text("".join(toml(f"cam_0{v}", f"int_cam{v}", POSES[v % 2]) for v in range(3)))
    with opened_rig(folder) as rig:
        assert rig.names == ("cam0", "cam1")
        assert any("There is no recording of cam_02 of calib.toml" in told for told in rig.warnings)
