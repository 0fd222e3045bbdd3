"""Whole clips from tracks: windows, what a turn explains, and a network's belief."""

from dataclasses import replace

import numpy as np

from tests.sfm.track_scores import error, observed
from toolkit.sfm.track_clip import ClipOptions, solve_clip, windows_of
from toolkit.sfm.track_growth import GrowthOptions
from toolkit.sfm.track_hypotheses import HypothesisOptions
from toolkit.sfm.track_parallax import parallax_of
from toolkit.sfm.track_prior import Belief, PriorOptions, believed
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene


def solved(scene, **options):
    return solve_clip(observed(scene), ClipOptions(**options))


def test_windows_cover_every_frame_and_overlap():
    for frames in (3, 60, 61, 100, 199, 1000):
        windows = windows_of(frames, 60, 20)
        assert windows[0].start == 0 and windows[-1].stop == frames
        assert all(a.stop - b.start >= 20 for a, b in zip(windows, windows[1:], strict=False))


def test_windows_joined_are_as_good_as_one():
    scene = track_scene(4002, 48, 100, recipe=HELD_OUT)
    found = solved(scene, window=30, overlap=12)
    assert len(found.windows) == 2 and len(found.joints) == 1
    assert error(found, scene) < 0.01


def test_tracks_beyond_those_that_are_solved_get_their_points():
    scene = track_scene(4000, 20, 200, recipe=HELD_OUT)
    found = solved(scene, tracks=80)
    assert found.adjusted.sum() == 80 and len(found.state.X) == 200
    rest = ~found.adjusted & ~scene.moving & (scene.tracks.visible.sum(1) > 6)
    assert np.median(found.scale[rest]) * scene.K[0, 0] < 2, "still tracks that were left out fit as well"


def test_a_turn_is_told_from_a_walk():
    walk = track_scene(4003, 16, 80, recipe=HELD_OUT)
    turn = track_scene(4003, 16, 80, recipe=replace(HELD_OUT, motions=("turn",)))
    for scene, known in ((walk, True), (turn, False)):
        found = solved(scene)
        assert parallax_of(observed(scene), found.state, found.scale, np.where(scene.moving, 0.0, 1.0)).known == known


def test_a_belief_near_the_truth_is_adjusted_to_the_tracks():
    rng, errors = np.random.default_rng(0), []
    for seed in range(4000, 4004):
        scene = track_scene(seed, 16, 80, recipe=HELD_OUT)
        X = scene.xyz[:, 8] * np.exp(0.1 * rng.normal(size=(80, 1)))
        T_wc = scene.cameras.T_wc
        centres = T_wc[:, :3, 3] + 0.02 * scene.distance * rng.normal(size=(16, 3))
        belief = Belief(T_wc[:, :3, :3], centres, X, np.where(scene.moving, 0.05, 0.001), np.ones((16, 80)))
        errors.append(error(believed(observed(scene), belief, HypothesisOptions(), PriorOptions()), scene))
    assert np.median(errors) < 0.005, "as exact as an explanation that begins with nothing"


def test_cameras_stay_rotations_over_many_frames():
    scene = track_scene(4004, 70, 70, recipe=HELD_OUT)
    found = solve_clip(observed(scene), ClipOptions(HypothesisOptions(GrowthOptions(windows=1, starts=1, extended=1)), window=70))
    np.testing.assert_allclose(np.linalg.det(found.state.R), 1, atol=1e-6)
