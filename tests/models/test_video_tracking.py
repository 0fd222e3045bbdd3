"""Whole videos through the tracker: pieces, coordinates, progress, stopping, and what it will cost."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import Cancelled, UserError
from toolkit.models.square_images import Square
from toolkit.models.track_predictor import TrackPredictor
from toolkit.models.tracking_plan import VideoTracking, plan
from toolkit.scene import Video

SMALL = VideoTracking(side=128, iterations=2)


@pytest.fixture(scope="module")
def video(cases):
    return Video.from_frames(np.concatenate([cases["b"]["images_u8"]] * 2)[:5, :96], fps=10)


QUERIES = np.array([[0, 30.5, 40.5], [3, 64.25, 20.0], [0, 100.0, 70.0], [4, 127.5, 95.0]], np.float32)


@given(st.integers(1, 70), st.lists(st.integers(0, 69), min_size=1, max_size=30), st.integers(2, 40), st.integers(1, 200))
def test_every_query_is_looked_for_in_every_frame_in_pieces_of_bounded_size(frames, moments, together, samples):
    moments = np.minimum(moments, frames - 1)
    settings = VideoTracking(frames_at_once=together, samples_at_once=samples)
    found = np.zeros((len(moments), frames), int)
    for piece in plan(moments, frames, settings):
        found[np.ix_(piece.points, piece.frames)] += 1
        assert (moments[piece.points] == piece.frames[0]).all()
        assert len(piece.frames) <= together
        assert len(piece.points) == 1 or len(piece.points) * len(piece.frames) < samples + 2 * len(piece.frames)
    away = np.arange(frames) != moments[:, None]
    assert (found[away] == 1).all()
    assert (found[~away] >= 1).all()


def test_a_piece_gives_what_the_tracker_gives_for_the_padded_squares(tracker, video):
    asked = QUERIES[[0, 2]]
    tracks = tracker.infer(video, asked, settings=SMALL)
    square = Square(video.size, 128)
    pictures = np.stack([square.picture(frame) for frame in video.frames])
    plain = tracker.track(pictures, square.into(asked[:, 1:]), iters=2)
    inside = tracks.confidence > 0
    fine = square.out_of(plain["fine"].numpy()).transpose(1, 0, 2)
    assert np.abs(tracks.xy - fine)[inside].max() < 1e-3
    assert np.abs(tracks.confidence[:, 1:] - plain["vis"].numpy().T[:, 1:])[inside[:, 1:]].max() < 1e-5


def test_tracks_run_both_ways_in_the_order_of_the_queries_and_keep_them(tracker, video):
    tracks = tracker.infer(video, QUERIES, settings=SMALL)
    rows = np.arange(len(QUERIES))
    assert tracks.xy.shape == (4, 5, 2) and np.isfinite(tracks.xy).all()
    assert np.array_equal(tracks.xy[rows, QUERIES[:, 0].astype(int)], QUERIES[:, 1:])
    assert tracks.visible[rows, QUERIES[:, 0].astype(int)].all()
    assert np.array_equal(tracks.queries, QUERIES)
    assert tracks.sigma_px is None, "the network does not tell its error"
    alone = tracker.infer(video, QUERIES[[1]], settings=SMALL)
    assert np.abs(alone.xy - tracks.xy[1]).max() < 1e-3, "a query from frame 3 does not know of the others"


def test_points_that_leave_the_frame_are_not_seen(tracker, video):
    tracks = tracker.infer(video, QUERIES, settings=SMALL)
    outside = (tracks.xy < 0).any(-1) | (tracks.xy > video.size).any(-1)
    assert not tracks.visible[outside].any() and not tracks.confidence[outside].any()


def test_progress_rises_to_the_end_and_stopping_stops(tracker, video):
    told = []
    tracker.infer(video, QUERIES, settings=SMALL, report=lambda done, total: told.append((done, total)))
    done, totals = np.array(told).T
    assert (np.diff(done) >= 0).all() and len(set(totals)) == 1 and done[-1] == totals[-1]
    assert told[-2][0] >= totals[0] - 1, "the plan knows all of the work"
    assert len(told) > 50

    def stop(now, of):
        if now > of / 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        tracker.infer(video, QUERIES, settings=SMALL, report=stop)


def test_the_estimate_grows_with_the_work_and_memory_does_not_grow_with_a_long_video(tracker):
    one = tracker.estimate(30, np.zeros((200, 3)))
    assert tracker.estimate(30, np.zeros((2000, 3))).seconds > 3 * one.seconds > 0
    assert tracker.estimate(1000, np.zeros((200, 3))).memory_mb < 1.5 * tracker.estimate(100, np.zeros((200, 3))).memory_mb


def test_a_query_outside_the_video_is_refused(tracker, video):
    with pytest.raises(UserError, match="outside the frames 0 to 4"):
        tracker.infer(video, [[5, 1, 1]], settings=SMALL)


def test_photos_of_several_sizes_are_tracked_in_pixels_of_each(tracker, video):
    photos = [video.frames[0], video.frames[1][:, 30:100], np.repeat(np.repeat(video.frames[2], 2, 0), 2, 1)]
    tracks = tracker.infer(photos, QUERIES[[0, 2]], settings=SMALL)
    whole = tracker.infer(Video.from_frames(video.frames[:3], 10), QUERIES[[0, 2]], settings=SMALL)
    assert np.array_equal(tracks.xy[:, 0], whole.xy[:, 0])
    assert np.abs(tracks.xy[:, 2] / 2 - whole.xy[:, 2]).max() < 6, "twice the pixels, much the same picture"
    with pytest.raises(UserError, match=r"Query 0 at \(90, 70\) is outside photo 1 of 70 x 96 px"):
        tracker.infer(photos, [[1, 90, 70]], settings=SMALL)


def test_squares_that_cannot_be_halved_are_refused():
    with pytest.raises(UserError, match="Squares of 100 px"):
        VideoTracking(side=100)


def test_everything_stays_on_the_device_of_the_weights():
    with torch.device("meta"):
        network = TrackPredictor()
        pictures = torch.zeros(3, 3, 128, 128, dtype=torch.uint8)
        queries = torch.zeros(4, 2)
    with torch.inference_mode():
        steps, seen = network.track_coarse(network.encode(pictures), queries)
        fine, score = network.track_fine(pictures, queries, steps[-1])
    assert {t.device.type for t in (steps, seen, fine, score)} == {"meta"}


def test_feature_maps_are_made_once_per_frame_where_memory_allows(tracker, video, monkeypatch):
    made = []
    encode = tracker.encode
    monkeypatch.setattr(tracker, "encode", lambda images: made.append(len(images)) or encode(images))
    tracker.infer(video, QUERIES, settings=SMALL)
    assert sum(made) == len(video)
    tracker.infer(video, QUERIES, settings=VideoTracking(side=128, iterations=1, features_mb=0, refine=False))
    assert sum(made) > 2 * len(video)
