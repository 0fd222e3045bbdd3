"""Images looked up at continuous pixels: the half pixel is in the right place."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolkit.geometry.sampling import from_opencv, inside, pixel_centres, remap, sample_bilinear, sample_nearest, to_opencv

sizes = st.tuples(st.integers(2, 12), st.integers(2, 12))


@st.composite
def images(draw):
    width, height = draw(sizes)
    return draw(arrays(np.uint8, (height, width, 3)))


@given(arrays(np.float64, (4, 2), elements=st.floats(-1e4, 1e4)))
def test_going_to_opencv_and_back_changes_nothing(xy):
    np.testing.assert_allclose(from_opencv(to_opencv(xy)), xy, atol=1e-10)


@given(images())
def test_pixels_looked_up_at_their_centres_are_themselves(image):
    xy = pixel_centres((image.shape[1], image.shape[0]))
    np.testing.assert_array_equal(remap(image, xy), image)
    np.testing.assert_array_equal(sample_bilinear(image, xy), image)
    np.testing.assert_array_equal(sample_nearest(image, xy), image)


@given(sizes, st.floats(-3, 3), st.floats(-3, 3), st.floats(-5, 5), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_a_linear_ramp_is_sampled_exactly(size, a, b, c, places):
    centres = pixel_centres(size)
    ramp = (a * centres[..., 0] + b * centres[..., 1] + c).astype(np.float32)
    xy = 0.5 + np.array(places) * (np.array(size) - 1)
    np.testing.assert_allclose(sample_bilinear(ramp, xy), a * xy[:, 0] + b * xy[:, 1] + c, atol=1e-4)


def test_unknown_pixels_spread_only_to_samples_that_touch_them():
    image = np.array([[1, 2, np.nan, 4]], np.float32)
    xy = np.array([[1.5, 0.5], [1.6, 0.5], [3.5, 0.5], [3.4, 0.5]])
    np.testing.assert_array_equal(np.isnan(sample_bilinear(image, xy)), [False, True, False, True])


def test_nowhere_is_filled_and_outside_is_unknown():
    image = np.full((4, 4), 7, np.uint8)
    xy = np.array([[[np.nan, 1.0], [2.0, 2.0], [1e9, 2.0], [np.inf, 2.0]]])
    np.testing.assert_array_equal(remap(image, xy, fill=9), [[9, 7, 9, 9]])
    assert np.isnan(sample_bilinear(image, np.array([[-0.1, 2], [2, 4.1], [np.nan, 1]]))).all()


@given(images(), st.integers(2, 5))
def test_remap_to_a_larger_image_agrees_with_opencv_resize(image, factor):
    height, width = image.shape[:2]
    xy = pixel_centres((width * factor, height * factor)) / factor
    inner = (xy >= 0.5).all(-1) & (xy <= np.array([width, height]) - 0.5).all(-1)
    ours, theirs = remap(image, xy), cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    assert np.abs(ours[inner].astype(int) - theirs[inner].astype(int)).max(initial=0) <= 5  # remap rounds positions to 1/32 px


@given(sizes, arrays(np.float64, (5, 2), elements=st.floats(-3, 15)), st.floats(0, 2))
def test_inside_counts_the_border_and_respects_a_margin(size, xy, margin):
    expected = [(margin <= x <= size[0] - margin) and (margin <= y <= size[1] - margin) for x, y in xy]
    np.testing.assert_array_equal(inside(xy, size, margin=margin), expected)
    assert not inside(np.array([np.nan, 1.0]), size)
