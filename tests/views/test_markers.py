"""Marks on a frame: where they are drawn, and that the frame itself stays as it is."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.views.markers import mark_queries, number_colours

GREY = np.full((300, 400, 3), 100, np.uint8)


def changed(image):
    return (image != 100).any(-1)


def test_a_point_of_this_frame_is_a_dot_in_its_colour_with_a_number_beside_it():
    image = mark_queries(GREY, [(3, 100, 120)], 3)
    np.testing.assert_array_equal(image[120, 100], number_colours(1)[0])
    rows, columns = np.nonzero(changed(image))
    assert columns.max() >= 112 and abs(rows - 120).max() < 30  # the number
    assert (GREY == 100).all()


def test_a_point_of_another_frame_is_hollow_and_keeps_its_number_and_colour():
    here, other = (mark_queries(GREY, [(3, 50, 50), (t, 200, 150)], 3) for t in (3, 9))
    assert not changed(other)[150, 200] and changed(other)[144:157, 194:207].any()
    assert changed(here)[150, 200]
    np.testing.assert_array_equal(changed(here)[130:150, 215:240].any(), changed(other)[130:150, 215:240].any())


@pytest.mark.parametrize("xy", [(0, 0), (400, 0), (399.9, 299.9), (0, 300), (-50, 700)])
def test_marks_at_the_border_stay_in_the_picture(xy):
    image = mark_queries(GREY, [(0, *xy)] * 12, 0)
    assert image.shape == GREY.shape


def test_no_points_leave_the_frame_as_it_is_and_wrong_ones_are_refused():
    for none in ([], np.zeros((0, 3))):
        np.testing.assert_array_equal(mark_queries(GREY, none, 0), GREY)
    with pytest.raises(UserError, match=r"Points have shape \(1, 2\), but \(N, 3\) is needed"):
        mark_queries(GREY, [(1, 2)], 0)


def test_neighbouring_numbers_differ_in_colour():
    rgb = number_colours(40).astype(int)
    assert np.abs(np.diff(rgb, axis=0)).sum(1).min() > 100
