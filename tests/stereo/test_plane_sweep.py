"""One view against its neighbours, plane by plane."""

import cv2
import numpy as np
import pytest

from tests.sfm.photo_set import photograph
from tests.stereo import corner
from toolkit.stereo.plane_sweep import SweepSettings, View, epipolar_map, planes_between, sweep
from toolkit.stereo.sweep_cost import UNSEEN, best_half, match_plane
from toolkit.stereo.sweep_refine import refine_labels

SEEN = corner.cameras(5)


@pytest.fixture(scope="module")
def views():
    every = np.ones(corner.SIZE[::-1], bool)
    greys = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in photograph(SEEN)]
    return [View(g, every, corner.LENS, T) for g, T in zip(greys, SEEN.T_cw, strict=True)]


@pytest.fixture(scope="module")
def found(views):
    others = [views[t] for t in (0, 1, 3, 4)]
    planes = planes_between(views[2], others, 1.5, 9.0, SweepSettings())
    return sweep(views[2], others, planes), others


def test_epipolar_map_projects_as_the_cameras_do(views):
    A, b = epipolar_map(views[2], views[0])
    xyz = np.array([0.4, -0.3, 5.0])
    places = []
    for view in (views[2], views[0]):
        local = view.T_cw[:3, :3] @ xyz + view.T_cw[:3, 3]
        places.append((view.K @ local / local[2], local[2]))
    (x, z), (expected, _) = places
    p = A @ x + b / z
    np.testing.assert_allclose(p / p[2], expected, atol=1e-9)


def test_slanted_walls_are_found_within_a_fraction_of_a_plane(found):
    result, _ = found
    label = (1 / corner.depth_of(SEEN, 2) - result.planes.first) / result.planes.step
    error = np.abs(result.label - label)
    assert np.median(error) < 0.25 and (error > 1.5).mean() < 0.06


def test_refining_sharpens_the_fraction(found, views):
    result, others = found
    label = (1 / corner.depth_of(SEEN, 2) - result.planes.first) / result.planes.step
    before, after = (np.median(np.abs(m - label)) for m in (result.label, refine_labels(result.label, views[2], others, result.planes)))
    assert after < 0.8 * before


def test_the_margin_is_small_where_the_label_is_wrong(found):
    result, _ = found
    label = (1 / corner.depth_of(SEEN, 2) - result.planes.first) / result.planes.step
    wrong = np.abs(result.label - label) > 2
    assert np.median(result.margin[wrong]) < 0.7 * np.median(result.margin[~wrong])


def test_cost_is_one_minus_the_correlation_of_windows():
    rng = np.random.default_rng(0)
    a = cv2.GaussianBlur(rng.uniform(-100, 100, (40, 50)).astype(np.float32), (0, 0), 1)
    b = (0.7 * a + 10 + rng.normal(0, 5, a.shape)).astype(np.float32)
    mean = cv2.blur(a, (5, 5), borderType=cv2.BORDER_REPLICATE)
    variance = cv2.blur(a * a, (5, 5), borderType=cv2.BORDER_REPLICATE) - mean**2
    out = np.empty(a.shape, np.uint8)
    match_plane(a, mean, variance, b, np.eye(3), 2, 0.0, out)
    for y, x in ((10, 10), (20, 33), (30, 7)):
        window = np.s_[y - 2 : y + 3, x - 2 : x + 3]
        expected = 100 * np.clip(1 - np.corrcoef(a[window].ravel(), b[window].ravel())[0, 1], 0, 1)
        assert abs(out[y, x] - expected) < 1.1


def test_the_better_half_of_the_views_that_see_a_pixel_counts():
    costs = np.array([[10, 90, 30, 70], [20, 255, 255, 255], [255, 255, 40, 60], [255, 255, 255, 255]], np.uint8).T[:, None]
    out = np.empty((1, 4), np.uint8)
    best_half(np.ascontiguousarray(costs), out)
    assert out[0, :3].tolist() == [20, 20, 40] and out[0, 3] != UNSEEN
