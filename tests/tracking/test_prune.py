"""Pruning: the published rule."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from toolkit.errors import UserError
from toolkit.scene import Tracks2D
from toolkit.tracking import prune_tracks


def _tracks(xy, visible, queries):
    return Tracks2D(np.asarray(xy, np.float32), visible, np.ones(np.shape(visible), np.float32), np.asarray(queries, np.float32))


def _kept(tracks, **options):
    numbers = np.repeat(np.arange(len(tracks), dtype=np.float32)[:, None], tracks.xy.shape[1], axis=1)
    numbered = Tracks2D(tracks.xy, tracks.visible, numbers, tracks.queries)
    kept = prune_tracks(numbered, **options).confidence[:, 0].astype(int)
    return np.isin(np.arange(len(tracks)), kept)


def test_the_kept_tracks_are_those_of_the_published_implementation(golden):
    with np.load(golden / "stereo4d" / "prune.npz") as f:
        tracks = _tracks(f["tracks"], f["visibles"], f["query_points"][:, [0, 2, 1]])
        assert np.array_equal(_kept(tracks, radius_px=float(f["threshold"])), f["kept"])


def test_a_plain_search_of_all_pairs_gives_the_same():
    rng = np.random.default_rng(3)
    n, t = 600, 30
    queries = np.column_stack([rng.integers(0, 3, n) * 10, rng.uniform(0, 40, (n, 2))])
    xy = queries[:, None, 1:] + rng.normal(size=(n, t, 2)).cumsum(1) * 0.3
    visible = rng.random((n, t)) < 0.8
    tracks = _tracks(xy, visible, queries)
    kept = np.zeros(n, bool)
    for frame in (0, 10, 20):
        now = np.flatnonzero(queries[:, 0] == frame)
        others = tracks.xy[kept & visible[:, frame], frame]
        near = np.array([len(others) > 0 and KDTree(others).query(tracks.queries[i, 1:])[0] <= 1 for i in now])
        kept[now[~near]] = True
    assert 0 < kept.sum() < n
    assert np.array_equal(_kept(tracks), kept)


def test_a_hidden_track_and_one_of_the_same_frame_suppress_nothing():
    xy = np.full((3, 2, 2), 10.0)
    queries = [[0, 10, 10], [0, 10, 10], [1, 10, 10]]
    assert _kept(_tracks(xy, np.array([[1, 0], [1, 0], [0, 1]], bool), queries)).tolist() == [True, True, True]
    assert _kept(_tracks(xy, np.array([[1, 0], [1, 1], [0, 1]], bool), queries)).tolist() == [True, True, False]


def test_a_distance_of_exactly_the_radius_is_covered():
    xy = np.array([[[10.0, 10], [10, 10]], [[11, 10], [11, 10]], [[13, 10], [13, 10]]])
    queries = [[0, 10, 10], [1, 11, 10], [1, 13, 10]]
    assert _kept(_tracks(xy, np.ones((3, 2), bool), queries)).tolist() == [True, False, True]


def test_tracks_that_are_not_finite_cover_nothing():
    xy = np.array([[[np.nan, 10], [np.nan, 10]], [[11, 10], [11, 10]]])
    assert _kept(_tracks(xy, np.ones((2, 2), bool), [[0, 1, 1], [1, 11, 10]])).tolist() == [True, True]


def test_no_tracks_stay_no_tracks():
    assert len(prune_tracks(_tracks(np.zeros((0, 5, 2)), np.zeros((0, 5), bool), np.zeros((0, 3))))) == 0


def test_bad_input_is_told_in_one_sentence():
    tracks = _tracks(np.zeros((1, 5, 2)), np.ones((1, 5), bool), [[7, 0, 0]])
    with pytest.raises(UserError, match="frames 7 to 7"):
        prune_tracks(tracks)
    with pytest.raises(UserError, match="radius is -1"):
        prune_tracks(tracks, radius_px=-1)
