"""Similarity alignment finds the motion that was applied."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.geometry.alignment import Similarity, align_similarity, median_scale
from toolkit.geometry.poses import from_rotation

vectors = arrays(np.float64, 3, elements=st.floats(-5, 5))
clouds = arrays(np.float64, (12, 3), elements=st.floats(-5, 5))


@st.composite
def similarities(draw):
    return Similarity(draw(st.floats(0.05, 20)), Rotation.from_rotvec(draw(vectors)).as_matrix(), draw(vectors))


@given(clouds, similarities())
def test_the_applied_similarity_is_found(cloud, truth):
    assume(np.linalg.svd(cloud - cloud.mean(0))[1][1] > 0.5)  # a line of points leaves the turn about it open
    found = align_similarity(cloud, truth(cloud))
    np.testing.assert_allclose(found(cloud), truth(cloud), atol=1e-6 * truth.scale)
    np.testing.assert_allclose(found.scale, truth.scale, rtol=1e-6)
    np.testing.assert_allclose(found.R @ found.R.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(found.R) > 0


@given(clouds, similarities())
def test_points_and_cameras_move_together(cloud, similarity):
    T_wc = from_rotation(Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix(), np.array([1.0, 2, 3]))
    seen_before = (cloud - T_wc[:3, 3]) @ T_wc[:3, :3]
    moved = similarity.apply_to_poses(T_wc)
    seen_after = (similarity(cloud) - moved[:3, 3]) @ moved[:3, :3]
    np.testing.assert_allclose(seen_after, similarity.scale * seen_before, atol=1e-8 * similarity.scale)


def test_pairs_with_nan_are_left_out():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(20, 3))
    target = 2 * cloud + [1, 2, 3]
    target[4], cloud[7] = np.nan, np.nan
    np.testing.assert_allclose(align_similarity(cloud, target).scale, 2)


def test_without_scale_the_motion_is_rigid():
    cloud = np.random.default_rng(0).normal(size=(20, 3))
    assert align_similarity(cloud, 3 * cloud, with_scale=False).scale == 1


def test_two_points_are_too_few():
    with pytest.raises(UserError, match="Only 2 point pairs"):
        align_similarity(np.zeros((2, 3)), np.zeros((2, 3)))


@given(clouds, st.floats(0.1, 10))
def test_the_median_scale_ignores_unknown_points(cloud, scale):
    assume(np.median(np.linalg.norm(cloud[1:], axis=1)) > 1e-3)
    target = scale * cloud
    target[0] = np.nan
    np.testing.assert_allclose(median_scale(cloud, target), scale)
