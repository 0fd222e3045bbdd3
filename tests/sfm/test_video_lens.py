"""A lens that nobody told: taken from the clip where it tells, from what is usual where it does not."""

import numpy as np
import pytest

from tests.sfm import photo_set
from toolkit.geometry.cameras import intrinsics_from_fov, project
from toolkit.scene import Cameras
from toolkit.sfm.colmap import load_pycolmap, reconstruction
from toolkit.sfm.photo_adjust import BundleOptions
from toolkit.sfm.video_lens import LensOptions, field_of_view_deg, hold, plausible, refine_with_lens, surprising, usual_focal_px

SIZE = (640, 480)


def camera(fov_deg, bend=0.0):
    focal_px = intrinsics_from_fov(fov_deg, SIZE)[0, 0]
    made = load_pycolmap().Camera.create_from_model_name(1, "SIMPLE_RADIAL", focal_px, *SIZE)
    made.params = [focal_px, 320, 240, bend]
    return made


def model(step, turn_deg, lens=photo_set.K, views=8, points=400):
    """A model of exact cameras and points whose observations are half a pixel off."""
    rng = np.random.default_rng(0)
    truth = photo_set.cameras(views, step=step, turn_deg=turn_deg)
    truth = Cameras.from_poses(lens, truth.T_wc, photo_set.SIZE)
    xyz = rng.uniform([-3, -1.5, 4], [3, 1.5, 8], (points, 3))
    xy = np.stack([project(xyz, truth.K[t], truth.T_wc[t])[0] for t in range(views)], 1)
    inside = np.all((xy > 0) & (xy < photo_set.SIZE), axis=2)
    inside &= inside.sum(1, keepdims=True) > 2
    xy += rng.normal(size=xy.shape) * 0.5
    point, frame = np.nonzero(inside)
    names = [f"{t}.jpg" for t in range(views)]
    return reconstruction(truth, names, xyz, np.zeros((points, 3), np.uint8), point=point, frame=frame, xy=xy[inside])


@pytest.mark.parametrize("fov_deg", [9.5, 140])
def test_a_telescope_and_more_than_a_pinhole_can_show_are_implausible(fov_deg):
    assert not plausible(camera(fov_deg), LensOptions())
    assert surprising(camera(fov_deg), LensOptions())


@pytest.mark.parametrize("fov_deg", [40, 60, 80])
def test_lenses_that_films_are_made_with_surprise_nobody(fov_deg):
    assert plausible(camera(fov_deg), LensOptions())
    assert not surprising(camera(fov_deg), LensOptions())


def test_distortion_that_throws_the_corners_out_is_implausible():
    assert plausible(camera(60, -0.07), LensOptions())
    assert not plausible(camera(60, 5.8), LensOptions())


def test_the_usual_lens_has_the_usual_field_of_view():
    made = camera(20)
    made.params = [usual_focal_px(made, LensOptions()), 320, 240, 0]
    assert field_of_view_deg(made) == pytest.approx(60)


def test_a_clip_that_tells_its_focal_length_is_believed():
    start = model(0.5, 6.0)
    hold(start, 1.05 * photo_set.FOCAL_PX)
    found, _, lens = refine_with_lens(start, BundleOptions(), LensOptions())
    assert not lens.supposed and 0 < lens.sigma < 0.1
    assert found.cameras[next(iter(found.cameras))].mean_focal_length() == pytest.approx(photo_set.FOCAL_PX, rel=0.05)


def test_where_the_usual_lens_has_a_say_that_is_told():
    start = model(0.5, 6.0)
    found, _, lens = refine_with_lens(start, BundleOptions(), LensOptions(unknown=1e-6))
    assert lens.supposed and 0 < lens.sigma <= LensOptions().usual_sigma
    assert plausible(found.cameras[next(iter(found.cameras))], LensOptions())


def test_a_known_lens_stays_as_it_is():
    start = model(0.5, 6.0)
    found, _, lens = refine_with_lens(start, BundleOptions(fixed_lens=True), LensOptions())
    assert lens.sigma == 0 and not lens.supposed
    assert found.cameras[next(iter(found.cameras))].mean_focal_length() == pytest.approx(photo_set.FOCAL_PX)
