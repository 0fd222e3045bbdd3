"""What the published loader makes of a file of tracks."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toolkit.errors import UserError  # noqa: E402
from toolkit.media.track_npz import load_track_npz  # noqa: E402
from toolkit.training.track_items import Window, published_item, training_window, whole_window  # noqa: E402


@pytest.fixture(scope="module")
def toy(golden):
    return load_track_npz(golden / "tracksto4d" / "toy_sequence.npz")


@pytest.mark.parametrize(("case", "frames", "tracks"), [("all_1000", 50, 1000), ("first22_100", 22, 100), ("nocalib", 50, 1000)])
def test_items_are_as_published(toy, golden, case, frames, tracks):
    file = replace(toy, K=None) if case == "nocalib" else toy
    item = published_item(file, whole_window(file, most_frames=frames), most_tracks=tracks, seed=5)
    with np.load(golden / "tracksto4d" / "io_and_primitives.npz") as wanted:
        assert item.real == wanted[f"{case}_npts"] and item.tracks.shape[2] == wanted[f"{case}_ncam"]
        assert item.tracks.shape == wanted[f"{case}_tracks"].shape
        assert np.abs(item.tracks - wanted[f"{case}_tracks"]).max() <= 2e-7
        assert np.array_equal(item.tracks[:, 2].T > 0, wanted[f"{case}_vis"])
        assert item.depth is not None and np.array_equal(item.depth.T, wanted[f"{case}_depth"])
        assert item.moving is not None and np.array_equal(item.moving.T, wanted[f"{case}_mask"])
        assert np.allclose(item.K, wanted[f"{case}_K"], rtol=1e-6)
        assert item.T_wc is not None and np.allclose(item.T_wc, wanted[f"{case}_poses"], atol=1e-6)


def test_training_windows_lie_in_the_clip(toy):
    windows = [training_window(toy, np.random.default_rng(seed)) for seed in range(200)]
    assert {w.frames for w in windows} == set(range(20, 30)) and all(w.start + w.frames <= 30 for w in windows)
    item = published_item(toy, Window(4, 20, training=True), most_tracks=50)
    assert item.tracks.shape == (50, 3, 20) and (item.tracks[: item.real, 2].sum(1) > 10).all()
    assert (np.abs(toy.started_at[item.chosen[: item.real]] - 14) < 20).all()


def test_clips_that_are_too_short_or_blind_are_refused(toy):
    short = replace(toy, xy=toy.xy[:, :20], visible=toy.visible[:, :20])
    with pytest.raises(UserError, match="The clip has 20 frames, but training needs more than 20"):
        training_window(short, np.random.default_rng(0))
    with pytest.raises(UserError, match="None of the 150 tracks is seen in more than 10 of the 30 frames"):
        published_item(replace(toy, visible=np.zeros_like(toy.visible)))
