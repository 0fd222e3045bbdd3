"""Frames in padded squares: coordinates follow the picture."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolkit.models.square_images import Square

sizes = st.tuples(st.integers(16, 3000), st.integers(16, 3000))


@given(sizes, st.sampled_from([128, 512, 1024]), st.lists(st.floats(-50, 3050), min_size=2, max_size=2))
def test_coordinates_come_back_from_the_square(size, side, xy):
    square = Square(size, side)
    assert np.allclose(square.out_of(square.into(np.array(xy))), xy, atol=2e-3 * max(1, max(size) / side))


@given(sizes)
def test_the_frame_lies_in_the_middle_and_fills_the_longer_side(size):
    square = Square(size, 256)
    corners = square.into(np.array([[0, 0], size])) + 0.5
    assert max(square.filled) == 256
    assert np.abs(corners.sum(0) - 256).max() <= 1.001
    assert corners.min() >= -1e-3 and corners.max() <= 256.001


def test_a_bright_spot_is_where_its_coordinates_say():
    for size, side in (((90, 40), 128), ((400, 300), 128), ((128, 200), 128)):
        grid = np.stack(np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5), axis=-1)
        spot = np.array([0.7 * size[0], 0.4 * size[1]])
        light = np.exp(-((grid - spot) ** 2).sum(-1) / (2 * (0.05 * max(size)) ** 2))
        square = Square(size, side)
        picture = square.picture((255 * light[..., None]).repeat(3, axis=-1).astype(np.uint8))[0].astype(float)
        columns, rows = np.meshgrid(np.arange(side), np.arange(side))
        centre = np.array([(picture * columns).sum(), (picture * rows).sum()]) / picture.sum()
        assert np.abs(centre - square.into(spot)).max() < 0.05, size
