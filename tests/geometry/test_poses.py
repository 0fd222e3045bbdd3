"""Rigid motions obey the laws of a group."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from toolkit.geometry.poses import from_rotation, invert, nearest_rotation, rotation_angle_deg, transform, view_rotation

number = st.floats(-10, 10)
vectors = arrays(np.float64, 3, elements=number)


@st.composite
def motions(draw):
    return from_rotation(Rotation.from_rotvec(draw(vectors)).as_matrix(), draw(vectors))


@given(motions(), vectors)
def test_the_inverse_undoes_a_motion(T, xyz):
    np.testing.assert_allclose(transform(invert(T), transform(T, xyz)), xyz, atol=1e-12)
    np.testing.assert_allclose(invert(T) @ T, np.eye(4), atol=1e-12)


@given(motions(), motions(), vectors)
def test_a_product_moves_like_one_after_the_other(A, B, xyz):
    np.testing.assert_allclose(transform(A @ B, xyz), transform(A, transform(B, xyz)), atol=1e-11)


@given(st.lists(motions(), min_size=1, max_size=4))
def test_many_motions_are_inverted_like_one(motions):
    stacked = np.stack(motions)
    np.testing.assert_allclose(invert(stacked), np.stack([invert(T) for T in motions]))


@given(arrays(np.float64, 3, elements=st.floats(-1, 1)), st.floats(1e-7, np.pi))
def test_the_angle_of_a_turn_is_found_even_when_it_is_tiny(axis, angle):
    if np.linalg.norm(axis) < 1e-3:
        axis = np.array([0, 0, 1.0])
    R = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix()
    np.testing.assert_allclose(rotation_angle_deg(R), np.rad2deg(angle), rtol=1e-6, atol=1e-9)


@given(vectors, st.floats(0.1, 10), arrays(np.float64, (3, 3), elements=st.floats(-1e-6, 1e-6)))
def test_the_nearest_rotation_is_a_rotation_and_forgets_scale_and_noise(turn, scale, noise):
    R = Rotation.from_rotvec(turn).as_matrix()
    found = nearest_rotation(scale * (R + noise))
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(found) > 0
    np.testing.assert_allclose(found, R, atol=1e-5)


def test_the_nearest_rotation_of_a_reflection_is_no_reflection():
    assert np.linalg.det(nearest_rotation(np.diag([1.0, 1.0, -1.0]))) > 0


def test_a_view_turned_right_and_up_looks_right_and_up():
    forward = view_rotation(30, 20) @ [0, 0, 1.0]
    np.testing.assert_allclose(np.rad2deg([np.arctan2(forward[0], forward[2]), -np.arcsin(forward[1])]), [30, 20])
