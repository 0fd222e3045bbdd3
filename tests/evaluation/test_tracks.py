"""Scores of point tracks, checked by hand-made cases and against the published implementation."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.evaluation import keypoint_transfer, tracks_2d, tracks_3d
from toolkit.scene import Tracks2D

SIZE = (512, 512)


def _tracks(xy, visible, query_frame=0):
    xy = np.asarray(xy, np.float32)
    queries = np.concatenate([np.full((len(xy), 1), query_frame), np.nan_to_num(xy[:, query_frame])], axis=1)
    return Tracks2D(xy, np.asarray(visible, bool), np.ones(xy.shape[:2], np.float32), queries.astype(np.float32))


def test_a_perfect_prediction_scores_one_hundred():
    xy = np.random.default_rng(0).uniform(0, 512, (5, 9, 2))
    visible = np.ones((5, 9), bool)
    scores = tracks_2d(_tracks(xy, visible), _tracks(xy, visible), size=SIZE)
    assert {scores[k] for k in ("delta_avg", "AJ", "OA", "delta_1", "delta_16")} == {100.0}


def test_an_error_exactly_at_a_threshold_does_not_count():
    xy = np.full((1, 3, 2), 100.0)
    off = xy + [4.0, 0.0]  # 2 px on the 256 raster
    scores = tracks_2d(_tracks(off, np.ones((1, 3))), _tracks(xy, np.ones((1, 3))), size=SIZE)
    assert (scores["delta_1"], scores["delta_2"], scores["delta_4"]) == (0.0, 0.0, 100.0)
    assert scores["delta_avg"] == pytest.approx(60.0)


def test_frames_up_to_the_query_do_not_count():
    xy = np.full((1, 4, 2), 100.0)
    wrong_before = xy.copy()
    wrong_before[:, :2] = 0
    scores = tracks_2d(_tracks(wrong_before, [[0, 0, 1, 1]]), _tracks(xy, np.ones((1, 4)), query_frame=1), size=SIZE)
    assert scores["delta_avg"] == 100.0 and scores["OA"] == 100.0


def test_jaccard_counts_misses_false_alarms_and_wrong_places():
    # Four frames after the query: right, missed, wrong place, and a false alarm where the truth is hidden.
    gt = np.full((1, 5, 2), 100.0)
    pred = gt.copy()
    pred[0, 3] += 100.0
    scores = tracks_2d(_tracks(pred, [[1, 1, 0, 1, 1]]), _tracks(gt, [[1, 1, 1, 1, 0]]), size=SIZE)
    # One true positive; three true samples; two claims that are wrong -> 1 / (3 + 2).
    assert scores["AJ"] == pytest.approx(20.0)
    assert scores["OA"] == pytest.approx(50.0)
    assert scores["delta_avg"] == pytest.approx(200 / 3)


def test_each_axis_is_scaled_to_the_raster_by_itself():
    gt = np.full((1, 2, 2), 50.0)
    pred = gt + [[[0, 0], [7.0, 0.0]]]
    wide = tracks_2d(_tracks(pred, np.ones((1, 2))), _tracks(gt, np.ones((1, 2))), size=(1024, 256))
    assert wide["delta_2"] == 100.0 and wide["delta_1"] == 0.0


def test_tracks_of_different_shapes_are_refused():
    a, b = _tracks(np.ones((2, 3, 2)), np.ones((2, 3))), _tracks(np.ones((2, 4, 2)), np.ones((2, 4)))
    with pytest.raises(UserError, match="both must be alike"):
        tracks_2d(a, b, size=SIZE)


def test_keypoint_transfer_judges_by_the_size_of_the_animal():
    gt = np.zeros((1, 3, 2))
    pred = np.array([[[0, 0], [19.0, 0], [21.0, 0]]])
    assert keypoint_transfer(pred, gt, [[0, 1, 1]], mask_areas=[10000.0] * 3) == 50.0


def test_worldtrack_scores_equal_the_published_ones(golden):
    with np.load(golden / "st4rtrack" / "apd_epe_small.npz") as f:
        cases = {k.split("/")[0] for k in f.files}
        assert cases
        for case in sorted(cases):
            gt, pred = (np.swapaxes(f[f"{case}/{k}"], 0, 1) for k in ("gt", "pred"))
            scores = tracks_3d(pred, gt, np.ones(gt.shape[:2], bool))
            assert scores["APD"] / 100 == pytest.approx(float(f[f"{case}/global/apd"]), abs=1e-12), case
            assert scores["EPE"] == pytest.approx(float(f[f"{case}/global/epe"]), rel=1e-6), case
            assert scores["scale"] == pytest.approx(float(f[f"{case}/global/s"]), rel=1e-6), case


def test_a_missing_prediction_lowers_apd_and_leaves_epe():
    gt = np.random.default_rng(1).normal(size=(10, 8, 3))
    pred = gt.copy()
    pred[:5] = np.nan
    scores = tracks_3d(pred, gt, np.ones((10, 8), bool), align="none")
    assert scores["APD"] == 50.0 and scores["EPE"] == 0.0


def test_sim3_undoes_a_similarity():
    gt = np.random.default_rng(2).normal(size=(10, 8, 3))
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    scores = tracks_3d(gt @ turn.T * 0.5 + 3, gt, np.ones((10, 8), bool), align="sim3")
    assert scores["APD"] == 100.0 and scores["scale"] == pytest.approx(2.0)


@pytest.mark.parametrize("options", [{"protocol": "tapvid3d"}, {"align": "affine"}])
def test_unknown_protocols_and_alignments_name_what_there_is(options):
    points = np.ones((2, 2, 3))
    with pytest.raises(UserError, match="worldtrack|median_scale"):
        tracks_3d(points, points, np.ones((2, 2), bool), **options)
