"""One resampling: exact where it can be, free of aliasing where it must be, sharp otherwise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolkit.errors import UserError
from toolkit.geometry.resampling import Resampler, local_scale
from toolkit.geometry.sampling import pixel_centres, remap


@st.composite
def images(draw):
    width, height = draw(st.integers(4, 12)), draw(st.integers(4, 12))
    return draw(arrays(np.uint8, (height, width, 3)))


def grating(cycles_per_px, width, height=64, phase=0.3):
    x = np.arange(width) + 0.5
    row = np.round(127.5 + 100 * np.cos(2 * np.pi * (cycles_per_px * x + phase))).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, width, 3)))


def contrast(image):
    return float(image[8:-8, 8:-8].astype(float).std() / (100 / np.sqrt(2)))


@given(images())
def test_the_identity_map_changes_nothing(image):
    size = (image.shape[1], image.shape[0])
    np.testing.assert_array_equal(Resampler(pixel_centres(size), size)(image), image)


@given(images(), st.integers(0, 255), st.floats(0.2, 6), st.floats(-3, 3))
def test_a_plain_grey_stays_that_grey_at_any_scale_and_place(image, grey, scale, shift):
    plain = np.full_like(image, grey)
    size = (image.shape[1], image.shape[0])
    xy = pixel_centres((9, 7)) * scale + shift
    resampler = Resampler(xy, size)
    out = resampler(plain)
    assert np.all(out[resampler.valid] == grey)
    assert np.all(out[~resampler.valid] == 0)


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.4, 2.0, 2.7, 4.3])
def test_a_smooth_picture_keeps_its_place_and_grey_at_every_scale(scale):
    def picture(xy):
        return 127.5 + 100 * np.cos(2 * np.pi * (xy @ [0.013, 0.009] + 0.3))

    source = np.round(picture(pixel_centres((240, 240)))).astype(np.uint8)[..., None].repeat(3, 2)
    xy = pixel_centres((40, 40)) * scale + 23.3
    off = Resampler(xy, (240, 240))(np.ascontiguousarray(source))[..., 0] - picture(xy)
    for axis in ([0.01, 0], [0, 0.01]):
        slope = 100 * (picture(xy + axis) - picture(xy))
        assert abs((off * slope).sum() / (slope**2).sum()) < 0.02  # px, by least squares
    assert abs(off.mean()) < 0.2
    assert np.abs(off).max() < 3


@pytest.mark.parametrize("scale", [2.0, 2.6, 3.5, 5.0])
def test_stripes_too_fine_for_the_output_fade_where_plain_lookup_shows_false_ones(scale):
    source = grating(0.85 / scale, int(64 * scale) + 60)
    xy = pixel_centres((64, 40)) * [scale, 1] + [20.3, 8]
    size = (source.shape[1], source.shape[0])
    assert contrast(Resampler(xy, size)(source)) < 0.7 * contrast(remap(source, xy))


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.2, 1.4, 1.7])
def test_stripes_the_output_can_hold_stay_as_clear_as_with_bilinear_lookup(scale):
    source = grating(0.25 / max(scale, 1), int(64 * scale) + 60)
    xy = pixel_centres((64, 40)) * [scale, 1] + [20.3, 8.2]
    size = (source.shape[1], source.shape[0])
    assert contrast(Resampler(xy, size)(source)) > 0.97 * contrast(remap(source, xy))


def test_a_tenth_of_a_pixel_moves_a_smooth_picture_by_a_tenth():
    source = grating(0.05, 200)
    xy = pixel_centres((150, 40)) + [20.25, 8]

    def expected(at):
        return 127.5 + 100 * np.cos(2 * np.pi * (0.05 * at + 0.3))

    for shift in (0.0, 0.01, 0.1):
        row = Resampler(xy + [shift, 0], (200, 64))(source)[20, :, 0].astype(float)
        slope = np.gradient(expected(xy[0, :, 0]))
        off = row - expected(xy[0, :, 0] + shift)
        assert abs((off * slope).sum() / (slope**2).sum()) < 0.004  # px, by least squares


def test_what_lies_beyond_the_border_is_black_and_marked():
    image = np.full((10, 10, 3), 200, np.uint8)
    xy = pixel_centres((4, 1)) * [4, 1] - [4, 0]
    xy[0, 3] = np.nan
    resampler = Resampler(xy, (10, 10))
    np.testing.assert_array_equal(resampler.valid, [[False, True, True, False]])
    np.testing.assert_array_equal(resampler(image)[0, :, 0], [0, 200, 200, 0])


def test_the_local_scale_is_told_for_each_axis_and_at_the_border_of_the_unknown():
    xy = pixel_centres((6, 5)) * [3, 0.5]
    xy[:, 0] = np.nan
    scale = local_scale(xy)
    assert np.isnan(scale[:, 0]).all()
    np.testing.assert_allclose(scale[:, 1:], np.broadcast_to([3, 0.5], (5, 5, 2)))


def test_halves_of_a_frame_need_no_copy():
    frame = np.random.default_rng(0).integers(0, 255, (12, 24, 3), np.uint8)
    xy = pixel_centres((8, 8)) + 1.37
    resampler = Resampler(xy, (12, 12))
    np.testing.assert_array_equal(resampler(frame[:, 12:]), resampler(frame[:, 12:].copy()))


def test_wrong_images_are_refused_in_a_sentence():
    resampler = Resampler(pixel_centres((4, 4)), (8, 6))
    with pytest.raises(UserError, match="8 x 6 is needed"):
        resampler(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="uint8 RGB"):
        resampler(np.zeros((6, 8), np.uint8))
    with pytest.raises(UserError, match="too small"):
        Resampler(pixel_centres((4, 4)), (1, 1))
