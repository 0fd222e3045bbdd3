"""Calibration files."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.geometry.projections import Fisheye, Pinhole
from toolkit.media.calibration import find_calibration, read_euroc, read_kitti, read_middlebury, read_opencv

SIZE = (640, 480)
K_LEFT = np.array([[500.0, 0, 320], [0, 501, 241], [0, 0, 1]])
K_RIGHT = np.array([[510.0, 0, 318], [0, 511, 239], [0, 0, 1]])
R_RIGHT = Rotation.from_euler("xyz", [0.5, -1.0, 0.7], degrees=True).as_matrix()
CENTRE = np.array([0.12, 0.003, -0.002])  # of the right camera, in the left one's frame


def world_point_lands_on_one_row(rig):
    """Rectified rays of a point far off-centre, from both eyes: the same but for x, which tells the depth."""
    point = np.array([0.3, -0.2, 2.5])
    left = rig.R_left.T @ point
    right = rig.R_right.T @ (R_RIGHT.T @ (point - CENTRE))
    np.testing.assert_allclose(left - right, [rig.baseline_m, 0, 0], atol=1e-9)
    assert rig.baseline_m == pytest.approx(np.linalg.norm(CENTRE))


def euroc_yaml(pose, K, model="radial-tangential", distortion=(-0.2, 0.05, 1e-4, 2e-4)):
    data = ", ".join(repr(float(v)) for v in pose.ravel())
    return f"""%YAML:1.0
sensor_type: camera
T_BS:
  cols: 4
  rows: 4
  data: [{data}]
