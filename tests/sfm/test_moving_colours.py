"""Colours draw a mask to where a mover ends; what looks like both sides, or like neither, is left as it was."""

import numpy as np

from toolkit.sfm.moving_colours import ColourOptions, with_colours

SHAPE = (60, 80)


def _evidence(mover, background=60, halo=8):
    """A square of one grey on another; motion is seen past its outline by `halo` pixels, and unsurely there."""
    inside = np.zeros(SHAPE, bool)
    inside[20:40, 30:50] = True
    near = np.zeros(SHAPE, bool)
    near[20 - halo : 40 + halo, 30 - halo : 50 + halo] = True
    picture = np.where(inside, mover, background).astype(np.uint8)
    odds = np.where(near, np.where(inside, 2.0, 0.2), -1.0).astype(np.float32)
    weight = np.where(near & ~inside, 0.1, 1.0).astype(np.float32)
    return np.dstack([picture] * 3), odds, weight, inside, near


def test_what_looks_like_the_background_beside_a_mover_stands():
    picture, odds, weight, inside, near = _evidence(mover=180)
    found, _ = with_colours(picture, odds, weight, odds > 0, ColourOptions())
    assert (found[near & ~inside] < 0).mean() > 0.9 and (found[inside] > 0).all() and (found[~near] < 0).all()


def test_where_both_look_alike_colour_says_little():
    picture, odds, weight, _, _ = _evidence(mover=60)
    found, counts = with_colours(picture, odds, weight, odds > 0, ColourOptions())
    assert np.abs(found - odds).max() < 0.1 and np.abs(counts - weight).max() < 0.1


def test_far_from_any_mover_nothing_changes():
    picture, odds, weight, _, _ = _evidence(mover=180)
    found, counts = with_colours(picture, odds, weight, odds > 0, ColourOptions(reach=2.0))
    assert np.array_equal(found[:5], odds[:5]) and np.array_equal(counts[:5], weight[:5])


def test_where_nothing_moves_all_stays_as_it_was():
    picture, odds, weight, _, _ = _evidence(mover=180)
    standing = -np.abs(odds)
    found, counts = with_colours(picture, standing, weight, standing > 0, ColourOptions())
    assert found is standing and counts is weight
