"""WorldTrack: the published figures to the last digit in its own mode, right ones in the other."""

import json

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.evaluation.cameras import cameras
from toolkit.evaluation.worldtrack import (
    aggregate,
    evaluate,
    point_scores,
    read_pointmaps,
    reconstruction_scores,
    sequence_scores,
    track_sequence,
    trivial_predictions,
)
from toolkit.evaluation.worldtrack_alignment import Alignment, aligned, ransac_similarity, similarity
from toolkit.scene import Cameras

NAMES: dict[str, Alignment] = {"global": "median_scale", "per_traj": "per_track", "sim3_closed": "sim3"}


def _cases(file):
    return sorted({key.split("/")[0] for key in file.files if "/" in key and not key.startswith("names")})


@pytest.fixture(scope="module")
def tracks(golden):
    """Sequences and predictions of the published evaluator's run, and what it printed."""
    with np.load(golden / "st4rtrack" / "worldtrack_eval_tracks.npz") as f:
        arrays = {key: f[key] for key in f.files}
    names = list(dict.fromkeys(key.split("/")[1] for key in arrays if key.startswith("track/")))
    found = []
    for name in names:
        one = {key.rsplit("/", 1)[1]: value for key, value in arrays.items() if key.startswith(f"track/{name}/")}
        sequence = track_sequence(name, one["tracks_XYZ"], one["fx_fy_cx_cy"], one["visibility"], one.get("extrinsics_w2c"))
        found.append((sequence, one))
    return found, json.loads((golden / "st4rtrack" / "worldtrack_eval.json").read_text())


@pytest.mark.parametrize("theirs", NAMES)
def test_apd_and_epe_equal_the_published_ones_under_every_alignment(golden, theirs):
    with np.load(golden / "st4rtrack" / "apd_epe.npz") as f:
        cases = sorted({key.split("/")[0] for key in f.files if f"/{theirs}/apd" in key})
        assert len(cases) >= 10
        for case in cases:
            gt, pred = (np.swapaxes(f[f"{case}/{name}"], 0, 1) for name in ("gt", "pred"))
            found = point_scores(aligned(pred, gt, NAMES[theirs], published=True), gt)
            single = gt.dtype == np.float32 or f[f"{case}/pred"].dtype == np.float32
            assert found["APD"] == pytest.approx(float(f[f"{case}/{theirs}/apd"]), abs=1e-12), case
            assert [found[f"APD_{t}"] for t in (0.1, 0.3, 0.5, 1.0)] == pytest.approx(f[f"{case}/{theirs}/fractions"], abs=1e-12), case
            assert found["EPE"] == pytest.approx(float(f[f"{case}/{theirs}/epe"]), rel=1e-6 if single else 1e-9), case


def test_distances_on_a_threshold_count_as_within(golden):
    with np.load(golden / "st4rtrack" / "apd_epe.npz") as f:
        keys = [key for key in f.files if key.startswith("boundary/")]
        assert {"boundary/gt", "boundary/pred"} <= set(keys)
        found = point_scores(f["boundary/pred"], f["boundary/gt"])
        theirs = next(key for key in keys if key.endswith("apd"))
        assert found["APD"] == pytest.approx(float(f[theirs]), abs=1e-12)


def test_similarities_equal_the_published_ones_and_are_right_where_those_are_not(golden):
    with np.load(golden / "st4rtrack" / "sim3_closed.npz") as f:
        cases = _cases(f)
        too_large = 0
        for case in cases:
            for published, suffix in ((True, ""), (False, "_umeyama")):
                s, R, t = similarity(f[f"{case}/A"], f[f"{case}/B"], published=published)
                assert s == pytest.approx(float(f[f"{case}/s{suffix}"]), rel=1e-9), case
                assert np.allclose(R, f[f"{case}/R{suffix}"], atol=1e-9) and np.allclose(t, f[f"{case}/t{suffix}"], atol=1e-9)
            too_large += float(f[f"{case}/s"]) > 1.05 * float(f[f"{case}/s_umeyama"])
        assert too_large == 3


def test_outliers_do_not_move_the_ransac_similarity(golden):
    with np.load(golden / "st4rtrack" / "sim3_ransac.npz") as f:
        for case in _cases(f):
            s, R, t = ransac_similarity(f[f"{case}/A"], f[f"{case}/B"])
            assert s == pytest.approx(float(f[f"{case}/s"]), rel=1e-9)
            assert np.allclose(R, f[f"{case}/R"], atol=1e-9) and np.allclose(t, f[f"{case}/t"], atol=1e-9)


def test_sequences_are_read_as_by_the_published_loader(tracks):
    for sequence, given in tracks[0]:
        first = given["visibility"][0]
        assert np.allclose(sequence.xyz_w.swapaxes(0, 1), given["loader_world"][:, first], atol=1e-9)
        assert np.allclose(sequence.uv, given["loader_uv"][0, first], atol=1e-9)
        assert np.allclose(sequence.T_cw, given["loader_w2c"], atol=1e-12)


