"""Plug-ins for learned trackers: coordinates, order and what is told when they are not there. No network is used."""

import sys

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.scene import Video
from toolkit.tracking import learned, track_points

torch = pytest.importorskip("torch")


class _Still(torch.nn.Module):
    """Stands in for CoTracker: every point stays where it was asked for, seen in even frames."""

    def forward(self, clip, queries, backward_tracking):
        assert backward_tracking and clip.shape[:3] == (1, 6, 3)
        self.asked = queries
        xy = queries[:, None, :, 1:].repeat(1, clip.shape[1], 1, 1)
        seen = (torch.arange(clip.shape[1]) % 2 == 0)[None, :, None].repeat(1, 1, queries.shape[1])
        return xy, seen


@pytest.fixture
def video():
    return Video.from_frames(np.zeros((6, 20, 30, 3), np.uint8))


def test_cotracker_is_asked_at_pixel_centres_and_answers_in_continuous_pixels(video, monkeypatch):
    model, asked_for = _Still(), []
    monkeypatch.setattr(torch.hub, "load", lambda *a, **k: asked_for.append((a, k)) or model)
    tracks = track_points(video, [[2, 10.5, 4.5], [0, 1, 2]], tracker="cotracker3")
    assert asked_for[0][0] == (learned.COTRACKER3.source, "cotracker3_offline")
    assert ":" in learned.COTRACKER3.source, "the revision is pinned"
    assert model.asked[0, 0].tolist() == [2, 10, 4]
    assert np.allclose(tracks.xy[0], [10.5, 4.5]) and np.allclose(tracks.xy[1], [1, 2])
    assert tracks.visible[0].tolist() == [True, False] * 3


def test_a_grid_for_a_learned_tracker_asks_later_only_for_what_is_not_followed(video, monkeypatch):
    monkeypatch.setattr(torch.hub, "load", lambda *a, **k: _Still())
    even = track_points(video, tracker="cotracker3", grid=(3, 2), every=2)
    assert len(even) == 6, "all points are seen in frames 2 and 4"
    odd = track_points(video, tracker="cotracker3", grid=(3, 2), every=3)
    assert len(odd) == 12, "none is seen in frame 3"


def test_a_model_that_cannot_be_fetched_is_told_in_one_sentence(video, monkeypatch):
    def no_network(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load", no_network)
    with pytest.raises(UserError, match="CoTracker3 could not be fetched .* no route to host"):
        track_points(video, [[0, 1, 1]], tracker="cotracker3")


def test_missing_packages_are_told_in_one_sentence(video, monkeypatch):
    monkeypatch.setitem(sys.modules, "tapnet", None)
    with pytest.raises(UserError, match="package tapnet, which is not installed"):
        track_points(video, [[0, 1, 1]], tracker="tapir")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="'cotracker3' needs torch"):
        track_points(video, [[0, 1, 1]], tracker="cotracker3")


def test_torch_is_not_imported_for_the_default_tracker():
    import subprocess

    code = "import sys, toolkit.tracking; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
