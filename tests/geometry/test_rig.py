"""Stereo rigs: halves of a frame, and rectifying rotations from extrinsics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.geometry.poses import from_rotation, invert, transform
from toolkit.geometry.projections import Equirect, Pinhole
from toolkit.geometry.rig import StereoRig, default_vr180_rig, eye_size, rig_from_extrinsics

EYE = Pinhole(np.array([[50, 0, 32], [0, 50, 24], [0, 0, 1.0]]), (64, 48))


@given(arrays(np.float64, 3, elements=st.floats(-0.2, 0.2)), arrays(np.float64, 3, elements=st.floats(-0.03, 0.03)), st.floats(0.05, 2))
def test_rectified_rows_agree_for_points_in_front_of_any_calibrated_pair(turn, off_axis, baseline):
    T_left_from_right = from_rotation(Rotation.from_rotvec(turn).as_matrix(), np.array([baseline, *off_axis[:2]]))
    rig = rig_from_extrinsics(EYE, EYE, T_left_from_right)
    points = np.random.default_rng(0).uniform([-2, -2, 2], [2, 2, 9], (50, 3))
    left = points @ rig.R_left  # rectified = R^T raw
    right = transform(invert(T_left_from_right), points) @ rig.R_right
    np.testing.assert_allclose(left[:, 1], right[:, 1], atol=1e-9)
    np.testing.assert_allclose(left[:, 2], right[:, 2], atol=1e-9)
    np.testing.assert_allclose(left[:, 0] - right[:, 0], rig.baseline_m, atol=1e-9)


def test_a_parallel_pair_needs_no_turn():
    rig = rig_from_extrinsics(EYE, EYE, from_rotation(np.eye(3), np.array([0.1, 0, 0])))
    np.testing.assert_allclose([rig.R_left, rig.R_right], [np.eye(3)] * 2, atol=1e-12)
    assert rig.baseline_m == pytest.approx(0.1)


@pytest.mark.parametrize(("layout", "axis"), [("side-by-side", 1), ("top-bottom", 0)])
def test_a_frame_is_halved_by_its_layout_and_swapped_back(layout, axis):
    frame = np.concatenate([np.full((4, 6, 3), 1, np.uint8), np.full((4, 6, 3), 2, np.uint8)], axis)
    rig = default_vr180_rig((frame.shape[1], frame.shape[0]), layout)
    assert rig.left.size == (6, 4)
    assert [int(eye.mean()) for eye in rig.split(frame)] == [1, 2]
    assert [int(eye.mean()) for eye in rig.with_swapped_eyes().split(frame)] == [2, 1]


def test_halves_are_views_and_an_odd_column_is_left_out():
    frame = np.zeros((4, 9, 3), np.uint8)
    left, right = default_vr180_rig((9, 4), "side-by-side").split(frame)
    assert left.shape == right.shape == (4, 4, 3)
    assert left.base is frame
    assert eye_size((9, 4), "side-by-side") == (4, 4)


def test_separate_eyes_come_as_a_pair():
    rig = StereoRig(EYE, EYE, np.eye(3), np.eye(3), 0.1, "separate")
    a, b = np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)
    assert rig.split((a, b)) == (a, b)
    with pytest.raises(UserError, match="one image came"):
        rig.split(a)
    with pytest.raises(UserError, match="a pair of images came"):
        default_vr180_rig((8, 4), "side-by-side").split((a, b))


def test_the_default_rig_is_two_half_spheres_side_by_side():
    rig = default_vr180_rig((3840, 1920), "side-by-side")
    assert isinstance(rig.left, Equirect) and rig.left.fov_bounds_deg == (-90, 90, -90, 90)
    assert rig.baseline_m == 0.063


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"R_left": np.diag([1, 1, -1.0])}, "rotation"),
        ({"R_right": np.full((3, 3), np.nan)}, "rotation"),
        ({"baseline_m": 0.0}, "baseline"),
        ({"layout": "diagonal"}, "layout"),
    ],
)
def test_impossible_rigs_are_refused_in_a_sentence(change, words):
    good = {"left": EYE, "right": EYE, "R_left": np.eye(3), "R_right": np.eye(3), "baseline_m": 0.1, "layout": "separate"}
    with pytest.raises(UserError, match=words):
        StereoRig(**(good | change))


def test_cameras_at_one_place_or_behind_each_other_are_no_stereo_pair():
    with pytest.raises(UserError, match="same place"):
        rig_from_extrinsics(EYE, EYE, np.eye(4))
    with pytest.raises(UserError, match="side by side"):
        rig_from_extrinsics(EYE, EYE, from_rotation(np.eye(3), np.array([0, 0, 0.5])))
    with pytest.raises(UserError, match="opposite ways"):
        rig_from_extrinsics(EYE, EYE, from_rotation(np.diag([1.0, -1.0, -1.0]), np.array([0.1, 0, 0])))
