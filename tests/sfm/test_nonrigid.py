"""Deforming bodies from orthographic tracks: recovered where the views tell their shape, refused or flagged where they don't."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.errors import Cancelled, UserError
from toolkit.evaluation.nonrigid import nonrigid
from toolkit.media.shape_npz import load_shape_npz
from toolkit.scene import Tracks2D
from toolkit.sfm.nonrigid import nonrigid_shapes, rigid_shapes
from toolkit.sfm.nonrigid_bases import modal_shapes, modal_turns
from toolkit.sfm.nonrigid_refine import Estimate, Prior, refine
from toolkit.sfm.nonrigid_search import NonrigidSettings
from toolkit.sfm.nonrigid_start import align_shapes, factor_rigid, window_depth

STEP_DEG = 6.0  # two turns in 120 frames


def body(frames=120, points=16, modes=2, size=0.2, seed=0):
    """(T, 3, N) points of a body that bends in smooth modes, and (T, 3, 3) turns of the camera about it."""
    rng = np.random.default_rng(seed)
    at = np.arange(frames) / frames
    weights = np.stack([np.sin(2 * np.pi * (k + 1) * at + rng.uniform(0, 6)) for k in range(modes)])
    shapes = rng.normal(size=(3, points)) + size * np.einsum("kt,kan->tan", weights, rng.normal(size=(modes, 3, points)))
    shapes -= shapes.mean(2, keepdims=True)
    R = Rotation.from_euler("yx", np.stack([STEP_DEG * np.arange(frames), 15 * np.sin(9 * at)], 1), degrees=True).as_matrix()
    return shapes, R


TURNS_DEG = {
    "a turn as slow as the deformation": lambda at: np.stack([360 * at, 15 * np.sin(9 * at)], 1),
    "half a degree a frame": lambda at: np.stack([60 * at, 5 * np.sin(9 * at)], 1),
    "a sway of 30 degrees": lambda at: np.stack([30 * np.sin(4 * np.pi * at), 5 * np.sin(9 * at)], 1),
    "a sway of 15 degrees": lambda at: np.stack([15 * np.sin(6 * np.pi * at), 8 * np.sin(4 * np.pi * at)], 1),
}


def seen_by(shapes, R):
    """(N, T, 3) points in the axes of the cameras."""
    return (R @ shapes).transpose(2, 0, 1)


@pytest.fixture(scope="module")
def truth():
    return seen_by(*body())


def test_a_body_of_few_smooth_modes_is_recovered(truth):
    found = nonrigid_shapes(truth[..., :2])
    scores = nonrigid(found.xyz, truth)
    assert scores["e3D"] < 0.005
    assert nonrigid(rigid_shapes(truth[..., :2]), truth)["e3D"] > 0.1  # it does deform
    assert found.report["warnings"] == []


@pytest.mark.parametrize("turn", TURNS_DEG)
def test_a_body_before_a_camera_that_turns_slowly_or_sways_is_recovered(turn):
    """No window sees both a turn and a rigid body."""
    shapes, _ = body(seed=4)
    R = Rotation.from_euler("yx", TURNS_DEG[turn](np.arange(len(shapes)) / len(shapes)), degrees=True).as_matrix()
    xyz = seen_by(shapes, R)
    found = nonrigid_shapes(xyz[..., :2])
    assert nonrigid(found.xyz, xyz)["e3D"] < 0.005
    assert nonrigid(rigid_shapes(xyz[..., :2]), xyz)["e3D"] > 0.1


def test_noise_on_a_slow_turn_is_borne():
    shapes, _ = body(seed=4)
    R = Rotation.from_euler("yx", TURNS_DEG["a sway of 30 degrees"](np.arange(len(shapes)) / len(shapes)), degrees=True).as_matrix()
    xyz = seen_by(shapes, R)
    noisy = xyz[..., :2] + np.random.default_rng(2).normal(scale=0.01, size=xyz[..., :2].shape)
    assert nonrigid(nonrigid_shapes(noisy).xyz, xyz)["e3D"] < 0.05


def test_x_and_y_are_those_that_were_seen_in_their_place_and_unit(truth):
    xy = 40 * truth[..., :2] + [320, 240]
    found = nonrigid_shapes(xy)
    assert np.abs(found.xyz[..., :2] - xy).max() < 1e-3
    assert nonrigid(found.xyz, 40 * truth)["e3D"] < 0.005


def test_rotations_are_rotations_and_the_body_is_the_points_turned_back(truth):
    found = nonrigid_shapes(truth[..., :2])
    assert np.allclose(found.R_cw @ found.R_cw.transpose(0, 2, 1), np.eye(3)) and np.allclose(np.linalg.det(found.R_cw), 1)
    assert found.body.shape == truth.shape
    centred = found.xyz - found.xyz.mean(0)
    assert np.allclose(np.einsum("tji,ntj->nti", found.R_cw, centred), found.body)


def test_points_that_are_hidden_for_a_while_are_recovered_too(truth):
    xy = truth[..., :2].copy()
    rng = np.random.default_rng(1)
    for n in range(0, len(xy), 2):
        first = rng.integers(0, xy.shape[1] - 12)
        xy[n, first : first + 9] = np.nan
    found = nonrigid_shapes(xy)
    assert np.isfinite(found.xyz).all()
    assert nonrigid(found.xyz, truth)["e3D"] < 0.02


def test_tracks_that_are_hardly_seen_are_unknown_and_the_others_are_not_harmed(truth):
    xy = truth[..., :2].copy()
    xy[5, 2:] = np.nan
    found = nonrigid_shapes(xy)
    assert np.isnan(found.xyz[5]).all() and found.report["tracks"] == len(xy) - 1
    others = np.arange(len(xy)) != 5
    assert nonrigid(found.xyz[others], truth[others])["e3D"] < 0.005


def test_noise_is_smoothed_away_and_told(truth):
    noisy = truth[..., :2] + np.random.default_rng(2).normal(scale=0.03, size=truth[..., :2].shape)
    found = nonrigid_shapes(noisy)
    assert 0.8 * 0.03 < found.report["noise"] < 1.2 * 0.03
    assert np.std(found.xyz[..., :2] - truth[..., :2]) < 0.7 * 0.03
    assert nonrigid(found.xyz, truth)["e3D"] < 0.05


def test_tracks_of_the_toolkit_are_taken_and_what_is_not_visible_is_not_read(truth):
    xy = (100 * truth[..., :2]).astype(np.float32)
    visible = np.ones(xy.shape[:2], bool)
    visible[3, 40:50] = False
    xy[3, 40:50] = 1e4
    tracks = Tracks2D(xy, visible, visible.astype(np.float32), np.zeros((len(xy), 3), np.float32))
    assert nonrigid(nonrigid_shapes(tracks).xyz, 100 * truth)["e3D"] < 0.01


def test_many_tracks_follow_those_that_were_solved_together():
    truth = seen_by(*body(points=36, seed=3))
    found = nonrigid_shapes(truth[..., :2], settings=NonrigidSettings(group_tracks=16, shared_tracks=8))
    assert nonrigid(found.xyz, truth)["e3D"] < 0.01


def test_the_same_tracks_give_the_same_shapes_and_the_report_reaches_its_end(truth):
    told = []
    one = nonrigid_shapes(truth[:12, :30, :2], report=lambda done, total: told.append((done, total)))
    assert np.array_equal(one.xyz, nonrigid_shapes(truth[:12, :30, :2]).xyz)
    assert told[-1][0] == told[-1][1] and [done for done, _ in told] == list(range(1, len(told) + 1))


def test_it_can_be_cancelled(truth):
    def stop(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        nonrigid_shapes(truth[..., :2], report=stop)


def test_a_camera_that_hardly_turns_is_flagged():
    shapes, _ = body(frames=60, size=0)
    R = Rotation.from_rotvec(np.deg2rad(np.linspace(-2, 2, len(shapes)))[:, None] * [[0, 1, 0]]).as_matrix()
    (warning,) = nonrigid_shapes(seen_by(shapes, R)[..., :2]).report["warnings"]
    assert "turns about the points by" in warning


@pytest.mark.parametrize(
    ("xy", "told"),
    [
        (np.zeros((7, 20, 2)), "7 tracks over 20 frames"),
        (np.zeros((20, 2, 2)), "20 tracks over 2 frames"),
        (np.full((20, 20, 2), np.nan), "Only 0 of 20 tracks"),
        (np.zeros((20, 20, 3)), r"\(20, 20, 3\)"),
        (np.zeros((20, 20)), r"\(20, 20\)"),
        (np.full((20, 20, 2), "a"), "numbers are needed"),
        (np.ones((20, 20, 2)), "neither turn nor deform"),
        (np.random.default_rng(0).normal(size=(20, 1, 2)) + np.arange(20)[:, None], "neither turn nor deform"),
    ],
)
def test_what_tells_no_shape_is_refused_in_one_sentence(xy, told):
    with pytest.raises(UserError, match=told) as problem:
        nonrigid_shapes(xy)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("frames", [3, 5, 12])
def test_few_frames_give_a_result(frames):
    truth = seen_by(*body(frames=frames))
    assert np.isfinite(nonrigid_shapes(truth[..., :2]).xyz).all()


def test_a_rigid_body_is_factorised_exactly():
    shapes, R = body(size=0)
    xyz = seen_by(shapes, R)
    turns = factor_rigid(xyz[..., :2].transpose(1, 2, 0))
    assert nonrigid(rigid_shapes(xyz[..., :2]), xyz)["e3D"] < 1e-6
    assert np.allclose(np.linalg.det(turns), 1)


def test_a_mixture_of_three_shapes_is_found_exactly_turns_first():
    shapes, R = body(modes=2, seed=5)
    xyz = seen_by(shapes, R).transpose(1, 2, 0)
    turns = modal_turns(xyz[:, :2] / xyz[:, :2].std(), 3)
    apart = turns[1:] @ turns[:-1].transpose(0, 2, 1)
    true = R[1:] @ R[:-1].transpose(0, 2, 1)
    mirror = np.diag([1.0, 1.0, -1.0])
    assert min(np.abs(apart - t).max() for t in (true, mirror @ true @ mirror)) < 1e-4
    found = turns @ modal_shapes(xyz[:, :2], turns, 3)
    assert nonrigid(found.transpose(2, 0, 1), xyz.transpose(2, 0, 1))["e3D"] < 1e-3


def test_windows_agree_on_the_sign_of_depth(truth):
    depth, agreement = window_depth(truth.transpose(1, 2, 0)[:, :2], 16)
    true = truth[..., 2].T
    per_frame = np.sign((depth * true).sum(1))
    assert abs(per_frame.sum()) == len(depth) and agreement.min() > 0.5  # none, or all, are mirrored


def test_shapes_are_aligned_though_the_body_turns_round():
    shapes, R = body(size=0)
    found = align_shapes(R @ shapes)
    aligned = found.transpose(0, 2, 1) @ R @ shapes
    assert np.abs(aligned - aligned[0]).max() < 1e-9


def test_a_round_never_makes_the_true_shapes_much_less_likely():
    shapes, R = body()
    X = R @ shapes
    start = Estimate(X, R, np.zeros((len(X), 2)), 0.0)
    ended = refine(X[:, :2], np.ones((len(X), X.shape[2]), bool), start, np.full(3, 1e-4), prior=Prior())
    assert nonrigid(ended.xyz.transpose(2, 0, 1), X.transpose(2, 0, 1))["e3D"] < 0.005
    assert np.abs(ended.xyz[:, :2] - X[:, :2]).max() < 1e-9


@pytest.mark.data
@pytest.mark.parametrize(("name", "best"), [("yoga", 0.108), ("pickup", 0.026), ("stretch", 0.026)])
def test_people_in_motion_are_closer_than_block_matrix_and_point_trajectory_methods_get(data, name, best):
    found = load_shape_npz(data / "nrsfm_benchmarks" / f"{name}.npz")
    assert found.xyz is not None
    scores = nonrigid(nonrigid_shapes(found.xy).xyz, found.xyz)
    assert scores["e3D"] < best and scores["e3D_spread"] < best
