"""A long clip is tracked window by window: as well as in one piece, to its end, and by no more tracks than it needs."""

import numpy as np
import pytest

from tests.tracking.test_points import SIDE, moved, turning_and_shifting
from toolkit.tracking import classical, track_points, windows

FRAMES = 48


@pytest.fixture
def short_windows(monkeypatch):
    monkeypatch.setattr(classical, "LONGEST_WHOLE", 20)
    monkeypatch.setattr(windows, "_OWN", 15)
    monkeypatch.setattr(windows, "_BEYOND", 6)


def test_tracks_of_windows_are_right_and_reach_the_end_of_the_clip(short_windows):
    video, maps = turning_and_shifting(FRAMES, SIDE, shift=(0.8, -0.4), turn_deg=0.2)
    tracks = track_points(video, None, tracker="draft", grid=(12, 12), every=5)
    start = tracks.queries[:, 0].astype(int)
    rows = np.arange(len(tracks))
    assert np.allclose(tracks.xy[rows, start], tracks.queries[:, 1:]) and tracks.visible[rows, start].all()
    back = np.stack([np.linalg.inv(np.vstack([m, [0, 0, 1]]))[:2] for m in maps])
    first = np.einsum("nij,nj->ni", back[start, :, :2], tracks.queries[:, 1:]) + back[start, :, 2]
    error = np.linalg.norm(tracks.xy - moved(first, maps), axis=-1)[tracks.visible]
    assert np.median(error) < 0.3 and np.quantile(error, 0.95) < 1.5
    alive = tracks.visible.sum(0)
    assert alive.min() > 60  # of 144 cells; some leave the picture
    assert (tracks.visible.sum(1) <= 15 + 2 * 6).all()
    assert not tracks.visible[start < 15][:, 21 + 1 :].any()


def test_the_tracks_of_a_long_clip_are_spread_over_its_length(short_windows, monkeypatch):
    monkeypatch.setattr(windows, "_MOST_SAMPLES", 40 * FRAMES)
    video, _ = turning_and_shifting(FRAMES, SIDE, shift=(0.8, -0.4), turn_deg=0.2)
    start = track_points(video, None, tracker="draft", grid=(12, 12), every=5).queries[:, 0]
    assert 30 <= len(start) <= 40 and start.max() >= 45
