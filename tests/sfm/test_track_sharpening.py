"""The last adjustment of a clip takes back what the search for cameras flattened, and leaves alone what it can't mend."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.sfm.bundle import Beliefs, State
from toolkit.sfm.track_clip import Solved
from toolkit.sfm.track_observed import Observed, bounded
from toolkit.sfm.track_sharpening import SharpeningOptions, placed_again, sharpened

PX = 1 / 400
OPTIONS = SharpeningOptions(tracks=120)


@pytest.fixture(scope="module")
def room():
    """Near things and walls twelve times as far, seen by a camera that walks sideways; a tracker that is off by a fifth of a pixel."""
    rng = np.random.default_rng(4)
    depth = np.where(rng.random(300) < 0.6, rng.uniform(0.7, 1.5, 300), rng.uniform(10, 14, 300))
    X = np.column_stack([rng.uniform(-0.5, 0.5, (300, 2)) * depth[:, None], depth])
    c = np.column_stack([np.linspace(-0.2, 0.2, 12), np.zeros(12), np.linspace(-0.05, 0.05, 12)])
    R = Rotation.from_rotvec(np.deg2rad(np.linspace(4, -4, 12))[:, None] * [0.0, 1.0, 0.0]).as_matrix()
    local = np.einsum("tji,tpj->tpi", R, X - c[:, None])
    uv = local[..., :2] / local[..., 2:] + 0.2 * PX * rng.normal(size=(12, 300, 2))
    return Observed(uv, np.ones((12, 300)), PX, Beliefs(), free_focal=True), State(R, c, X)


def flattened(seen, state):
    """The same as the search for cameras leaves it."""
    flat = bounded(seen, replace(state, log_focal=0.15))
    return Solved(flat, np.full(len(flat.X), PX), np.ones(len(flat.X), bool), (), ())


def test_far_walls_stand_where_they_are_again_and_the_focal_length_is_right(room):
    seen, truth = room
    before = flattened(seen, truth)
    far = truth.X[:, 2] > 5
    after = sharpened(seen, before, np.zeros(300), 1.0, OPTIONS)
    ratios = [one.depth[6] / truth.depth[6] for one in (before.state, after.state)]
    was, now = (np.median(r[far]) / np.median(r[~far]) for r in ratios)
    assert was < 0.7 and abs(now - 1) < 0.1
    assert abs(after.state.log_focal) < 0.03 < before.state.log_focal
    assert abs(np.median(after.state.depth / before.state.depth) - 1) < 0.2  # in the unit that it had


def test_what_moves_is_left_out_of_it(room):
    seen, truth = room
    rng = np.random.default_rng(0)
    uv = seen.uv.copy()
    uv[:, :100] += np.linspace(0, 0.1, 12)[:, None, None] * rng.normal(1, 0.1, (100, 2))
    moves = np.arange(300) < 100
    after = sharpened(replace(seen, uv=uv), flattened(seen, truth), np.where(moves, 0.99, 0.01), 1.0, OPTIONS)
    assert abs(after.state.log_focal) < 0.03


def test_clips_that_are_too_long_or_show_too_little_stay_as_they_are(room):
    seen, truth = room
    before = flattened(seen, truth)
    assert sharpened(seen, before, np.ones(300), 1.0, OPTIONS) is before
    assert sharpened(seen, before, np.zeros(300), 1.0, replace(OPTIONS, frames=5)) is before


def test_an_explanation_that_is_right_already_is_not_made_worse(room):
    seen, truth = room
    right = Solved(truth, np.full(300, PX), np.ones(300, bool), (), ())
    after = sharpened(seen, right, np.zeros(300), 1.0, OPTIONS)
    assert abs(after.state.log_focal) < 0.02


def test_points_are_found_however_far_they_are(room):
    seen, truth = room
    rng = np.random.default_rng(1)
    lost = replace(truth, X=truth.X * np.exp(rng.normal(0, 1, (300, 1))))
    found = placed_again(seen, lost, 0.5, OPTIONS)
    near = truth.X[:, 2] < 5
    assert np.quantile(np.abs(found.X[near, 2] / truth.X[near, 2] - 1), 0.95) < 0.02
    assert np.median(np.abs(found.X[~near, 2] / truth.X[~near, 2] - 1)) < 0.05
