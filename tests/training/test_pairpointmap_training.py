"""Training of the two-view network: it learns, goes on where it was stopped, gives the same weights again, and says how good they are."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from toolkit.errors import Cancelled, UserError  # noqa: E402
from toolkit.models.pairpointmap import PairPointmap, PairShape  # noqa: E402
from toolkit.synthetic.pointmap_rendering import pointmap_pairs  # noqa: E402
from toolkit.synthetic.pointmap_scenes import HELD_OUT  # noqa: E402
from toolkit.training import pairpointmap_learning, pairpointmap_scores  # noqa: E402
from toolkit.training.pairpointmap import train_pairpointmap  # noqa: E402
from toolkit.training.pairpointmap_batches import PairMix, held_out_pairs  # noqa: E402
from toolkit.training.pairpointmap_learning import PairTrainingSettings  # noqa: E402
from toolkit.training.training_state import NAME, read_about  # noqa: E402

TINY = PairShape(stem=(8, 12, 16), width=32, heads=2, own=1, both=1, match=16, decode=(16, 12))
MIX = PairMix(sizes=((48, 32), (32, 48)))
QUICK = PairTrainingSettings(rate=2e-3, warm_up=5, average=0.8, pairs_cpu=2, validations=2, validation_pairs=2, mix=MIX)


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch):
    monkeypatch.setitem(pairpointmap_learning.PAIR_SHAPES, "small", TINY)
    small = lambda count, validation=False: held_out_pairs(count, validation=validation, size=(48, 32))  # noqa: E731
    monkeypatch.setattr(pairpointmap_learning, "held_out_pairs", small)
    monkeypatch.setattr("toolkit.training.pairpointmap_card.held_out_pairs", small)


def train(out, **options):
    return train_pairpointmap(out, device="cpu", judged=2, settings=QUICK, **options)


def stopping_at(said):
    def tell(line):
        if said in line:
            raise Cancelled

    return tell


def test_it_learns_goes_on_to_the_same_weights_and_tells_how_good_they_are(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    weights = train(whole, steps=24)
    history = read_about(whole / NAME).history
    assert [row[1] for row in history] == [0, 12, 24] and history[-1][-1] < 0.9 * history[0][-1]
    card = (whole / "README.md").read_text(encoding="utf-8")
    for word in ("24 steps", "constant depth", "own geometry, no motion", "true depth, no motion", "these weights", "Apache-2.0"):
        assert word in card
    assert "No better than trivial: " in card or "better than the first two in every column" in card
    with pytest.raises(Cancelled):
        train(broken, steps=24, tell=stopping_at("step 12,"))
    with pytest.raises(UserError, match="--resume goes on"):
        train(broken, steps=24)
    with pytest.raises(UserError, match="with seed 0, not of st4rtrack-small with seed 1"):
        train(broken, steps=24, seed=1, resume=True)
    assert train(broken, steps=24, resume=True).read_bytes() == weights.read_bytes()
    network = PairPointmap.from_pretrained(weights)
    assert network.shape == TINY
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3), np.uint8)
    assert np.isfinite(network.infer(frames[0], frames[1]).tracked).all()


def test_a_time_box_ends_the_training(tmp_path):
    train(tmp_path, minutes=0.3 / 60)
    assert read_about(tmp_path / NAME).step >= 1


def test_true_answers_score_fully_and_trivial_ones_do_not():
    held = [pointmap_pairs(range(20_000_100, 20_000_104), [(0.2, 0.8)] * 4, size=(48, 32), recipe=HELD_OUT)]

    def truth(pairs):
        return pairpointmap_scores.PairAnswer(
            pairs.tracked, pairs.recon, pairs.depth, pairs.seen, pairs.T_1j[:, :3, :3], pairs.T_1j[:, :3, 3]
        )

    best = pairpointmap_scores.pair_scores(truth, held)
    assert best["APD"] == pytest.approx(100) and best["EPE"] < 1e-3 and best["visibility_F1"] == 1 and best["AbsRel"] < 1e-5
    for answerer in (pairpointmap_scores.constant_depth, pairpointmap_scores.true_depth_without_motion):
        scores = pairpointmap_scores.pair_scores(answerer, held)
        assert scores["EPE"] > 0.01 and set(scores) == set(pairpointmap_scores.PAIR_COLUMNS)
    assert pairpointmap_scores.pair_scores(pairpointmap_scores.constant_depth, held)["APD"] < 80


def test_a_size_that_is_not_known_is_told():
    with pytest.raises(UserError, match="There is no size 'huge'"):
        pairpointmap_learning.PairTraining("huge", 0, torch.device("cpu"), replace(QUICK))  # type: ignore[arg-type]
