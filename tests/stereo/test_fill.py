"""Rejecting and filling disparities."""

import numpy as np

from toolkit.stereo.fill import agrees_both_ways, fill_holes, without_speckles


def test_both_ways_check_rejects_contradictions_and_matches_outside():
    px = np.full((1, 20), 4.0, np.float32)
    back = np.full((1, 20), 4.0, np.float32)
    back[0, 8] = 9.0
    px[0, 17] = np.nan
    agrees = agrees_both_ways(px, back)
    wanted = np.ones(20, bool)
    wanted[[0, 1, 2, 3, 12, 17]] = False
    np.testing.assert_array_equal(agrees[0], wanted)


def test_small_islands_are_speckles_and_negative_disparities_are_no_exception():
    px = np.full((30, 30), -5.0, np.float32)
    px[10:13, 10:13] = 8.0
    kept = without_speckles(px, np.ones(px.shape, bool), area=25, step_px=1.0)
    assert not kept[10:13, 10:13].any() and kept.sum() == 900 - 9


def test_a_hidden_strip_takes_the_background_beside_it():
    px = np.full((40, 60), 5.0, np.float32)
    px[:, 30:] = 20.0
    known = np.ones(px.shape, bool)
    known[:, 22:30] = False
    px[:, 22:30] = np.nan
    guide = np.full((40, 60, 3), 90, np.uint8)
    guide[:, 30:] = 200
    np.testing.assert_allclose(fill_holes(px, known, guide)[:, 22:30], 5.0, atol=1e-5)


def test_a_hole_follows_the_colours_where_rows_alone_mislead():
    """A hole reaches over the edge of an object: its pixels of the object's colour take the object's disparity."""
    px = np.full((40, 60), 5.0, np.float32)
    px[:, 30:] = 20.0
    guide = np.full((40, 60, 3), 90, np.uint8)
    guide[:, 30:] = 200
    known = np.ones(px.shape, bool)
    known[18:22, 26:34] = False
    filled = fill_holes(np.where(known, px, 0).astype(np.float32), known, guide)
    np.testing.assert_allclose(filled[18:22, 26:30], 5.0, atol=1e-4)
    np.testing.assert_allclose(filled[18:22, 30:34], 20.0, atol=1e-4)


def test_rows_without_any_value_take_the_nearest_row_and_nothing_known_stays_unknown():
    px = np.full((10, 12), 3.0, np.float32)
    known = np.ones(px.shape, bool)
    known[4:6] = False
    guide = np.zeros((10, 12, 3), np.uint8)
    np.testing.assert_allclose(fill_holes(px, known, guide), 3.0)
    assert np.isnan(fill_holes(px, np.zeros(px.shape, bool), guide)).all()
