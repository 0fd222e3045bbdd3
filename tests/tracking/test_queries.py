"""Grids of queries."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.tracking.queries import grid_points, grid_queries


def test_a_grid_of_128_cells_on_512_pixels_has_its_points_at_cell_centres():
    points = grid_points((512, 512))
    assert points.shape == (16384, 2) and points[0].tolist() == [2.0, 2.0] and points[-1].tolist() == [510.0, 510.0]
    assert points[1].tolist() == [6.0, 2.0], "row by row"


def test_cells_span_the_image_whatever_its_size():
    points = grid_points((30, 7), grid=(4, 3))
    assert np.allclose(points.mean(0), [15, 3.5]) and len(points) == 12


def test_the_published_amount_of_queries():
    queries = grid_queries((512, 512), 177)
    assert queries.shape == (294_912, 3) and queries.dtype == np.float32
    assert np.array_equal(np.unique(queries[:, 0]), np.arange(0, 177, 10))


def test_jitter_stays_in_its_cell_differs_between_grids_and_repeats_with_its_seed():
    plain = grid_points((64, 64), grid=(8, 8))
    moved = grid_points((64, 64), grid=(8, 8), jitter=1.0, seed=3)
    assert np.abs(moved - plain).max() <= 4 and np.abs(moved - plain).mean() > 1
    assert np.array_equal(moved, grid_points((64, 64), grid=(8, 8), jitter=1.0, seed=3))
    two = grid_queries((64, 64), 11, grid=(8, 8), jitter=1.0)
    assert not np.array_equal(two[:64, 1:], two[64:, 1:])


@pytest.mark.parametrize(("options", "message"), [({"grid": (0, 2)}, "0 x 2"), ({"jitter": 2.0}, "jitter is 2.0")])
def test_bad_grids_are_told_in_one_sentence(options, message):
    with pytest.raises(UserError, match=message):
        grid_points((10, 10), **options)
