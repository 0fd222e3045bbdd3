"""The compiled matcher's inner loops, against plain references."""

import cv2
import numpy as np
import pytest

from toolkit.stereo import sgm
from toolkit.stereo.matching_cost import census, own_neighbours
from toolkit.stereo.sgm import SgmSettings, semi_global_match


@pytest.fixture(scope="module")
def grey():
    return np.random.default_rng(0).integers(0, 255, (9, 11)).astype(np.uint8)


def test_census_holds_one_bit_for_each_darker_neighbour(grey):
    padded = cv2.copyMakeBorder(grey, 4, 4, 3, 3, cv2.BORDER_REPLICATE)
    bits, own = census(padded, 3, 4), own_neighbours(padded, 3, 4, 15)
    for y, x in [(0, 0), (4, 5), (8, 10)]:
        window = padded[y : y + 9, x : x + 7].astype(int).ravel()
        neighbours = np.delete(window, 31)
        assert bin(int(bits[y, x])).count("1") == (neighbours < grey[y, x]).sum()
        assert bin(int(own[y, x])).count("1") == (abs(neighbours - int(grey[y, x])) < 15).sum()


@pytest.mark.parametrize("upright", [False, True])
def test_path_costs_are_those_of_the_recursion(grey, upright):
    """Hirschmüller's recursion, path by path."""
    rng = np.random.default_rng(1)
    cost = rng.integers(0, 180, (*grey.shape, 6)).astype(np.uint8)
    small, large = sgm._penalty_tables(SgmSettings())
    total = np.empty(cost.shape, np.int16)
    for backwards in (False, True):
        sgm._aggregate(cost, grey, total, small, large, backwards, upright)
    wanted = np.zeros(cost.shape, int)
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)] + ([] if upright else [(1, 1), (1, -1), (-1, 1), (-1, -1)])
    h, w, count = cost.shape
    for dy, dx in steps:
        path = np.zeros(cost.shape, int)
        for y in range(h)[:: dy or 1]:
            for x in range(w)[:: dx or 1]:
                py, px = y - dy, x - dx
                path[y, x] = cost[y, x]
                if 0 <= py < h and 0 <= px < w:
                    before, step = path[py, px], abs(int(grey[y, x]) - int(grey[py, px]))
                    padded = np.pad(before, 1, constant_values=10**6)
                    reach = np.minimum(np.minimum(before, np.minimum(padded[:-2], padded[2:]) + small[step]), before.min() + large[step])
                    path[y, x] += reach - before.min()
        wanted += path
    np.testing.assert_array_equal(total, wanted)


def test_a_shifted_texture_is_found_even_behind_infinity():
    texture = np.random.default_rng(2).integers(0, 255, (30, 90, 3)).astype(np.uint8)
    for shift in (5, -4):
        left, right = texture[:, 10:70], texture[:, 10 + shift : 70 + shift]
        found = semi_global_match(np.ascontiguousarray(left), np.ascontiguousarray(right), minimum_px=-8, count=20)
        inside = slice(10, 50)
        np.testing.assert_allclose(found.px[:, inside], shift, atol=0.3)
        np.testing.assert_allclose(found.right_px[:, inside], shift)
        assert (found.margin[:, inside] > 0.2).all()


def test_only_noise_that_exceeds_a_good_cameras_is_smoothed():
    rng = np.random.default_rng(3)
    flat = np.full((60, 60, 3), 120.0)
    quiet, loud = (np.clip(flat + rng.normal(0, s, flat.shape), 0, 255).astype(np.uint8) for s in (1.0, 6.0))
    assert sgm._quiet(quiet, SgmSettings()) is quiet
    assert sgm._quiet(loud, SgmSettings()).std() < 0.5 * loud.std()
