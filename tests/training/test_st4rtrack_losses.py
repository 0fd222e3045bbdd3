"""The published losses and the pose solver with gradients, against what the published code gives."""

import json
from typing import Literal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from toolkit.training import differentiable_pnp as pnp  # noqa: E402
from toolkit.training.st4rtrack_losses import (  # noqa: E402
    confidence_loss,
    depth_loss,
    focal_of,
    heads_agree_loss,
    moving_in_clip,
    moving_labels,
    reweighted,
    track_loss,
    track_scale,
    unit_of,
)


@pytest.fixture(scope="module")
def given(golden):
    with np.load(golden / "st4rtrack" / "losses_geometry.npz") as f:
        return {key: torch.from_numpy(np.asarray(f[key])) for key in f.files}


def test_focal_lengths_equal_the_published_ones(given):
    for case in ("clean", "noisy", "verynoisy"):
        assert torch.allclose(focal_of(given[f"focal/{case}/pts"]), given[f"focal/{case}/weiszfeld"], rtol=1e-5)


def test_units_equal_the_published_ones_and_heed_masks_where_asked(given):
    map2, valid = given["norm/p2"], given["norm/v2"]
    assert torch.allclose(unit_of(map2, published=True), given["norm/as_called_factor"], rtol=1e-5)
    assert torch.allclose(unit_of(map2, valid), given["norm/masked_factor"], rtol=1e-5)
    mean = (map2 / unit_of(map2, valid)[:, None, None, None]).norm(dim=-1)[valid].mean()
    assert float(mean) == pytest.approx(1.0, abs=0.01)


def test_track_and_depth_losses_equal_the_published_ones(given):
    pred, truth = given["track2d/pred"], given["track2d/gt"]
    size = (int(given["track2d/hw"][1]), int(given["track2d/hw"][0]))
    assert float(track_scale(pred, truth, size)) == pytest.approx(float(given["track2d/scale"]), rel=1e-5)
    assert float(track_loss(pred, truth, size)) == pytest.approx(float(given["track2d/loss_scaled"]), rel=1e-5)
    assert float(track_loss(pred, truth, size, scaled=False)) == pytest.approx(float(given["track2d/loss_plain"]), rel=1e-5)
    assert float(depth_loss(given["sidepth/pred"], given["sidepth/gt"])) == pytest.approx(float(given["sidepth/loss"]), rel=1e-5)


@pytest.mark.parametrize("by", ["max", "mean"])
@pytest.mark.parametrize("quantile", [0.75, 0.5])
def test_weights_of_moving_pixels_equal_the_published_ones(given, by, quantile):
    mask = given["reweight/traj_mask"] & given["reweight/valid_mask"]
    moves = moving_labels(given["reweight/traj_ptc"], given["reweight/pts3d"], mask, quantile=quantile, above_mean=quantile > 0.6)
    weight, log = reweighted(given["reweight/conf"], moves, mask, by=by)
    assert torch.allclose(weight, given[f"reweight/{by}_{quantile}/conf"], rtol=1e-5)
    assert torch.allclose(log, given[f"reweight/{by}_{quantile}/logconf"], atol=1e-5)


def test_the_whole_criterion_equals_the_published_one(given, golden):
    told = json.loads((golden / "st4rtrack" / "criterion.json").read_text())
    into = torch.linalg.inv(given["crit/gt1/camera_pose"])
    first = [
        torch.einsum("bij,bhwj->bhwi", into[:, :3, :3], given[key]) + into[:, None, None, :3, 3]
        for key in ("crit/gt1/traj_ptc", "crit/gt2/pts3d")
    ]
    pred = [given["crit/pred1/pts3d"], given["crit/pred2/pts3d_in_other_view"]]
    maps = [m / unit_of(pair[1], published=True)[:, None, None, None] for pair in (pred, first) for m in pair]
    error1, error2 = (maps[0] - maps[2]).norm(dim=-1), (maps[1] - maps[3]).norm(dim=-1)
    c1, c2 = given["crit/pred1/conf"], given["crit/pred2/conf"]
    known, valid = given["crit/gt1/traj_mask"], given["crit/gt2/valid_mask"]
    two = confidence_loss(error2, c2, valid)
    assert float(confidence_loss(error1, c1, known) + two) == pytest.approx(told["plain"]["total"], rel=1e-4)
    assert float(error1[known].mean() + error2[valid].mean()) == pytest.approx(told["regr3d_only"]["total"], rel=1e-4)
    speed = ((maps[0][1:] - maps[0][:-1]) - (maps[2][1:] - maps[2][:-1])).norm(dim=-1)
    moving = confidence_loss(speed, c1[1:], known[1:] & known[:-1])
    assert float(moving) == pytest.approx(told["velocity"]["conf_loss_1_velo"], rel=1e-4)
    traj = given["crit/gt1/traj_ptc"]
    clip = moving_in_clip(traj, known[0])
    raw = (traj[-1] - traj[0]).abs().sum(-1) / traj[0].norm(dim=-1)
    everywhere = (raw > raw[known[0]].mean()).expand_as(known)  # as published, the first frame's mask hides no pixel of the others
    assert bool((clip <= everywhere[0]).all())
    ways: tuple[tuple[str, Literal["max", "mean"]], ...] = (("reweight_max5", "max"), ("reweight_mean5", "mean"))
    for name, by in ways:
        weight, log = reweighted(c1, everywhere, known, by=by, per_pair=False)
        assert float(confidence_loss(error1, weight, known, log)) == pytest.approx(told[name]["conf_loss_1"], rel=1e-4)
    both = known & given["crit/gt1/valid_mask"]
    moves = moving_labels(traj, given["crit/gt1/pts3d"], both)
    weight, log = reweighted(c1, moves, both)
    assert float(confidence_loss(error1, weight, known, log)) == pytest.approx(told["pair_flag_reweight_max5"]["conf_loss_1"], rel=1e-4)


