"""Scores of multi-view tracks against the published table of one sequence."""

import json

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.evaluation import mvtracker_scores, mvtracker_tracks, tracks_2d, tracks_3d
from toolkit.scene import Tracks2D

SCALES = {"1.000000": 1.0, "0.800000": 0.8, "0.166667": 1 / 6, "0.400000": 0.4, "1": 1.0}


@pytest.fixture(scope="module")
def sequence(golden):
    """Arrays of the golden sequence, track-major."""
    with np.load(golden / "mvtracker" / "metrics_inputs.npz") as file:
        arrays = dict(file)
    major = ("gt_tracks", "gt_vis", "pred_tracks", "pred_vis", "gt_tracks_2d", "pred_tracks_2d")
    return arrays | {name: np.swapaxes(arrays[name], 0, 1) for name in major}


@pytest.fixture(scope="module")
def table(golden):
    return json.loads((golden / "mvtracker" / "metrics_expected.json").read_text())


def test_every_number_of_the_published_tables_is_met(sequence, table):
    settings = [name for name in table if name != "tapvid_original_2d"]
    assert len(settings) == 7
    for setting in settings:
        benchmark, *options = setting.split("|")
        scale = SCALES[options[0].removeprefix("scale=")] if options else 1.0
        flat = "_2d" if benchmark in ("tapvid2d", "2dpt_ablation") else ""
        asked = None if "default-queries" in options else sequence[f"query_points{flat}"][:, 0]
        pred, gt = sequence[f"pred_tracks{flat}"] * scale, sequence[f"gt_tracks{flat}"] * scale
        found = mvtracker_scores(pred, sequence["pred_vis"], gt, sequence["gt_vis"], asked, benchmark=benchmark)
        assert set(found) == set(table[setting]), setting
        for name, wanted in table[setting].items():
            assert found[name] == pytest.approx(wanted, abs=0.0051, nan_ok=True), (setting, name)  # the table has two digits


def test_every_number_of_every_track_is_met(sequence):
    found, kept = mvtracker_tracks(
        sequence["pred_tracks"], sequence["pred_vis"], sequence["gt_tracks"], sequence["gt_vis"], sequence["query_points"][:, 0],
        benchmark="kubric-multiview",
    )  # fmt: skip
    assert np.array_equal(kept, sequence["kept_tracks"])
    published = {name[3:].removesuffix("_per_track"): value for name, value in sequence.items() if name.startswith("pt_")}
    assert set(published) == set(found)
    for name, wanted in published.items():
        np.testing.assert_allclose(found[name], wanted, atol=1e-6, err_msg=name)


def test_pixels_are_scored_as_in_tap_vid(sequence, table):
    asked = sequence["query_points_2d"]
    ones = np.ones(sequence["gt_vis"].shape, np.float32)
    pred = Tracks2D(sequence["pred_tracks_2d"], sequence["pred_vis"], ones, asked)
    found = tracks_2d(pred, Tracks2D(sequence["gt_tracks_2d"], sequence["gt_vis"], ones, asked), size=(256, 256))
    wanted = table["tapvid_original_2d"]
    assert found["AJ"] == pytest.approx(100 * wanted["average_jaccard"], abs=1e-4)
    assert found["delta_avg"] == pytest.approx(100 * wanted["average_pts_within_thresh"], abs=1e-4)
    assert found["OA"] == pytest.approx(100 * wanted["occlusion_accuracy"], abs=1e-4)


def test_the_protocol_has_the_headlines_of_the_paper(sequence, table):
    scores = tracks_3d(
        sequence["pred_tracks"], sequence["gt_tracks"], sequence["gt_vis"], protocol="mvtracker", pred_visible=sequence["pred_vis"],
        query_frames=sequence["query_points"][:, 0], benchmark="kubric-multiview",
    )  # fmt: skip
    wanted = table["kubric-multiview|scale=1.000000"]
    assert scores["AJ"] == pytest.approx(wanted["average_jaccard__dynamic-static-mean"], abs=0.0051)
    assert scores["survival"] == pytest.approx(wanted["survival__dynamic-static-mean"], abs=0.0051)
    assert 100 * scores["MTE"] == pytest.approx(wanted["mte_visible__dynamic-static-mean"], abs=0.0051)
    assert scores["scale"] == 1.0


def test_missing_samples_are_misses():
    gt = np.zeros((1, 5, 3)) + np.arange(5)[None, :, None]
    seen = np.ones((1, 5), bool)
    half = np.where(np.arange(5)[None, :, None] % 2, np.nan, gt)
    whole, gaps = (tracks_3d(pred, gt, seen, protocol="mvtracker") for pred in (gt, half))
    assert whole["AJ"] == whole["APD"] == whole["survival"] == 100 and whole["ATE"] == 0
    assert gaps["APD"] == gaps["AJ"] == 50 and gaps["survival"] == 20 and gaps["ATE"] == 0


def test_an_unknown_benchmark_and_other_shapes_are_refused():
    with pytest.raises(UserError, match="no benchmark 'davis'; there are kubric-multiview"):
        mvtracker_scores(np.zeros((1, 2, 3)), np.ones((1, 2)), np.zeros((1, 2, 3)), np.ones((1, 2)), benchmark="davis")
    with pytest.raises(UserError, match=r"said visible \(2, 1\)"):
        mvtracker_scores(np.zeros((1, 2, 3)), np.ones((2, 1)), np.zeros((1, 2, 3)), np.ones((1, 2)))
