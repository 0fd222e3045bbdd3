"""Nearest points against a search of all."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.models.nearest import NearestPoints


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), points=st.integers(1, 300), count=st.integers(1, 20), spread=st.sampled_from([0.0, 1e-3, 1.0]))
def test_the_nearest_are_found_in_order_however_the_points_lie(seed, points, count, spread):
    rng = np.random.default_rng(seed)
    cloud = rng.normal(size=(points, 3)) * [1, 1, spread]
    places = rng.normal(size=(7, 3)) * 2
    found = NearestPoints(cloud).query(places, count)
    distance = np.linalg.norm(cloud[None] - places[:, None], axis=-1)
    wanted = np.sort(distance, axis=1)[:, :count]
    wanted = np.pad(wanted, ((0, 0), (0, count - wanted.shape[1])), mode="edge")
    np.testing.assert_allclose(np.take_along_axis(distance, found, 1), wanted, rtol=1e-12)
    for row in found[:, : min(count, points)]:
        assert len(set(row)) == len(row)


def test_many_points_may_coincide():
    cloud = np.concatenate([np.zeros((5000, 3)), np.ones((3, 3))])
    assert set(NearestPoints(cloud).query([[2.0, 2, 2]], 3)[0]) == {5000, 5001, 5002}
