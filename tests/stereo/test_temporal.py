"""Disparity made steady along optical flow."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.scene import Disparity
from toolkit.stereo.temporal import smooth_over_time

H, W, T = 40, 60, 9


@pytest.fixture(scope="module")
def moving():
    """A square of 20 px disparity that moves 2 px a frame before a wall at 8 px; flows are exact."""
    y, x = np.mgrid[:H, :W]
    truth = np.full((T, H, W), 8.0, np.float32)
    later = np.zeros((T - 1, H, W, 2), np.float32)
    earlier = np.zeros_like(later)
    for t in range(T):
        square = (abs(y - 20) < 8) & (abs(x - 15 - 2 * t) < 8)
        truth[t][square] = 20.0
        if t < T - 1:
            later[t][square] = (2, 0)
        if t > 0:
            earlier[t - 1][square] = (-2, 0)
    return truth, later, earlier


def test_noise_shrinks_and_moving_edges_stay(moving):
    truth, later, earlier = moving
    rng = np.random.default_rng(0)
    noisy = (truth + rng.normal(0, 0.3, truth.shape)).astype(np.float32)
    smooth = smooth_over_time(Disparity(noisy, np.full_like(noisy, 0.9)), later, earlier)
    before, after = np.abs(noisy - truth), np.abs(smooth.px - truth)
    assert np.median(after) < 0.6 * np.median(before)
    assert (after > 2).mean() < 0.002


def test_a_wrong_value_of_one_frame_is_outvoted_if_it_is_doubtful(moving):
    truth, later, earlier = moving
    px, confidence = truth.copy(), np.full(truth.shape, 0.95, np.float32)
    px[4, 5:9, 40:50], confidence[4, 5:9, 40:50] = 30.0, 0.4
    smooth = smooth_over_time(Disparity(px, confidence), later, earlier)
    np.testing.assert_allclose(smooth.px[4, 5:9, 40:50], 8.0, atol=1e-3)


def test_unknown_pixels_are_filled_from_other_frames_and_stay_unknown_where_none_knows(moving):
    truth, later, earlier = moving
    px, confidence = truth.copy(), np.full(truth.shape, 0.9, np.float32)
    px[3, 2:6, 2:6], confidence[3, 2:6, 2:6] = np.nan, 0
    px[:, 30:34, 2:6], confidence[:, 30:34, 2:6] = np.nan, 0
    smooth = smooth_over_time(Disparity(px, confidence), later, earlier)
    np.testing.assert_allclose(smooth.px[3, 2:6, 2:6], 8.0, atol=1e-3)
    assert np.isnan(smooth.px[:, 30:34, 2:6]).all()
    assert (smooth.confidence[:, 30:34, 2:6] == 0).all()


@pytest.mark.parametrize(("change", "lag"), [(0.1, 0.05), (0.5, 0.2), (1.5, 1e-3)])
def test_steady_change_makes_hardly_a_lag(change, lag):
    truth = np.broadcast_to(5 + change * np.arange(T, dtype=np.float32)[:, None, None], (T, H, W))
    still = np.zeros((T - 1, H, W, 2), np.float32)
    smooth = smooth_over_time(Disparity(truth, np.ones_like(truth)), still, still)
    np.testing.assert_allclose(smooth.px[3:-3], truth[3:-3], atol=lag)


def test_flow_that_does_not_return_is_not_followed():
    px = np.stack([np.full((H, W), 5.0), np.full((H, W), 6.0)]).astype(np.float32)
    there = np.full((1, H, W, 2), 3.0, np.float32)
    smooth = smooth_over_time(Disparity(px, np.ones_like(px)), there, there)
    np.testing.assert_array_equal(smooth.px, px)


def test_a_single_frame_is_itself():
    px = np.random.default_rng(0).uniform(1, 9, (1, H, W)).astype(np.float32)
    np.testing.assert_allclose(smooth_over_time(Disparity(px, np.ones_like(px)), [], []).px, px)


def test_wrong_number_of_flows_is_told():
    px = np.ones((3, H, W), np.float32)
    with pytest.raises(UserError, match="3 frames of disparity need 2 flow fields each way, but 1 and 2 were given"):
        smooth_over_time(Disparity(px, px), np.zeros((1, H, W, 2)), np.zeros((2, H, W, 2)))
