"""What a network believes of depth, beside what tracks tell."""

import numpy as np
import pytest

from tests.sfm.track_scores import error, observed
from toolkit.evaluation.moving_points import depth_in, depth_on_tracks
from toolkit.sfm.bundle import State
from toolkit.sfm.track_hypotheses import Explanation, HypothesisOptions, polished, track_area
from toolkit.sfm.track_prior import Belief, PriorOptions, settled
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene


def still_error(state, scene):
    score = depth_on_tracks(np.maximum(state.depth.T, 1e-3), depth_in(scene.cameras, scene.xyz), scene.visible, moving=scene.moving)
    return score["AbsRel_static"]


def believing(scene, X):
    """A belief in true cameras and some points, which knows what moves."""
    T_wc = scene.cameras.T_wc
    depth = depth_in(scene.cameras, np.repeat(X[:, None], len(T_wc), axis=1)).T
    return Belief(T_wc[:, :3, :3], T_wc[:, :3, 3], X, np.where(scene.moving, 0.1, 0.002), depth)


@pytest.fixture(scope="module")
def scenes():
    """Scenes and what their tracks alone say, from the true cameras on; the wider a camera went the more they say."""
    found = []
    for seed in range(4010, 4014):
        scene = track_scene(seed, 24, 80, recipe=HELD_OUT)
        seen, T_wc, unit = observed(scene), scene.cameras.T_wc, 1 / scene.distance
        state = State(T_wc[:, :3, :3], T_wc[:, :3, 3] * unit, scene.xyz[:, 12] * unit)
        scale, _ = seen.scales(state, 1.0)
        found.append((scene, seen, polished(seen, Explanation(state, scale, 0.0, "true"), track_area(seen), HypothesisOptions())))
    return found


def test_a_belief_that_is_about_right_tells_depth_where_tracks_hardly_do(scenes):
    rng, before, after = np.random.default_rng(0), [], []
    for scene, seen, found in scenes:
        eye = scene.cameras.centres[12]
        X = eye + (scene.xyz[:, 12] - eye) * np.exp(0.1 * rng.normal(size=(80, 1)))
        held, spread = settled(seen, found, believing(scene, X), HypothesisOptions(), PriorOptions())
        before.append(still_error(found.state, scene))
        after.append(still_error(held.state, scene))
        assert 0.03 < spread < 0.2, "a tenth was told"
        assert error(held, scene) < 0.015
    assert np.mean(after) < 0.8 * np.mean(before)


def test_a_belief_that_is_wrong_is_found_out_and_changes_little(scenes):
    rng, changes = np.random.default_rng(1), []
    for scene, seen, found in scenes:
        eye = scene.cameras.centres[12]
        X = eye + (scene.xyz[:, 12] - eye) * np.exp(0.8 * rng.normal(size=(80, 1)))
        held, spread = settled(seen, found, believing(scene, X), HypothesisOptions(), PriorOptions())
        assert spread > 0.4
        changes.append(still_error(held.state, scene) - still_error(found.state, scene))
    assert np.median(changes) < 0.05
