"""The losses of TracksTo4D, their gradients and a few steps of learning against the published implementation."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from toolkit.models.tracksto4d import NetworkShape, TracksTo4D  # noqa: E402
from toolkit.training.tracksto4d_losses import canonical_pose_loss, unsupervised_loss  # noqa: E402

COLUMNS = ("total", "sparsity", "negative_depth", "reprojection", "static")


@pytest.fixture(scope="module")
def golden_net(golden):
    with np.load(golden / "tracksto4d" / "net_w64.npz") as file:
        return dict(file)


@pytest.fixture
def network():
    torch.manual_seed(1)
    return TracksTo4D(NetworkShape(width=64), parity=True)


def test_every_part_and_its_gradients_are_as_published(network, golden_net):
    tracks = torch.from_numpy(golden_net["tracks"])
    parts = unsupervised_loss(network(tracks), tracks)
    names = {
        "sparsity": "sparsity",
        "negative_depth": "negative_depth",
        "reproj": "reprojection",
        "reproj_static": "static",
        "total": "total",
    }
    for theirs, mine in names.items():
        assert parts[mine].item() == pytest.approx(float(golden_net[f"loss_{theirs}"]), rel=1e-6), mine
    parts["total"].backward()
    parameters = dict(network.named_parameters())
    assert set(parameters) == set(golden_net["grad_names"])
    for name, wanted in zip(golden_net["grad_names"], golden_net["grad_norms"], strict=True):
        gradient = parameters[name].grad
        assert gradient is not None and float(gradient.norm()) == pytest.approx(wanted, rel=1e-4), name
    for name, wanted in (("fc1.weight", golden_net["grad_fc1_weight"]), ("conv_final.bias", golden_net["grad_conv_final_bias"])):
        gradient = parameters[name].grad
        assert gradient is not None and np.abs(gradient.numpy() - wanted).max() <= 1e-4 * np.abs(wanted).max(), name


def test_steps_of_adam_go_the_published_way(network, golden_net):
    tracks = torch.from_numpy(golden_net["tracks"])
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)
    for step, wanted in enumerate(golden_net["adam_loss_trace"]):
        parts = unsupervised_loss(network(tracks), tracks)
        # Gradients agree to 1e-4, and so do the steps they lead to.
        assert [parts[name].item() for name in COLUMNS] == pytest.approx(wanted, rel=1e-6 if step == 0 else 2e-4, abs=1e-6)
        adam.zero_grad()
        parts["total"].backward()
        adam.step()


def test_hidden_samples_teach_nothing_and_a_perfect_answer_has_a_gradient():
    seen = torch.ones(1, 4, 1, 6)
    seen[0, 0, 0, 3] = 0
    xy = torch.randn(1, 4, 2, 6, generator=torch.Generator().manual_seed(0))
    tracks = torch.cat([xy, seen], 2)
    found = {
        "uv": xy.permute(0, 3, 2, 1).clone().requires_grad_(), "uv_static": xy.permute(0, 3, 2, 1).clone(),
        "gamma": torch.ones(1, 4), "depth": torch.ones(1, 6, 4), "B": torch.zeros(1, 4, 3, 3),
    }  # fmt: skip
    before = unsupervised_loss(found, tracks)
    before["total"].backward()
    assert torch.isfinite(found["uv"].grad).all()
    tracks[0, 0, :2, 3] = torch.nan
    after = unsupervised_loss(found, tracks)
    assert all(torch.equal(before[name], after[name]) for name in before)
    far_off = (found["uv"].detach() + 9).requires_grad_()
    cut = unsupervised_loss(found | {"uv": far_off}, tracks, limit=100.0)["total"]
    assert cut.item() == 100 and not torch.autograd.grad(cut, far_off)[0].any()


def test_only_the_still_branch_teaches_the_cameras(network, golden_net):
    tracks = torch.from_numpy(golden_net["tracks"])
    found = network(tracks)
    parts = unsupervised_loss(found, tracks)
    (parts["reprojection"] + parts["negative_depth"] + parts["sparsity"]).backward()
    turn_and_place = [0, 1, 2, 16, 17, 18, 19, 20, 21]
    assert network.conv_final.bias.grad[turn_and_place].abs().max() == 0
    assert network.fc1.bias.grad[:36].view(3, 12)[:, 0].abs().max() == 0


def test_the_canonical_pose_costs_nothing_and_new_networks_of_ours_are_near_it():
    t, R = torch.tensor([0.0, 0.0, -15.0]).expand(1, 9, 3), torch.eye(3).expand(1, 9, 3, 3)
    assert float(canonical_pose_loss({"t": t, "R": R})) == 0
    assert float(canonical_pose_loss({"t": t + 1, "R": R})) == pytest.approx(9 / 100)
    assert float(canonical_pose_loss({"t": t, "R": R + 1})) == pytest.approx(1)
