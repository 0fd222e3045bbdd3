"""Cameras from tracks alone, on generated scenes where a part of the tracks moves."""

import numpy as np

from toolkit.evaluation.cameras import cameras as score
from toolkit.evaluation.moving_points import motion_auc
from toolkit.scene import Cameras
from toolkit.sfm.bundle import Beliefs
from toolkit.sfm.track_hypotheses import HypothesisOptions, explain, far_apart, track_area
from toolkit.sfm.track_observed import Observed
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene


def observed(scene):
    K, xy = scene.K, np.nan_to_num(scene.tracks.xy).swapaxes(0, 1).astype(float)
    uv = (xy - K[:2, 2]) / K[0, 0]
    return Observed(np.ascontiguousarray(uv), np.ascontiguousarray(scene.tracks.visible.T.astype(float)), 1 / K[0, 0], Beliefs())


def error(explanation, scene):
    state = explanation.state
    T_wc = np.tile(np.eye(4), (len(state.R), 1, 1))
    T_wc[:, :3, :3], T_wc[:, :3, 3] = state.R, state.c
    return score(Cameras.from_poses(scene.K, T_wc, scene.size), scene.cameras)["ate"] / scene.distance


def test_cameras_and_movers_are_found_in_scenes_where_things_move():
    """Six scenes; single ones may fail, as where a mover crosses the picture with the camera."""
    errors, areas = [], []
    for seed in range(1, 7):
        scene = track_scene(seed, 16, 60, recipe=HELD_OUT)
        found = explain(observed(scene), HypothesisOptions(), seed=0)[0]
        errors.append(error(found, scene))
        areas.append(motion_auc(found.scale, scene.moving))
    assert np.median(errors) < 0.005
    assert np.mean(areas) > 0.8, "what strays from a still point moves"


def test_the_same_seed_gives_the_same_cameras():
    scene = track_scene(4, 12, 48, recipe=HELD_OUT)
    first, second = (explain(observed(scene), HypothesisOptions(), seed=7)[0].state for _ in range(2))
    np.testing.assert_array_equal(first.c, second.c)


def test_a_crowded_track_stands_for_little_area():
    rng = np.random.default_rng(0)
    uv = np.concatenate([rng.uniform(-0.5, 0.5, (40, 2)), 0.01 * rng.normal(size=(40, 2))])[None].repeat(3, 0)
    area = track_area(Observed(uv, np.ones((3, 80)), 0.002, Beliefs()))
    assert np.median(area[:40]) > 5 * np.median(area[40:])


def test_tracks_that_are_picked_lie_apart():
    rng = np.random.default_rng(0)
    uv = rng.uniform(-0.5, 0.5, (200, 2))[None].repeat(3, 0)
    seen = Observed(uv, np.ones((3, 200)), 0.002, Beliefs())
    picked = far_apart(seen, np.arange(200), 20)
    distance = np.linalg.norm(uv[0, picked][:, None] - uv[0, picked][None], axis=-1) + np.eye(20)
    assert len(set(picked.tolist())) == 20
    assert distance.min() > 0.1
