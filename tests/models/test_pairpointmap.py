"""The compact two-view network: its contract, its sizes, and what it says to frames and files that it can't take."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from toolkit.errors import UserError  # noqa: E402
from toolkit.models.checkpoints import count_of  # noqa: E402
from toolkit.models.pairpointmap import PairPointmap, PairShape, seen_size  # noqa: E402
from toolkit.models.pairpointmap_parts import matched  # noqa: E402
from toolkit.models.pairpointmap_video import depths_of_video  # noqa: E402

TINY = PairShape(stem=(8, 12, 16), width=32, heads=2, own=1, both=1, match=16, decode=(16, 12))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return PairPointmap(TINY).eval()


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 255, (5, 60, 90, 3), np.uint8)


def test_a_pair_becomes_two_pointmaps_at_the_pixels_of_its_frames(network, frames):
    pair = network.infer(frames[0], frames[1])
    for name in ("tracked", "base", "recon"):
        assert getattr(pair, name).shape == (60, 90, 3) and np.isfinite(getattr(pair, name)).all()
    for name in ("tracked_sigma", "recon_sigma", "depth"):
        assert getattr(pair, name).shape == (60, 90) and (getattr(pair, name) > 0).all()
    assert ((pair.visible >= 0) & (pair.visible <= 1)).all() and ((pair.moves >= 0) & (pair.moves <= 1)).all()
    assert np.allclose(pair.T_rj[:3, :3] @ pair.T_rj[:3, :3].T, np.eye(3), atol=1e-5)
    rays = pair.base[..., :2] / pair.base[..., 2:]
    x = (np.arange(90) + 0.5 - pair.K[0, 2]) / pair.K[0, 0]
    assert np.abs(rays[30, 10:80, 0] - x[10:80]).max() < 0.03, "what the reference shows lies on its own rays"


def test_known_intrinsics_are_taken(network, frames):
    K = np.array([[70.0, 0, 45], [0, 70, 30], [0, 0, 1]])
    assert np.array_equal(network.infer(frames[0], frames[1], K=K).K, K)


def test_a_reference_is_encoded_once_for_many_frames_with_the_same_result(network, frames):
    many = network.infer_many(frames[0], frames[1:3])
    assert np.allclose(many[1].tracked, network.infer(frames[0], frames[2]).tracked, atol=1e-5)


def test_every_frame_of_a_video_gets_a_depth_whatever_its_length(network, frames):
    for count in (1, 2, 5):
        depth = depths_of_video(network, frames[:count], side=64)
        assert depth.shape[0] == count and (depth > 0).all()


def test_the_full_network_has_thirteen_million_numbers_and_ways_to_be_smaller():
    with torch.device("meta"):
        full = PairPointmap()
    assert 11e6 < count_of(full) < 14e6
    assert PairShape.of(PairShape().numbers()) == PairShape() and PairShape.of(TINY.numbers()) == TINY


def test_equal_features_are_matched_where_they_are():
    features = torch.nn.functional.normalize(torch.randn(1, 8, 4, 6), dim=1)
    found = matched(features, features.roll(1, 3), torch.tensor(4.0))
    here, there = found.forward.place[0].reshape(4, 6, 2), found.backward.place[0].reshape(4, 6, 2)
    assert torch.allclose(here[:, :-1, 0], (torch.arange(5) + 1.5)[None].expand(4, 5) / 6, atol=0.05)
    assert torch.allclose(there[:, 1:, 0], (torch.arange(5) + 0.5)[None].expand(4, 5) / 6, atol=0.05)


@pytest.mark.parametrize(("size", "told"), [((20, 40), "at least 32 px"), ((1000, 100), "no more than 8 times")])
def test_frames_that_are_too_small_or_narrow_are_told(size, told):
    with pytest.raises(UserError, match=told):
        seen_size(size, 128)


def test_any_aspect_is_seen_with_about_as_many_pixels():
    for size in ((1920, 1080), (1080, 1920), (3840, 1600), (64, 64)):
        width, height = seen_size(size, 160)
        assert width % 16 == height % 16 == 0 and 0.7 < width * height / 160**2 < 1.4


def test_frames_of_two_sizes_or_other_types_are_told(network, frames):
    with pytest.raises(UserError, match="90x60|90 x 60 and 60 x 60 px"):
        network.infer(frames[0], frames[1, :, :60])
    with pytest.raises(UserError, match="uint8 RGB"):
        network.infer(frames[0].astype(float), frames[1])


def test_files_of_other_things_are_refused(tmp_path, network):
    from safetensors.torch import save_file

    with pytest.raises(UserError, match="There is no file"):
        PairPointmap.from_pretrained(tmp_path / "none.safetensors")
    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not the weights of PairPointmap.*it holds a"):
        PairPointmap.from_pretrained(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(UserError, match="holds no weights"):
        PairPointmap.from_pretrained(tmp_path / "text.safetensors")
    state = dict(network.state_dict())
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "mine.safetensors")
    assert PairPointmap.from_pretrained(tmp_path / "mine.safetensors").shape == TINY
