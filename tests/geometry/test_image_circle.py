"""The circle of a fisheye lens is found where there is one, and nowhere else."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.image_circle import detect_image_circle
from toolkit.geometry.sampling import pixel_centres

SIZE = (420, 400)


def lit(inside):
    """A noisy picture, bright where `inside`."""
    noise = np.random.default_rng(0).integers(0, 120, (SIZE[1], SIZE[0], 1))
    return np.repeat(np.where(inside[..., None], 90 + noise, noise // 12), 3, axis=2).astype(np.uint8)


def disc(x, y, radius):
    xy = pixel_centres(SIZE)
    return np.hypot(xy[..., 0] - x, xy[..., 1] - y) < radius


@pytest.mark.parametrize(("x", "y", "radius"), [(210, 200, 190), (203, 207, 180), (214, 196, 230)])
def test_a_circle_is_found_also_where_the_frame_cuts_it_off(x, y, radius):
    found = detect_image_circle(lit(disc(x, y, radius)))
    assert np.hypot(found.centre[0] - x, found.centre[1] - y) < 1.5
    assert found.radius_px == pytest.approx(radius, abs=2) and found.residual_px < 1


def test_a_few_flares_do_not_move_it():
    picture = lit(disc(210, 200, 170) | disc(60, 80, 25))
    found = detect_image_circle(picture)
    assert np.hypot(found.centre[0] - 210, found.centre[1] - 200) < 1.5 and found.radius_px == pytest.approx(170, abs=2)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (np.ones(SIZE[::-1], bool), "corners are not dark"),
        ((np.abs(pixel_centres(SIZE) / (210, 200) - 1) ** 6).sum(-1) < 0.9, "no circle"),  # a half sphere with rounded corners
        (disc(120, 60, 40) | disc(300, 200, 60), "no circle"),
        (disc(210, 560, 380), "corners are not dark"),
    ],
    ids=["full", "half sphere", "lamps in the dark", "a hill"],
)
def test_what_is_no_circle_is_told(inside, words):
    with pytest.raises(UserError, match=words):
        detect_image_circle(lit(inside))
