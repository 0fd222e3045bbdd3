"""Moving points drawn to where a network believes them."""

import numpy as np
import pytest

from toolkit.lifting.track_movers import Movers
from toolkit.lifting.track_network import drawn_to_network

FRAMES, COUNT = 5, 6


@pytest.fixture
def placed():
    """Movers of two bodies before cameras that walk to the right."""
    rng = np.random.default_rng(0)
    centres = np.column_stack([0.1 * np.arange(FRAMES), np.zeros(FRAMES), np.zeros(FRAMES)])
    R = np.repeat(np.eye(3)[None], FRAMES, 0)
    uv = rng.uniform(-0.4, 0.4, (FRAMES, COUNT, 2))
    rays = np.concatenate([uv, np.ones((FRAMES, COUNT, 1))], axis=-1)
    movers = Movers(centres[:, None] + 2 * rays, np.full(COUNT, 0.3), np.array([0, 0, 0, 1, 1, 1]), False)
    return movers, centres, R, uv


def depth(movers, centres):
    return (movers.xyz - centres[:, None])[..., 2]


def test_points_go_along_their_rays_by_how_sure_each_is(placed):
    movers, centres, R, uv = placed
    told = np.full((FRAMES, COUNT), 4.0)
    for sigma, expected in ((0.3, np.sqrt(8.0)), (1e-3, 4.0), (1e3, 2.0)):
        drawn = drawn_to_network(movers, centres, R, uv, told, sigma)
        np.testing.assert_allclose(depth(drawn, centres), expected, rtol=1e-4)
        away = drawn.xyz - centres[:, None]
        np.testing.assert_allclose(away[..., :2] / away[..., 2:], uv, atol=1e-9)


def test_two_that_agree_are_surer_than_either_and_two_that_contradict_each_other_are_not(placed):
    movers, centres, R, uv = placed
    same, other = (drawn_to_network(movers, centres, R, uv, np.full((FRAMES, COUNT), depth), 0.3) for depth in (2.0, 4.0))
    np.testing.assert_allclose(same.sigma, 0.3 / np.sqrt(2))
    np.testing.assert_allclose(other.sigma, np.hypot(0.3 / np.sqrt(2), 0.5 * np.log(2)), err_msg="two guesses, each as likely")
    one_source = drawn_to_network(movers, centres, R, uv, np.full((FRAMES, COUNT), 2.0), 0.3, alike=1.0)
    np.testing.assert_allclose(one_source.sigma, 0.3, err_msg="what is told twice by the same source is no surer")


def test_tracks_that_were_not_asked_about_go_with_their_body(placed):
    movers, centres, R, uv = placed
    told = np.full((FRAMES, COUNT), np.nan)
    told[:, 0] = 4.0
    drawn = drawn_to_network(movers, centres, R, uv, told, 1e-3)
    np.testing.assert_allclose(depth(drawn, centres)[:, :3], 4, rtol=1e-4)
    np.testing.assert_allclose(depth(drawn, centres)[:, 3:], 2)
    assert (drawn.sigma[3:] == 0.3).all()
    told[:] = np.nan
    assert drawn_to_network(movers, centres, R, uv, told, 0.1) is movers


def test_a_network_that_is_far_off_moves_nothing_without_end_and_gaps_stay(placed):
    movers, centres, R, uv = placed
    movers.xyz[0, 2] = np.nan
    drawn = drawn_to_network(movers, centres, R, uv, np.full((FRAMES, COUNT), 400.0), 1e-3)
    assert np.isnan(drawn.xyz[0, 2]).all()
    np.testing.assert_allclose(depth(drawn, centres)[1:], 6, rtol=1e-4)
