"""Optimised tracks: against the published optimiser's own numbers, and against the truth."""

import numpy as np
import pytest
from points_in_motion import Truth, camera_path, record
from published_files import cameras_of, tracks_3d

from toolkit.errors import UserError
from toolkit.lifting import OptimizeOptions, noise_of, optimize_tracks, published_motion_weight, scene_motion
from toolkit.lifting._banded import minimise
from toolkit.lifting._published import adam, value_and_gradient
from toolkit.lifting.optimize import erode_in_time
from toolkit.scene import Cameras, Tracks3D


@pytest.fixture(scope="module")
def published(golden):
    return dict(np.load(golden / "stereo4d" / "optimize.npz"))


@pytest.fixture(scope="module")
def truth() -> Truth:
    return record()


def along_rays(xyz, valid, centres):
    """What the objective is written in: points, unit rays, distances."""
    p = np.where(valid[..., None], xyz, 0.0).astype(np.float64)
    ray = p - centres
    distance = np.linalg.norm(ray, axis=-1) + 1e-8
    return p, ray / distance[..., None], distance


def objective(d, p, ray, distance, valid, weight):
    """(N,) values of the published objective."""
    scratch, terms = np.zeros(d.shape[1]), np.zeros(5)
    return np.array(
        [value_and_gradient(d[n], p[n], ray[n], distance[n], valid[n], weight[n], False, scratch, terms) for n in range(len(d))]
    )


def test_published_mode_gives_the_published_tracks(published):
    out = optimize_tracks(tracks_3d(published["track3d_in"], published["visible_in"]), cameras_of(published), mode="reference")
    np.testing.assert_array_equal(out.visible, published["mask_eroded"])
    np.testing.assert_array_equal(np.isnan(out.xyz), np.isnan(published["track3d_out"]))
    np.testing.assert_allclose(out.xyz, published["track3d_out"], atol=1e-4)


@pytest.mark.parametrize("steps", [1, 10, 100])
def test_offsets_after_adam_steps_are_the_published_ones(published, steps):
    valid = published["mask_eroded"]
    weight = published_motion_weight(published["motion"], valid)
    d = np.zeros(valid.shape)
    p, ray, distance = along_rays(published["track3d_in"], valid, published["camera_center"])
    adam(p, ray, distance, valid, weight, steps, 0.05, d)
    np.testing.assert_allclose(d[valid], published[f"d_after_{steps}"][valid], atol=1e-4)


def test_terms_and_gradient_are_the_published_ones(published):
    rows, valid = published["terms_sel"], published["mask_eroded"]
    p, ray, distance = along_rays(published["track3d_in"], valid, published["camera_center"])
    gradient, terms = np.zeros(valid.shape[1]), np.zeros(5)
    for i, n in enumerate(rows):
        d, weight = np.nan_to_num(published["terms_d"][i].astype(np.float64)), float(published["terms_w"][i])
        total = value_and_gradient(d, p[n], ray[n], distance[n], valid[n], weight, False, gradient, terms)
        for term, name in zip(terms, ("static", "dyn1", "dyn3", "dyn5", "reg"), strict=True):
            assert term == pytest.approx(published[f"terms_{name}"][i], rel=1e-3, abs=1e-9)
        assert total == pytest.approx(published["terms_total"][i], rel=1e-4)
        np.testing.assert_allclose(gradient[valid[n]], published["terms_grad"][i][valid[n]], atol=1e-5 * np.abs(gradient).max() + 1e-6)


@pytest.mark.parametrize("corrected", [False, True])
def test_gradient_is_the_slope_of_the_objective(published, corrected):
    valid = published["mask_eroded"]
    p, ray, distance = along_rays(published["track3d_in"], valid, published["camera_center"])
    gradient, scratch, terms = np.zeros(valid.shape[1]), np.zeros(valid.shape[1]), np.zeros(5)
    rng = np.random.default_rng(0)
    for n in published["terms_sel"][:6]:
        d, direction = rng.normal(0, 0.02, valid.shape[1]), np.where(valid[n], rng.normal(size=valid.shape[1]), 0.0)
        value_and_gradient(d, p[n], ray[n], distance[n], valid[n], 0.3, corrected, gradient, terms)
        ahead, behind = (
            value_and_gradient(d + step * direction, p[n], ray[n], distance[n], valid[n], 0.3, corrected, scratch, terms)
            for step in (1e-6, -1e-6)
        )
        assert gradient @ direction == pytest.approx((ahead - behind) / 2e-6, rel=1e-5)


