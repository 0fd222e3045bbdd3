"""What a look at a clip finds before it is matched."""

import cv2
import numpy as np
import pytest

from toolkit.scene import StereoVideo, Video
from toolkit.stereo.search import check_images, check_pair


def shifted(dx, dy=0.0, size=(240, 320), seed=0):
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (size[0] + 80, size[1] + 240, 3)), (0, 0), 1.5)
    texture = (127 + 45 * texture / texture.std()).clip(0, 255).astype(np.uint8)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32) + 40
    left, right = (
        cv2.remap(texture, (x + 60 + a).astype(np.float32), (y + b).astype(np.float32), cv2.INTER_CUBIC) for a, b in ((0, 0), (dx, dy))
    )
    return left, right


@pytest.mark.parametrize("width", [320, 900])
def test_range_holds_every_disparity_and_little_more(width):
    left, right = shifted(30, size=(200, width))
    right[60:120, 100:160] = shifted(70, size=(200, width))[1][60:120, 100:160]
    check = check_images([(left, right)])
    assert check.search.minimum_px <= 30 and 70 <= check.search.maximum_px < 90
    assert check.warnings == ()


def test_a_near_thing_in_one_frame_of_a_clip_widens_the_range():
    pairs = [shifted(10), shifted(10), shifted(50)]
    left, right = (Video.from_frames(np.stack(eye)) for eye in zip(*pairs, strict=True))
    stereo = StereoVideo(left, right, np.eye(3), 0.063)
    check = check_pair(stereo)
    assert check.search.maximum_px >= 50


@pytest.mark.parametrize("dy", [-1.5, 1.2])
def test_vertical_offset_is_measured_and_told(dy):
    left, right = shifted(12, dy)
    check = check_images([(left, right)])
    assert check.vertical_px == pytest.approx(-dy, abs=0.35)
    assert "apart vertically" in check.warnings[0]


def test_an_aligned_pair_has_no_vertical_offset():
    assert abs(check_images([shifted(12)]).vertical_px) < 0.05


def test_swapped_eyes_are_found():
    left, right = shifted(12)
    check = check_images([(right, left)])
    assert check.crossed and check.median_px == pytest.approx(-12, abs=1)
    assert not check_images([(left, right)]).crossed


@pytest.mark.data
def test_a_street_fits_its_range_and_is_aligned(data):
    folder = data / "kitti_raw_0001_stereo"
    pair = [np.asarray(cv2.imread(str(sorted((folder / eye).iterdir())[0])), np.uint8) for eye in ("image_00", "image_01")]
    check = check_images([(pair[0], pair[1])])
    assert check.search.minimum_px == 0 and 62 <= check.search.maximum_px < 110
    assert abs(check.vertical_px) < 0.4 and check.warnings == ()
