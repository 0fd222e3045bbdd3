"""Rows of real stereo recordings agree after rectification."""

import re

import av
import cv2
import numpy as np
import pytest

from toolkit.geometry.lens_mesh import LensMesh
from toolkit.geometry.projections import Pinhole
from toolkit.geometry.rig import StereoRig, default_vr180_rig, rig_from_extrinsics
from toolkit.stereo.calibration import calibrate_fisheye_pair
from toolkit.stereo.pair_check import match_pair, vertical_disparity
from toolkit.stereo.rectify import Rectifier
from toolkit.stereo.refine import refine_rig

pytestmark = pytest.mark.data


def frames(path, wanted):
    with av.open(str(path)) as container:
        return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for i, f in enumerate(container.decode(video=0)) if i in wanted]


def picture(path):
    image = cv2.imread(str(path))
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def pairs(folder, left, right, every):
    names = sorted(p.name for p in (folder / left).iterdir())[::every]
    return [(picture(folder / left / n), picture(folder / right / n)) for n in names]


@pytest.fixture(scope="module")
def google_rig(data):
    size = (1072, 752)
    with np.load(data / "google_vr180" / "mesh_projection.npz") as file:
        eyes = []
        for eye in (0, 1):
            v, strip = file[f"vertices_{eye}"].astype(float), file[f"strip_{eye}"]
            xy = np.stack([v[:, 3] * size[0], (1 - v[:, 4]) * size[1]], 1)
            eyes.append(LensMesh(v[:, :3] * [1, -1, -1], xy, np.stack([strip[:-2], strip[1:-1], strip[2:]], 1), size))
    return StereoRig(eyes[0], eyes[1], np.eye(3), np.eye(3), 0.063, "top-bottom")


def test_a_vr180_lens_mesh_brings_rows_together(data, google_rig):
    rectifier = Rectifier(google_rig, fov_deg=70, size=640)
    for frame in frames(data / "google_vr180" / "video-sample-inject.mp4", (0, 30, 60, 100, 140)):
        left, right = rectifier(frame)
        check = vertical_disparity(left, right)
        assert abs(check.vertical_median_px) <= 0.15 and check.vertical_mad_px <= 0.35
        assert not check.swapped
    assert vertical_disparity(right, left).swapped


def test_a_published_vr180_video_is_rectified_already(data):
    rectifier = Rectifier(default_vr180_rig((960, 540), "side-by-side"), fov_deg=60, size=512)
    for frame in frames(data / "stereo4d_vr180_web" / "input_equirect.mp4", (0, 60, 120, 190)):
        check = vertical_disparity(*rectifier(frame))
        assert abs(check.vertical_median_px) <= 0.15 and check.vertical_mad_px <= 0.43


def test_a_raw_calibrated_rig_is_rectified_from_its_extrinsics(data):
    def camera(name):
        text = (data / "euroc_v101_micro" / name / "sensor.yaml").read_text()
        values = {
            k: [float(v) for v in re.search(k + r":\s*\[([^\]]*)\]", text).group(1).split(",")]  # type: ignore[union-attr]
            for k in ("data", "intrinsics", "distortion_coefficients")
        }
        fx, fy, cx, cy = values["intrinsics"]
        eye = Pinhole.from_opencv([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], (752, 480), values["distortion_coefficients"])
        return eye, np.array(values["data"]).reshape(4, 4)

    (left, T_left), (right, T_right) = camera("cam0"), camera("cam1")
    rig = rig_from_extrinsics(left, right, np.linalg.inv(T_left) @ T_right)
    assert rig.baseline_m == pytest.approx(0.1101, abs=1e-4)
    rectifier = Rectifier(rig, fov_deg=None, size=None)
    rows = []
    for pair in pairs(data / "euroc_v101_micro", "cam0/data", "cam1/data", 3):
        a, b = match_pair(*rectifier(pair))
        rows.append((a - b)[:, 1])
    rows = np.concatenate(rows)
    assert abs(np.median(rows)) <= 0.05 and np.median(np.abs(rows)) <= 0.15


def test_a_rectified_recording_passes_unchanged_and_what_its_rows_are_still_apart_is_taken_out(data):
    eye = Pinhole.from_opencv([[721.5377, 0, 609.5593], [0, 721.5377, 172.854], [0, 0, 1]], (1242, 375))
    rig = StereoRig(eye, eye, np.eye(3), np.eye(3), 0.537, "separate")
    rectifier = Rectifier(rig, fov_deg=None, size=None)
    some = pairs(data / "kitti_raw_0001_stereo", "image_00", "image_01", 8)
    for pair in some:
        np.testing.assert_array_equal(rectifier(pair), pair)
        a, b = match_pair(*pair)
        rows = (a - b)[:, 1]
        assert np.median(np.abs(rows)) <= 0.47
    refined = refine_rig(rig, some)
    assert refined.applied and abs(refined.turn_deg[1]) < 1e-6  # depth is left alone
    corrected = Rectifier(refined.rig, fov_deg=None, size=None)
    for pair in pairs(data / "kitti_raw_0001_stereo", "image_00", "image_01", 3):
        a, b = match_pair(*corrected(pair))
        rows = (a - b)[:, 1]
        assert abs(np.median(rows)) <= 0.2 and np.median(np.abs(rows)) <= 0.38  # 0.20 to 0.32 and 0.38 to 0.47 as recorded


def test_a_raw_fisheye_pair_is_calibrated_from_its_pictures(data):
    pair = picture(data / "vr180_fisheye_pair" / "001L.JPG"), picture(data / "vr180_fisheye_pair" / "001R.JPG")
    calibration = calibrate_fisheye_pair(*pair)
    assert calibration.inliers > 1000
    assert calibration.residual_median_px < 1.5  # of a picture 4000 px wide
    check = vertical_disparity(*Rectifier(calibration.rig, fov_deg=60, size=512)(pair))
    assert abs(check.vertical_median_px) < 0.3 and check.vertical_mad_px < 0.4
    assert check.horizontal_p5_px > -1.5
