"""Tables of tracks as correspondences."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false, reportCallIssue=false
# Lists and wider numbers are given on purpose: the nouns convert them.

import numpy as np

from tests.sfm import photo_set
from tests.sfm.followed_points import followed
from toolkit.scene import Tracks2D
from toolkit.sfm.features import Features
from toolkit.sfm.track_table import TableOptions, chosen_pairs, key_frames, observation_sigmas, observed, shared_rows


def _features(track, sigma=None):
    n = len(track)
    return Features(np.zeros((n, 2), np.float32), np.ones(n, np.float32), np.empty((n, 0), np.uint8), np.array(track), sigma)


def test_samples_outside_hidden_not_finite_or_masked_do_not_count():
    xy = np.array([[[5, 5], [15, 5], [np.nan, 5], [5, 5], [9, 9]]], np.float32)
    tracks = Tracks2D(xy, [[True, True, True, False, True]], np.ones((1, 5)), np.zeros((1, 3)))
    assert observed(tracks, (10, 10)).tolist() == [[True, False, False, False, True]]
    masks = np.zeros((5, 20, 20), bool)
    masks[4, 18, 18] = True
    assert observed(tracks, (10, 10), masks).tolist() == [[True, False, False, False, False]]


def test_key_frames_of_a_slow_clip_are_far_apart_and_hold_both_ends():
    tracks, _ = followed(60, 400, life=30, step=0.03, turn_deg=0.3)
    seen = observed(tracks, photo_set.SIZE)
    keys = key_frames(tracks.xy, seen, photo_set.SIZE, TableOptions())
    assert keys[0] == 0 and keys[-1] == 59
    assert 5 < len(keys) < 30
    assert len(key_frames(tracks.xy[:, :10], seen[:, :10], photo_set.SIZE, TableOptions())) == 10


def test_every_frame_is_paired_and_a_place_seen_again_long_after_too():
    seen = np.zeros((300, 80), bool)
    for n in range(300):
        seen[n, max(0, n // 4 - 6) : n // 4 + 6] = True
    seen[:60, 70:] = True  # the first place is seen again at the end
    keys = list(range(0, 80, 2))
    pairs = chosen_pairs(seen, keys, TableOptions())
    assert {t for pair in pairs for t in pair} == set(range(80))
    assert any(j - i > 60 for i, j in pairs)
    assert len(pairs) < 80 * 10


def test_shared_rows_are_those_of_the_same_track():
    a, b = _features([3, -1, 7, 9]), _features([9, -1, 3, 5])
    assert shared_rows(a, b).tolist() == [[0, 2], [3, 0]]


def test_unknown_standard_deviations_become_the_median_and_none_is_vanishing():
    features = [_features([0, 1, 2, 3], np.array([1, 2, np.nan, 1e-9], np.float32)), _features([0], np.array([3], np.float32))]
    sigmas = observation_sigmas(features)
    assert sigmas is not None
    assert np.allclose(sigmas[1], [1, 2, 1.5, 0.3]) and np.allclose(sigmas[2], [3])
    assert observation_sigmas([_features([0])]) is None