def test_static_term_equals_the_sum_over_pairs():
    rng = np.random.default_rng(1)
    p, valid = rng.normal([0, 0, 3], 0.1, (20, 3)), rng.random(20) < 0.8
    ray = p / np.linalg.norm(p, axis=1, keepdims=True)
    terms = np.zeros(5)
    value_and_gradient(np.zeros(20), p, ray, np.linalg.norm(p, axis=1), valid, 0.0, False, np.zeros(20), terms)
    q = p[valid]
    scale = np.linalg.norm(q, axis=1).mean() + 1e-5
    pairs = ((q[:, None] - q[None]) ** 2).sum() / scale**2
    assert terms[0] == pytest.approx(100 / (2 * len(q) ** 2) * pairs, rel=1e-6)


def test_gaussnewton_ends_lower_than_the_published_optimiser(published, truth):
    cases = [(published["track3d_in"], published["mask_eroded"], published["camera_center"], published["motion"])]
    motion = scene_motion(truth.tracks, truth.cameras)
    cases.append((truth.tracks.xyz, erode_in_time(truth.tracks.visible, 2), truth.cameras.centres, motion))
    for xyz, valid, centres, displacement in cases:
        used = valid.sum(1) > 1
        valid = valid[used]
        weight = published_motion_weight(displacement[used], valid)
        p, ray, distance = along_rays(xyz[used], valid, centres)
        ours, theirs = np.zeros(valid.shape), np.zeros(valid.shape)
        minimise(p, ray, distance, valid, weight, False, 30, 1e-4, ours)
        adam(p, ray, distance, valid, weight, 100, 0.05, theirs)
        a, b = (objective(d, p, ray, distance, valid, weight) for d in (ours, theirs))
        assert (a <= b).mean() > 0.995
        assert np.median((a / b)[weight > 0.5]) < 0.5


def test_erosion_is_the_published_one(published):
    np.testing.assert_array_equal(erode_in_time(published["erode_in"], 2), published["erode_out_w5"])


def test_still_points_come_to_rest_and_moving_ones_to_within_four_centimetres(truth):
    out = optimize_tracks(truth.tracks, truth.cameras)
    error = truth.error_m(out)
    still = ~truth.moving
    scatter = np.sqrt(np.array([np.var(out.xyz[n][out.visible[n]], axis=0).sum() for n in np.flatnonzero(still)]))
    assert np.median(scatter) <= 0.005
    assert np.nanmedian(error[still]) <= 0.008
    assert np.nanmedian(error[truth.moving]) <= 0.04
    raw = truth.error_m(truth.tracks)
    reference = truth.error_m(optimize_tracks(truth.tracks, truth.cameras, mode="reference"))
    assert np.nanmedian(error[truth.moving]) < 0.75 * np.nanmedian(raw[truth.moving])
    assert np.nanmedian(error[truth.moving]) < 0.5 * np.nanmedian(reference[truth.moving])
    np.testing.assert_array_equal(out.visible, truth.tracks.visible)


@pytest.mark.parametrize(("white_px", "slow_px", "sway_m"), [(0.3, 0.0, 0.3), (0.1, 0.1, 0.3), (0.2, 0.1, 0.0)])
def test_other_errors_and_a_camera_on_a_tripod_stay_within_the_same_bounds(white_px, slow_px, sway_m):
    truth = record(white_px=white_px, slow_px=slow_px, sway_m=sway_m, seed=1)
    error = truth.error_m(optimize_tracks(truth.tracks, truth.cameras))
    assert np.nanmedian(error[truth.moving]) <= 0.04
    assert np.nanmedian(error[~truth.moving]) <= 0.015


def test_the_told_error_is_the_one_made(truth):
    out = optimize_tracks(truth.tracks, truth.cameras)
    assert out.sigma is not None
    ratio = truth.error_m(out) / out.sigma
    for group in (truth.moving, ~truth.moving):
        assert 0.4 < np.nanmedian(ratio[group]) < 1.0  # 0.67 for a normal error along one axis


def test_errors_told_wrong_are_put_right_by_the_still_part(truth):
    told = truth.tracks
    boast = Tracks3D(told.xyz, told.visible, told.rgb, told.motion, told.sigma / 3)
    assert noise_of(boast, truth.cameras).depth_scale == pytest.approx(3 * noise_of(told, truth.cameras).depth_scale, rel=0.05)
    a, b = (optimize_tracks(t, truth.cameras).xyz for t in (told, boast))
    assert np.nanmedian(np.linalg.norm(a - b, axis=-1)) < 0.003


def test_one_wrong_depth_does_not_drag_its_neighbours():
    truth = record(count=80, moving=1.0, wrong=0.0)
    clean = optimize_tracks(truth.tracks, truth.cameras)
    xyz = truth.tracks.xyz.copy()
    centre = truth.cameras.centres[30]
    xyz[:, 30] = centre + 2.5 * (xyz[:, 30] - centre)
    told = truth.tracks
    wrong = optimize_tracks(Tracks3D(xyz, told.visible, told.rgb, told.motion, told.sigma), truth.cameras)
    assert np.nanmedian(np.linalg.norm(wrong.xyz - clean.xyz, axis=-1)[:, 28:33]) < 0.01


