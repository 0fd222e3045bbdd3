"""A calibration that has drifted is corrected, a good one is left alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.geometry.projections import Equirect
from toolkit.geometry.rig import StereoRig
from toolkit.stereo.pair_check import vertical_disparity
from toolkit.stereo.rectify import Rectifier
from toolkit.stereo.refine import RefineSettings, _surely_pitched, refine_rig

EYE = Equirect((420, 420), (-60, 60, -60, 60), "edges")
RIG = StereoRig(EYE, EYE, np.eye(3), np.eye(3), 0.12, "separate")
SETTINGS = RefineSettings(size_px=360)


@pytest.fixture(scope="module")
def pair(paint_room):
    return paint_room(EYE, np.eye(3), np.zeros(3)), paint_room(EYE, np.eye(3), np.array([0.12, 0, 0]))


def turned(x, y, z):
    return replace(RIG, R_right=Rotation.from_rotvec(np.deg2rad([x, y, z])).as_matrix())


def test_a_good_rig_is_left_alone(pair):
    result = refine_rig(RIG, [pair], settings=SETTINGS)
    assert not result.applied and result.rig is RIG


def test_a_turned_eye_is_turned_back(pair):
    result = refine_rig(turned(0.7, 0.1, -0.9), [pair], settings=SETTINGS)
    assert result.applied
    np.testing.assert_allclose([result.turn_deg[0], result.turn_deg[2]], [-0.7, 0.9], atol=0.15)
    check = vertical_disparity(*Rectifier(result.rig, fov_deg=60, size=256)(pair))
    assert abs(check.vertical_median_px) < 0.2 and check.vertical_mad_px < 0.25
    assert "kept" in str(result)


def test_a_tenth_of_a_pixel_that_all_frames_show_is_taken_out(paint_room):
    """Rows are then 0.12 px apart, less than each match is unsure by."""
    walk = [np.array([0.2 * step, 0.05 * step, 0.3 * step]) for step in range(3)]
    frames = [(paint_room(EYE, np.eye(3), at), paint_room(EYE, np.eye(3), at + [0.12, 0, 0])) for at in walk]
    result = refine_rig(turned(0.03, 0, 0), frames, settings=replace(SETTINGS, least_gain=0.9))  # the turn about x is to stay alone
    assert result.applied
    np.testing.assert_allclose(result.turn_deg, [-0.03, 0, 0], atol=0.01)
    assert abs(result.after.vertical_median_px) < 0.02 < abs(result.before.vertical_median_px)


@pytest.mark.parametrize(("shifts", "count", "surely"), [((1, 1, 1), 200, True), ((1, 1, -1), 200, False), ((1, 1, 1), 4, False)])
def test_rows_are_moved_only_where_every_frame_gains_and_matches_are_many(shifts, count, surely):
    """A shift of 0.1 px under errors of 0.3 px."""
    rng = np.random.default_rng(0)
    left = np.column_stack([rng.uniform(-0.5, 0.5, (3 * count, 2)), np.ones(3 * count)])
    shift = np.repeat(shifts, count) * 0.1 + rng.normal(0, 0.3, 3 * count)
    right = left + np.column_stack([np.zeros_like(shift), shift / 400, np.zeros_like(shift)])
    assert _surely_pitched(left, right, np.repeat(np.arange(3), count), 3.0) == surely


def test_an_eye_that_squints_past_infinity_is_turned_until_nothing_lies_beyond(pair):
    squint = turned(0, -2.5, 0)  # what is 6 m away now seems to lie beyond infinity
    before = vertical_disparity(*Rectifier(squint, fov_deg=60, size=256)(pair))
    result = refine_rig(squint, [pair], settings=SETTINGS)
    after = vertical_disparity(*Rectifier(result.rig, fov_deg=60, size=256)(pair))
    assert before.horizontal_p5_px < -3
    assert result.applied and after.horizontal_p5_px > -1.5


def test_frames_without_texture_change_nothing():
    plain = np.full((420, 420, 3), 90, np.uint8)
    result = refine_rig(RIG, [(plain, plain)], settings=SETTINGS)
    assert not result.applied and result.rig is RIG
    assert not refine_rig(RIG, [], settings=SETTINGS).applied
