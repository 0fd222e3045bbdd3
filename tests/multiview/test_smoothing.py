import numpy as np

from toolkit.multiview.smoothing import smooth


def path(frames: int = 60) -> np.ndarray:
    t = np.arange(frames) / 30
    return np.stack([np.sin(3 * t), np.cos(2 * t), 0.5 * t], -1)[None]


def test_smoothing_does_not_lag_and_lowers_noise():
    truth, rng = path(), np.random.default_rng(0)
    noisy = truth + rng.normal(0, 0.02, truth.shape)
    found, _ = smooth(noisy, np.full(truth.shape[:2], 0.02), scale=2.0)
    before, after = np.linalg.norm(noisy - truth, axis=-1).mean(), np.linalg.norm(found - truth, axis=-1).mean()
    assert after < 0.85 * before
    shifts = [np.linalg.norm(found[:, 5:-5] - truth[:, 5 + k : truth.shape[1] - 5 + k], axis=-1).mean() for k in (-1, 0, 1)]
    assert shifts[1] < min(shifts[0], shifts[2])


def test_a_short_gap_is_filled_with_a_larger_sigma_and_a_long_one_is_not():
    truth = path(80)
    given = truth.copy()
    given[0, 10:13] = np.nan
    given[0, 30:60] = np.nan
    found, sigma = smooth(given, np.full(truth.shape[:2], 0.002), scale=2.0)
    assert np.linalg.norm(found[0, 10:13] - truth[0, 10:13], axis=-1).max() < 0.02
    assert sigma[0, 11] > sigma[0, 5]
    assert np.isnan(found[0, 45]).all()


def test_one_wild_measurement_is_not_followed():
    truth = path()
    given = truth.copy()
    given[0, 20] += 0.5
    found, _ = smooth(given, np.full(truth.shape[:2], 0.002), scale=2.0)
    assert np.linalg.norm(found[0, 20] - truth[0, 20]) < 0.1


def test_nothing_known_stays_unknown():
    found, sigma = smooth(np.full((1, 5, 3), np.nan), np.full((1, 5), np.nan), scale=1.0)
    assert np.isnan(found).all() and np.isnan(sigma).all()
