"""Scenes of points alone: exact, repeatable, of every kind that is asked for."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.synthetic.track_bodies import MOVER_KINDS, Ellipsoid, mover
from toolkit.synthetic.track_paths import CAMERA_MOTIONS, camera_path, jitter
from toolkit.synthetic.track_scenes import HELD_OUT, HELD_OUT_SEEDS, TRAINING, heldout_scenes, random_size, track_scene
from toolkit.synthetic.tracker_errors import NO_ERRORS, TrackerErrors, tracked

EXACT = replace(HELD_OUT, errors=NO_ERRORS)


@pytest.fixture(scope="module")
def held_out():
    return list(heldout_scenes(16, 48))


def test_a_perfect_tracker_tells_the_projections_of_the_truth():
    for seed in range(6):
        scene = track_scene(seed, 12, 60, recipe=EXACT)
        xy, depth = project(scene.xyz, scene.cameras.K, scene.cameras.T_wc)
        assert np.array_equal(scene.tracks.visible, scene.visible) and (depth[scene.visible] > 0).all()
        assert np.abs(scene.tracks.xy - xy)[scene.visible].max() < 1e-3
        assert ((xy >= 0) & (xy <= scene.size))[scene.visible].all()
        assert np.array_equal(scene.K, scene.cameras.K[0])


def test_the_world_is_the_first_camera_and_cameras_are_rigid(held_out):
    for scene in held_out:
        assert np.abs(scene.cameras.T_wc[0] - np.eye(4)).max() < 1e-12
        R = scene.cameras.T_wc[:, :3, :3]
        assert np.abs(R @ R.swapaxes(1, 2) - np.eye(3)).max() < 1e-12 and (np.linalg.det(R) > 0).all()


def test_still_points_stand_still_and_moving_ones_move(held_out):
    for scene in held_out:
        path = np.linalg.norm(scene.xyz - scene.xyz[:, :1], axis=-1).max(1) / scene.distance
        assert path[~scene.moving].max() < 1e-9 and np.median(path[scene.moving]) > 0.03
        assert np.array_equal(scene.moving, scene.body > 0) and scene.body.max() <= len(scene.movers)


def test_the_held_out_scenes_can_be_solved_and_scored(held_out):
    assert len(held_out) == len(HELD_OUT_SEEDS) == 24
    for scene in held_out:
        extent = np.linalg.norm(scene.cameras.centres - scene.cameras.centres.mean(0), axis=1).max() / scene.distance
        assert 0.02 < extent < 0.6 and scene.motion != "turn"
        assert (scene.visible.sum(1) >= 6).mean() > 0.98 and 0.05 < scene.moving.mean() < 0.46
        assert np.isfinite(scene.tracks.xy).all() and np.array_equal(scene.K, scene.cameras.K[0])
    assert {scene.motion for scene in held_out} == set(HELD_OUT.motions)
    assert {kind for scene in held_out for kind in scene.movers} == set(MOVER_KINDS)


@pytest.mark.parametrize(("frames", "points"), [(3, 8), (8, 300), (60, 48)])
def test_the_same_seed_gives_the_same_scene_of_the_size_that_is_asked_for(frames, points):
    one, same, other = (track_scene(seed, frames, points) for seed in (4, 4, 5))
    assert one.tracks.xy.shape == (points, frames, 2) and len(one.cameras) == frames
    assert np.array_equal(one.tracks.xy, same.tracks.xy) and np.array_equal(one.xyz, same.xyz)
    assert not np.array_equal(one.tracks.xy, other.tracks.xy)


def test_all_kinds_of_scenes_turn_up_in_training():
    scenes = [track_scene(seed, 8, 20, recipe=replace(TRAINING, turning=0.3, still=0.3)) for seed in range(40)]
    assert {scene.motion for scene in scenes} == set(CAMERA_MOTIONS)
    still = [scene for scene in scenes if not scene.movers]
    assert 4 < len(still) < 20 and not any(scene.moving.any() for scene in still)
    turning = [scene for scene in scenes if scene.motion == "turn"]
    assert all(np.abs(scene.cameras.centres).max() < 1e-9 for scene in turning)
    errors = np.log([scene.K[0, 0] / scene.cameras.K[0, 0, 0] for scene in scenes])
    assert 0.04 < errors.std() < 0.14


@pytest.mark.parametrize("kind", MOVER_KINDS)
def test_what_stands_on_the_floor_stays_on_it_and_heads_where_it_goes(kind):
    for seed in range(10):
        standing, floating = (mover(np.random.default_rng(seed), 24, kind, 6.0, 1.5, grounded=grounded) for grounded in (True, False))
        lowest = 1.5 - (standing[0].T_wb[:, 1, 3] + standing[0].axes[1])
        assert np.ptp(lowest) < 0.15 and lowest.min() > -0.15
        assert standing[0].T_wb[:, 1, 1].min() > 0.9
        if kind == "articulated":
            assert 2 <= len(standing) - 1 <= 4 and all((limb.T_wb[:, 1, 3] > standing[0].T_wb[:, 1, 3]).all() for limb in standing[1:])
        assert len(floating) == 1 or kind == "articulated"


def test_a_ball_hides_what_is_behind_it_and_its_own_far_side_only():
    T = np.eye(4)[None].copy()
    T[0, :3, 3] = (0, 0, 5)
    ball = Ellipsoid(np.ones(3), T, np.zeros((0, 3, 3)))
    points = np.array([[0, 0, 9], [0, 0, 6], [0, 0, 4.0], [0, 0, 2], [0.9, 0, 9], [3, 0, 9]])[:, None]
    assert ball.hides(np.zeros((1, 3)), points)[:, 0].tolist() == [True, True, False, False, True, False]
    xyz, normals = ball.surface(np.random.default_rng(0), 200)
    assert np.allclose(np.linalg.norm(xyz[:, 0] - (0, 0, 5), axis=1), 1) and np.allclose(normals, xyz - (0, 0, 5))
    facing = (normals * -xyz).sum(-1)[:, 0]
    clear = np.abs(facing) > 0.3  # beside the rim the surface hides itself by less than its skin
    assert np.array_equal(ball.hides(np.zeros((1, 3)), xyz)[clear, 0], facing[clear] < 0)


def test_hidden_points_are_guessed_and_seen_ones_measured():
    rng = np.random.default_rng(0)
    xy = np.full((400, 30, 2), 100.0)
    visible = np.ones((400, 30), bool)
    visible[:, 15:] = False
    told, told_visible = tracked(rng, xy, visible, TrackerErrors(lost=0, wild=0))
    off = np.abs(told - xy)
    assert 0.5 < np.median(np.linalg.norm(told - xy, axis=-1)[:, :15]) < 1.2
    assert off[:, 25:].mean() > 4 * off[:, :15].mean()
    assert 0.01 < (told_visible != visible).mean() < 0.03
    lost, _ = tracked(rng, np.cumsum(np.ones_like(xy), 1), visible, TrackerErrors(0, (1, 1), 0, 0, 1.0, 0, 0, 0))
    assert (np.abs(np.diff(lost, axis=1)).max((1, 2)) < 1e-9).sum() == 0 and (lost[:, -1] < 30).any()


def test_jitter_keeps_its_size():
    path = jitter(np.random.default_rng(0), 4000, 1, 2.0)
    assert path[100:].std() == pytest.approx(2.0, rel=0.15) and np.corrcoef(path[100:-1, 0], path[101:, 0])[0, 1] > 0.7


def test_cameras_look_at_the_scene_upright():
    for motion in CAMERA_MOTIONS:
        T = camera_path(np.random.default_rng(1), 20, motion, 6.0)
        toward = np.array([0, 0, 6.0]) - T[:, :3, 3]
        assert ((T[:, :3, 2] * toward).sum(1) / np.linalg.norm(toward, axis=1)).min() > 0.85
        assert T[:, 1, 1].min() > 0.9


def test_random_sizes_stay_in_their_range():
    sizes = np.array([random_size(np.random.default_rng(seed)) for seed in range(300)])
    assert sizes.min(0).tolist()[0] >= 8 and sizes[:, 0].max() <= 60 and sizes[:, 1].min() >= 48 and sizes[:, 1].max() <= 300
    assert np.median(sizes[:, 0]) < 30


def test_scenes_that_are_too_small_are_refused():
    with pytest.raises(UserError, match="A scene of 2 frames and 8 points was asked for, but at least 3 and 8 are needed"):
        track_scene(0, 2, 8)
