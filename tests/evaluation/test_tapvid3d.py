"""TAPVid-3D: thresholds that grow with depth, and scores of their own."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.evaluation.tapvid3d import metres_per_pixel, tapvid3d_scores

LENS = (100.0, 100.0, 50.0, 50.0)


def test_metres_a_pixel_covers_are_the_published_multiplier(golden):
    with np.load(golden / "st4rtrack" / "misc_metrics.npz") as f:
        assert np.allclose(metres_per_pixel(f["mult/gt"], f["mult/intr"]), f["mult/out"], rtol=1e-12)


def test_an_error_counts_by_how_many_pixels_it_covers():
    gt = np.zeros((2, 4, 3))
    gt[0, :, 2], gt[1, :, 2] = 1.0, 10.0
    pred = gt + [0.03, 0, 0]  # three pixels off near by, a third of one far away
    seen = np.ones((2, 4), bool)
    scores = tapvid3d_scores(pred, gt, seen, LENS, scaling="none")
    assert scores["APD3D"] == pytest.approx(0.5 * (100 * 3 / 5) + 0.5 * 100)
    assert tapvid3d_scores(pred, gt, seen, LENS, scaling="none", fixed=True)["APD3D"] == pytest.approx(80.0)


def test_scale_is_taken_out_and_hidden_points_are_not_judged_by_place():
    rng = np.random.default_rng(0)
    gt = rng.normal(size=(10, 6, 3)) + [0, 0, 5]
    seen = rng.random((10, 6)) < 0.7
    pred = np.where(seen[..., None], 0.3 * gt, np.nan)
    full = tapvid3d_scores(pred, gt, seen, LENS, pred_visible=seen)
    assert full == {"APD3D": 100.0, "AJ3D": 100.0, "OA": 100.0}
    each = tapvid3d_scores(gt * rng.uniform(0.5, 2, (10, 1, 1)), gt, seen, LENS, scaling="per_trajectory")
    assert each["APD3D"] == 100.0 and each["AJ3D"] < 100


def test_shapes_and_scalings_that_cannot_be_are_told():
    with pytest.raises(UserError, match="must be"):
        tapvid3d_scores(np.ones((2, 3, 3)), np.ones((2, 4, 3)), np.ones((2, 3)), LENS)
    with pytest.raises(UserError, match="no scaling 'mean'"):
        tapvid3d_scores(np.ones((2, 3, 3)), np.ones((2, 3, 3)), np.ones((2, 3)), LENS, scaling="mean")  # type: ignore[arg-type]
