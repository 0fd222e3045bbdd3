"""Background that a passing thing drags along is put back; what moves is left alone."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from points_in_motion import camera_path

from toolkit.geometry.cameras import project, unproject
from toolkit.lifting import lift_tracks
from toolkit.lifting.still_test import _across_epipolar_lines, put_back_still
from toolkit.scene import Cameras, DepthVideo, Tracks2D, Video

FRAMES, SIZE = 30, (512, 512)
WALL, BOARD = 4.0, 2.5  # distances in metres of a wall, and of a board that moves sideways before it
SPEED = 0.03  # metres per frame


def texture(x, y, seed):
    """Grey values of a surface, fixed to its own coordinates in metres."""
    rng = np.random.default_rng(seed)
    value = np.zeros(np.shape(x))
    for _ in range(12):
        a, b = rng.normal(0, 25, 2)
        value += np.cos(a * x + b * y + rng.uniform(0, 6.3))
    return 128 + 25 * value


@functools.cache
def board_before_wall(*, textured=True):
    """Frames, depth and cameras of a board that moves over a wall; the wall is the plane z = WALL of the world."""
    cameras = camera_path(FRAMES, sway_m=0.1)
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    pixels = np.stack([columns + 0.5, rows + 0.5], axis=-1).reshape(-1, 2)
    frames, depth = [], []
    for t in range(FRAMES):
        far = unproject(pixels, np.ones(len(pixels)), cameras.K[t], cameras.T_wc[t]) - cameras.centres[t]
        grey, z = np.zeros(len(pixels)), np.zeros(len(pixels))
        for plane, seed in ((WALL, 0), (BOARD, 1)):
            reach = (plane - cameras.centres[t, 2]) / far[:, 2]
            x, y = (cameras.centres[t, :2] + reach[:, None] * far[:, :2]).T
            along = x - SPEED * t if plane == BOARD else x
            here = (np.abs(along + 0.3) < 0.25) & (np.abs(y) < 0.5) if plane == BOARD else np.ones(len(x), bool)
            grey[here] = texture(along, y, seed)[here] if textured else 128
            z[here] = reach[here]  # rays have depth 1
        frames.append(np.clip(grey, 0, 255).reshape(SIZE[::-1]))
        depth.append(z.reshape(SIZE[::-1]))
    video = Video(np.repeat(np.stack(frames).astype(np.uint8)[..., None], 3, axis=-1), np.arange(FRAMES) / 30)
    return video, DepthVideo(np.stack(depth).astype(np.float32), np.ones((FRAMES, *SIZE[::-1]), np.float32)), cameras


def tracks_of(xyz, cameras):
    """Tracks that follow world points (N, T, 3), all seen."""
    xy = project(xyz, cameras.K, cameras.T_wc)[0].astype(np.float32)
    seen = np.asarray(((xy > 2) & (xy < SIZE[0] - 2)).all(axis=-1))
    queries = np.concatenate([np.zeros((len(xy), 1), np.float32), xy[:, 0]], axis=1)
    ones = np.ones(seen.shape, np.float32)
    return Tracks2D(xy, seen, ones, queries, 0.3 * ones)


def dragged_and_true():
    """World paths of wall points: where they are, and as a tracker has them that the passing board drags along for a while."""
    y = np.linspace(-0.4, 0.4, 9)
    still = np.repeat(np.stack([np.full(9, 0.3), y, np.full(9, WALL)], axis=-1)[:, None], FRAMES, axis=1)
    dragged = still.copy()
    dragged[:, 8:, 0] += SPEED * np.arange(FRAMES - 8)
    return still, dragged


def put_back(tracks, video, depth, cameras):
    return put_back_still(tracks, lift_tracks(tracks, depth, cameras, label=False), video, depth, cameras)


def test_dragged_background_returns_to_its_place():
    video, depth, cameras = board_before_wall()
    still, dragged = dragged_and_true()
    right = tracks_of(still, cameras)
    tracks, changed = put_back(tracks_of(dragged, cameras), video, depth, cameras)
    assert changed.all()
    error = np.linalg.norm(tracks.xy - right.xy, axis=-1)
    assert np.nanmax(error[tracks.visible]) < 0.5


def test_what_is_put_back_is_hidden_while_something_covers_it():
    video, depth, cameras = board_before_wall()
    still, dragged = dragged_and_true()
    tracks, _ = put_back(tracks_of(dragged, cameras), video, depth, cameras)
    xy, z = project(still, cameras.K, cameras.T_wc)
    t = np.arange(FRAMES)
    seen = depth.depth[t, xy[..., 1].astype(int), xy[..., 0].astype(int)] > 0.9 * z
    assert (~seen).any()
    assert not tracks.visible[~seen].any()
    assert tracks.visible[seen].mean() > 0.9


def test_moving_points_and_well_tracked_still_ones_are_left_alone():
    video, depth, cameras = board_before_wall()
    y = np.linspace(-0.3, 0.3, 7)
    board = np.repeat(np.stack([np.full(7, -0.3), y, np.full(7, BOARD)], axis=-1)[:, None], FRAMES, axis=1)
    board[..., 0] += SPEED * np.arange(FRAMES)
    for xyz in (board, dragged_and_true()[0]):
        before = tracks_of(xyz, cameras)
        tracks, changed = put_back(before, video, depth, cameras)
        assert not changed.any()
        np.testing.assert_array_equal(tracks.xy, before.xy)
        np.testing.assert_array_equal(tracks.visible, before.visible)


def test_without_texture_depth_has_the_say():
    video, depth, cameras = board_before_wall(textured=False)
    _, dragged = dragged_and_true()
    assert put_back(tracks_of(dragged, cameras), video, depth, cameras)[1].all()


def test_frames_without_pose_and_tracks_without_depth_change_nothing_of_themselves():
    video, depth, cameras = board_before_wall()
    _, dragged = dragged_and_true()
    tracks = tracks_of(dragged, cameras)
    T_wc = cameras.T_wc.copy()
    T_wc[12] = np.nan
    lost = Cameras(cameras.K, T_wc, cameras.size)
    after, changed = put_back(tracks, video, depth, lost)
    assert changed.all()
    np.testing.assert_array_equal(after.xy[:, 12], tracks.xy[:, 12])
    assert not after.visible[:, 12].any()
    nothing = DepthVideo(np.full_like(depth.depth, np.nan), depth.confidence)
    assert not put_back(tracks, video, nothing, cameras)[1].any()


def on_the_board(rows):
    """World paths of board points in a column of so many rows, 2 cm apart (4 px), which all move sideways."""
    y = 0.02 * (np.arange(rows) - rows / 2)
    board = np.repeat(np.stack([np.full(rows, -0.3), y, np.full(rows, BOARD)], axis=-1)[:, None], FRAMES, axis=1)
    board[..., 0] += SPEED * np.arange(FRAMES)
    return board


def test_motion_within_a_tracks_own_errors_needs_company():
    video, depth, cameras = board_before_wall()
    sure = tracks_of(on_the_board(12), cameras)
    assert sure.sigma_px is not None
    sigma = sure.sigma_px.copy()
    sigma[5] = 60.0
    assert put_back(replace(sure, sigma_px=sigma).select([5]), video, depth, cameras)[1].all()
    assert not put_back(replace(sure, sigma_px=sigma), video, depth, cameras)[1].any()


def test_along_the_epipolar_line_an_offset_says_nothing():
    cameras = board_before_wall()[2]
    point = np.array([[0.2, 0.1, 1.5], [-0.1, 0.2, 1.5]])  # near enough for the sway to show lines
    standing = project(np.repeat(point[:, None], FRAMES, axis=1), cameras.K, cameras.T_wc)[0].astype(np.float32)
    seen_at = np.array([0, 3])
    nearer = point - 0.3 * (point - cameras.centres[seen_at])  # as if on the query's ray, but at another depth
    slid = project(np.repeat(nearer[:, None], FRAMES, axis=1), cameras.K, cameras.T_wc)[0].astype(np.float32)
    shifted = np.linalg.norm(slid - standing, axis=-1)
    across = _across_epipolar_lines(slid - standing, point, seen_at, standing, cameras)
    assert shifted.max() > 8
    assert across[shifted > 8].max() < 0.1
    offset = np.zeros_like(standing)
    offset[..., 1] = 7.0  # the camera sways sideways: across the lines
    np.testing.assert_allclose(_across_epipolar_lines(offset, point, seen_at, standing, cameras)[shifted > 8], 7, rtol=0.1)


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_tracks_work(count):
    video, depth, cameras = board_before_wall()
    tracks = tracks_of(dragged_and_true()[1], cameras).select(np.arange(count))
    after, changed = put_back(tracks, video, depth, cameras)
    assert len(after) == len(changed) == count
