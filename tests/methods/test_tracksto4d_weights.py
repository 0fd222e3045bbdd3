"""The weights that come with the package: found, small, and worth having."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import toolkit as tk
from toolkit.evaluation.moving_points import moving_points
from toolkit.methods import video_intake
from toolkit.methods.tracksto4d_intake import PACKAGED_NAME, checked_weights
from toolkit.models.tracksto4d import TracksTo4D
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene
from toolkit.training.tracksto4d_scores import by_network, scores, trivial

WEIGHTS = Path(__file__).parents[2] / "weights" / PACKAGED_NAME


@pytest.fixture(scope="module")
def network():
    return TracksTo4D.from_pretrained(WEIGHTS).eval()


def test_auto_finds_them_in_a_clone_and_where_a_wheel_puts_them(monkeypatch, tmp_path):
    assert checked_weights("auto") == WEIGHTS
    installed = tmp_path / "share"
    installed.mkdir()
    monkeypatch.setattr(video_intake, "PACKAGED", (tmp_path / "nowhere", installed))
    assert checked_weights("auto") is None
    (installed / PACKAGED_NAME).write_bytes(b"")
    assert checked_weights("auto") == installed / PACKAGED_NAME


def test_they_are_small_halves_and_a_card_lies_beside_them():
    assert WEIGHTS.stat().st_size < 6e6
    with safe_open(WEIGHTS, framework="np") as file:
        assert {str(file.get_slice(name).get_dtype()) for name in file.keys()} == {"F16"}  # noqa: SIM118  (it is no dictionary)
    card = WEIGHTS.with_suffix(".md").read_text()
    for word in (
        "Apache-2.0",
        "trivial",
        "network alone",
        "adjustment alone",
        "unsupervised losses alone",
        "network and adjustment",
        "10,000,000",
    ):
        assert word.lower() in card.lower()
    sizes = re.findall(r"^\| (\d+ × \d+) \|", card, re.MULTILINE)
    assert set(sizes) == {"16 × 48", "24 × 150", "50 × 100"}


def test_they_say_much_more_than_nothing_on_scenes_they_never_saw(network):
    scenes = [track_scene(seed, 16, 48, recipe=HELD_OUT) for seed in range(9_995_000, 9_995_006)]
    ours, base = scores(by_network(network), scenes), scores(trivial, scenes)
    assert ours["AbsRel_static"] < 0.6 * base["AbsRel_static"]
    assert ours["AbsRel_moving"] < 0.4 * base["AbsRel_moving"]
    assert ours["ate_distance"] < 0.3 * base["ate_distance"]
    assert ours["motion_auc"] > 0.9


def test_they_are_asked_by_default_and_place_what_moves_better():
    """Twelve scenes that nothing was set on; single ones may be worse."""
    rows = {"auto": [], "none": []}
    for seed in range(9_995_010, 9_995_022):
        scene = track_scene(seed, 16, 48, recipe=HELD_OUT)
        for weights, row in rows.items():
            found = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=weights)
            told = found.report["settings"]["weights"]
            assert told == (PACKAGED_NAME if weights == "auto" else "none")
            score = moving_points(
                found.cameras, found.tracks_3d.xyz, scene.cameras, scene.xyz, scene.visible,
                motion=found.tracks_3d.motion, moving=scene.moving, distance=scene.distance,
            )  # fmt: skip
            row.append((score["AbsRel"], score["AbsRel_moving"]))
    helped, alone = np.mean(rows["auto"], axis=0), np.mean(rows["none"], axis=0)
    assert (helped < alone).all()


@pytest.mark.parametrize("seed", [9_000_006, 9_000_008])
@pytest.mark.parametrize("weights", ["none", "auto"])
def test_scenes_whose_movers_pull_the_cameras_along_are_not_shown_far_too_flat_or_deep(seed, weights):
    """A short way of the camera and much that moves: where all tracks count alike, depth is off by a third and more."""
    scene = track_scene(seed, 50, 100, recipe=HELD_OUT)
    found = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=weights)
    xyz = found.tracks_3d.xyz
    scores = moving_points(found.cameras, xyz, scene.cameras, scene.xyz, scene.visible, moving=scene.moving, distance=scene.distance)
    assert scores["AbsRel_static"] < 0.25 and scores["ate_distance"] < 0.01
