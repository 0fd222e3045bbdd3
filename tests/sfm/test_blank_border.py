"""Borders that were never imaged: those of stabilisers and letterboxes are found, night and dark things at the edge are not."""

import cv2
import numpy as np

from toolkit.sfm.blank_border import blank_border


def _picture(level=120):
    return np.clip(np.random.default_rng(0).normal(level, 25, (120, 160, 3)), 30, 255).astype(np.uint8)


def test_a_picture_that_fills_its_frame_has_no_border():
    assert blank_border(_picture()) is None


def test_a_turned_picture_leaves_its_corners():
    turn = cv2.getRotationMatrix2D((80, 60), 5, 1.0)
    turned = np.asarray(cv2.warpAffine(_picture(), turn, (160, 120)), np.uint8)
    imaged = cv2.warpAffine(np.full((120, 160), 255, np.uint8), turn, (160, 120))
    found = blank_border(turned)
    assert found is not None
    assert (found & (imaged == 0)).sum() > 0.95 * (imaged == 0).sum() and not found[imaged == 255].any()


def test_a_border_is_found_after_it_was_coded():
    picture = _picture()
    picture[:20] = 0
    coded = cv2.imdecode(cv2.imencode(".jpg", cv2.GaussianBlur(picture, (0, 0), 3), [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    found = blank_border(np.asarray(coded, np.uint8))
    assert found is not None and found[:10].mean() > 0.9 and not found[24:].any()


def test_it_grows_by_as_much_as_asked():
    picture = _picture()
    picture[:20] = 0
    found, grown = blank_border(picture), blank_border(picture, grown_px=4)
    assert found is not None and grown is not None
    assert found[19].all() and not found[20].any() and grown[23].all() and not grown[24].any()


def test_a_night_sky_that_fades_into_black_is_no_border():
    night = np.repeat(np.linspace(0, 60, 120)[:, None], 160, 1)
    assert blank_border(np.repeat(night[..., None], 3, 2).astype(np.uint8)) is None


def test_black_inside_the_picture_is_no_border():
    picture = _picture()
    picture[40:80, 40:80] = 0
    assert blank_border(picture) is None
