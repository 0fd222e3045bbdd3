"""What scenes with known truth teach: the right answer costs nothing, in the network's own unit and world."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from toolkit.models.tracksto4d import NetworkShape, TracksTo4D  # noqa: E402
from toolkit.synthetic import track_scene  # noqa: E402
from toolkit.training.tracksto4d_supervision import SupervisedWeights, as_batch, supervised_loss  # noqa: E402

TINY = NetworkShape(width=32, pairs=2, heads=2, inner=32, hidden=64, bases=6, frequencies=6, kernel=5, focal=True)


@pytest.fixture(scope="module")
def batch():
    return as_batch([track_scene(seed, 10, 24) for seed in range(3)])


def answer(truth, *, noise=0.0):
    """What a network that knows the truth would say; still points are where they are in the middle frame."""
    still = truth.X[:, 5:6].expand_as(truth.X)
    gamma = torch.where(truth.moving, 3.0, 1e-4)
    return {"R": truth.R, "t": truth.t + noise, "X": truth.X + noise, "X_static": still, "depth": truth.depth, "gamma": gamma,
            "focal": truth.focal[:, None].expand(-1, truth.t.shape[1])}  # fmt: skip


def test_the_truth_is_told_in_the_world_of_the_network(batch):
    tracks, truth = batch
    assert tracks.shape == (3, 24, 3, 10) and truth.X.shape == (3, 10, 3, 24)
    assert torch.allclose(truth.R[:, 5], torch.eye(3), atol=1e-6) and torch.allclose(truth.t[:, 5], torch.tensor([0.0, 0, -15]), atol=1e-5)
    for i in range(3):
        assert np.median(truth.depth[i].numpy()[truth.visible[i].numpy()]) == pytest.approx(15, rel=1e-5)
    inside = torch.einsum("bnij,bnip->bnjp", truth.R, truth.X - truth.t[..., None])
    assert torch.allclose(inside[:, :, 2], truth.depth, atol=1e-3)
    projected = (truth.focal[:, None, None, None] * inside[:, :, :2] / inside[:, :, 2:]).permute(0, 3, 2, 1)
    told_and_true = (tracks[:, :, 2] > 0.5) & truth.visible.transpose(1, 2)
    apart = (projected - tracks[:, :, :2]).norm(dim=2)[told_and_true]
    assert float(apart.median()) < 3 / 400  # a tracker's error


def test_the_right_answer_costs_nothing_and_another_one_does(batch):
    _, truth = batch
    right, wrong = supervised_loss(answer(truth), truth), supervised_loss(answer(truth, noise=0.5), truth)
    assert all(float(right[name]) < 1e-3 for name in ("rotation", "centre", "points", "still_points", "depth", "focal"))
    assert float(right["motion"]) < 0.02
    assert float(wrong["centre"]) > 0.05 and float(wrong["points"]) > 0.02 and float(wrong["total"]) > float(right["total"])
    off = supervised_loss(answer(truth), truth, SupervisedWeights(*[0.0] * 7))
    assert float(off["total"]) == 0


def test_a_scene_where_nothing_moves_teaches_too():
    tracks, truth = as_batch([track_scene(seed, 6, 16) for seed in range(60) if not track_scene(seed, 6, 16).moving.any()])
    assert len(tracks) and all(torch.isfinite(part) for part in supervised_loss(answer(truth), truth).values())


def test_a_tiny_network_learns_in_a_few_steps():
    torch.manual_seed(0)
    network = TracksTo4D(TINY)
    network.start_at_canonical_pose()
    adam = torch.optim.Adam(network.parameters(), lr=2e-3)
    tracks, truth = as_batch([track_scene(seed, 8, 20) for seed in range(2)])
    losses = []
    for _ in range(25):
        loss = supervised_loss(network(tracks, detach=False), truth)["total"]
        adam.zero_grad()
        loss.backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
