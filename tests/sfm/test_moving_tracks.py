"""Which tracks move: with cameras and without, for cameras that walk, turn and stand."""

from dataclasses import dataclass

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov, project
from toolkit.scene import Cameras, Tracks2D
from toolkit.sfm.moving_tracks import moving_tracks
from toolkit.sfm.moving_views import views_of_cameras

SIZE = (480, 360)
K = intrinsics_from_fov(60, SIZE)


def _turn(yaw):
    T = np.eye(4)
    T[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    return T


def _path(frames, kind):
    T = np.tile(np.eye(4), (frames, 1, 1))
    t = np.arange(frames)
    if kind == "walk":
        T[:, 0, 3], T[:, 1, 3], T[:, 2, 3] = 0.03 * t, 0.05 * np.sin(t / 5), 0.02 * t
    if kind == "sideways":
        T[:, 0, 3] = 0.03 * t
    if kind == "turn":
        T = np.stack([_turn(0.01 * n) for n in t])
    return Cameras.from_poses(K, T, SIZE)


def _tracks(xyz, cameras, noise=0.1, seed=0):
    """Tracks of (N, T, 3) points as a camera sees them."""
    xy = np.stack([project(xyz[:, t], cameras.K[t], cameras.T_wc[t])[0] for t in range(len(cameras))], axis=1)
    xy = xy + noise * np.random.default_rng(seed).normal(size=xy.shape)
    visible = np.asarray(np.isfinite(xy).all(-1) & (xy > 0).all(-1) & (xy < SIZE).all(-1))
    queries = np.column_stack([visible.argmax(1), np.zeros((len(xy), 2))])
    return Tracks2D(np.nan_to_num(xy).astype(np.float32), visible, np.ones(visible.shape, np.float32), queries.astype(np.float32))


@dataclass
class _World:
    tracks: Tracks2D
    cameras: Cameras
    moves: np.ndarray


def _world(kind, movers=40, still=700, frames=31, shift=None):
    """Points at 2 to 8 m, and a cluster of them that is carried along by `shift` (T, 3)."""
    rng = np.random.default_rng(3)
    depth = rng.uniform(2, 8, still)
    xy = rng.uniform(-0.1, 1.1, (still, 2)) * SIZE
    points = np.column_stack([(xy - K[:2, 2]) / K[0, 0], np.ones(still)]) * depth[:, None]
    xyz = np.repeat(points[:, None], frames, axis=1)
    if movers:
        body = np.array([0.2, 0.1, 3.5]) + rng.uniform(-0.35, 0.35, (movers, 3))
        t = np.arange(frames)[:, None]
        path = 0.02 * t * [0.3, -1, 0.4] + 0.05 * np.sin(t / 3) * [0, 0.5, 1] if shift is None else shift
        xyz = np.concatenate([xyz, body[:, None] + path])
    cameras = _path(frames, kind)
    return _World(_tracks(xyz, cameras), cameras, np.arange(len(xyz)) >= still)


def _found(world, known):
    motion = moving_tracks(world.tracks, SIZE, world.cameras if known else None)
    seen = np.isfinite(motion.moving)
    moving = motion.moving[seen] > 0.5
    truth = world.moves[seen]
    return motion, (moving[truth].mean() if truth.any() else 1.0), moving[~truth].mean()


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("kind", ["walk", "turn", "stand"])
def test_what_moves_is_found_and_little_else(kind, known):
    _, recall, false = _found(_world(kind), known)
    assert recall > 0.95 and false < 0.03


@pytest.mark.parametrize("kind", ["walk", "turn", "stand"])
def test_nothing_is_found_where_nothing_moves(kind):
    for known in (False, True):
        assert _found(_world(kind, movers=0), known)[2] < 0.01


@pytest.mark.parametrize(("kind", "word"), [("walk", "moving"), ("turn", "turning"), ("stand", "turning")])
def test_it_is_told_from_the_tracks_whether_the_camera_moves(kind, word):
    views = moving_tracks(_world(kind).tracks, SIZE).views
    assert {v.kind for v in views.values()} == {word}


@pytest.mark.parametrize("known", [False, True])
def test_a_walk_along_its_own_epipolar_lines_is_found(known):
    # Sideways as the camera does, faster and slower: any two frames are explained by some depth, three are not.
    t = np.arange(31)
    shift = np.column_stack([0.25 * np.sin(t / 2.5), np.zeros(31), np.zeros(31)])
    _, recall, false = _found(_world("sideways", shift=shift), known)
    assert recall > 0.9 and false < 0.03


def test_a_steady_walk_that_would_lie_behind_infinity_is_found_with_cameras():
    shift = np.arange(31)[:, None] * [0.06, 0, 0]  # twice as fast as the camera, to the same side
    _, recall, false = _found(_world("sideways", shift=shift), True)
    assert recall > 0.95 and false < 0.03


def test_a_few_slips_of_the_tracker_move_nothing():
    world = _world("walk", movers=0)  # one position in two hundred is wrong: a seventh of the tracks has one
    xy = world.tracks.xy.copy()
    rng = np.random.default_rng(0)
    xy[rng.random(xy.shape[:2]) < 0.005] += 15
    slipped = Tracks2D(xy, world.tracks.visible, world.tracks.confidence, world.tracks.queries)
    assert np.nanmean(moving_tracks(slipped, SIZE).moving > 0.5) < 0.05


def test_points_frame_by_frame_say_the_same_as_a_table_of_tracks():
    world = _world("walk")

    class Points:
        ids = [np.flatnonzero(v) for v in world.tracks.visible.T]
        xy = [world.tracks.xy[i, t] for t, i in enumerate(ids)]

    table, listed = moving_tracks(world.tracks, SIZE), moving_tracks(Points(), SIZE)
    np.testing.assert_array_equal(table.moving[: len(listed.moving)], listed.moving)


def test_frames_without_a_pose_say_nothing_and_stop_nothing():
    world = _world("walk")
    T = world.cameras.T_wc.copy()
    T[10:14] = np.nan
    motion = moving_tracks(world.tracks, SIZE, Cameras(world.cameras.K, T, world.cameras.size))
    assert not set(range(10, 14)) & set(motion.views)
    assert (motion.moving[world.moves] > 0.5).mean() > 0.95


def test_a_handful_of_tracks_says_nothing():
    motion = moving_tracks(_world("walk", movers=0, still=12).tracks, SIZE)
    assert not motion.views and np.isnan(motion.moving).all()


def test_two_frames_and_one_are_enough_not_to_fail():
    world = _world("walk", frames=2)
    assert len(moving_tracks(world.tracks, SIZE).moving) == len(world.moves)
    assert np.isnan(moving_tracks(_world("walk", frames=1).tracks, SIZE).moving).all()


def test_cameras_of_another_length_are_told():
    world = _world("walk")
    with pytest.raises(UserError, match="31 frames, but there are 30 cameras"):
        moving_tracks(world.tracks, SIZE, _path(30, "walk"))


def test_a_still_point_is_explained_exactly_by_known_cameras():
    world = _world("walk", movers=0, still=50)
    exact = _tracks(np.repeat([[[0.3, 0.2, 4.0]]], 31, axis=1), world.cameras, noise=0)
    views = views_of_cameras(world.cameras, 10, np.array([4, 16]), (0.0, np.inf))
    assert views is not None
    squared, count, w = views.explained(exact.xy[:, 10], exact.xy[:, [4, 16]], np.ones((1, 2)))
    depth = project(np.array([[0.3, 0.2, 4.0]]), K, world.cameras.T_wc[10])[1]
    assert squared[0] < 1e-6 and count[0] == 2 and w[0] == pytest.approx(1 / depth[0], rel=1e-4)
