"""What TracksTo4D takes in: where a track's texture is looked for."""

from dataclasses import replace

import numpy as np
import pytest

import toolkit as tk
from toolkit.methods.tracksto4d_intake import taken_in, with_texture
from toolkit.scene import Tracks2D


@pytest.mark.filterwarnings("error")
def test_a_track_of_which_nobody_tells_where_it_began_is_told_by_where_it_is_first_seen():
    """Files of tracks may say when a point was asked for, but not where it was then, as it was hidden."""
    frames = np.full((4, 60, 80, 3), 128, np.uint8)
    frames[:, :, 40:] = np.random.default_rng(0).integers(0, 255, (60, 40, 3))
    xy = np.tile(np.column_stack([np.full(9, 60.0), np.linspace(20, 40, 9)])[:, None], (1, 4, 1)).astype(np.float32)
    visible = np.ones(xy.shape[:2], bool)
    visible[:, 0], xy[:, 0] = False, np.nan
    visible[8], xy[8] = False, np.nan
    queries = np.column_stack([np.zeros(9), xy[:, 0]]).astype(np.float32)
    tracks = Tracks2D(xy, visible, visible.astype(np.float32), queries)
    given = taken_in(tracks, None, (80, 60))
    video = tk.Video.from_frames(frames)
    known = taken_in(replace(tracks, queries=np.column_stack([np.ones(9), np.nan_to_num(xy[:, 1])]).astype(np.float32)), None, (80, 60))
    found, expected = with_texture(given, video).observed.slip, with_texture(known, video).observed.slip
    assert found is not None and expected is not None
    np.testing.assert_array_equal(found[:8], expected[:8])
    assert (found[:8] < 1).all() and np.isfinite(found).all()
