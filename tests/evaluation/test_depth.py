"""Scores of depth and disparity."""

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.evaluation import depth, disparity, seen_by_both
from toolkit.scene import DepthVideo, Disparity


@pytest.fixture(scope="module")
def gt():
    return np.random.default_rng(0).uniform(1, 10, (2, 6, 8))


def test_perfect_depth_has_no_error(gt):
    scores = depth(gt, gt)
    assert scores["AbsRel"] == scores["RMSE"] == scores["RMSE_log"] == 0
    assert scores["delta_1"] == scores["delta_3"] == scores["coverage"] == 1


def test_depth_scores_by_hand():
    scores = depth([[2.0, 1.3, 4.0, np.nan, 5.0]], [[1.0, 1.0, 4.0, 3.0, np.nan]])
    assert scores["AbsRel"] == pytest.approx((1 + 0.3 + 0) / 3)
    assert scores["RMSE"] == pytest.approx(np.sqrt((1 + 0.09) / 3))
    assert scores["delta_1"] == pytest.approx(1 / 3)  # 1.3 > 1.25
    assert scores["delta_2"] == pytest.approx(2 / 3)
    assert scores["delta_3"] == pytest.approx(2 / 3)
    assert scores["coverage"] == pytest.approx(3 / 4)
    assert scores["pixels"] == 3


@given(st.floats(0.1, 10), st.sampled_from(["median_scale", "scale", "scale_shift"]))
def test_alignment_undoes_a_scale(scale, align):
    g = np.random.default_rng(0).uniform(1, 10, (6, 8))
    scores = depth(scale * g, g, align=align)
    assert scores["AbsRel"] < 1e-6


def test_scale_and_shift_of_inverse_depth_are_undone(gt):
    relative = 1 / (0.3 / gt + 0.05)
    assert depth(relative, gt, align="scale_shift")["AbsRel"] < 1e-6
    assert depth(relative, gt, align="median_scale")["AbsRel"] > 0.05


def test_nouns_and_arrays_score_alike(gt):
    noun = DepthVideo(gt.astype(np.float32), np.ones(gt.shape, np.float32))
    assert depth(noun, 1.1 * gt) == pytest.approx(depth(gt.astype(np.float32), 1.1 * gt))
    px = Disparity(gt.astype(np.float32), np.ones(gt.shape, np.float32))
    assert disparity(px, gt + 3) == pytest.approx(disparity(gt.astype(np.float32), gt + 3))


def test_a_missing_disparity_is_a_bad_one():
    scores = disparity([[10.0, 11.5, 13.0, np.nan, 20.0]], [[10.0, 10.0, 10.0, 10.0, np.inf]])
    assert (scores["bad_1"], scores["bad_2"], scores["bad_4"]) == (0.75, 0.5, 0.25)
    assert scores["avg"] == pytest.approx(1.5)
    assert scores["coverage"] == 0.75 and scores["pixels"] == 4


def test_figures_over_pixels_that_both_eyes_see_come_along():
    scores = disparity([[1.0, 9.0]], [[1.0, 1.0]], nonocc=[[True, False]])
    assert scores["bad_2"] == 0.5 and scores["nonocc_bad_2"] == 0


def test_what_a_near_strip_covers_in_the_right_eye_is_not_seen_by_both():
    gt = np.full((3, 40), 5.0)
    gt[:, 20:30] = 12.0
    seen = seen_by_both(gt)
    wanted = np.ones(40, bool)
    wanted[:5] = False  # left of the right picture
    wanted[13:20] = False  # behind the strip: its 20..29 land on 8..17, as the wall's 13..22 do
    np.testing.assert_array_equal(seen, np.broadcast_to(wanted, gt.shape))


def test_slanted_surfaces_and_unknown_pixels_are_told_apart():
    gt = 5 + 0.3 * np.arange(40, dtype=float)[None].repeat(2, 0)
    gt[0, 10] = np.nan
    seen = seen_by_both(gt)
    assert not seen[0, 10] and seen[1, 10:].all()


@pytest.mark.parametrize("score", [depth, disparity])
def test_different_shapes_are_told(score):
    with pytest.raises(UserError, match=r"has shape \(2, 3\), but the ground truth has \(3, 2\)"):
        score(np.ones((2, 3)), np.ones((3, 2)))


def test_unknown_alignment_is_told():
    with pytest.raises(UserError, match='The alignment is "median", but median_scale'):
        depth(np.ones((2, 2)), np.ones((2, 2)), align="median")  # pyright: ignore[reportArgumentType]


def test_nothing_known_gives_nan_not_an_error():
    scores = depth(np.full((2, 2), np.nan), np.ones((2, 2)))
    assert np.isnan(scores["AbsRel"]) and scores["coverage"] == 0


@pytest.mark.data
def test_block_matching_scores_as_others_measured_it(data):
    """OpenCV's three-path matcher on Motorcycle: 7.30 / 5.67 / 4.74 % over what both eyes see, 12.35 % over all."""
    import cv2

    folder = data / "stereo_middlebury" / "motorcycle"
    pair = [np.asarray(cv2.imread(str(folder / f"{eye}.png")), np.uint8) for eye in ("left", "right")]
    left, right = (cv2.copyMakeBorder(im, 0, 0, 64, 0, cv2.BORDER_REPLICATE) for im in pair)
    matcher = cv2.StereoSGBM.create(0, 64, 5, 8 * 75, 32 * 75, 1, 63, 10, 100, 2, cv2.STEREO_SGBM_MODE_SGBM_3WAY)
    px = matcher.compute(left, right)[:, 64:] / 16
    with np.load(folder / "disp_left.npz") as file:
        gt = file["arr_0"]
    scores = importlib.import_module("toolkit.evaluation.depth").disparity(np.where(px > 0, px, np.nan), gt, nonocc=seen_by_both(gt))
    figures = [100 * scores[name] for name in ("nonocc_bad_1", "nonocc_bad_2", "nonocc_bad_4", "bad_2")]
    np.testing.assert_allclose(figures, [7.30, 5.67, 4.74, 12.35], atol=0.01)
