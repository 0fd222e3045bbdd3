"""Robust adjustment against known truth, with and without wrong observations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.sfm import photo_set
from toolkit.evaluation.cameras import cameras as score
from toolkit.geometry.cameras import project
from toolkit.scene import Cameras
from toolkit.sfm.colmap import reconstruction
from toolkit.sfm.photo_adjust import BundleOptions, noise_px
from toolkit.sfm.photo_bundle import refine
from toolkit.sfm.registration import poses
from toolkit.sfm.weighted_bundle import WeightedOptions, _covariance
from toolkit.sfm.weighted_problem import Freedom, Problem


def _adjusted(share, *, views=12, points=500, noise_px=0.5, seed=0):
    """ATE over the extent after refining disturbed cameras and points, `share` of the observations wrong by tens of pixels."""
    rng = np.random.default_rng(seed)
    truth = photo_set.cameras(views, step=0.3, turn_deg=3)
    xyz = rng.uniform([-3, -1.5, 4], [3, 1.5, 8], (points, 3))
    xy = np.stack([project(xyz, truth.K[t], truth.T_wc[t])[0] for t in range(views)], 1)
    xy += rng.normal(size=xy.shape) * noise_px
    inside = np.all((xy > 0) & (xy < photo_set.SIZE), axis=2)
    inside &= inside.sum(1, keepdims=True) > 2
    wrong = rng.random(xy.shape[:2]) < share
    xy[wrong] += rng.normal(size=(int(wrong.sum()), 2)) * 40
    T_wc = truth.T_wc.copy()
    T_wc[1:, :3, 3] += rng.normal(size=(views - 1, 3)) * 0.02
    T_wc[1:, :3, :3] = Rotation.from_rotvec(rng.normal(size=(views - 1, 3)) * 0.01).as_matrix() @ T_wc[1:, :3, :3]
    point, frame = np.nonzero(inside)
    start = Cameras(truth.K, T_wc, truth.size)
    names = [f"{t}.jpg" for t in range(views)]
    guess = xyz + rng.normal(size=xyz.shape) * 0.03
    model = reconstruction(start, names, guess, np.zeros((points, 3), np.uint8), point=point, frame=frame, xy=xy[inside])
    sureness = refine(model, BundleOptions(fixed_lens=True))
    found = Cameras(truth.K, np.linalg.inv(poses(model, views)).astype(np.float64), truth.size)
    return score(found, truth)["ate_extent"], model, sureness


@pytest.mark.parametrize("share", [0.02, 0.10])
def test_gross_outliers_cost_less_than_a_third_more_error(share):
    clean = np.mean([_adjusted(0.0, seed=s)[0] for s in range(3)])
    dirty = np.mean([_adjusted(share, seed=s)[0] for s in range(3)])
    print("outliers", share, "ratio", dirty / clean)
    assert dirty < 1.3 * clean


def test_the_standard_deviation_of_poses_follows_the_noise():
    _, _, quiet = _adjusted(0.0, noise_px=0.2)
    _, model, loud = _adjusted(0.0, noise_px=0.8)
    ratio = [loud.rotation_deg[i] / quiet.rotation_deg[i] for i in quiet.rotation_deg if np.isfinite(quiet.rotation_deg[i])]
    assert np.mean(ratio) == pytest.approx(4, rel=0.35)
    assert noise_px(model) == pytest.approx(0.8, rel=0.07)


def test_points_that_one_photo_alone_counts_for_do_not_stop_the_standard_deviations():
    _, model, _ = _adjusted(0.0, views=4, points=400)
    sigmas = {i: np.full(len(model.image(i).points2D), 0.5) for i in model.reg_image_ids()}
    problem = Problem(model, sigmas, Freedom(poses=True, lens=False, centre=False))
    first = np.r_[True, np.diff(problem.point) > 0]
    problem.xy[(problem.point % 2 == 0) & ~first] = np.nan  # as of a point behind the other cameras
    found = _covariance(problem, 1.0, WeightedOptions())
    assert found and all(np.isfinite(block).all() for block in found.values())
