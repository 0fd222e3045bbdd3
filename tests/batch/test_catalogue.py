"""A table about many annotations tells what is in them, and only of those that are asked for."""

import csv
import json
import sys

import numpy as np
import pytest

import toolkit as tk
from toolkit.batch.catalogue import COLUMNS, catalogue, describe

STEP_M, FPS = 0.05, 10


def annotation(path, *, frames=40, jump_m=0.0, moving=0.25, tracks=120):
    """A camera that walks ahead by 5 cm a frame; some points run across at 1 m/s, the others stand 5 m before its start."""
    T_wc = np.tile(np.eye(4), (frames, 1, 1))
    T_wc[:, 2, 3] = STEP_M * np.arange(frames)
    T_wc[frames // 2 :, 0, 3] += jump_m
    K = np.array([[443.4, 0, 256], [0, 443.4, 256], [0, 0, 1]])
    xyz = np.random.default_rng(0).uniform([-1, -1, 5], [1, 1, 5], (tracks, 1, 3)).repeat(frames, 1)
    runs = np.arange(tracks) < moving * tracks
    xyz[runs, :, 0] += np.arange(frames) / FPS
    seen = np.ones((tracks, frames), bool)
    still = np.zeros(tracks, np.float32)
    scene = tk.Scene(
        cameras=tk.Cameras.from_poses(K, T_wc, (512, 512)),
        tracks_3d=tk.Tracks3D(xyz.astype(np.float32), seen, np.zeros((tracks, 3), np.uint8), still),
        method="stereo4d",
        unit="metre",
        report={"timestamps_us": [int(2e6 + 1e6 / FPS * t) for t in range(frames)], "video_id": "abc"},
    )
    return tk.save_dataset_npz(scene, path)


def test_numbers_are_those_of_the_scene(tmp_path):
    row = describe(annotation(tmp_path / "a.npz"))
    assert list(row) == list(COLUMNS)
    assert (row["clip"], row["video_id"], row["frames"], row["tracks"], row["track_frames"]) == ("a", "abc", 40, 120, 40)
    assert row["start_s"] == pytest.approx(2.0) and row["fps"] == pytest.approx(10) and row["duration_s"] == pytest.approx(3.9)
    assert row["moving_share"] == pytest.approx(0.25) and row["speed_m_s"] == pytest.approx(1.0, rel=1e-3)
    assert row["camera_path_m"] == pytest.approx(39 * STEP_M, abs=1e-3) and row["camera_speed_m_s"] == pytest.approx(0.5, abs=1e-3)
    assert row["camera_turn_deg"] == pytest.approx(0, abs=0.1) and 3 < row["depth_m"] < 6
    assert row["flags"] == "" and row["problem"] == ""


def test_what_is_doubtful_is_flagged(tmp_path):
    assert describe(annotation(tmp_path / "a.npz", jump_m=2.0))["flags"] == "the camera jumps"
    assert (
        describe(annotation(tmp_path / "b.npz", frames=8, tracks=4, moving=0))["flags"]
        == "under 30 frames; under 100 tracks; nothing moves"
    )
    (tmp_path / "c.npz").write_bytes(b"PK nonsense")
    row = describe(tmp_path / "c.npz")
    assert row["flags"] == "can't be read" and "c.npz" in row["problem"] and row["frames"] is None


def test_rules_choose_the_rows_of_a_table(tmp_path):
    (tmp_path / "data").mkdir()
    annotation(tmp_path / "data" / "a.npz")
    annotation(tmp_path / "data" / "b.npz", frames=8)
    (tmp_path / "data" / "c.npz").write_bytes(b"")
    assert catalogue(tmp_path / "data", tmp_path / "t.csv") == 3
    with open(tmp_path / "t.csv") as file:
        assert [row["clip"] for row in csv.DictReader(file)] == ["a", "b", "c"]
    for rules, clips in (
        (["frames>=30"], ["a"]),
        (["problem="], ["a", "b"]),
        (["flags!="], ["b", "c"]),
        (["moving_share > 0.2", "frames<30"], ["b"]),
        (["video_id=abc"], ["a", "b"]),
    ):
        catalogue(tmp_path / "data", tmp_path / "t.jsonl", where=rules)
        assert [json.loads(line)["clip"] for line in (tmp_path / "t.jsonl").read_text().splitlines()] == clips, rules


@pytest.mark.parametrize("rule", ["frames", "colour>3", "frames>many", ""])
def test_a_rule_that_is_none_is_told(tmp_path, rule):
    annotation(tmp_path / "a.npz", frames=4)
    with pytest.raises(tk.UserError, match="is no rule|a number is needed"):
        catalogue(tmp_path, tmp_path / "t.csv", where=[rule])


def test_parquet_without_its_package_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(tk.UserError, match=r"Parquet needs pyarrow: pip install pyarrow; or name a table that ends with \.csv"):
        catalogue(tmp_path, tmp_path / "t.parquet")


def test_parquet_is_written_where_its_package_is(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    annotation(tmp_path / "a.npz")
    catalogue(tmp_path, tmp_path / "t.parquet")
    (row,) = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert row["clip"] == "a" and row["frames"] == 40 and row["moving_share"] == pytest.approx(0.25)
