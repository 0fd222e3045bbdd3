"""Scores of cameras and moving points: as published, and right where nothing is known or nothing moves."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.evaluation import cameras, depth_on_tracks, motion_auc, moving_points
from toolkit.evaluation.moving_points import frame_scales
from toolkit.geometry.alignment import align_similarity
from toolkit.geometry.poses import from_rotation
from toolkit.scene import Cameras

PUBLISHED = ("AbsRel", "delta_1", "delta_2", "delta_3")


@pytest.fixture(params=["0_", "1_"])
def case(request, golden):
    with np.load(golden / "tracksto4d" / "metrics.npz") as file:
        return {name.removeprefix(request.param): file[name] for name in file.files if name.startswith(request.param)}


def test_errors_of_the_path_are_as_published(case):
    paths = [Cameras.from_poses(np.eye(3), from_rotation(case[f"R_{who}"], case[f"c_{who}"]), (2, 2)) for who in ("est", "gt")]
    scores = cameras(*paths)
    assert [scores["ate"], scores["rpe_trans"], scores["rpe_rot_deg"]] == pytest.approx(case["pose"], abs=1e-10)
    similarity = align_similarity(case["c_est"], case["c_gt"])
    assert np.abs(similarity.apply_to_poses(paths[0].T_wc)[:, :3] - case["aligned"]).max() <= 1e-10


def test_errors_of_depth_are_as_published(case):
    pred, gt, visible = case["depth_est"].T, case["depth_gt"].T, case["vis"].T
    scores = depth_on_tracks(pred, gt, visible, moving=case["dyn"])
    assert [scores[name] for name in PUBLISHED] == pytest.approx(case["all_absrel_d1_d2_d3"], abs=1e-6)
    assert [scores[f"{name}_moving"] for name in PUBLISHED] == pytest.approx(case["dyn_absrel_d1_d2_d3"], abs=1e-6)
    assert np.abs(frame_scales(pred, gt, visible & (gt > 0)) - case["scales"]).max() <= 1e-6


def test_a_scale_that_drifts_shows_over_the_sequence_only():
    gt = np.random.default_rng(0).uniform(2, 8, (30, 10))
    drifting = gt * np.linspace(1, 2, 10)
    scores = depth_on_tracks(drifting, gt, np.ones(gt.shape, bool))
    assert scores["AbsRel"] < 1e-12 and scores["AbsRel_sequence"] > 0.1 and scores["coverage"] == 1
    assert depth_on_tracks(3 * gt, gt, np.ones(gt.shape, bool))["AbsRel_sequence"] < 1e-12


def test_still_and_moving_points_are_told_apart():
    gt = np.full((4, 5), 2.0)
    pred = gt.copy()
    pred[3] *= 1.5
    scores = depth_on_tracks(pred, gt, np.ones(gt.shape, bool), moving=[False, False, False, True])
    assert scores["AbsRel_static"] == 0 and scores["AbsRel_moving"] == pytest.approx(0.5) and scores["delta_1_moving"] == 0
    assert scores["AbsRel"] == pytest.approx(0.125)


def test_frames_without_samples_are_left_out_and_points_behind_the_camera_are_wrong():
    gt, visible = np.full((3, 4), 2.0), np.ones((3, 4), bool)
    visible[:, 1] = False
    pred = gt.copy()
    pred[0, 0] = -2
    pred[1, 2] = np.nan
    scores = depth_on_tracks(pred, gt, visible, moving=np.zeros(3, bool))
    assert scores["AbsRel"] == pytest.approx(2 / 3 / 3) and scores["delta_3"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert scores["coverage"] == pytest.approx(8 / 9) and np.isnan(scores["AbsRel_moving"])
    nothing = depth_on_tracks(pred, gt, np.zeros_like(visible))
    assert all(np.isnan(value) for value in nothing.values())


def test_motion_is_judged_by_order_alone():
    rng = np.random.default_rng(0)
    levels, moving = rng.normal(size=50).round(1), rng.uniform(size=50) > 0.6
    pairs = [(a > b) + 0.5 * (a == b) for a in levels[moving] for b in levels[~moving]]
    assert motion_auc(levels, moving) == pytest.approx(np.mean(pairs))
    assert motion_auc(np.exp(levels), moving) == motion_auc(levels, moving)
    assert motion_auc([np.nan, 1.0], [True, False]) == 0 and np.isnan(motion_auc([1.0, 2.0], [True, True]))


def test_a_perfect_answer_in_another_unit_and_world_is_perfect():
    rng = np.random.default_rng(0)
    T = np.tile(np.eye(4), (6, 1, 1))
    T[:, :3, 3] = rng.normal(size=(6, 3))
    xyz = rng.normal(size=(9, 6, 3)) + (0, 0, 8)
    K, moving = np.eye(3), np.arange(9) > 6
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    other = T.copy()
    other[:, :3, :3] = turn @ T[:, :3, :3]
    other[:, :3, 3] = 3 * T[:, :3, 3] @ turn.T
    args = (Cameras.from_poses(K, T, (2, 2)), xyz, np.ones((9, 6), bool))
    scores = moving_points(Cameras.from_poses(K, other, (2, 2)), 3 * xyz @ turn.T, *args, motion=moving * 1.0, moving=moving, distance=8.0)
    assert max(scores[k] for k in ("ate_distance", "rpe_rot_deg", "AbsRel", "AbsRel_moving", "AbsRel_sequence")) < 1e-6
    assert scores["motion_auc"] == 1


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(UserError, match=r"Predicted \(3, 4\), true \(3, 5\) and visible \(3, 5\)"):
        depth_on_tracks(np.ones((3, 4)), np.ones((3, 5)), np.ones((3, 5), bool))
    with pytest.raises(UserError, match=r"Motion levels \(3,\) and labels \(2,\)"):
        motion_auc([1, 2, 3], [True, False])
