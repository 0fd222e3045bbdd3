"""World points and pixels of pinhole cameras."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.geometry.cameras import checked_intrinsics, intrinsics_from_fov, project, unproject
from toolkit.geometry.poses import from_rotation
from toolkit.geometry.projections import Pinhole

vectors = arrays(np.float64, 3, elements=st.floats(-5, 5))
sizes = st.tuples(st.integers(2, 2000), st.integers(2, 2000))


@st.composite
def cameras(draw):
    K = intrinsics_from_fov(draw(st.floats(5, 150)), draw(sizes))
    return K, from_rotation(Rotation.from_rotvec(draw(vectors)).as_matrix(), draw(vectors))


@given(cameras(), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 100))
def test_a_pixel_with_depth_comes_back_from_the_world(camera, u, v, depth):
    K, T_wc = camera
    xy = np.array([u, v]) * 2 * K[:2, 2]
    found, z = project(unproject(xy, np.array(depth), K, T_wc), K, T_wc)
    np.testing.assert_allclose(found, xy, atol=1e-6 * K[0, 0])
    np.testing.assert_allclose(z, depth, rtol=1e-9, atol=1e-12)


@given(cameras(), arrays(np.float64, (7, 3), elements=st.floats(-20, 20)))
def test_points_behind_a_camera_have_no_pixel_and_negative_depth(camera, xyz):
    K, T_wc = camera
    xy, z = project(xyz, K, T_wc)
    assert np.array_equal(np.isnan(xy).all(-1), z <= 0)


@given(st.floats(1, 170), sizes)
def test_the_borders_of_an_image_see_half_the_field_of_view(fov_deg, size):
    eye = Pinhole(intrinsics_from_fov(fov_deg, size), size)
    x, _, z = eye.rays(np.array([size[0], size[1] / 2]))
    np.testing.assert_allclose(np.rad2deg(np.arctan2(x, z)), fov_deg / 2, atol=1e-9)


@pytest.mark.parametrize("fov_deg", [0, -10, 180, 400])
def test_an_impossible_field_of_view_is_refused(fov_deg):
    with pytest.raises(UserError, match="between 0 and 180"):
        intrinsics_from_fov(fov_deg, (10, 10))


def test_intrinsics_of_a_camera_in_pixels_are_kept():
    K = np.array([[440.0, 0.5, 256], [0, 441, 250], [0, 0, 1]])
    assert checked_intrinsics(K, "K") is K


@pytest.mark.parametrize(
    ("K", "words"),
    [
        ([[0.9, 0, 0.5], [0, 0.9, 0.5], [0, 0, 1]], r"^K has focal lengths 0.9 and 0.9 .* must be in pixels"),
        ([[440, 0, 256], [0, np.nan, 256], [0, 0, 1]], "focal lengths above 0"),
        ([[440, 0, 256], [0, -440, 256], [0, 0, 1]], "focal lengths above 0"),
        ([[440, 0, 256], [0, 440, 256], [0, 0, 2]], "focal lengths above 0"),
        ([[440, 0, 0], [0, 440, 0], [256, 256, 1]], "focal lengths above 0"),
    ],
)
def test_what_is_no_camera_in_pixels_is_refused(K, words):
    with pytest.raises(UserError, match=words):
        checked_intrinsics(np.array(K, float), "K")