@pytest.mark.parametrize("mode", ["default", "corrected_objective", "published_objective", "reference"])
def test_holes_stay_holes_and_leak_nowhere(published, mode):
    cameras = cameras_of(published)
    given = tracks_3d(published["track3d_in_nan"], published["visible_in_nan"])
    filled = tracks_3d(np.nan_to_num(given.xyz), given.visible)
    a, b = (optimize_tracks(t, cameras, mode=mode) for t in (given, filled))
    np.testing.assert_array_equal(np.isfinite(a.xyz).all(-1), a.visible)
    np.testing.assert_allclose(a.xyz, b.xyz, atol=1e-5)


@pytest.mark.parametrize("mode", ["default", "corrected_objective"])
def test_the_origin_of_the_world_does_not_matter(truth, mode):
    T_wc = truth.cameras.T_wc.copy()
    T_wc[:, :3, 3] += np.array([3.0, -2.0, 5.0])
    told = truth.tracks
    moved = Tracks3D(told.xyz + np.array([3, -2, 5], np.float32), told.visible, told.rgb, told.motion, told.sigma)
    a = optimize_tracks(told, truth.cameras, mode=mode)
    b = optimize_tracks(moved, Cameras(truth.cameras.K, T_wc, truth.cameras.size), mode=mode)
    distance = np.linalg.norm(b.xyz - [3, -2, 5] - a.xyz, axis=-1)[a.visible]
    assert np.percentile(distance, 99) < 1e-3


def test_frames_without_pose_come_back_unknown(truth):
    T_wc = truth.cameras.T_wc.copy()
    T_wc[20:23] = np.nan
    out = optimize_tracks(truth.tracks, Cameras(truth.cameras.K, T_wc, truth.cameras.size))
    assert not out.visible[:, 20:23].any()
    np.testing.assert_array_equal(np.isfinite(out.xyz).all(-1), out.visible)
    error = truth.error_m(out)
    assert np.nanmedian(error[truth.moving]) <= 0.04


def test_gaps_are_filled_when_asked(truth):
    out = optimize_tracks(truth.tracks, truth.cameras, options=OptimizeOptions(fill_gaps=True))
    seen = truth.tracks.visible
    hidden = np.logical_or.accumulate(seen, 1) & np.logical_or.accumulate(seen[:, ::-1], 1)[:, ::-1] & ~seen
    assert hidden.any()
    assert np.isfinite(out.xyz[hidden]).all()
    assert not out.visible[hidden].any()
    error = np.linalg.norm(out.xyz - truth.xyz, axis=-1)
    assert np.median(error[hidden & ~truth.moving[:, None]]) < 0.01


def test_tracks_do_not_depend_on_their_company(truth):
    assumed = OptimizeOptions()
    few = truth.tracks.select(np.arange(15))  # too few to ask for the clip's errors, so both use those assumed
    together = optimize_tracks(few, truth.cameras, options=assumed)
    alone = optimize_tracks(few.select(np.array([7])), truth.cameras, options=assumed)
    np.testing.assert_array_equal(together.xyz[7], alone.xyz[0])


@pytest.mark.parametrize("mode", ["default", "corrected_objective", "published_objective", "reference"])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_clips_work(mode, frames):
    truth = record(count=8, frames=frames)
    out = optimize_tracks(truth.tracks, truth.cameras, mode=mode)
    np.testing.assert_array_equal(np.isfinite(out.xyz).all(-1), out.visible)


@pytest.mark.parametrize("mode", ["default", "corrected_objective", "published_objective", "reference"])
def test_no_tracks_no_samples_and_no_moving_track_work(mode):
    truth = record(count=8, frames=12, moving=0.0)
    assert len(optimize_tracks(truth.tracks.select(np.zeros(8, bool)), truth.cameras, mode=mode)) == 0
    unseen = tracks_3d(np.full((3, 12, 3), np.nan), np.zeros((3, 12), bool))
    out = optimize_tracks(unseen, truth.cameras, mode=mode)
    assert not out.visible.any()
    assert (out.motion < 1e-6).all()
    assert optimize_tracks(truth.tracks, truth.cameras, mode=mode).visible.any()


def test_what_is_wrong_with_the_input_is_told(truth):
    with pytest.raises(UserError, match="60 frames, but 3 cameras"):
        optimize_tracks(truth.tracks, camera_path(3))
    with pytest.raises(UserError, match='The mode is "best"'):
        optimize_tracks(truth.tracks, truth.cameras, mode="best")  # type: ignore[arg-type]
