"""Matchers by name, and a person's own."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.stereo import registry
from toolkit.stereo.disparity import match_pair
from toolkit.stereo.registry import matchers, register_matcher


@pytest.fixture
def clean():
    before = dict(matchers())
    yield
    registry._MATCHERS.clear()
    registry._MATCHERS.update(before)


@pytest.fixture(scope="module")
def pair():
    """A wall of 7 px."""
    texture = np.random.default_rng(0).integers(0, 255, (60, 107, 3)).astype(np.uint8)
    return texture[:, :100], texture[:, 7:]


def test_built_in_matchers_have_a_sentence_each():
    assert list(matchers())[:3] == ["draft", "normal", "fine"]
    assert all(info.sentence.endswith(".") for info in matchers().values())


def test_a_matcher_of_ones_own_is_called_for_both_eyes_checked_and_judged(clean, pair):
    seen = []

    def constant(left, right):
        seen.append((left, right))
        return np.full(left.shape[:2], 7.0)

    register_matcher("constant", constant)
    px, confidence = match_pair(*pair, matcher="constant", max_disparity=20)
    np.testing.assert_allclose(px, 7, atol=0.15)
    assert confidence[:, 20:-10].mean() > 0.8
    np.testing.assert_array_equal(seen[0][0] if len(seen) == 1 else seen[1][0], pair[0])
    np.testing.assert_array_equal(seen[0][0], pair[1][:, ::-1])


def test_a_matcher_that_disagrees_with_itself_gets_low_confidence(clean, pair):
    rng = np.random.default_rng(1)
    register_matcher("dice", lambda left, right: rng.uniform(0, 20, left.shape[:2]))
    _, confidence = match_pair(*pair, matcher="dice", max_disparity=20)
    assert confidence.mean() < 0.5


def test_a_wrong_shape_is_told(clean, pair):
    register_matcher("flat", lambda left, right: np.zeros(5))
    with pytest.raises(UserError, match=r'The matcher "flat" gave an array of shape \(5,\), but \(H, W\) = \(60, 100\) is needed'):
        match_pair(*pair, matcher="flat", max_disparity=20)


@pytest.mark.parametrize("name", ["auto", "normal"])
def test_built_in_names_cannot_be_taken(name):
    with pytest.raises(UserError, match="is the name of a built-in matcher"):
        register_matcher(name, lambda left, right: left)
