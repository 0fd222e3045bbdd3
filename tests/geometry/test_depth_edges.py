"""Pixels between two surfaces are told from those on one."""

import numpy as np

from toolkit.geometry.depth_edges import off_edges


def test_a_step_is_an_edge_and_a_slope_is_not():
    depth = np.linspace(2, 4, 40, dtype=np.float32)[None].repeat(20, 0)
    assert off_edges(depth, span=0.1).all()
    depth[:, 25:] += 1
    good = off_edges(depth, span=0.1)
    assert not good[:, 24:26].any() and good[:, :24].all() and good[:, 26:].all()


def test_unknown_pixels_are_neither_good_nor_an_edge_to_their_neighbours():
    depth = np.full((9, 9), 3, np.float32)
    depth[4, 4], depth[0, 0] = np.nan, 0
    good = off_edges(depth, span=0.1)
    assert not good[4, 4] and not good[0, 0] and good.sum() == 79