@pytest.mark.parametrize(("which", "frames"), [("track", None), ("track_first6", 6)])
def test_a_whole_evaluation_prints_what_the_published_one_does(tracks, which, frames):
    rows = []
    for (sequence, given), theirs in zip(tracks[0], tracks[1][which]["per_sequence"], strict=True):
        size = (int(given["image_wh"][0]), int(given["image_wh"][1]))
        pred, gt, _ = read_pointmaps(sequence, given["pred"][:frames], size, "published")
        row = sequence_scores(pred, gt, mode="published")
        for mine, name in (("median_scale/all", "global"), ("per_track/all", "pertraj"), ("sim3/all", "sim3_closed")):
            assert row[mine]["APD"] == pytest.approx(theirs[f"avg_pts_{name}"], abs=1e-9)
            assert row[mine]["EPE"] == pytest.approx(theirs[f"epe_{name}"], abs=1e-5)
        rows.append(row)
    told, theirs = aggregate(rows, mode="published"), tracks[1][which]["returned"]
    expected = list(theirs.values()) if isinstance(theirs, dict) else theirs
    assert told["median_scale/all"]["APD"] == pytest.approx(expected[0], abs=1e-9)
    assert told["sim3/dynamic"]["APD"] == pytest.approx(expected[4], abs=1e-9)
    assert [told[f"{how}/all"]["EPE"] for how in ("median_scale", "per_track")] == pytest.approx(expected[5:7], abs=1e-5)


def test_means_of_what_few_sequences_have_are_not_divided_by_all(tracks):
    rows = []
    for sequence, given in tracks[0]:
        pred, gt, seen = read_pointmaps(sequence, given["pred"], tuple(given["image_wh"].tolist()), "published")
        rows.append(sequence_scores(pred, gt, seen, mode="published"))
    published, exact = (aggregate(rows, mode=mode)["median_scale/dynamic"] for mode in ("published", "exact"))
    assert published["EPE"] == pytest.approx(0.1128, abs=5e-5) and exact["EPE"] == pytest.approx(0.1693, abs=5e-5)
    low, high = aggregate(rows, mode="exact")["median_scale/all"]["APD_interval"]
    assert low < aggregate(rows, mode="exact")["median_scale/all"]["APD"] < high
    assert {"median_scale/visible", "median_scale/hidden"} <= set(rows[0])


def test_reconstructions_score_as_published(golden, tracks):
    with np.load(golden / "st4rtrack" / "worldtrack_eval_recon.npz") as f:
        theirs = tracks[1]["recon"]["per_sequence"][1]
        found = reconstruction_scores(
            f["recon/r1/pred"], f["recon/r1/depth_map"], f["recon/r1/fx_fy_cx_cy"], f["recon/r1/extrinsics_w2c"], mode="published"
        )
    for mine, name in (("median_scale/all", "global"), ("sim3/all", "sim3_closed")):
        assert found[mine]["APD"] == pytest.approx(theirs[f"avg_pts_{name}"], abs=2e-5)
        assert found[mine]["EPE"] == pytest.approx(theirs[f"epe_{name}"], abs=1e-5)


def test_camera_errors_equal_the_published_ones(golden):
    from scipy.spatial.transform import Rotation

    with np.load(golden / "st4rtrack" / "ate_rpe.npz") as f:
        cases = _cases(f)
        for case in cases:
            if not np.isfinite(f[f"{case}/ate_rmse"]):
                continue
            paths = []
            for who in ("est", "gt"):
                pose = f[f"{case}/{who}_xyz_wxyz"]
                T = np.tile(np.eye(4), (len(pose), 1, 1))
                T[:, :3, :3] = Rotation.from_quat(pose[:, [4, 5, 6, 3]]).as_matrix()
                T[:, :3, 3] = pose[:, :3]
                paths.append(Cameras.from_poses(np.eye(3), T, (2, 2)))
            found = cameras(*paths)
            assert found["ate"] == pytest.approx(float(f[f"{case}/ate_rmse"]), abs=1e-6), case
            assert found["rpe_trans"] == pytest.approx(float(f[f"{case}/rpe_trans_rmse"]), abs=1e-6), case
            assert found["rpe_rot_deg"] == pytest.approx(float(f[f"{case}/rpe_rot_deg_rmse"]), abs=1e-6), case


def test_trivial_answers_are_scored_like_any_other(tracks):
    sequence, given = tracks[0][0]
    answers = trivial_predictions(sequence, given["fx_fy_cx_cy"])
    assert np.allclose(answers["true depth, no motion"][:, 0], sequence.xyz_w[:, 0])
    told = evaluate([sequence], lambda s: answers["true depth, no motion"])
    assert json.loads(json.dumps(told))["mode"] == "exact"
    perfect = evaluate([sequence], lambda s: s.xyz_w)
    assert perfect["mean"]["median_scale/all"]["EPE"] < 1e-9 < told["mean"]["median_scale/all"]["EPE"]


def test_wrong_shapes_and_alignments_are_told():
    points = np.ones((2, 3, 3))
    with pytest.raises(UserError, match="must both be"):
        sequence_scores(points, points[:1])
    with pytest.raises(UserError, match="There is no alignment 'affine'"):
        sequence_scores(points, points, alignments=("affine",))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"\(T, N, 3\) and \(T, N\)"):
        track_sequence("a", points, [1, 1, 1, 1], np.ones((2, 2), bool))
