"""Pixels become rays and come back, for every kind of image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.geometry.projections import Equirect, Fisheye, Pinhole, Projection

unit = st.floats(0, 1)
points = st.lists(st.tuples(unit, unit), min_size=1, max_size=20)


@st.composite
def pinholes(draw):
    width, height = draw(st.integers(8, 2000)), draw(st.integers(8, 2000))
    focal = draw(st.floats(0.4, 3)) * width
    K = [
        [focal, 0, draw(st.floats(0.3, 0.7)) * width],
        [0, focal * draw(st.floats(0.8, 1.2)), draw(st.floats(0.3, 0.7)) * height],
        [0, 0, 1],
    ]
    radial = [draw(st.floats(-0.35, 0.2)), draw(st.floats(-0.1, 0.25)), draw(st.floats(-2e-3, 2e-3)), draw(st.floats(-2e-3, 2e-3))]
    return Pinhole(np.array(K), (width, height), tuple(radial) if draw(st.booleans()) else ())


@st.composite
def equirects(draw):
    yaw0, tilt0 = draw(st.floats(-180, 90)), draw(st.floats(-90, 0))
    bounds = (yaw0, yaw0 + draw(st.floats(10, 355)), tilt0, draw(st.floats(tilt0 + 5, 90)))
    return Equirect((draw(st.integers(4, 4000)), draw(st.integers(4, 4000))), bounds, draw(st.sampled_from(["centres", "edges"])))


@st.composite
def fisheyes(draw):
    side = draw(st.integers(16, 3000))
    focal = side * draw(st.floats(0.2, 0.5))
    K = np.array([[focal, 0, side * draw(st.floats(0.45, 0.55))], [0, focal * draw(st.floats(0.97, 1.03)), side / 2], [0, 0, 1]])
    distortion = (draw(st.floats(-0.05, 0.05)), draw(st.floats(-0.01, 0.01)), draw(st.floats(-1e-3, 1e-3)), 0.0)
    return Fisheye(K, distortion, (side, side), draw(st.floats(60, 120)))


@given(st.one_of(pinholes(), equirects(), fisheyes()), points, st.floats(0.01, 100))
def test_a_ray_of_any_length_returns_to_the_pixel_that_sees_it(projection, places, length):
    assert isinstance(projection, Projection)
    xy = np.array(places) * projection.size
    rays = projection.rays(xy)
    seen = np.isfinite(rays).all(-1)
    if isinstance(projection, Equirect):
        seen &= np.hypot(rays[:, 0], rays[:, 2]) > 1e-6  # at a pole all columns are one direction
        yaw_span = projection.fov_bounds_deg[1] - projection.fov_bounds_deg[0]
        seen &= (yaw_span < 359) | ((xy[:, 0] > 1) & (xy[:, 0] < projection.size[0] - 1))  # both sides of a full turn are the same
    np.testing.assert_allclose(np.linalg.norm(rays[seen], axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(projection.pixels(length * rays[seen]), xy[seen], atol=2e-6)


@given(st.one_of(pinholes(), equirects(), fisheyes()), st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=1, max_size=20))
def test_every_direction_is_imaged_inside_the_picture_or_nowhere(projection, directions):
    d = np.array(directions)
    d = d[np.linalg.norm(d, axis=1) > 1e-3]
    xy = projection.pixels(d)
    known = np.isfinite(xy).all(-1)
    assert np.array_equal(known, np.isfinite(xy).any(-1))
    assert np.all((xy[known] >= 0) & (xy[known] <= projection.size))
    back = projection.rays(xy[known])
    pole = isinstance(projection, Equirect) & (np.hypot(d[known, 0], d[known, 2]) < 1e-4)
    expected = d[known] / np.linalg.norm(d[known], axis=1, keepdims=True)
    off = np.linalg.norm(back - expected, axis=1)
    assert np.all((off < 1e-6) | pole | np.isnan(off) & ~np.isfinite(back).all(1) & (_border(xy[known], projection.size)))


def _border(xy, size):
    return (np.minimum(xy, np.array(size) - xy) < 1e-6).any(-1)


def test_the_optical_axis_of_an_opencv_calibration_lies_half_a_pixel_further():
    K = [[100, 0, 31.5], [0, 100, 23.5], [0, 0, 1]]
    for projection in (Pinhole.from_opencv(K, (64, 48)), Fisheye.from_opencv(K, (0, 0, 0, 0), (64, 48))):
        np.testing.assert_allclose(projection.pixels(np.array([0, 0, 1.0])), [32, 24])


def test_a_distorted_pinhole_agrees_with_opencv():
    cv2 = pytest.importorskip("cv2")
    K = np.array([[458.654, 0, 367.215], [0, 457.296, 248.375], [0, 0, 1]])
    distortion = (-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05)
    rays = np.random.default_rng(0).uniform([-0.7, -0.5, 1], [0.7, 0.5, 1], (200, 3))
    expected = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), K, np.array(distortion))[0][:, 0] + 0.5
    found = Pinhole.from_opencv(K, (752, 480), distortion).pixels(rays)
    inside = np.isfinite(found).all(1)
    assert inside.sum() > 100
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-9)


def test_a_fisheye_agrees_with_opencv():
    cv2 = pytest.importorskip("cv2")
    K, distortion = np.array([[300, 0, 500], [0, 310, 480.0], [0, 0, 1]]), (0.02, -0.006, 0.002, -0.0004)
    rays = np.random.default_rng(0).normal(size=(300, 3))
    rays = rays[rays[:, 2] > 0.05]
    expected = cv2.fisheye.projectPoints(rays[:, None], np.zeros(3), np.zeros(3), K, np.array(distortion))[0][:, 0] + 0.5
    found = Fisheye.from_opencv(K, distortion, (1000, 960)).pixels(rays)
    inside = np.isfinite(found).all(1)
    assert inside.sum() > 100
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-9)


def test_a_fisheye_sees_behind_itself_up_to_its_rim():
    lens = Fisheye(np.array([[100, 0, 250], [0, 100, 250], [0, 0, 1.0]]), (0, 0, 0, 0), (500, 500), half_angle_deg=110)
    at_100, at_111 = (np.array([np.sin(a), 0, np.cos(a)]) for a in np.deg2rad([100, 111]))
    np.testing.assert_allclose(lens.pixels(at_100), [250 + 100 * np.deg2rad(100), 250])
    assert np.isnan(lens.pixels(at_111)).all()


def test_a_ray_past_the_fold_of_a_lens_model_is_not_imaged_a_second_time():
    lens = Pinhole(np.array([[400, 0, 400], [0, 400, 300], [0, 0, 1.0]]), (800, 600), (-0.35, 0.0, 0, 0))
    tangent = 1.6  # the model's radius falls beyond 0.98 and would come back into the picture
    assert np.isnan(lens.pixels(np.array([tangent, 0, 1.0]))).all()


def test_rays_behind_a_pinhole_are_not_imaged():
    eye = Pinhole(np.array([[100, 0, 50], [0, 100, 50], [0, 0, 1.0]]), (100, 100))
    assert np.isnan(eye.pixels(np.array([[0, 0, -1.0], [0.1, 0, 0.0]]))).all()


def test_bounds_on_centres_put_the_first_bound_on_the_centre_of_the_first_pixel():
    eye = Equirect((181, 91), (-90, 90, -45, 45), "centres")
    np.testing.assert_allclose(eye.rays(np.array([0.5, 45.5])), [-1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(eye.rays(np.array([90.5, 90.5])), [0, np.sqrt(0.5), np.sqrt(0.5)], atol=1e-15)


def test_bounds_on_edges_put_the_first_bound_on_the_border():
    eye = Equirect((180, 90), (-90, 90, -45, 45), "edges")
    np.testing.assert_allclose(eye.rays(np.array([0.0, 45.0])), [-1, 0, 0], atol=1e-15)


def test_an_equirect_patch_across_the_back_has_no_seam():
    eye = Equirect((100, 50), (120, 240, -30, 30), "edges")
    behind = np.array([[-0.1, 0, -1], [0, 0, -1], [0.1, 0, -1.0]])
    x = eye.pixels(behind)[:, 0]
    np.testing.assert_allclose(x[1], 50)
    assert x[0] > x[1] > x[2]


def test_straight_up_and_down_are_pixels_and_not_nan():
    eye = Equirect((100, 50), (-90, 90, -90, 90), "edges")
    xy = eye.pixels(np.array([[0, -1.0, 1e-17], [0, 1.0 + 1e-16, 1e-17]]))
    np.testing.assert_allclose(xy[:, 1], [0, 50], atol=1e-9)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Pinhole(np.eye(2), (4, 4)), "3 x 3"),
        (lambda: Pinhole(np.diag([-1.0, 1, 1]), (4, 4)), "positive focal"),
        (lambda: Pinhole(np.eye(3), (4, 4), (0.1, 0.2, 0.3)), "0, 4, 5 or 8"),
        (lambda: Pinhole(np.eye(3), (0, 4)), "0 x 4"),
        (lambda: Equirect((4, 4), (90, -90, -90, 90)), "rising order"),
        (lambda: Equirect((4, 4), (-90, 90, -120, 90)), "tilts between"),
        (lambda: Fisheye(np.eye(3), (0, 0, 0), (4, 4)), "four numbers"),  # type: ignore[arg-type]
        (lambda: Fisheye(np.eye(3), (0, 0, 0, 0), (4, 4), 200), "up to 180"),
    ],
)
def test_impossible_lenses_are_refused_in_a_sentence(make, words):
    with pytest.raises(UserError, match=words):
        make()
