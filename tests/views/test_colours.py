"""Speed, ticks and legends."""

import numpy as np
import pytest

from toolkit.views.colours import TURBO, round_up, speed, speed_ticks, typical_top_speed
from toolkit.views.legend import Bar, Dot, Text, round_ticks, strip


def test_speed_of_even_motion_is_exact_also_at_the_ends_and_across_a_gap():
    xyz = np.zeros((1, 20, 3), np.float32)
    xyz[0, :, 0] = 0.1 * np.arange(20)
    xyz[0, 8:11] = np.nan
    pace = speed(xyz, fps=30)
    np.testing.assert_allclose(pace[0, [0, 5, 19]], 3.0, rtol=1e-5)
    assert np.nanmax(np.abs(pace - 3.0)) < 1e-4


def test_noise_of_a_resting_point_mostly_cancels():
    rng = np.random.default_rng(0)
    xyz = (0.01 * rng.normal(size=(200, 60, 3))).astype(np.float32)
    step_speed = np.linalg.norm(np.diff(xyz, axis=1), axis=-1).mean() * 30
    assert np.nanmean(speed(xyz, fps=30)) < 0.25 * step_speed


def test_speed_of_a_single_frame_or_single_sample_is_unknown():
    assert np.isnan(speed(np.zeros((2, 1, 3), np.float32), 30)).all()
    xyz = np.full((1, 5, 3), np.nan, np.float32)
    xyz[0, 2] = 1
    assert np.isnan(speed(xyz, 30)).all()


@pytest.mark.parametrize(("value", "rounded"), [(0.9, 1), (1.0, 1), (1.1, 1.6), (17, 20), (0.031, 0.04), (np.nan, 1), (0, 1)])
def test_round_up(value, rounded):
    assert round_up(value) == pytest.approx(rounded)


def test_the_last_speed_tick_carries_the_unit():
    assert speed_ticks(2.0, "m/s") == [(0, "0"), (0.5, "1"), (1, "2 m/s")]


def test_round_ticks_are_round_few_and_inside():
    for low, high in ((0.3, 20.0), (1.9, 2.4), (100, 4000), (0.81, 0.99), (2.11, 2.12), (1234, 1239)):
        ticks = round_ticks(low, high)
        assert 2 <= len(ticks) <= 7 and all(low <= t <= high for t in ticks) and ticks == sorted(ticks)


@pytest.mark.parametrize("width", [16, 96, 400, 512, 1920])
@pytest.mark.parametrize("height", [63, 64])
def test_a_strip_fits_its_video_and_makes_the_height_even(width, height):
    lut = np.tile(np.arange(256, dtype=np.uint8)[:, None], (1, 3))
    image = strip((width, height), [Text("depth"), Bar(lut, [(0, "1"), (1, "20 m")]), Dot((255, 0, 0)), Text("hidden")])
    assert image.shape[1:] == (width, 3) and (image.shape[0] + height) % 2 == 0
    assert image.max() > 100


def test_the_top_speed_is_that_of_samples_whose_speed_is_sure():
    pace = np.concatenate([np.full(100, 1.0), np.full(100, 30.0)])
    spread = np.concatenate([np.full(100, 0.1), np.full(100, 40.0)])
    assert typical_top_speed(pace) == 30 and typical_top_speed(pace, spread) == 1
    assert typical_top_speed(pace, np.full(200, 99.0)) == 30
    assert typical_top_speed(pace, np.full(200, np.inf)) == 30  # nothing is sure: better than no scale


def test_the_label_with_the_unit_is_never_left_out():
    ticks = [(0, "0"), (0.9, "1111111"), (1, "2 m/s")]
    with_both = strip((400, 300), [Bar(TURBO, ticks)])
    np.testing.assert_array_equal(with_both, strip((400, 300), [Bar(TURBO, [ticks[0], ticks[2]])]))
