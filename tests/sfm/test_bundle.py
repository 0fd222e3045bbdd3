"""Bundle adjustment of tracks, on generated scenes whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.spatial.transform import Rotation

from toolkit.sfm.bundle import Beliefs, State, adjust
from toolkit.sfm.bundle_single import intersect, resect, track_scales
from toolkit.sfm.bundle_terms import linearise, moved, residuals, robust_cost

T, N = 8, 40


@pytest.fixture
def truth():
    rng = np.random.default_rng(3)
    R = Rotation.from_rotvec(0.1 * rng.normal(size=(T, 3))).as_matrix()
    c = np.column_stack([np.linspace(-0.4, 0.4, T), 0.1 * rng.normal(size=T), 0.1 * rng.normal(size=T)])
    return State(R, c, np.column_stack([rng.uniform(-0.6, 0.6, (N, 2)), rng.uniform(0.8, 2.0, N)]), 0.1)


@pytest.fixture
def seen(truth):
    Y = np.einsum("tji,tnj->tni", truth.R, truth.X[None] - truth.c[:, None])
    weight = (np.random.default_rng(1).uniform(size=(T, N)) > 0.1).astype(float)
    return truth.factor * Y[..., :2] / Y[..., 2:], weight


def off(state, by=0.02):
    rng = np.random.default_rng(5)
    turn = Rotation.from_rotvec(by * rng.normal(size=(T, 3))).as_matrix()
    return State(
        state.R @ turn, state.c + by * rng.normal(size=(T, 3)), state.X * np.exp(5 * by * rng.normal(size=(N, 1))), state.log_focal
    )


def shape_error(found, truth):
    """Distance of the centres after a similarity, by the length of the path."""
    a, b = (s.c - s.c.mean(0) for s in (found, truth))
    U, S, Vt = np.linalg.svd(a.T @ b)
    Q = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    scale = (S * [1, 1, np.linalg.det(U @ Vt)]).sum() / (a**2).sum()
    return np.linalg.norm(scale * a @ Q - b, axis=1).max()


def test_the_gradient_is_that_of_the_loss(truth, seen):
    uv, weight = seen
    start, scale = off(truth), np.full(N, 0.03)
    size = 6 * T + 3 * N + 1

    def loss(step):
        R, c, r2 = np.empty_like(start.R), np.empty_like(start.c), np.empty((T, N))
        moved(start.R, start.c, step[: 6 * T].reshape(T, 6), R, c)
        residuals(R, c, start.X + step[6 * T : -1].reshape(N, 3), np.exp(start.log_focal + step[-1]), uv, r2)
        return robust_cost(r2, weight, scale)

    U, gA, V, gX, W = np.empty((T, 6, 6)), np.empty((T, 6)), np.empty((N, 3, 3)), np.empty((N, 3)), np.empty((T, N, 6, 3))
    FA, FX, ff = np.empty((T, 6)), np.empty((N, 3)), np.empty(2)
    linearise(start.R, start.c, start.X, start.factor, uv, weight, scale, U, gA, V, gX, W, FA, FX, ff)
    half = np.concatenate([gA.ravel(), gX.ravel(), ff[1:]])
    np.testing.assert_allclose(2 * half, np.asarray(approx_fprime(np.zeros(size), loss, 1e-7)), rtol=2e-3, atol=2e-3)


def test_cameras_and_points_come_back_from_a_start_that_is_off(truth, seen):
    uv, weight = seen
    found, loss = adjust(off(truth), uv, weight, 0.01, steps=60, tolerance=0, beliefs=Beliefs(focal_sigma=1e6))
    assert loss < 1e-8
    assert shape_error(found, truth) < 1e-4


def test_outliers_move_the_cameras_little(truth, seen):
    uv, weight = seen
    wrong = np.random.default_rng(2).uniform(size=(T, N)) < 0.1
    found, _ = adjust(off(truth, 0.01), uv + 0.2 * wrong[..., None], weight, 0.003, steps=60)
    assert shape_error(found, truth) < 2e-3


def test_the_focal_length_is_found(truth, seen):
    uv, weight = seen
    start = replace(off(truth), log_focal=0.0)
    found, _ = adjust(start, uv, weight, 0.003, steps=200, tolerance=0, free_focal=True, beliefs=Beliefs(focal_sigma=10.0))
    assert found.log_focal == pytest.approx(truth.log_focal, abs=2e-3)


def test_cameras_that_are_not_free_stay(truth, seen):
    uv, weight = seen
    start = replace(off(truth), R=truth.R.copy(), c=truth.c.copy())
    start.c[3] += 0.05
    found, _ = adjust(start, uv, weight, 0.01, free=np.array([3]), steps=30, beliefs=Beliefs(focal_sigma=1e6))
    still = np.arange(T) != 3
    np.testing.assert_array_equal(found.c[still], truth.c[still])
    np.testing.assert_allclose(found.c[3], truth.c[3], atol=1e-4)


def test_a_belief_holds_points_that_nothing_else_does(truth, seen):
    uv, weight = seen
    alone = weight.copy()
    alone[1:, 0] = 0.0
    believed = truth.X.copy()
    believed[0] *= 1.5
    beliefs = Beliefs(X=believed, weight=np.full(N, 1e-3), focal_sigma=1e6)
    found, _ = adjust(truth, uv, alone, 0.01, steps=50, beliefs=beliefs)
    nearer, farther = (np.linalg.norm(X[0] - believed[0]) for X in (found.X, truth.X))
    assert nearer < 0.5 * farther
    assert found.errors(uv)[0, 0] < 1e-8, "and stays on the ray of the one camera that sees it"


def test_one_camera_and_one_point_come_back_alone(truth, seen):
    uv, weight = seen
    start, scale = off(truth), np.full(N, 0.02)
    R, c, cost = start.R.copy(), start.c.copy(), np.empty(T)
    resect(R, c, truth.X, truth.factor, uv, weight, scale, 50, cost)
    np.testing.assert_allclose(c, truth.c, atol=1e-4)
    X, cost = start.X.copy(), np.empty(N)
    intersect(truth.R, truth.c, X, truth.factor, uv, weight, scale, 100, cost)
    np.testing.assert_allclose(X, truth.X, atol=2e-3)


def test_the_scale_of_a_track_minimises_its_likelihood():
    rng = np.random.default_rng(0)
    r2 = rng.standard_cauchy((60, 3)) ** 2 * np.array([1.0, 25.0, 1e-8])
    scale = np.empty(3)
    track_scales(r2, np.ones_like(r2), 0.01, 60, scale)
    assert scale[2] == pytest.approx(0.01), "never under the floor"
    for column in range(2):

        def loss(g, column=column):
            return np.log(g + r2[:, column] / g).mean()

        assert loss(scale[column]) <= min(loss(0.98 * scale[column]), loss(1.02 * scale[column]))
