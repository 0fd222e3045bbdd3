"""A large thing that moves a little: cameras that it dragged along are found again once it is left out."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
import numpy as np
import pytest

import toolkit as tk
from toolkit.evaluation.moving_points import moving_points
from toolkit.sfm.bundle import Beliefs
from toolkit.sfm.track_observed import Observed
from toolkit.sfm.track_rivals import RivalOptions, parts_of
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene


@pytest.mark.parametrize(
    ("size", "seed", "path"),
    [((16, 48), 9_600_011, 0.006), ((24, 150), 9_700_011, 0.004)],
)
def test_a_mover_that_passed_for_still_is_told_and_lets_the_cameras_go(size, seed, path):
    """Scenes whose cameras lay 0.9 and 1.7 % of the distance away, between the world and a thing that carries two fifths of the tracks."""
    scene = track_scene(seed, *size, recipe=HELD_OUT)
    found = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size)
    scores = moving_points(
        *(found.cameras, found.tracks_3d.xyz, scene.cameras, scene.xyz, scene.visible),
        motion=found.tracks_3d.motion,
        moving=scene.moving,
        distance=scene.distance,
    )
    assert scores["ate_distance"] < path
    assert scores["motion_auc"] > 0.95


def test_parts_are_what_lies_and_moves_together():
    rng = np.random.default_rng(0)
    time = np.linspace(0, 1, 12)
    places = np.array([[-0.3, 0], [0.3, 0], [0.3, 0.02]])
    ways = np.array([[0, 0], [0, 0], [0.2, 0.1]])  # the third passes before the second
    body = np.repeat([0, 1, 2], 15)
    uv = (places[body] + 0.03 * rng.normal(size=(45, 2)))[None] + time[:, None, None] * ways[body]
    seen = Observed(uv, np.ones((12, 45)), 1 / 500, Beliefs())
    parts = [frozenset(part.tolist()) for part in parts_of(seen, RivalOptions())]
    for k in range(3):
        assert frozenset(np.flatnonzero(body == k).tolist()) in parts


def test_too_few_tracks_have_no_parts():
    seen = Observed(np.zeros((4, 5, 2)), np.ones((4, 5)), 1 / 500, Beliefs())
    assert parts_of(seen, RivalOptions()) == []


def test_two_halves_that_move_against_each_other_are_told():
    """Either may be the world, and the cameras follow the one or the other."""
    rng = np.random.default_rng(3)
    frames, half = 16, 60
    time = np.linspace(0, 1, frames)[:, None]
    side = np.repeat([-1.0, 1.0], half)
    X = np.column_stack([side * rng.uniform(0.1, 1.6, 2 * half), rng.uniform(-1, 1, 2 * half), rng.uniform(3, 6, 2 * half)])
    ways = np.where(side[:, None] > 0, [0.0, 0.5, 0.1], [0.5, 0.0, 0.2])  # of the camera before each
    Y = X[None] - time[..., None] * ways
    xy = 500 * Y[..., :2] / Y[..., 2:] + [320, 240] + rng.normal(0, 0.5, (frames, 2 * half, 2))
    xy = xy.swapaxes(0, 1).astype(np.float32)
    seen = np.ones(xy.shape[:2], bool)
    tracks = tk.Tracks2D(xy, seen, seen.astype(np.float32), np.column_stack([np.zeros(2 * half), xy[:, 0]]).astype(np.float32))
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    found = tk.reconstruct_tracks(tracks, K, size=(640, 480), weights=None)
    assert "either may be the still world" in " ".join(found.report["warnings"])
    one = tk.reconstruct_tracks(tracks.select(side > 0), K, size=(640, 480), weights=None)
    assert "either may be the still world" not in " ".join(one.report["warnings"])
