"""Features and matches of two views of one wall, against the place where each point really lies."""

import cv2
import numpy as np
import pytest

from tests.sfm import photo_set
from toolkit.sfm.features import FeatureOptions, find_features
from toolkit.sfm.matching import MatchOptions, match, match_guided


@pytest.fixture(scope="module")
def pair():
    seen = photo_set.cameras(2, step=1.0)
    greys = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in photo_set.photograph(seen, planes=1)]
    return seen, [find_features(g, options=FeatureOptions(most=1500)) for g in greys]


def _on_the_wall(seen, t, xy):
    rays = np.column_stack([xy, np.ones(len(xy))]) @ np.linalg.inv(seen.K[t]).T @ seen.T_wc[t, :3, :3].T
    return seen.T_wc[t, :3, 3] + rays * ((6 - seen.T_wc[t, 2, 3]) / rays[:, 2])[:, None]


def test_nearly_all_matches_are_right_and_their_places_are_unbiased(pair):
    seen, (a, b) = pair
    pairs = match(a.descriptor, b.descriptor, MatchOptions())
    off = _on_the_wall(seen, 0, a.xy[pairs[:, 0]]) - _on_the_wall(seen, 1, b.xy[pairs[:, 1]])
    right = np.linalg.norm(off, axis=1) < 0.05
    assert len(pairs) > 200
    assert right.mean() > 0.95
    assert abs(np.median(off[right, :2], axis=0)).max() < 0.003  # metres; a pixel is 0.014


def test_a_second_look_along_epipolar_lines_finds_more(pair):
    seen, (a, b) = pair
    move = np.linalg.inv(seen.T_wc[1]) @ seen.T_wc[0]
    x, y, z = move[:3, 3]
    inverse = np.linalg.inv(photo_set.K)
    F = inverse.T @ np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ move[:3, :3] @ inverse
    guided = match_guided(a.descriptor, b.descriptor, a.xy, b.xy, F, 2.0, MatchOptions())
    off = _on_the_wall(seen, 0, a.xy[guided[:, 0]]) - _on_the_wall(seen, 1, b.xy[guided[:, 1]])
    assert len(guided) > len(match(a.descriptor, b.descriptor, MatchOptions()))
    assert (np.linalg.norm(off, axis=1) < 0.05).mean() > 0.95


def test_positions_are_told_in_stored_pixels_whatever_the_picture_was_reduced_to():
    (picture,) = photo_set.photograph(photo_set.cameras(1), planes=1)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    whole = find_features(grey, options=FeatureOptions(most=500))
    half = find_features(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), enlarged=(2, 2), options=FeatureOptions())
    pairs = match(whole.descriptor, half.descriptor, MatchOptions())
    assert abs(np.median(whole.xy[pairs[:, 0]] - half.xy[pairs[:, 1]], axis=0)).max() < 0.1
