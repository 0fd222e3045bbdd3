import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.evaluation.cameras import area_under_recall, cameras, compare_rotations
from toolkit.geometry.alignment import Similarity
from toolkit.scene import Cameras

K = np.array([[400.0, 0, 256], [0, 400, 256], [0, 0, 1]])


def _path(frames=20, seed=0) -> Cameras:
    rng = np.random.default_rng(seed)
    T = np.tile(np.eye(4), (frames, 1, 1))
    T[:, :3, :3] = Rotation.from_rotvec(np.cumsum(rng.normal(size=(frames, 3)) * 0.05, 0)).as_matrix()
    T[:, :3, 3] = np.cumsum(rng.normal(size=(frames, 3)) * 0.1 + [0.1, 0, 0], 0)
    return Cameras.from_poses(K, T, (512, 512))


def test_the_true_path_scores_perfectly():
    scores = cameras(_path(), _path())
    assert scores["ate"] < 1e-12 and scores["ate_se3"] < 1e-12 and scores["rpe_trans"] < 1e-12
    assert scores["auc_3"] > 0.999999 and scores["registered"] == 1
    assert abs(scores["scale"] - 1) < 1e-12


@settings(max_examples=30)
@given(scale=st.floats(0.1, 10), turn=st.tuples(*[st.floats(-3, 3)] * 3), shift=st.tuples(*[st.floats(-5, 5)] * 3))
def test_another_world_and_unit_changes_no_aligned_score(scale, turn, shift):
    gt = _path()
    noisy = gt.T_wc.copy()
    noisy[:, :3, 3] += np.random.default_rng(1).normal(size=(20, 3)) * 0.02
    moved = Similarity(scale, Rotation.from_rotvec(turn).as_matrix(), np.array(shift)).apply_to_poses(noisy)
    before, after = cameras(Cameras.from_poses(K, noisy, (512, 512)), gt), cameras(Cameras.from_poses(K, moved, (512, 512)), gt)
    for name in ("ate", "ate_extent", "ate_path", "ate_rot_deg", "rpe_trans", "rpe_rot_deg", "auc_3", "auc_5", "auc_10", "auc_30"):
        assert after[name] == pytest.approx(before[name], rel=1e-5, abs=1e-6)


def test_a_wrong_scale_shows_in_the_rigid_error_alone():
    gt = _path()
    T = gt.T_wc.copy()
    T[:, :3, 3] *= 1.1
    scores = cameras(Cameras.from_poses(K, T, (512, 512)), gt)
    assert scores["ate"] < 1e-12
    assert scores["ate_se3"] > 0.01
    assert scores["scale"] == pytest.approx(1 / 1.1)


def test_the_area_is_exact_where_a_histogram_is_not():
    assert area_under_recall(np.array([0.0, 0.5, 2.9, 40.0]), 3) == pytest.approx((1 + 2.5 / 3 + 0.1 / 3 + 0) / 4)


def test_a_missing_pose_fails_all_its_pairs():
    gt = _path(10)
    T = gt.T_wc.copy()
    T[4] = np.nan
    scores = cameras(Cameras.from_poses(K, T, (512, 512)), gt)
    assert scores["registered"] == pytest.approx(0.9)
    assert scores["auc_30"] == pytest.approx(36 / 45)
    assert scores["ate"] < 1e-12


def test_frames_without_truth_do_not_count():
    gt = _path(10)
    T = gt.T_wc.copy()
    T[:3] = np.nan
    scores = cameras(gt, Cameras.from_poses(K, T, (512, 512)))
    assert scores["registered"] == 1
    assert scores["auc_5"] == pytest.approx(1)


def test_one_wrong_turn_is_one_relative_error():
    gt = _path()
    T = gt.T_wc.copy()
    T[10:, :3, :3] = Rotation.from_rotvec([0, 0, np.deg2rad(2)]).as_matrix() @ T[10:, :3, :3]
    scores = cameras(Cameras.from_poses(K, T, (512, 512)), gt)
    assert scores["rpe_rot_deg"] == pytest.approx(2 / np.sqrt(19), rel=1e-6)


def test_different_lengths_and_an_empty_truth_are_told():
    with pytest.raises(UserError, match="20 predicted cameras came with 10"):
        cameras(_path(20), _path(10))
    with pytest.raises(UserError, match="None of the true cameras"):
        cameras(_path(5), Cameras.from_poses(K, np.full((5, 4, 4), np.nan), (512, 512)))


def test_rotations_are_compared_free_of_both_worlds():
    gt = _path()
    device = Rotation.from_rotvec([0.3, 1.0, -2.0]).as_matrix() @ gt.T_wc[:, :3, :3]
    device[7] = np.nan
    found = compare_rotations(gt, device)
    assert found["max"] < 1e-5
    assert found["residual_deg"][7] is None
    assert found["ratio"] == pytest.approx(1)
    with pytest.raises(UserError, match=r"\(20, 3, 3\) is needed"):
        compare_rotations(gt, device[:5])
