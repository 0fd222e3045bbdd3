"""A fisheye pair without calibration is calibrated from its own pictures."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.geometry.image_circle import detect_image_circle
from toolkit.geometry.projections import Fisheye
from toolkit.stereo.calibration import FisheyePrior, calibrate_fisheye_pair, epipolar_angle, parallax_angle
from toolkit.stereo.pair_check import vertical_disparity
from toolkit.stereo.rectify import Rectifier

SIZE = (520, 540)
TURN = Rotation.from_rotvec(np.deg2rad([0.6, -0.4, 1.1]))
BASELINE = 0.12


def lens(x, y):
    return Fisheye(np.array([[152, 0, x], [0, 152, y], [0, 0, 1.0]]), (0.01, -0.004, 0, 0), SIZE, 94)


@pytest.fixture(scope="module")
def pair(paint_room):
    left = paint_room(lens(262, 268), np.eye(3), np.zeros(3))
    right = paint_room(lens(257, 272), TURN.as_matrix(), np.array([BASELINE, 0, 0]))
    return left, right


@pytest.fixture(scope="module")
def calibration(pair):
    return calibrate_fisheye_pair(*pair, baseline_m=BASELINE)


def test_the_image_circle_is_found(pair):
    left, right = (detect_image_circle(image) for image in pair)
    assert np.hypot(left.centre[0] - 262, left.centre[1] - 268) < 2
    assert np.hypot(right.centre[0] - 257, right.centre[1] - 272) < 2
    theta = np.deg2rad(94)
    assert left.radius_px == pytest.approx(152 * theta * (1 + 0.01 * theta**2 - 0.004 * theta**4), abs=3)


def test_a_circle_cut_off_by_the_sides_is_found(pair):
    left, _ = pair
    whole, cut = detect_image_circle(left), detect_image_circle(np.ascontiguousarray(left[:, 60:460]))
    assert np.hypot(cut.centre[0] + 60 - whole.centre[0], cut.centre[1] - whole.centre[1]) < 2
    assert cut.radius_px == pytest.approx(whole.radius_px, abs=2)


def test_rows_agree_after_self_calibration(pair, calibration):
    for direction in ({}, {"yaw_deg": 25}, {"pitch_deg": 25}):
        check = vertical_disparity(*Rectifier(calibration.rig, fov_deg=60, size=256, **direction)(pair))
        assert abs(check.vertical_median_px) < 0.3 and check.vertical_mad_px < 0.3


def test_the_turn_and_the_lens_are_found_within_what_pictures_tell(calibration):
    rig = calibration.rig
    found = Rotation.from_matrix(rig.R_left @ rig.R_right.T)  # right camera to left camera
    pitch, yaw, roll = np.rad2deg((found * TURN.inv()).as_rotvec())
    assert abs(pitch) < 0.5 and abs(yaw) < 1.0 and abs(roll) < 0.5
    assert abs(calibration.half_angle_deg - 94) < 5
    assert rig.baseline_m == BASELINE


def test_the_residual_and_what_it_stands_on_are_told(calibration):
    assert 0 < calibration.residual_median_px < 0.6
    assert calibration.inliers > 0.8 * calibration.matches > 50
    assert 0 < calibration.half_angle_sigma_deg <= FisheyePrior().half_angle_sigma_deg
    assert "rows agree to" in str(calibration) and "degrees" in str(calibration)


def test_the_same_pictures_give_the_same_rig(pair, calibration):
    again = calibrate_fisheye_pair(*pair, baseline_m=BASELINE)
    np.testing.assert_array_equal(again.rig.R_right, calibration.rig.R_right)


def test_rays_to_one_point_lie_in_one_plane_and_meet_in_front():
    rng = np.random.default_rng(0)
    points, t = rng.uniform([-3, -3, 1], [3, 3, 6], (50, 3)), np.array([1.0, 0, 0])
    left = points / np.linalg.norm(points, axis=1, keepdims=True)
    right = (points - 0.1 * t) / np.linalg.norm(points - 0.1 * t, axis=1, keepdims=True)
    np.testing.assert_allclose(epipolar_angle(left, right, t), 0, atol=1e-12)
    assert np.all(parallax_angle(left, right, t) > 0)
    assert np.all(parallax_angle(right, left, t) < 0)
    turned = Rotation.from_rotvec([1e-4, 0, 0]).apply(right)
    assert np.median(np.abs(epipolar_angle(left, turned, t))) == pytest.approx(1e-4, rel=0.3)


def test_pictures_without_a_circle_or_without_matches_are_refused(pair):
    with pytest.raises(UserError, match="No image circle"):
        detect_image_circle(np.full((100, 120, 3), 90, np.uint8))
    y, x = np.mgrid[:540, :520]
    disc = np.where(np.hypot(x - 260, y - 270) < 230, 120, 0).astype(np.uint8)[..., None].repeat(3, 2)
    with pytest.raises(UserError, match="features match"):
        calibrate_fisheye_pair(disc, disc)


def test_layout_and_order_of_the_eyes_are_kept_in_the_rig(pair):
    rig = calibrate_fisheye_pair(*pair, layout="side-by-side", swapped=True).rig
    assert rig.layout == "side-by-side" and rig.swapped
    frame = np.concatenate([pair[1], pair[0]], 1)
    np.testing.assert_array_equal(rig.split(frame)[0], pair[0])
