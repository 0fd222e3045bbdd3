"""Tracking on annotated recordings; needs the folder of real recordings."""

from pathlib import Path

import av
import numpy as np
import pytest

from toolkit.evaluation import tracks_2d
from toolkit.scene import Tracks2D, Video
from toolkit.tracking import track_points


def _clip(data: Path, name: str) -> tuple[Video, Tracks2D]:
    """Frames and annotated tracks, each queried at its first visible frame."""
    folder = data / "stereo4d_clips" / "dev"
    with av.open(str(folder / f"{name}.mp4")) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    with np.load(folder / f"{name}.npz") as f:
        xy, visible = f["tracks2d"].astype(np.float32).transpose(1, 0, 2), f["vis2d"].T
    used = visible.any(1)
    xy, visible = xy[used], visible[used]
    first = visible.argmax(1)
    queries = np.column_stack([first, xy[np.arange(len(xy)), first]]).astype(np.float32)
    return Video.from_frames(frames), Tracks2D(xy, visible, visible.astype(np.float32), queries)


@pytest.mark.data
def test_annotated_tracks_of_a_short_clip_are_followed(data):
    video, annotated = _clip(data, "9F_CaOaT9Xg_642409076")
    tracks = track_points(video, annotated.queries)
    scores = tracks_2d(tracks, annotated, size=video.size)
    # The published recipe that this one starts from reaches 82.1 / 72 / 97 on this clip; frame-to-frame flow 75.6.
    assert scores["delta_avg"] > 80 and scores["AJ"] > 69 and scores["OA"] > 93

    after = np.arange(len(video)) > annotated.queries[:, :1]
    error = np.linalg.norm(tracks.xy - annotated.xy, axis=-1)
    right = annotated.visible & (error < 8)
    assert tracks.sigma_px is not None
    for low, high in ((0.0, 0.6), (0.6, 0.9), (0.9, 1.01)):
        chosen = after & (tracks.confidence >= low) & (tracks.confidence < high)
        assert chosen.sum() > 100
        assert abs(tracks.confidence[chosen].mean() - right[chosen].mean()) < 0.15, "confidence is the chance of being right"
    seen = after & annotated.visible & tracks.visible
    assert 0.5 < np.quantile((error / tracks.sigma_px)[seen], 0.683) / 1.515 < 2, "sigma is the error's size"


@pytest.mark.data
def test_the_draft_tracker_is_nearly_as_good(data):
    video, annotated = _clip(data, "9F_CaOaT9Xg_642409076")
    scores = tracks_2d(track_points(video, annotated.queries, tracker="draft"), annotated, size=video.size)
    assert scores["delta_avg"] > 79 and scores["AJ"] > 66 and scores["OA"] > 90
