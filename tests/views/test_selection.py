"""Choosing tracks: evenly over picture and clip, moving first, repeatable."""

import numpy as np
import pytest

from toolkit.views.selection import spread_tracks

SIZE = (200, 100)


@pytest.fixture
def crowded():
    """Five thousand tracks, nine in ten of them in one corner."""
    rng = np.random.default_rng(0)
    start = np.where(rng.random((5000, 1)) < 0.9, rng.uniform(0, 30, (5000, 2)), rng.uniform([0, 0], SIZE, (5000, 2)))
    xy = (start[:, None] + np.linspace(0, 5, 20)[None, :, None]).astype(np.float32)
    return xy, rng.random((5000, 20)) < 0.8


def test_the_choice_is_within_the_count_close_to_it_and_has_no_track_twice(crowded):
    xy, visible = crowded
    for count in (1, 10, 100, 700):
        chosen = spread_tracks(xy, visible, SIZE, count)
        assert len(set(chosen)) == len(chosen) <= count
        assert len(chosen) >= max(0.6 * count, 1)


def test_the_choice_covers_the_picture_where_chance_would_crowd_the_corner(crowded):
    xy, visible = crowded
    chosen = spread_tracks(xy, visible, SIZE, 200)
    in_corner = (xy[chosen, 0] < 31).all(1).mean()
    assert in_corner < 0.25


def test_every_time_of_the_clip_is_covered():
    rng = np.random.default_rng(1)
    xy = np.repeat(rng.uniform([0, 0], SIZE, (2000, 1, 2)), 40, axis=1).astype(np.float32)
    start = rng.integers(0, 37, 2000)
    visible = (np.arange(40) >= start[:, None]) & (np.arange(40) < start[:, None] + 4)
    chosen = spread_tracks(xy, visible, SIZE, 300)
    assert visible[chosen].sum(0).min() >= 5


def test_moving_tracks_come_first_but_leave_a_third_to_still_ones(crowded):
    xy, visible = crowded
    moving = np.arange(5000) % 2 == 0
    chosen = spread_tracks(xy, visible, SIZE, 300, moving=moving)
    assert 100 <= moving[chosen].sum() <= 200 < len(chosen)


def test_neighbours_keep_their_distance_in_a_frame(crowded):
    xy, visible = crowded
    chosen = spread_tracks(xy[:, :1], np.ones_like(visible[:, :1]), SIZE, 5000, spacing_px=8)
    cells = np.floor(xy[chosen, 0] / 8)
    assert len(np.unique(cells, axis=0)) == len(chosen)


def test_few_tracks_are_all_kept_except_those_never_seen():
    visible = np.array([[True, False], [False, False], [False, True]])
    assert spread_tracks(np.ones((3, 2, 2), np.float32), visible, SIZE, 10).tolist() == [0, 2]


def test_no_tracks_give_no_choice():
    assert len(spread_tracks(np.zeros((0, 5, 2), np.float32), np.zeros((0, 5), bool), SIZE, 10)) == 0


def test_the_seed_decides(crowded):
    xy, visible = crowded
    np.testing.assert_array_equal(spread_tracks(xy, visible, SIZE, 100, seed=5), spread_tracks(xy, visible, SIZE, 100, seed=5))
