"""Training of TracksTo4D: it learns, goes on where it was stopped, gives the same weights again, and says how good they are."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from toolkit.errors import Cancelled, UserError  # noqa: E402
from toolkit.models.tracksto4d import NetworkShape, TracksTo4D  # noqa: E402
from toolkit.synthetic.track_scenes import HELD_OUT_SEEDS, VALIDATION_SEEDS, heldout_scenes, track_scene  # noqa: E402
from toolkit.training import tracksto4d_learning, tracksto4d_scores  # noqa: E402
from toolkit.training.track_batches import BatchMix, batches, made, planned, turned  # noqa: E402
from toolkit.training.tracksto4d import train_tracksto4d  # noqa: E402
from toolkit.training.tracksto4d_learning import TrainingSettings  # noqa: E402
from toolkit.training.tracksto4d_scores import scores, trivial  # noqa: E402
from toolkit.training.tracksto4d_supervision import as_batch  # noqa: E402
from toolkit.training.training_state import NAME, read_about  # noqa: E402

TINY = NetworkShape(width=48, pairs=2, heads=4, inner=48, hidden=96, bases=4, frequencies=6, kernel=5, focal=True)
MIX = BatchMix(frames=(8, 10), points=(16, 24))
QUICK = TrainingSettings(rate=3e-3, warm_up=5, average=0.9, tokens_cpu=800, validation_scenes=8, validations=2, mix=MIX)


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch):
    monkeypatch.setitem(tracksto4d_learning.SHAPES, "small", TINY)
    monkeypatch.setattr(tracksto4d_learning, "VALIDATION_SIZES", ((8, 16),))
    monkeypatch.setattr("toolkit.training.model_card.JUDGED_SIZES", ((8, 16), (10, 20)))


def train(out, *, settings=QUICK, **options):
    return train_tracksto4d(out, device="cpu", judged=2, settings=settings, **options)


def stopping_at(said):
    """A listener that ends the training when a line says this."""

    def tell(line):
        if said in line:
            raise Cancelled

    return tell


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of eighty steps, never stopped."""
    patch = pytest.MonkeyPatch()
    patch.setitem(tracksto4d_learning.SHAPES, "small", TINY)
    patch.setattr(tracksto4d_learning, "VALIDATION_SIZES", ((8, 16),))
    patch.setattr("toolkit.training.model_card.JUDGED_SIZES", ((8, 16), (10, 20)))
    out = tmp_path_factory.mktemp("whole")
    train(out, steps=80)
    patch.undo()
    return out


def test_the_loss_falls_on_scenes_that_nothing_was_learned_from(whole):
    history = read_about(whole / NAME).history
    assert [row[1] for row in history] == [0, 40, 80]
    assert history[-1][-1] < 0.8 * history[0][-1]


def test_the_weights_load_and_the_card_tells_of_every_column(whole):
    network = TracksTo4D.from_pretrained(whole / "tracksto4d-small.safetensors")
    assert network.shape == TINY
    scene = next(heldout_scenes(8, 16))
    cameras = network.infer(scene.tracks, scene.K, scene.size).cameras
    assert cameras is not None and np.isfinite(cameras.T_wc).all()
    card = (whole / "README.md").read_text(encoding="utf-8")
    assert "80 steps" in card and card.count("| trivial |") == card.count("| these weights |") == 2
    assert "No better than trivial: " in card or "Better than trivial in every column." in card
    assert sorted(file.name for file in whole.iterdir()) == ["README.md", "tracksto4d-small.safetensors", NAME]


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(whole, tmp_path):
    with pytest.raises(Cancelled):
        train(tmp_path, steps=80, tell=stopping_at("step 40,"))
    assert read_about(tmp_path / NAME).step == 40
    weights = train(tmp_path, steps=80, resume=True)
    assert weights.read_bytes() == (whole / weights.name).read_bytes()
    assert read_about(tmp_path / NAME).scenes == read_about(whole / NAME).scenes


