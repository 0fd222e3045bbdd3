"""Drift is taken out where the camera comes back, and places are known again."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.sfm.features import Features
from toolkit.sfm.video_loops import Constraints, LoopOptions, Similarities, alike, spread_drift


def _circle(count):
    angle = np.linspace(0, 2 * np.pi, count)
    R = Rotation.from_euler("y", -angle[:, None]).as_matrix()
    return Similarities(R, 5 * np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1), np.ones(count))


def _chained(first, steps):
    path = [first]
    for n in range(len(steps.scale)):
        path.append(path[-1].after(steps[np.array([n])]))
    return Similarities(*(np.concatenate([getattr(p, name) for p in path]) for name in ("R", "t", "scale")))


@pytest.fixture(scope="module")
def drifted():
    rng = np.random.default_rng(0)
    true = _circle(50)
    i = np.arange(49)
    steps = true[i].inverse().after(true[i + 1])
    turned = Rotation.from_rotvec(rng.normal(0, 0.002, (49, 3))).as_matrix() @ steps.R
    noisy = Similarities(turned, steps.t + rng.normal(0, 0.005, (49, 3)), steps.scale * np.exp(0.004 + rng.normal(0, 0.003, 49)))
    return true, noisy, _chained(true[np.array([0])], noisy)


def test_a_loop_takes_out_the_drift_in_place_and_scale(drifted):
    true, steps, path = drifted
    across = true[np.array([0])].inverse().after(true[np.array([49])])
    between = Similarities(*(np.concatenate([getattr(steps, n), getattr(across, n)]) for n in ("R", "t", "scale")))
    i = np.arange(49)
    done = spread_drift(path, Constraints(np.r_[i, 0], np.r_[i + 1, 49], between, np.ones(50)))
    before, after = (np.linalg.norm(p.t - true.t, axis=1) for p in (path, done))
    assert before.max() > 0.8
    assert after.max() < 0.2 * before.max()
    assert abs(done.scale[-1] - 1) < 0.02


def test_a_path_that_fits_its_measurements_stays(drifted):
    true, _, _ = drifted
    i = np.arange(49)
    done = spread_drift(true, Constraints(i, i + 1, true[i].inverse().after(true[i + 1]), np.ones(49)))
    assert np.abs(done.t - true.t).max() < 1e-6


def test_there_and_back_is_nowhere(drifted):
    _, steps, _ = drifted
    nowhere = steps.after(steps.inverse())
    assert np.abs(nowhere.R - np.eye(3)).max() < 1e-12
    assert np.abs(nowhere.t).max() < 1e-12 and np.abs(nowhere.scale - 1).max() < 1e-12


def test_frames_that_show_the_same_are_the_first_to_be_compared():
    rng = np.random.default_rng(0)
    places = [rng.integers(0, 200, (80, 128)) for _ in range(60)]
    places[55] = np.clip(places[3] + rng.integers(-6, 7, (80, 128)), 0, 255)
    features = {k: Features(np.zeros((80, 2), np.float32), np.ones(80, np.float32), d.astype(np.uint8)) for k, d in enumerate(places)}
    assert alike(features, LoopOptions(), 0)[0] == (3, 55)
