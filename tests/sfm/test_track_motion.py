"""What is taken for motion, and cameras that are not dragged along by it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.sfm.track_scores import error, observed
from toolkit.evaluation.moving_points import motion_auc
from toolkit.sfm.bundle import State
from toolkit.sfm.track_company import company_of
from toolkit.sfm.track_hypotheses import Explanation, HypothesisOptions, polished, track_area
from toolkit.sfm.track_motion import MotionOptions, motion_of, straying, told_apart
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene
from toolkit.synthetic.tracker_errors import TrackerErrors

OPTIONS = MotionOptions()


def true_state(scene):
    T_wc, unit = scene.cameras.T_wc, 1 / scene.distance
    return State(T_wc[:, :3, :3].copy(), T_wc[:, :3, 3] * unit, scene.xyz.mean(1) * unit)


def explained(scene):
    """What all tracks alike say of cameras, from the true ones on."""
    seen, area = observed(scene), track_area(observed(scene))
    scale, _ = seen.scales(true_state(scene), 1.0)
    found = polished(seen, Explanation(true_state(scene), scale, 0.0, "true"), area, HypothesisOptions())
    return seen, found, company_of(seen.uv, seen.weight > 0, OPTIONS.company), area


def scenes(**errors):
    recipe = replace(HELD_OUT, errors=replace(TrackerErrors(), **errors))
    return [track_scene(seed, 16, 60, recipe=recipe) for seed in range(4020, 4028)]


@pytest.mark.parametrize("noise_px", [0.1, 0.7])
def test_what_moves_is_told_at_any_error_of_the_tracker(noise_px):
    """The same limit in pixels would miss what moves a little before a good tracker, or take the noise of a poor one for motion."""
    found, missed, false, noise = [], [], [], []
    for scene in scenes(noise_px=noise_px, drift_px=0.1 * noise_px):
        seen, state, company, area = explained(scene)
        motion = told_apart(seen, state.state, company, area, OPTIONS)[1]
        found.append(motion_auc(motion.level, scene.moving))
        missed.append(np.mean(motion.chance[scene.moving] < 0.5))
        false.append(np.mean(motion.chance[~scene.moving] > 0.5))
        noise.append(motion.noise_px)
    assert 0.6 * noise_px < np.median(noise) < 1.6 * noise_px
    assert np.mean(found) > 0.9 and np.mean(missed) < 0.3 and np.mean(false) < 0.15


def test_cameras_are_better_where_what_moves_counts_less():
    before, after = [], []
    for scene in scenes():
        seen, state, company, area = explained(scene)
        apart, _ = told_apart(seen, state.state, company, area, OPTIONS)
        before.append(error(state, scene))
        after.append(error(Explanation(apart, state.scale, 0.0, ""), scene))
    assert np.mean(after) < 0.85 * np.mean(before)


def test_a_network_is_heard_where_it_is_right_about_what_is_plain_to_see():
    rng = np.random.default_rng(0)
    scene = scenes()[0]
    seen, state, company, area = explained(scene)
    right = np.where(scene.moving, 0.1, 0.002) * np.exp(0.3 * rng.normal(size=60))
    told = [motion_of(seen, state.state, company, area, OPTIONS, believed=b) for b in (right, right[::-1].copy(), np.full(60, np.nan))]
    alone = motion_of(seen, state.state, company, area, OPTIONS)
    assert told[0].heard == 1 and motion_auc(told[0].level, scene.moving) >= motion_auc(alone.level, scene.moving)
    assert told[1].heard < 0.5
    np.testing.assert_allclose(told[2].level, alone.level)


def test_few_samples_of_a_track_hide_no_straying():
    """A point fits itself to three of them better than to thirty."""
    scene = track_scene(4030, 30, 200, recipe=replace(HELD_OUT, still=1.0, errors=TrackerErrors(lost=0, wild=0, mistaken=0, drift_px=0)))
    seen, state = observed(scene), true_state(scene)
    from toolkit.sfm.bundle_single import intersect

    def usual(frames):
        part = replace(seen, uv=np.ascontiguousarray(seen.uv[:frames]), weight=np.ascontiguousarray(seen.weight[:frames]))
        whole = np.flatnonzero((part.weight > 0).all(0))
        X = np.ascontiguousarray(state.X[whole])
        few = part.of(whole)
        own = State(state.R[:frames], state.c[:frames], X)
        intersect(own.R, own.c, X, 1.0, few.uv, few.weight, np.full(len(whole), 5 * seen.px), 20, np.empty(len(whole)))
        return np.median(straying(few, own, 0.1))

    assert usual(4) == pytest.approx(usual(30), rel=0.3)


def test_what_may_have_slipped_has_to_stray_further_to_be_taken_for_moving():
    """Tracks in a bare sky drift with the noise of the video."""
    scene = scenes(noise_px=0.1)[1]
    seen, state, company, area = explained(scene)
    strays, motion = straying(seen, state.state, 0.1), motion_of(seen, state.state, company, area, OPTIONS)
    slipping = replace(seen, slip=np.full(60, 2 * strays.max()))
    assert (motion.chance > 0.5).any()
    assert (motion_of(slipping, state.state, company, area, OPTIONS).chance < 0.5).all()
    np.testing.assert_allclose(motion_of(replace(seen, slip=np.zeros(60)), state.state, company, area, OPTIONS).level, motion.level)
