"""Textures show no more detail than a pixel can hold."""

import cv2
import numpy as np
import pytest

from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.synthetic import look_pinhole
from toolkit.synthetic.places import room, street
from toolkit.synthetic.textures import _pulse


def test_a_pulse_is_the_mean_of_its_hard_edged_pattern_over_the_pixel():
    period, start, stop = 0.7, 0.1, 0.32
    for x, w in [(0.05, 0.1), (0.4, 0.33), (-1.3, 0.7), (2.2, 3.1)]:
        fine = x + np.linspace(-w / 2, w / 2, 200001)
        inside = (fine % period >= start) & (fine % period <= stop)
        assert _pulse(x, period, start, stop, w) == pytest.approx(inside.mean(), abs=1e-4)


@pytest.mark.parametrize(("place", "T"), [(street, (0.2, -1.6, -1.0)), (room, (0.0, -1.35, -1.6))])
def test_a_small_picture_looks_like_a_large_one_made_smaller(place, T):
    world, T_wc = place(0), np.eye(4)
    T_wc[:3, 3] = T
    small = look_pinhole(world, intrinsics_from_fov(60, (96, 96)), (96, 96), T_wc, 0.5).rgb
    large = look_pinhole(world, intrinsics_from_fov(60, (384, 384)), (384, 384), T_wc, 0.5).rgb
    reduced = cv2.resize(large, (96, 96), interpolation=cv2.INTER_AREA)
    difference = np.abs(small.astype(int) - reduced).max(-1)
    # A picture without filtering is off by 20 and more wherever there is texture.
    assert np.median(difference) <= 5
    assert np.percentile(difference, 90) <= 25
