"""Losses of MVTracker against the published ones."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toolkit.training.mvtracker_losses import mvtracker_loss, place_loss, visibility_loss  # noqa: E402


@pytest.fixture(scope="module")
def given(golden):
    with np.load(golden / "mvtracker" / "losses.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


def test_both_losses_are_as_published(given):
    before = given["flow_preds"].clone()
    places = place_loss([list(w) for w in given["flow_preds"]], list(given["flow_gt"]), list(given["valid"]))
    visibility = visibility_loss(list(given["vis_logits"]), list(given["vis_gt"]), list(given["valid"]))
    assert float(places) == pytest.approx(float(given["xyz_loss"]), abs=1e-6)
    assert float(visibility) == pytest.approx(float(given["vis_loss"]), abs=1e-6)
    assert torch.equal(before, given["flow_preds"]), "the published loss scales what it is given"
    assert float(mvtracker_loss(places, visibility)) == pytest.approx(1.0727138519 + 0.1 * 3.3191885948, abs=1e-6)


def test_samples_that_do_not_count_teach_nothing(given):
    places = given["flow_preds"].clone().requires_grad_()
    none = torch.zeros_like(given["valid"])
    place_loss([list(w) for w in places], list(given["flow_gt"]), list(none)).backward()
    assert places.grad is not None and not places.grad.any()
