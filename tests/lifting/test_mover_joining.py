"""Tracks that pass for still go with the body that explains them better, and nothing else does."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.lifting.mover_joining import joined_movers
from toolkit.sfm.bundle import Beliefs, State
from toolkit.sfm.track_observed import Observed
from toolkit.sfm.track_sharpening import SharpeningOptions, placed_again

PX, FRAMES, WALL, CAR, CORNER = 1 / 400, 16, 150, 80, 20


@pytest.fixture(scope="module")
def street():
    """Walls that stand still, and a car ahead that drives away; the camera follows it. Points stand where they fit best, the car's too."""
    rng = np.random.default_rng(2)
    still = np.column_stack([rng.uniform(-4, 4, WALL), rng.uniform(-2, 1, WALL), rng.uniform(6, 14, WALL)])
    car = np.column_stack([rng.uniform(-1, 1, CAR), rng.uniform(0, 1.2, CAR), np.full(CAR, 8.0)])
    drive = np.column_stack([np.linspace(0, 0.8, FRAMES), np.zeros(FRAMES), np.linspace(0, 2.5, FRAMES)])
    c = np.column_stack([np.linspace(0, 0.6, FRAMES), np.zeros(FRAMES), np.linspace(0, 1.5, FRAMES)])
    R = Rotation.identity(FRAMES).as_matrix()
    X = np.concatenate([np.tile(still, (FRAMES, 1, 1)), car + drive[:, None]], axis=1)
    local = X - c[:, None]
    uv = local[..., :2] / local[..., 2:] + 0.3 * PX * rng.normal(size=(FRAMES, WALL + CAR, 2))
    seen = Observed(uv, np.ones(uv.shape[:2]), PX, Beliefs())
    # The car's points as a still world has them: each where it fits its track best.
    return seen, placed_again(seen, State(R, c, X[FRAMES // 2].copy()), 1.0, SharpeningOptions())


def joined(street, chance):
    seen, state = street
    return joined_movers(seen, state, chance, apart=0.35, motion_weight=10.0)


def believed(corner, rest=0.95):
    """Chances: of the walls little, of the car much, but for a corner of it."""
    chance = np.full(WALL + CAR, 0.15)
    chance[WALL:] = rest
    chance[WALL : WALL + CORNER] = corner
    return chance


def test_a_corner_of_a_car_that_passes_for_still_goes_with_the_car_and_no_wall_does(street):
    those = joined(street, believed(0.3))
    assert those[WALL : WALL + CORNER].mean() > 0.9
    assert not those[:WALL].any() and not those[WALL + CORNER :].any()


def test_what_surely_stands_still_stays(street):
    assert not joined(street, believed(0.05)).any()


def test_a_body_that_may_not_move_takes_nothing_along(street):
    assert not joined(street, believed(0.3, rest=0.6)).any()


def test_a_track_that_moves_alike_elsewhere_in_the_picture_is_not_of_the_body(street):
    seen, state = street
    uv = seen.uv.copy()
    uv[:, WALL : WALL + CORNER] += [0.0, -0.6]
    those = joined((replace(seen, uv=uv), state), believed(0.3))
    assert not those.any()


def test_without_anything_that_moves_nothing_joins(street):
    assert not joined(street, np.full(WALL + CAR, 0.2)).any()
