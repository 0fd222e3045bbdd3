"""What matched features say about a pair."""

import cv2
import numpy as np
import pytest

from toolkit.geometry.sampling import pixel_centres, remap
from toolkit.stereo.pair_check import match_pair, summarise, unlike, vertical_disparity


@pytest.fixture(scope="module")
def texture():
    noise = np.random.default_rng(0).integers(0, 255, (160, 240, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5).astype(float)
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def shifted(image, dx, dy):
    return remap(image, pixel_centres((image.shape[1], image.shape[0])) + [dx, dy], interpolation="bicubic")


def test_a_known_shift_is_measured(texture):
    check = vertical_disparity(texture, shifted(texture, 6.0, 0.75))  # right image: x_right = x_left - 6, y_right = y_left - 0.75
    assert check.vertical_median_px == pytest.approx(0.75, abs=0.05)
    assert check.vertical_mad_px < 0.1
    assert check.horizontal_p5_px == pytest.approx(6, abs=0.2) and check.horizontal_p95_px == pytest.approx(6, abs=0.2)
    assert not check.swapped


def test_exchanged_eyes_are_noticed():
    rng = np.random.default_rng(0)
    left = rng.uniform(0, 500, (400, 2))
    shift = 1 / rng.uniform(0.05, 1, 400)  # few near things, many far ones
    right = left - np.stack([shift, np.zeros(400)], 1)
    assert not summarise(left, right).swapped
    assert summarise(right, left).swapped


def test_eyes_that_squint_are_not_called_exchanged():
    rng = np.random.default_rng(0)
    left = rng.uniform(0, 500, (400, 2))
    shift = 1 / rng.uniform(0.05, 1, 400) - 6
    assert not summarise(left, left - np.stack([shift, np.zeros(400)], 1)).swapped


def test_a_pair_without_texture_is_said_to_be_unknown():
    plain = np.full((60, 80, 3), 120, np.uint8)
    check = vertical_disparity(plain, plain)
    assert check.matches == 0 and np.isnan(check.vertical_median_px) and not check.swapped
    assert str(check) == "only 0 features match, too few to check the pair"


def test_matches_are_looked_for_only_where_the_mask_allows(texture):
    mask = np.zeros(texture.shape[:2], np.uint8)
    mask[:, :100] = 255
    left, _ = match_pair(texture, texture, masks=(mask, None))
    assert len(left) > 10 and left[:, 0].max() < 105


def test_the_check_reads_as_one_line(texture):
    line = str(vertical_disparity(texture, shifted(texture, 3.0, 0.0)))
    assert "\n" not in line and "MAD" in line and "matches" in line


def test_two_halves_of_a_flat_picture_are_no_pair_and_bare_walls_are_not_said_to_be_none():
    rng = np.random.default_rng(0)
    halves = [np.asarray(cv2.GaussianBlur(rng.integers(0, 255, (256, 256), np.uint8), (0, 0), 1.5), np.uint8) for _ in range(2)]
    told = unlike([(halves[0], halves[1])] * 2)
    assert told is not None and "features of one eye" in told
    assert unlike([(halves[0], np.roll(halves[0], -5, axis=1))]) is None
    wall = np.full((256, 256), 128, np.uint8)
    assert unlike([(wall, wall)]) is None
