"""Depths of another source brought to the scale of an adjustment."""

import numpy as np

from toolkit.sfm.depth_scale import log_linear


def test_depths_of_another_scale_are_fitted_by_the_known_ones():
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 5, (4, 30))
    source = 3 * depth
    known = np.arange(30) < 20
    spoilt = depth.copy()
    spoilt[:, :3] *= 4
    np.testing.assert_allclose(log_linear(source, spoilt, np.broadcast_to(known, depth.shape))[:, 20:], depth[:, 20:], rtol=0.05)


def test_a_slope_is_believed_to_be_one_where_it_is_told_so():
    rng = np.random.default_rng(0)
    source = rng.uniform(1, 3, (4, 30))
    target = 2 * source**1.5
    known = np.ones(source.shape, bool)
    far = np.array([[9.0]])
    free = log_linear(
        np.hstack([source, np.repeat(far, 4, 0)]), np.hstack([target, np.ones((4, 1))]), np.hstack([known, known[:, :1] & False])
    )
    held = log_linear(
        np.hstack([source, np.repeat(far, 4, 0)]),
        np.hstack([target, np.ones((4, 1))]),
        np.hstack([known, known[:, :1] & False]),
        slope_sigma=0.01,
    )
    np.testing.assert_allclose(free[0, -1], 2 * 9**1.5, rtol=0.15)
    np.testing.assert_allclose(held[0, -1], 9 * np.median(target / source), rtol=0.15)


def test_too_few_known_depths_tell_no_scale():
    depth = np.ones((2, 4))
    assert np.isnan(log_linear(depth, depth, np.arange(8).reshape(2, 4) < 5)).all()