resolution: [640, 480]
intrinsics: [{K[0, 0]}, {K[1, 1]}, {K[0, 2]}, {K[1, 2]}] #fu, fv, cu, cv
distortion_model: {model}
distortion_coefficients: {list(distortion)}
"""


def body_poses():
    body = np.eye(4)
    body[:3, :3], body[:3, 3] = Rotation.from_euler("xyz", [80, 10, -5], degrees=True).as_matrix(), [1, 2, 3]
    relative = np.eye(4)
    relative[:3, :3], relative[:3, 3] = R_RIGHT, CENTRE
    return body, body @ relative


def test_euroc_sensor_files_give_the_rig(tmp_path):
    left, right = body_poses()
    for name, pose, K in (("cam0", left, K_LEFT), ("cam1", right, K_RIGHT)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sensor.yaml").write_text(euroc_yaml(pose, K))
    found = find_calibration(tmp_path, tmp_path / "cam0", tmp_path / "cam1", SIZE)
    world_point_lands_on_one_row(found.rig)
    assert isinstance(found.rig.left, Pinhole) and found.rig.left.distortion == (-0.2, 0.05, 1e-4, 2e-4)
    np.testing.assert_allclose(found.rig.left.K[:2, 2], [320.5, 241.5])  # OpenCV's pixel centres are whole numbers


def test_the_equidistant_model_of_euroc_files_is_a_fisheye(tmp_path):
    left, right = body_poses()
    paths = [tmp_path / "0.yaml", tmp_path / "1.yaml"]
    for path, pose in zip(paths, (left, right), strict=True):
        path.write_text(euroc_yaml(pose, K_LEFT, "equidistant"))
    assert isinstance(read_euroc(*paths).rig.left, Fisheye)
    paths[0].write_text(euroc_yaml(left, K_LEFT, "omni"))
    with pytest.raises(UserError, match="'omni'"):
        read_euroc(*paths)
    paths[0].write_text("intrinsics: [1, 2]")
    with pytest.raises(UserError, match="EuRoC's form"):
        read_euroc(*paths)


@pytest.mark.parametrize(("width", "height", "fits"), [(640, 480, True), (320, 240, True), (321, 240, True), (640, 360, False)])
def test_euroc_files_serve_reduced_pictures_and_none_of_another_shape(tmp_path, width, height, fits):
    for name, pose in zip(("cam0", "cam1"), body_poses(), strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sensor.yaml").write_text(euroc_yaml(pose, K_LEFT))
    if fits:
        assert find_calibration(tmp_path, tmp_path / "cam0", tmp_path / "cam1", (width, height)).rig.left.size == SIZE
        return
    with pytest.raises(UserError, match="for pictures of 640 x 480 px, but these are 640 x 360"):
        find_calibration(tmp_path, tmp_path / "cam0", tmp_path / "cam1", (width, height))


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_none_are_told_without_a_warning_of_numpy(tmp_path):
    paths = [tmp_path / "0.yaml", tmp_path / "1.yaml"]
    for path in paths:
        path.write_text(euroc_yaml(np.full((4, 4), np.inf), K_LEFT).replace("inf", ".inf"))
    with pytest.raises(UserError, match="finite"):
        read_euroc(*paths)
    (tmp_path / "calib_cam_to_cam.txt").write_text(kitti_text().replace("S_rect_00: 6", "S_rect_00: nan 6"))
    with pytest.raises(UserError, match="no S_rect_00 with 2 finite numbers"):
        read_kitti(tmp_path / "calib_cam_to_cam.txt", 0, 1, SIZE)


def kitti_text():
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R_RIGHT, CENTRE
    inverse = np.linalg.inv(T)

    def line(name, values):
        return f"{name}: " + " ".join(f"{v:.12e}" for v in np.ravel(values))

    P_right = np.array([[450.0, 0, 310, -450 * 0.12], [0, 450, 200, 0], [0, 0, 1, 0]])
    rows = ["calib_time: 09-Jan-2012 13:57:47", "corner_dist: 9.950000e-02"]
    for camera, K, R, t, P in (
        (0, K_LEFT, np.eye(3), np.zeros(3), P_right * [1, 1, 1, 0]),
        (1, K_RIGHT, inverse[:3, :3], inverse[:3, 3], P_right),
    ):
        rows += [line(f"S_{camera:02d}", SIZE), line(f"K_{camera:02d}", K), line(f"D_{camera:02d}", [-0.3, 0.1, 0, 0, 0])]
        rows += [
            line(f"R_{camera:02d}", R),
            line(f"T_{camera:02d}", t),
            line(f"S_rect_{camera:02d}", (600, 400)),
            line(f"P_rect_{camera:02d}", P),
        ]
    return "\n".join(rows)


def test_kitti_pictures_of_the_rectified_size_are_rectified_and_raw_ones_get_a_rig(tmp_path):
    path = tmp_path / "calib_cam_to_cam.txt"
    path.write_text(kitti_text())
    rectified = read_kitti(path, 0, 1, (600, 400))
    assert rectified.rig is None and rectified.baseline_m == pytest.approx(0.12) and rectified.doffs_px == 0
    np.testing.assert_allclose(rectified.K, [[450, 0, 310.5], [0, 450, 200.5], [0, 0, 1]])
    world_point_lands_on_one_row(read_kitti(path, 0, 1, SIZE).rig)
    with pytest.raises(UserError, match=r"640 x 480 px, but these are 99 x 99"):
        read_kitti(path, 0, 1, (99, 99))
    with pytest.raises(UserError, match="S_rect_07"):
        read_kitti(path, 7, 1, SIZE)
    with pytest.raises(UserError, match="swapped"):
        read_kitti(path, 1, 0, (600, 400))


def test_middlebury_files_give_intrinsics_offset_and_a_baseline_in_metres(tmp_path):
    (tmp_path / "calib.txt").write_text("cam0=[994.978 0 311.193; 0 994.978 254.877; 0 0 1]\ncam1=[1]\ndoffs=31.086\nbaseline=193.001\n")
    found = find_calibration(tmp_path, tmp_path / "im0.png", tmp_path / "im1.png", SIZE)
    assert (found.baseline_m, found.doffs_px, found.K[0, 2]) == (pytest.approx(0.193001), 31.086, 311.693)
    (tmp_path / "calib.txt").write_text("cam0=[1 2]")
    with pytest.raises(UserError, match="Middlebury"):
        read_middlebury(tmp_path / "calib.txt")


def test_a_middlebury_file_of_the_full_size_does_not_serve_a_quarter(tmp_path):
    text = "cam0=[994.978 0 311.193; 0 994.978 254.877; 0 0 1]\ndoffs=31.086\nbaseline=193.001\nwidth={}\nheight={}\n"
    (tmp_path / "calib.txt").write_text(text.format(*SIZE))
    assert find_calibration(tmp_path, tmp_path / "im0.png", tmp_path / "im1.png", SIZE).baseline_m == pytest.approx(0.193001)
    (tmp_path / "calib.txt").write_text(text.format(4 * SIZE[0], 4 * SIZE[1]))
    with pytest.raises(UserError, match="calib.txt is for pictures of 2560 x 1920 px, but these are 640 x 480"):
        find_calibration(tmp_path, tmp_path / "im0.png", tmp_path / "im1.png", SIZE)


@pytest.mark.parametrize("suffix", ["yml", "xml"])
@pytest.mark.parametrize(
    ("names", "scale"), [(("M1", "D1", "M2", "D2"), 1), (("cameraMatrix1", "distCoeffs1", "cameraMatrix2", "distCoeffs2"), 1000)]
)
def test_results_of_opencv_calibration_are_read_in_metres_and_millimetres(tmp_path, suffix, names, scale):
    inverse = np.linalg.inv(np.block([[R_RIGHT, CENTRE[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]))
    path = tmp_path / f"stereo.{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in zip(
        (*names, "R", "T"), (K_LEFT, np.zeros((1, 5)), K_RIGHT, np.zeros((1, 5)), inverse[:3, :3], inverse[:3, 3:] * scale), strict=True
    ):
        storage.write(name, value)
    storage.release()
    found = find_calibration(tmp_path, tmp_path / "left", tmp_path / "right", SIZE)
    world_point_lands_on_one_row(found.rig)


def test_other_yaml_files_beside_a_pair_are_no_calibration(tmp_path):
    (tmp_path / "notes.yaml").write_text("camera: nice\n")
    (tmp_path / "broken.xml").write_text("<a><b>")
    assert find_calibration(tmp_path, tmp_path / "left", tmp_path / "right", SIZE) is None
    assert read_opencv(tmp_path / "notes.yaml", SIZE) is None


@pytest.mark.data
def test_published_rigs_have_their_published_baselines(data):
    euroc = data / "euroc_v101_micro"
    assert read_euroc(euroc / "cam0" / "sensor.yaml", euroc / "cam1" / "sensor.yaml").baseline_m == pytest.approx(0.1101, abs=1e-4)
    kitti = read_kitti(data / "kitti_raw_0001_stereo" / "calib_cam_to_cam.txt", 0, 1, (1242, 375))
    assert kitti.baseline_m == pytest.approx(0.537, abs=1e-3) and kitti.K[0, 0] == pytest.approx(721.5377)


def test_kitti_calibration_beside_folders_without_numbers_is_that_of_its_two_cameras_or_asks_which(tmp_path):
    path, eyes = tmp_path / "calib_cam_to_cam.txt", (tmp_path / "left", tmp_path / "right")
    path.write_text(kitti_text())
    found = find_calibration(tmp_path, *eyes, (600, 400))
    assert found is not None and found.baseline_m == pytest.approx(0.12)
    path.write_text(kitti_text() + "\nS_02: 640 480\n")
    with pytest.raises(UserError, match=r"3 cameras, and 'left' and 'right' do not tell"):
        find_calibration(tmp_path, *eyes, (600, 400))