def test_a_time_box_ends_the_training_and_a_longer_one_goes_on(tmp_path):
    train(tmp_path, minutes=0.5 / 60)
    first = read_about(tmp_path / NAME)
    assert first.step >= 1 and first.seconds >= 0.5
    train(tmp_path, minutes=(first.seconds + 0.5) / 60, resume=True)
    assert read_about(tmp_path / NAME).step > first.step


def test_a_folder_with_a_training_is_not_begun_anew_nor_mixed_with_another(whole, tmp_path):
    with pytest.raises(UserError, match="--resume goes on"):
        train(whole, steps=80)
    with pytest.raises(UserError, match="with seed 0, not of tracksto4d-small with seed 1"):
        train(whole, steps=80, seed=1, resume=True)
    (tmp_path / NAME).write_bytes((whole / NAME).read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        train(tmp_path, steps=80, resume=True)


def test_what_cannot_be_is_said():
    with pytest.raises(UserError, match="There is no device 'nonsense'"):
        train_tracksto4d("unused", device="nonsense")  # type: ignore[arg-type]


def test_nothing_is_learned_from_scenes_that_judge():
    plans = [planned(0, step, step / 2000, 5000, BatchMix()) for step in range(2000)]
    assert max(max(plan.seeds) for plan in plans) < VALIDATION_SEEDS.start < VALIDATION_SEEDS.stop <= HELD_OUT_SEEDS.start
    assert all(len(plan.seeds) == 1 or len(plan.seeds) * plan.frames * plan.points <= 5000 for plan in plans)
    early, late = (np.mean([plan.frames * plan.points for plan in part]) for part in (plans[:500], plans[1500:]))
    assert early < 0.7 * late


def test_a_clip_that_is_turned_is_still_explained_by_its_truth():
    mix = replace(MIX, mirrored=0.5, reversed=0.5, roll_deg=20)
    tracks, truth = as_batch([track_scene(seed, 8, 40) for seed in range(12)])
    seen, new = turned(tracks, truth, np.random.default_rng(0), mix)
    assert not torch.allclose(seen, tracks)
    middle = 4
    assert torch.allclose(new.R[:, middle], torch.eye(3).expand(12, 3, 3), atol=1e-5)
    assert torch.allclose(new.t[:, middle], torch.tensor([0.0, 0, -15]).expand(12, 3), atol=1e-4)
    assert torch.allclose(torch.linalg.det(new.R), torch.ones(12, 8), atol=1e-5)
    inside = torch.einsum("bnij,bnip->bnjp", new.R, new.X - new.t[..., None])
    assert torch.allclose(inside[:, :, 2], new.depth, atol=1e-3)
    projected = (new.focal[:, None, None, None] * inside[:, :, :2] / inside[:, :, 2:]).permute(0, 3, 2, 1)
    apart = (projected - seen[:, :, :2]).norm(dim=2)[(seen[:, :, 2] > 0.5) & new.visible.transpose(1, 2)]
    assert float(apart.median()) < 3 / 400  # a tracker's error


def test_processes_make_the_same_batches_in_the_same_order():
    def plan(step):
        return planned(3, step, 0.5, 300, MIX)

    stream = batches(plan, 5, processes=2)
    for step in range(5, 9):
        tracks, truth = next(stream)
        alone, alone_truth = made(plan(step))
        assert torch.equal(tracks, alone) and torch.equal(truth.X, alone_truth.X)
    stream.close()


def test_half_precision_stays_out_of_geometry():
    torch.manual_seed(0)
    network = TracksTo4D(TINY)
    network.start_at_canonical_pose()
    tracks, _ = as_batch([track_scene(0, 8, 16)])
    with torch.no_grad():
        exact = network(tracks)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(tracks)
    assert all(value.dtype == torch.float32 for value in found.values())
    assert float((found["R"] @ found["R"].transpose(-1, -2) - torch.eye(3)).abs().max()) < 1e-5
    assert float((found["depth"] - exact["depth"]).abs().max()) < 0.2


def test_the_trivial_answer_knows_nothing():
    found = scores(trivial, [next(heldout_scenes(8, 16))])
    assert set(found) == set(tracksto4d_scores.COLUMNS)
    assert found["motion_auc"] == 0.5 and found["AbsRel"] > 0.2
