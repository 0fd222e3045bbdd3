"""Adapting to a video: tracks that nothing was learned from get better or the network stays as it was; what changed is a small file."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

import toolkit as tk  # noqa: E402
from toolkit.errors import Cancelled, UserError  # noqa: E402
from toolkit.models.pairpointmap import PairPointmap, PairShape  # noqa: E402
from toolkit.synthetic.pointmap_clips import pointmap_clip  # noqa: E402
from toolkit.training.pairpointmap_adaptation import AdaptOptions, adapt, save_delta, with_delta  # noqa: E402

TINY = PairShape(stem=(8, 12, 16), width=32, heads=2, own=1, both=1, match=16, decode=(16, 12))
OPTIONS = AdaptOptions(steps=30, rate=2e-3, side=64, check=10, others=2)


@pytest.fixture(scope="module")
def clip():
    return pointmap_clip(20_000_250, 5, size=(96, 80), every_px=8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return PairPointmap(TINY).eval()


@pytest.fixture(scope="module")
def adapted(clip, network):
    return adapt(network, clip.video, clip.tracks_2d, clip.cameras.K[0], options=OPTIONS)


def test_held_out_tracks_get_better_and_the_given_network_stays(network, adapted):
    before, after = adapted.error_px
    assert after < 0.9 * before and adapted.steps > 0 and adapted.curve[0] == (0, before)
    torch.manual_seed(0)
    fresh = PairPointmap(TINY).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in network.state_dict().items())


def test_only_what_lies_behind_the_meeting_of_both_frames_changes_and_a_small_file_keeps_it(network, adapted, tmp_path, clip):
    old, new = network.state_dict(), adapted.network.state_dict()
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed and not changed & {"stem", "own", "both", "to_match", "pose", "focal"}
    save_delta(tmp_path / "delta.safetensors", network, adapted.network)
    again = with_delta(network, tmp_path / "delta.safetensors")
    frames = clip.video.frames
    assert np.allclose(again.infer(frames[0], frames[3]).tracked, adapted.network.infer(frames[0], frames[3]).tracked, atol=2e-2)
    with pytest.raises(UserError, match="another size"):
        with_delta(
            PairPointmap(PairShape(stem=(8, 12, 16), width=32, heads=2, own=1, both=1, match=16, decode=(12, 8))),
            tmp_path / "delta.safetensors",
        )
    with pytest.raises(UserError, match="There is no file"):
        with_delta(network, tmp_path / "none.safetensors")


def test_the_largest_network_that_a_cpu_teaches_has_a_delta_under_three_megabytes(tmp_path):
    from toolkit.training.pairpointmap_learning import PAIR_SHAPES

    network = PairPointmap(PAIR_SHAPES["small"])
    save_delta(tmp_path / "delta.safetensors", network, network)
    assert (tmp_path / "delta.safetensors").stat().st_size < 3e6


def test_it_stops_when_told_and_says_what_is_missing(clip, network):
    def stop(done, total):
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        adapt(network, clip.video, clip.tracks_2d, clip.cameras.K[0], options=OPTIONS, report=stop)
    with pytest.raises(UserError, match="Only 5 tracks are seen"):
        adapt(network, clip.video, clip.tracks_2d.select(np.flatnonzero(clip.tracks_2d.visible.all(1))[:5]), clip.cameras.K[0])
    with pytest.raises(UserError, match="no network to adapt"):
        tk.track_world(clip.video, weights="none", adapt=True)


def test_a_depth_that_is_given_is_learned_from(clip, network):
    options = AdaptOptions(steps=6, rate=2e-3, side=64, check=3, others=2)
    found = adapt(network, clip.video, clip.tracks_2d, clip.cameras.K[0], depth=clip.depth.depth, options=options)
    assert np.isfinite(found.error_px).all()
