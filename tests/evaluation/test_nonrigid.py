"""e3D: frames turned freely, never scaled, never mirrored alone."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.evaluation.nonrigid import nonrigid


@pytest.fixture
def truth():
    return np.random.default_rng(0).normal(size=(9, 5, 3))


def test_turned_and_shifted_frames_have_no_error(truth):
    R = Rotation.from_rotvec(np.random.default_rng(1).normal(size=(5, 3))).as_matrix()
    scores = nonrigid(np.einsum("tij,ntj->nti", R, truth) + np.arange(15).reshape(1, 5, 3), truth)
    assert scores["e3D"] < 1e-12 and scores["e3D_spread"] < 1e-12 and scores["mirrored"] == 0 and scores["coverage"] == 1


def test_a_body_that_is_mirrored_in_all_frames_has_no_error(truth):
    scores = nonrigid(truth * [1, 1, -1], truth)
    assert scores["e3D"] < 1e-12 and scores["mirrored"] == 1


def test_one_mirrored_frame_is_an_error(truth):
    pred = truth.copy()
    pred[:, 2, 2] *= -1
    assert nonrigid(pred, truth)["e3D_worst"] > 0.1


def test_size_counts_unless_it_is_fitted(truth):
    assert nonrigid(1.1 * truth, truth)["e3D"] == pytest.approx(0.1)
    scores = nonrigid(1.1 * truth, truth, scale=True)
    assert scores["e3D"] < 1e-12 and scores["scale"] == pytest.approx(1 / 1.1)


def test_both_definitions_are_as_published(truth):
    pred = truth.copy()
    pred[3, 1] += [0.4, 0, 0]  # changes its frame alone
    scores = nonrigid(pred, truth)
    p, g = pred[:, 1] - pred[:, 1].mean(0), truth[:, 1] - truth[:, 1].mean(0)
    U, _, Vt = np.linalg.svd(p.T @ g)
    error = p @ (U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt) - g
    assert scores["e3D"] == pytest.approx(np.linalg.norm(error) / np.linalg.norm(g) / 5)
    spread = np.mean([truth[:, t].std(0).mean() for t in range(5)])
    assert scores["e3D_spread"] == pytest.approx(np.linalg.norm(error, axis=1).sum() / 45 / spread)


def test_what_is_not_predicted_or_not_known_is_left_out_and_told(truth):
    pred, gt = truth.copy(), truth.copy()
    pred[0, 0] = np.nan
    gt[1] = np.nan
    scores = nonrigid(pred, gt)
    assert scores["e3D"] < 1e-12 and scores["coverage"] == pytest.approx(39 / 40)


def test_shapes_that_do_not_match_and_nothing_to_compare_are_refused(truth):
    with pytest.raises(UserError, match=r"\(9, 4, 3\)"):
        nonrigid(truth[:, :4], truth)
    with pytest.raises(UserError, match="nothing to compare"):
        nonrigid(np.full_like(truth, np.nan), truth)
    with pytest.raises(UserError, match=r"\(9,\)"):
        nonrigid(truth, truth, np.ones(9, bool))
