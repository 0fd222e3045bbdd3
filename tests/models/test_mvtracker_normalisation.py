"""Normalisation of scenes against the published one, where that is right, and against what it should be."""

import numpy as np
import pytest

from tests.models.mvtracker_weights import arrays
from toolkit.errors import UserError
from toolkit.geometry.alignment import Similarity, align_similarity
from toolkit.models.mvtracker_cloud import View
from toolkit.models.mvtracker_normalisation import (
    CAMERAS_AWAY,
    inverse,
    moved_extrinsics,
    moved_moment,
    moved_queries,
    normalisation,
    published_normalisation,
)


@pytest.mark.parametrize("by_cameras", [True, False])
def test_the_published_normalisation_is_met(golden, by_cameras):
    given = arrays(golden, "auto_norm")
    found = published_normalisation(
        given["depths"][:, 0, 0], given["confs"][:, 0, 0], given["intrs"][:, 0], given["extrs"][:, 0], by_cameras=by_cameras
    )
    assert found.scale == pytest.approx(float(given[f"scale_{by_cameras}"]), abs=1e-6)
    np.testing.assert_allclose(found.t, given[f"trans_{by_cameras}"], atol=1e-6)


def test_scenes_are_moved_as_published(golden):
    given = arrays(golden, "transform_scene")
    by = Similarity(float(given["scale"]), given["rot"].astype(float), given["trans"].astype(float))
    np.testing.assert_allclose(given["depth"] * by.scale, given["out0"], atol=1e-6)
    np.testing.assert_allclose(moved_extrinsics(given["extrs"], by), given["out1"], atol=1e-5)
    np.testing.assert_allclose(moved_queries(given["query"], by), given["out2"], atol=1e-5)
    np.testing.assert_allclose(by(given["traj3d"]), given["out3"], atol=1e-5)
    np.testing.assert_allclose(inverse(by)(by(given["traj3d"])), given["traj3d"], atol=1e-6)
    aligned = align_similarity(given["um_data"], given["um_model"])
    assert aligned.scale == pytest.approx(float(given["um_s"]), abs=1e-9)
    np.testing.assert_allclose(aligned.R, given["um_R"], atol=1e-9)
    np.testing.assert_allclose(aligned.t, given["um_t"], atol=1e-9)
    # Extrinsics that take the scale upon them, so that depth stays as it is.
    np.testing.assert_allclose(moved_extrinsics(given["extrs"][0], aligned) / aligned.scale, given["um_ex_out"], atol=1e-5)


def moment(golden):
    case = arrays(golden, "case_b_inputs")
    return [
        View(case["rgbs"][v, 0], case["depths"][v, 0, 0], case["intrs"][v, 0].astype(float), case["extrs"][v, 0].astype(float))
        for v in range(3)
    ]


def test_cameras_come_to_stand_where_those_of_training_stood(golden):
    views = moment(golden)
    by = normalisation(views)
    moved = moved_moment(views, by)
    R, t = np.stack([view.T_cw[:, :3] for view in moved]), np.stack([view.T_cw[:, 3] for view in moved])
    centres = -np.einsum("vji,vj->vi", R, t)
    np.testing.assert_allclose(np.median(np.linalg.norm(centres, axis=1)), CAMERAS_AWAY, rtol=1e-6)
    assert (centres[:, 2] > 1).all(), "above the floor"
    assert by.R[2, 2] > 0.99, "this scene stood upright before"
    np.testing.assert_allclose(np.linalg.det(R), 1)


def test_any_world_is_brought_to_the_same(golden):
    views = moment(golden)
    turned = Similarity(7.0, align_similarity(*np.random.default_rng(3).normal(size=(2, 9, 3))).R, np.array([3.0, -40, 9]))
    first = moved_moment(views, normalisation(views))
    elsewhere = moved_moment(views, turned)
    second = moved_moment(elsewhere, normalisation(elsewhere))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a.T_cw, b.T_cw, atol=1e-4)
        np.testing.assert_allclose(a.depth, b.depth, rtol=1e-4)


def test_views_without_depth_are_refused(golden):
    views = [View(v.image, v.depth * 0, v.K, v.T_cw) for v in moment(golden)]
    with pytest.raises(UserError, match="No view of the first frame has any depth"):
        normalisation(views)
