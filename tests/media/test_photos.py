"""Photos with what EXIF tells of them, their masks, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from toolkit.errors import UserError
from toolkit.media.photos import opened_photos


def _save(path, *, orientation=1, focal_35mm=None, size=(60, 40)):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = orientation
    if focal_35mm:
        exif.get_ifd(0x8769)[0xA405] = focal_35mm
    picture.save(path, exif=exif)
    return path


def test_a_turned_photo_is_read_upright_with_its_size(tmp_path):
    with opened_photos([_save(tmp_path / "a.jpg", orientation=6)]) as (photo,):
        assert photo.size == (40, 60)
        assert photo.read().shape == (60, 40, 3)


def test_the_equivalent_focal_length_refers_to_the_diagonal(tmp_path):
    with opened_photos([_save(tmp_path / "a.jpg", focal_35mm=36)]) as (photo,):
        assert photo.focal_px == pytest.approx(36 / 43.2666 * np.hypot(60, 40), rel=1e-6)


def test_a_focal_length_that_makes_no_sense_is_not_believed(tmp_path):
    with opened_photos([_save(tmp_path / "a.jpg", focal_35mm=2)]) as (photo,):
        assert photo.focal_px is None


def test_masks_in_a_folder_beside_the_photos_belong_to_the_photo_of_the_same_name(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    _save(tmp_path / "images" / "a.jpg")
    _save(tmp_path / "images" / "b.jpg")
    mask = np.zeros((40, 60), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "b.png")
    with opened_photos(tmp_path) as (a, b):
        assert a.ignored() is None
        np.testing.assert_array_equal(b.ignored(), mask > 0)  # pyright: ignore[reportArgumentType, reportCallIssue]
        np.testing.assert_array_equal(b.ignored(white_is_kept=True), mask == 0)  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_masks_further_up_or_beside_a_folder_of_any_name_are_those_of_something_else(tmp_path):
    (tmp_path / "walk" / "images").mkdir(parents=True)
    (tmp_path / "masks").mkdir()
    _save(tmp_path / "walk" / "a.jpg")
    _save(tmp_path / "walk" / "images" / "a.jpg")
    Image.fromarray(np.full((40, 60), 255, np.uint8)).save(tmp_path / "masks" / "a.png")
    for place in (tmp_path / "walk", tmp_path / "walk" / "images"):
        with opened_photos(place) as (photo,):
            assert photo.ignored() is None


def test_masks_that_bear_the_name_of_no_photo_are_told(tmp_path):
    (tmp_path / "masks").mkdir()
    for name in ("a.jpg", "b.jpg", "masks/mask_0.png", "masks/mask_1.png"):
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / name)
    with pytest.raises(UserError, match="No mask in the folder masks has the name of a photo"), opened_photos(tmp_path):
        pass


def test_a_mask_of_another_shape_is_told(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    _save(tmp_path / "images" / "a.jpg")
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "masks" / "a.png")
    with opened_photos(tmp_path) as (photo,), pytest.raises(UserError, match="40 x 40 px"):
        photo.ignored()


def test_what_is_no_photo_is_told(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"a\.jpg"), opened_photos([tmp_path / "a.jpg"]):
        pass
    with pytest.raises(UserError, match="uint8"), opened_photos([np.zeros((4, 4))]):
        pass


@pytest.mark.parametrize(("unit", "mm"), [(None, 25.4), (2, 25.4), (3, 10.0), (4, 1.0), (5, 0.001)])
def test_pixels_per_unit_of_the_focal_plane_give_the_focal_length(tmp_path, unit, mm):
    exif = Image.Exif()
    details = exif.get_ifd(0x8769)
    details[0x920A] = 5.0  # millimetres
    details[0xA20E] = 20.0 * mm  # pixels per unit: 20 a millimetre
    details[0xA002], details[0xA003] = 120, 80  # the photo was halved since
    if unit is not None:
        details[0xA210] = unit
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    with opened_photos([tmp_path / "a.jpg"]) as (photo,):
        assert photo.focal_px == pytest.approx(50, rel=0.01)
