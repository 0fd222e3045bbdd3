"""The shell's `evaluate`: scores of a result, e3D of deforming bodies, and what it says to a slip."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.cli import main
from toolkit.media.scene_file import save
from toolkit.scene import Tracks2D, Tracks3D


@pytest.fixture
def sequence(tmp_path):
    """A file of a body that bends before a camera that goes round it."""
    rng = np.random.default_rng(0)
    at = np.arange(60)
    S = rng.normal(size=(3, 10)) + 0.1 * np.sin(at / 7)[:, None, None] * rng.normal(size=(3, 10))
    R = Rotation.from_rotvec(np.deg2rad(6 * at)[:, None] * [[0, 1, 0]]).as_matrix()
    path = tmp_path / "bends.npz"
    np.savez(path, W=(R @ S)[:, :2].reshape(120, 10), S=S.reshape(180, 10))
    return path


def test_deforming_bodies_are_reconstructed_and_their_error_told(sequence, capsys):
    out = sequence.with_name("scores.json")
    assert main(["evaluate", str(sequence), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    scores = json.loads(out.read_text())["sequences"]["bends"]
    assert scores["e3D"] < 0.02 < scores["rigid_e3D"]
    assert f"{scores['e3D']:.4f}" in told and "rigid" in told and f"wrote {out}" in told


def test_a_folder_of_sequences_is_gone_through_and_what_has_no_truth_is_named(sequence, capsys):
    with np.load(sequence) as file:
        np.savez(sequence.with_name("only2d.npz"), W=file["W"])
    assert main(["evaluate", str(sequence.parent)]) == 0
    told = capsys.readouterr().out
    assert "bends" in told and "only2d.npz holds no true points: left out" in told


def test_an_estimate_of_somebody_is_compared_with_a_sequence(sequence, tmp_path, capsys):
    with np.load(sequence) as file:
        xyz = file["S"].reshape(60, 3, 10).transpose(2, 0, 1)
    np.savez(tmp_path / "theirs.npz", xyz=1.1 * xyz)
    assert main(["evaluate", str(tmp_path / "theirs.npz"), str(sequence)]) == 0
    assert "e3D         0.1000" in capsys.readouterr().out


def test_a_scene_is_perfect_beside_itself_and_every_part_is_scored(room, tmp_path, capsys):
    folder = tmp_path / "result"
    folder.mkdir()
    save(room, folder / "scene.npz")
    out = tmp_path / "scores.json"
    assert main(["evaluate", str(folder), str(folder / "scene.npz"), "--out", str(out)]) == 0
    scores = json.loads(out.read_text())["scores"]
    assert scores["cameras"]["ate"] == pytest.approx(0, abs=1e-9) and scores["depth"]["AbsRel"] == pytest.approx(0, abs=1e-6)
    assert scores["tracks_2d"]["delta_avg"] == 100 and scores["tracks_3d"]["APD"] == 100 and scores["tracks_3d_metric"]["EPE"] == 0
    assert {"tracks_3d_sim3", "moving_points", "depth_scaled"} <= scores.keys()
    told = capsys.readouterr().out
    assert "cameras\n" in told and "AbsRel" in told


def test_tracks_in_another_order_are_paired_by_where_they_begin(room, tmp_path):
    assert room.tracks_2d is not None and room.tracks_3d is not None
    save(room, tmp_path / "truth.npz")
    order = np.arange(len(room.tracks_2d))[::-1][:-1]
    other = dataclasses.replace(room, tracks_2d=room.tracks_2d.select(order), tracks_3d=room.tracks_3d.select(order))
    save(other, tmp_path / "other.npz")
    assert main(["evaluate", str(tmp_path / "other.npz"), str(tmp_path / "truth.npz"), "--out", str(tmp_path / "s.json")]) == 0
    told = json.loads((tmp_path / "s.json").read_text())
    assert told["scores"]["tracks_3d"]["APD"] > 99 and "within 3 px" in told["notes"][0]


def test_plain_arrays_are_a_truth_and_the_first_frames_of_it_count(room, tmp_path):
    assert isinstance(room.tracks_2d, Tracks2D) and isinstance(room.tracks_3d, Tracks3D) and room.cameras is not None
    arrays = {
        "T_wc": room.cameras.T_wc,
        "K": room.cameras.K,
        "size": room.cameras.size,
        "xy": room.tracks_2d.xy,
        "xyz": room.tracks_3d.xyz,
        "visible": room.tracks_2d.visible,
        "depth": room.depth.depth,
    }
    longer = {
        name: np.concatenate([a, a[:, -1:] if name in ("xy", "xyz", "visible") else a[-1:]], int(name in ("xy", "xyz", "visible")))
        for name, a in arrays.items()
    }
    np.savez(tmp_path / "truth.npz", allow_pickle=False, **longer)
    save(room, tmp_path / "scene.npz")
    assert main(["evaluate", str(tmp_path / "scene.npz"), str(tmp_path / "truth.npz"), "--out", str(tmp_path / "s.json")]) == 0
    told = json.loads((tmp_path / "s.json").read_text())
    assert told["scores"]["cameras"]["ate"] == pytest.approx(0, abs=1e-9) and told["scores"]["tracks_3d"]["EPE"] < 1e-6
    assert f"{room.frames} of the {room.frames + 1} true frames" in told["notes"][0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.npz"], "There is no file or folder nowhere.npz."),
        (["{scene}"], "a truth to compare it with is needed"),
        (["{scene}", "{empty}"], "holds no scene.npz"),
        (["{scene}", "{other}"], "holds nothing to compare"),
        (["{scene}", "{text}"], "is not an .npz file"),
        (["{scene}", "{scene}", "--out", "{empty}"], "can't be written"),
        (["{flat}"], "holds no true points"),
        (["{odd}"], "has 5 rows, but 2 for each frame are needed"),
        (["{few}"], "1 track over 2 frames"),
        (["{scene}", "{depthless}"], "Nothing can be compared: the result has"),
    ],
)
def test_a_slip_gets_one_sentence(words, sentence, room, tmp_path, capsys):
    names = {name: tmp_path / f"{name}.npz" for name in ("scene", "other", "text", "flat", "odd", "few", "depthless")}
    save(room, names["scene"])
    np.savez(names["other"], something=np.zeros(3))
    names["text"].write_text("nothing")
    np.savez(names["flat"], W=np.zeros((6, 9)))
    np.savez(names["odd"], W=np.zeros((5, 9)))
    np.savez(names["few"], W=np.ones((4, 1)), S=np.ones((6, 1)))
    np.savez(names["depthless"], depth=np.ones((room.frames, 3, 3)))
    names["empty"] = tmp_path / "empty"
    names["empty"].mkdir()
    assert main(["evaluate", *(word.format(**{k: str(v) for k, v in names.items()}) for word in words)]) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1
