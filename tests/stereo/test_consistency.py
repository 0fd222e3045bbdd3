"""Depth maps of several views against each other."""

import numpy as np

from tests.stereo import corner
from toolkit.stereo.consistency import ask_views, carried_to, enlarged

SEEN = corner.cameras(5)
INVERSE = np.stack([1 / corner.depth_of(SEEN, t) for t in range(5)]).astype(np.float32)
STEPS = np.full(5, 0.004)


def test_noise_is_averaged_away():
    noisy = INVERSE + np.random.default_rng(0).normal(0, 0.001, INVERSE.shape).astype(np.float32)
    found = ask_views(noisy, STEPS, 2, [0, 1, 3, 4], SEEN)
    inner = found.agree >= 3
    before, after = (np.std((m - INVERSE[2])[inner]) for m in (noisy[2], found.inverse_depth))
    assert inner.mean() > 0.6 and after < 0.6 * before


def test_what_hangs_in_free_air_is_seen_past_and_what_is_right_is_not():
    wrong = INVERSE.copy()
    wrong[2, 60:80, 100:120] *= 2
    found = ask_views(wrong, STEPS, 2, [0, 1, 3, 4], SEEN)
    assert (found.past[62:78, 102:118] >= 2).mean() > 0.9 and (found.agree[62:78, 102:118] == 0).mean() > 0.9
    assert (found.past[:50] == 0).mean() > 0.97 and (found.agree[:50, 60:160] > 0).mean() > 0.95


def test_unknown_stays_unknown_and_counts_for_nothing():
    holed = INVERSE.copy()
    holed[2, :30] = np.nan
    holed[1] = np.nan
    found = ask_views(holed, STEPS, 2, [1], SEEN)
    assert np.isnan(found.inverse_depth[:30]).all() and (found.looked == 0).all() and (found.agree == 0).all()


def test_a_view_without_a_map_takes_what_falls_into_it_the_nearest_surface_first():
    depth, sure = carried_to(2, INVERSE, np.full_like(INVERSE, 0.8), [1, 3], SEEN)
    known = np.isfinite(depth)
    assert known.mean() > 0.85
    assert np.median(np.abs(depth / INVERSE[2] - 1)[known]) < 0.005
    np.testing.assert_allclose(sure[known], 0.8, atol=1e-5)


def test_enlarging_keeps_edges_sharp_and_unknown_unknown():
    small = np.full((20, 30), 0.5, np.float32)
    small[:, 15:] = 0.1
    small[:5] = np.nan
    depth, sure = enlarged(small, np.where(np.isnan(small), 0, 0.7).astype(np.float32), (90, 60))
    assert set(np.unique(depth[16:].round(4))) == {2.0, 10.0}
    assert np.isnan(depth[:14]).all() and (sure[:14] == 0).all() and (sure[16:] > 0).all()
