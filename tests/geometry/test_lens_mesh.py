"""A lens given as a mesh of pixels and directions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.geometry.lens_mesh import LensMesh
from toolkit.geometry.projections import Fisheye, Projection

SIZE = (400, 300)


def strip(columns, rows):
    """The triangle strip that encoders write for a grid: joined rows, with degenerate triangles in between."""
    order = []
    for r in range(rows - 1):
        line = [r * columns + c + k * columns for c in range(columns) for k in (0, 1)]
        order += line if not order else [order[-1], line[0], *line]
    indices = np.array(order)
    return np.stack([indices[:-2], indices[1:-1], indices[2:]], 1)


def mesh_of(lens, columns=40, rows=40, scale=1.0):
    x, y = np.meshgrid(np.linspace(0, SIZE[0], columns), np.linspace(0, SIZE[1], rows))
    xy = np.stack([x.ravel(), y.ravel()], 1)
    return LensMesh(scale * lens.rays(xy), xy, strip(columns, rows), SIZE)


@pytest.fixture(scope="module")
def lens():
    return Fisheye(np.array([[120, 0, 205], [0, 118, 148], [0, 0, 1.0]]), (0.01, -0.002, 0, 0), SIZE, 140)


@pytest.fixture(scope="module")
def mesh(lens):
    return mesh_of(lens)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30), st.floats(0.1, 10))
def test_a_ray_returns_to_the_pixel_that_sees_it(mesh, places, length):
    xy = np.array(places) * SIZE
    rays = mesh.rays(xy)
    assert np.isfinite(rays).all()
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(mesh.pixels(length * rays), xy, atol=1e-6)


def test_a_mesh_is_a_projection(mesh):
    assert isinstance(mesh, Projection)


def test_a_fine_mesh_of_a_lens_sees_what_the_lens_sees(mesh, lens):
    xy = np.random.default_rng(0).uniform(0, 1, (2000, 2)) * SIZE
    angle = np.arccos(np.clip(np.sum(mesh.rays(xy) * lens.rays(xy), 1), -1, 1))
    assert np.rad2deg(angle).max() < 0.1  # flat triangles of 4 degrees


def test_interpolation_is_exact_at_vertices_and_linear_on_flat_triangles():
    mesh = LensMesh(
        [[-1, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 2.0]], [[0, 0], [10, 0], [0, 10], [10, 10]], [[0, 1, 2], [1, 3, 2]], (10, 10)
    )
    np.testing.assert_allclose(mesh.pixels(np.array([-1, -1, 1.0])), [0, 0], atol=1e-9)
    np.testing.assert_allclose(mesh.pixels(np.array([0, -1, 1.0])), [5, 0], atol=1e-9)
    middle = np.array([1, -1, 1.0]) * 0.5 + np.array([1, 1, 2.0]) * 0.5
    np.testing.assert_allclose(mesh.pixels(3 * middle), [10, 5], atol=1e-9)


def test_directions_the_mesh_does_not_reach_are_nowhere(mesh):
    assert np.isnan(mesh.pixels(np.array([0, 0, -1.0]))).all()
    assert np.isnan(mesh.rays(np.array([[-1.0, 5], [np.nan, 5]]))).all()


def test_degenerate_triangles_of_a_strip_are_left_out(mesh):
    assert len(mesh.triangles) == 2 * 39 * 39


def test_impossible_meshes_are_refused_in_a_sentence():
    corners, xy = np.eye(3), np.array([[0, 0], [1, 0], [0, 1.0]])
    with pytest.raises(UserError, match="no triangle"):
        LensMesh(corners, xy, [[0, 1, 1]], (1, 1))
    with pytest.raises(UserError, match="past its vertices"):
        LensMesh(corners, xy, [[0, 1, 3]], (1, 1))
    with pytest.raises(UserError, match=r"\(P, 3\)"):
        LensMesh(corners[:, :2], xy, [[0, 1, 2]], (1, 1))
