"""Relative depth of unknown scale, offset, sign and form comes back in the scene's scale."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import toolkit as tk


@pytest.fixture(scope="module")
def scene(rooms):
    return rooms.room_scene(12, (96, 64), 600)


@pytest.fixture(scope="module")
def truth(rooms, scene):
    """Depth without the hole that the scene's own depth has."""
    depth = scene.depth.depth.copy()
    depth[~np.isfinite(depth)] = 4.0
    return depth


def relative_error(found, truth):
    known = np.isfinite(found.depth)
    return np.abs(found.depth / truth - 1)[known]


def distorted(values, *, seed=0, noise=0.01, jump=True):
    """Each frame with an affine of its own, noise, and a corner that is plainly wrong."""
    rng = np.random.default_rng(seed)
    count = len(values)
    a = np.exp(rng.normal(0, 0.4, count)) if jump else np.full(count, 2.0)
    b = rng.normal(0, 0.5, count) if jump else np.full(count, 0.3)
    out = a[:, None, None] * values + b[:, None, None]
    out += noise * np.std(values) * a[:, None, None] * rng.normal(size=values.shape)
    out[:, :20, :30] = out.max((1, 2))[:, None, None] * rng.uniform(0.5, 1, (count, 20, 30))
    return out.astype(np.float32)


@pytest.mark.parametrize("form", ["disparity", "depth"])
@pytest.mark.parametrize("sign", [1, -1])
def test_every_form_and_sign_is_found_under_noise_and_gross_errors(scene, truth, form, sign):
    values = sign * distorted(1 / truth if form == "disparity" else truth)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = tk.align_depth(values, scene)
    error = relative_error(found, truth)
    right = np.ones(truth.shape[1:], bool)
    right[:20, :30] = False
    assert np.median(np.abs(found.depth / truth - 1)[:, right]) < 0.01
    assert np.isfinite(found.depth[:, right]).mean() > 0.98
    assert len(error) and found.unit == scene.unit
    assert any("upside down" in str(w.message) for w in told) == (sign < 0)


def test_the_scale_is_right_to_a_thousandth_where_the_depth_is_exact(scene, truth):
    found = tk.align_depth(distorted(1 / truth, noise=0), scene)
    right = np.ones(truth.shape[1:], bool)
    right[:21, :31] = False
    assert np.median(np.abs(found.depth / truth - 1)[:, right]) < 1e-3


def test_confidence_is_low_where_the_points_contradict(scene, truth):
    found = tk.align_depth(distorted(1 / truth), scene)
    assert np.nanmean(found.confidence[:, :12, :18]) < 0.6 < 0.85 < np.nanmean(found.confidence[:, 40:, 50:])


def test_a_frame_without_points_takes_the_affine_of_its_neighbours_where_that_hardly_changes(scene, truth):
    visible = scene.tracks_3d.visible.copy()
    visible[:, 5] = False
    blind = replace(scene, tracks_3d=replace(scene.tracks_3d, visible=visible))
    values = distorted(1 / truth, jump=False)
    found = tk.align_depth(values, blind)
    assert np.median(np.abs(found.depth[5] / truth[5] - 1)[24:]) < 0.02
    with pytest.warns(UserWarning, match=r"Frame 5 has too few points of the scene \(12 are needed\)"):
        alone = tk.align_depth(distorted(1 / truth), blind, smooth=False)
    assert np.isnan(alone.depth[5]).all() and (alone.confidence[5] == 0).all() and np.isfinite(alone.depth[4]).any()


def test_affines_that_jump_freely_are_not_smoothed(scene, truth):
    values = distorted(1 / truth, noise=0)
    a, b = (tk.align_depth(values, scene, smooth=s) for s in (True, False))
    assert np.nanmedian(np.abs(a.depth / b.depth - 1)) < 2e-3


def test_smoothing_steadies_a_depth_whose_scale_hardly_changes(scene, truth):
    few = scene.tracks_3d.visible & (np.random.default_rng(1).random(scene.tracks_3d.visible.shape) < 0.1)
    thin = replace(scene, tracks_3d=replace(scene.tracks_3d, visible=few))
    values = distorted(1 / truth, noise=0.15, jump=False)

    def flicker(found):
        level = np.nanmedian((found.depth / truth)[:, 24:], axis=(1, 2))
        return np.std(level)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert flicker(tk.align_depth(values, thin)) < 0.6 * flicker(tk.align_depth(values, thin, smooth=False))


def test_a_file_and_another_size_do_as_well(scene, truth, tmp_path):
    np.savez(tmp_path / "relative.npz", disparity=(3 / truth + 1)[:, ::2, ::2])
    found = tk.align_depth(tmp_path / "relative.npz", scene)
    assert found.depth.shape == truth.shape
    assert np.median(relative_error(found, truth)) < 0.01


def test_unknown_stays_unknown(scene, truth):
    values = (1 / truth).copy()
    values[:, 50:, 10:20] = np.nan
    found = tk.align_depth(values, scene)
    assert np.isnan(found.depth[:, 50:, 10:20]).all() and (found.confidence[:, 50:, 10:20] == 0).all()


def test_what_cannot_be_aligned_is_told_in_a_sentence(scene, truth, tmp_path):
    with pytest.raises(tk.UserError, match="The depth has 3 frames, but the scene 12"):
        tk.align_depth(truth[:3], scene)
    with pytest.raises(tk.UserError, match="the same number at all points"):
        tk.align_depth(np.ones_like(truth), scene)
    with pytest.raises(tk.UserError, match=r"has shape \(64,\), but \(T, H, W\)"):
        tk.align_depth(truth[0, :, 0], scene)
    with pytest.raises(tk.UserError, match="lacks them"):
        tk.align_depth(truth, replace(scene, tracks_3d=None, tracks_2d=None, points=None))
    with pytest.raises(tk.UserError, match="neither an .npz file nor depth-anything-v2-small"):
        tk.align_depth("depth-anything-v3", scene)
    with pytest.raises(tk.UserError, match="There is no file"):
        tk.align_depth(tmp_path / "none.npz", scene)
    hidden = replace(scene.tracks_3d, visible=np.zeros_like(scene.tracks_3d.visible))
    with pytest.raises(tk.UserError, match="No frame sees more than 0 points"):
        tk.align_depth(truth, replace(scene, tracks_3d=hidden))


def test_a_network_that_is_not_installed_is_told_in_a_sentence(scene):
    with pytest.raises(tk.UserError, match="transformers library, which is not installed|is not on this machine"):
        tk.align_depth("depth-anything-v2-small", scene)
