"""Points: where a click is, what pasted lines say, what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.page.picking import MOST_POINTS, add_point, as_text, draw_points, parse_points, to_clip

sizes = st.tuples(st.integers(16, 4000), st.integers(16, 4000))


@given(size=sizes, shrink=st.floats(0.1, 1), at=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_click_lands_where_it_was_made_within_a_pixel_of_the_screen(size, shrink, at):
    shown = (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink)))
    clicked = (min(int(at[0] * shown[0]), shown[0] - 1), min(int(at[1] * shown[1]), shown[1] - 1))
    x, y = to_clip(clicked, shown, size)
    assert 0 < x < size[0] and 0 < y < size[1]
    assert abs(x / size[0] - at[0]) <= 1 / shown[0] and abs(y / size[1] - at[1]) <= 1 / shown[1]


def test_on_a_picture_of_full_size_a_click_means_the_middle_of_its_pixel():
    assert to_clip((0, 0), (512, 512), (512, 512)) == (0.5, 0.5)
    assert to_clip((511, 100), (512, 512), (512, 512)) == (511.5, 100.5)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.floats(0, 100).map(lambda v: round(v, 2)),
            st.floats(0, 50).map(lambda v: round(v, 2)),
        ),
        max_size=20,
    )
)
def test_points_written_as_text_are_read_back(points):
    assert parse_points(as_text(points), frames=10, size=(100, 50)) == [tuple(p) for p in points]


@pytest.mark.parametrize("text", ["t,x,y\n1,2,3", "1, 2, 3", "1;2;3\n", "1\t2\t3", "  1 2 3  \n\n"])
def test_lines_are_read_however_the_numbers_are_parted(text):
    assert parse_points(text, frames=5, size=(10, 10)) == [(1, 2.0, 3.0)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2", "Line 1 is '1,2', but three numbers"),
        ("0,1,1\n1,2,x", "Line 2 is '1,2,x'"),
        ("0.5,1,1", "frame 0.5"),
        ("7,1,1", "names frame 7, but the clip has frames 0 to 4"),
        ("0,11,1", r"lies at \(11, 1\), outside the picture of 10 x 10 px"),
        ("0,nan,1", "outside the picture"),
        ("0,1,1\ninf,1,1", "inf"),
    ],
)
def test_a_line_that_cannot_be_is_named(text, words):
    with pytest.raises(UserError, match=words):
        parse_points(text, frames=5, size=(10, 10))


def test_there_is_an_end_to_clicking():
    with pytest.raises(UserError, match=str(MOST_POINTS)):
        add_point([(0, 1.0, 1.0)] * MOST_POINTS, 0, 1, 1)


def test_points_of_the_frame_are_filled_and_those_of_others_are_rings():
    image = np.zeros((800, 800, 3), np.uint8)
    drawn = draw_points(image, [(0, 1000.0, 1000.0), (3, 400.0, 400.0)], 0, (1600, 1600))
    assert drawn[500, 500].any(), "the middle of a point of this frame, drawn at half size"
    assert not drawn[200, 200].any() and drawn[185:215, 185:215].any(), "a ring around one of another frame"
    assert not image.any()
