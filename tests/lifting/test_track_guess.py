"""Points around a camera that only turns, whose distance is a guess."""

import numpy as np
import pytest

from toolkit.lifting.track_guess import on_a_sphere
from toolkit.lifting.track_movers import MoverOptions


@pytest.mark.parametrize(("grows", "nearer"), [(1.1, 0.02), (4.0, 0.5)])
def test_what_grows_much_comes_nearer_and_what_bends_and_turns_does_not(grows, nearer):
    frames, points = 20, 12
    offset = np.random.default_rng(0).uniform(-0.05, 0.05, (points, 2))
    uv = 0.1 + offset * np.geomspace(1, grows, frames)[:, None, None]
    still = np.repeat(np.eye(3)[None], frames, 0)
    xyz, _ = on_a_sphere(uv, np.ones((frames, points), bool), still, np.ones(points, bool), MoverOptions())
    distance = np.median(np.linalg.norm(xyz, axis=-1), axis=0)
    change = 1 - distance[-1] / distance[0]
    assert change < nearer if grows < 2 else change > nearer