def test_maps_that_agree_where_points_are_seen_cost_nothing():
    a = torch.randn(5, 3)
    b = a + torch.tensor([[0.0], [0], [0], [0], [1]])
    seen = torch.tensor([True, True, True, True, False])
    assert float(heads_agree_loss(a, b, seen)) == 0 and float(heads_agree_loss(a, b, ~seen)) == pytest.approx(3**0.5)


@pytest.mark.parametrize("case", ["square_clean", "square_noisy", "wide_as_written", "wide_fixed_bounds"])
def test_poses_and_their_gradients_equal_the_published_ones(given, case):
    g = {key.rsplit("/", 1)[1]: value.double() for key, value in given.items() if key.startswith(f"pnp/{case}/")}
    x3d = g["x3d"][None].clone().requires_grad_()
    x2d, weight, K = g["x2d"][None], g["w2d"][None], g["K"][None]
    assert torch.allclose(pnp.huber_delta(x2d, weight, 0.1), g["huber_delta"], rtol=1e-5)
    pose = pnp.gauss_newton_step(g["pose_opt"], x3d, x2d, weight, K, g["lb"], g["ub"], g["huber_delta"])
    assert torch.allclose(pose, g["pose_opt_plus"], atol=1e-6)
    (pose * g["grad_weights"]).sum().backward()
    assert x3d.grad is not None
    assert float((x3d.grad[0] - g["grad_x3d"]).abs().max()) < 1e-4 * float(g["grad_x3d"].abs().max())


@pytest.mark.parametrize("case", ["square_clean", "square_noisy", "wide_fixed_bounds"])
def test_poses_are_found_from_the_published_start(given, case):
    """Of a wide picture with the right box: as published, width and height of it are exchanged."""
    g = {key.rsplit("/", 1)[1]: value.double() for key, value in given.items() if key.startswith(f"pnp/{case}/")}
    size = (int(g["ub"][0]) - 9, int(g["ub"][1]) - 9)
    found = pnp.solve_pnp(g["x3d"][None], g["x2d"][None], g["w2d"][None], g["K"][None], size, g["pose_init"])
    assert float((found - g["pose_opt"]).abs().max()) < 1e-4
    assert torch.allclose(pnp.rotation_of(found[:, 3:]), g["pose_matrix"][:, :3, :3], atol=1e-4)


def test_gradients_of_poses_are_those_of_finite_differences_where_points_fit(given):
    """A Gauss-Newton step leaves out how residuals bend, which counts only where they are not zero."""
    g = {key.rsplit("/", 1)[1]: value.double() for key, value in given.items() if key.startswith("pnp/square_noisy/")}
    x3d, options = g["x3d"][None].clone().requires_grad_(), pnp.PnpOptions(steps=200, tolerance=1e-14)
    local = g["x3d"] @ pnp.rotation_of(g["pose_opt"][:, 3:])[0].T + g["pose_opt"][0, :3]
    x2d = (local[:, :2] / local[:, 2:] * g["K"][[0, 1], [0, 1]] + g["K"][:2, 2])[None]
    rest = (x2d, g["w2d"][None], g["K"][None], (64, 64))
    pose = pnp.solve_pnp(x3d, *rest, g["pose_opt"], options)
    (pose * g["grad_weights"]).sum().backward()
    assert x3d.grad is not None
    step = 1e-5
    for n, axis in ((3, 0), (100, 1), (250, 2)):
        ends = []
        for sign in (1, -1):
            moved = x3d.detach().clone()
            moved[0, n, axis] += sign * step
            ends.append(float((pnp.solve_pnp(moved, *rest, pose.detach(), options) * g["grad_weights"]).sum()))
        largest = float(x3d.grad.abs().max())
        assert float(x3d.grad[0, n, axis]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=2e-3 * largest)
