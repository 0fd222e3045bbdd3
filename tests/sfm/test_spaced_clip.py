"""Cameras of a video of many frames a second, from frames some way apart."""

# pyright: reportArgumentType=false

import numpy as np

from toolkit.sfm.bundle import Beliefs, State
from toolkit.sfm.spaced_clip import SpacingOptions, between, looked_for_again, strides_of
from toolkit.sfm.track_observed import Observed


def walk(frames=40, points=80, step=0.02):
    """A camera that walks ahead through points from near its feet to far away."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-1, 1, points), rng.uniform(-0.5, 0.5, points), np.exp(rng.uniform(0.2, 4, points))])
    X[:, :2] *= X[:, 2:]
    c = np.column_stack([np.zeros((frames, 2)), step * np.arange(frames)])
    way = X[None] - c[:, None]
    return State(np.repeat(np.eye(3)[None], frames, 0), c, X), way[..., :2] / way[..., 2:]


def test_frames_of_a_fast_video_are_taken_some_way_apart_and_those_of_a_slow_one_all():
    for step, apart in ((0.005, True), (0.3, False)):
        state, uv = walk(60, step=step)
        strides = strides_of(Observed(uv, np.ones(uv.shape[:2]), 0.002, Beliefs()), SpacingOptions())
        assert (strides[0] > 1) == apart
        if not apart:
            assert strides == [1]


def test_frames_between_get_their_cameras():
    state, uv = walk()
    seen = Observed(np.ascontiguousarray(uv), np.ones(uv.shape[:2]), 0.002, Beliefs())
    keys = np.arange(1, 40, 6)
    some = State(state.R[keys], state.c[keys], state.X)
    found = between(seen, some, keys, np.arange(80), np.full(80, 0.002), 3000)
    np.testing.assert_allclose(found.c, state.c, atol=1e-4)


def test_points_at_the_feet_and_far_away_are_looked_for_again():
    state, uv = walk()
    seen = Observed(np.ascontiguousarray(uv), np.ones(uv.shape[:2]), 0.002, Beliefs())
    usual = float(np.median(state.depth))
    near = np.flatnonzero(state.X[:, 2] < 0.25 * usual)
    wrong = state.X.copy()
    wrong[near] *= (usual / wrong[near, 2])[:, None]
    found = looked_for_again(seen, State(state.R, state.c, wrong), np.where(np.isin(np.arange(80), near), 0.05, 0.001), SpacingOptions())
    assert len(near) > 5
    np.testing.assert_allclose(found.X[near], state.X[near], rtol=0.02)
