"""Tracking points through videos whose motion is known."""

import cv2
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.progress import silent
from toolkit.scene import Video
from toolkit.tracking import prune_tracks, track_points, trackers

SIDE = 128


def texture(side, seed):
    """(side, side, 3) uint8 with detail at several scales."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(size=(side // s, side // s)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC) * s**0.5
        for s in (2, 4, 8, 16)
    ]
    gray = np.sum(layers, axis=0)
    gray = 128 + 40 * (gray - gray.mean()) / gray.std()
    return np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def turning_and_shifting(frames, side, *, shift=(1.3, -0.7), turn_deg=0.6, seed=0):
    """A video and the (T, 2, 3) affine maps from pixels of frame 0 to those of frame t."""
    big = texture(2 * side, seed)
    centre = np.array([side / 2, side / 2])
    maps, images = [], []
    for t in range(frames):
        a = np.deg2rad(turn_deg * t)
        R = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        maps.append(np.column_stack([R, centre - R @ centre + np.asarray(shift) * t]))
        # From texture pixels (frame 0 sits in its middle) to pixels of frame t, both with centres at .5.
        offset = maps[-1][:, :2] @ np.array([-side / 2, -side / 2]) + maps[-1][:, 2]
        M = np.column_stack([R, offset + R @ np.array([0.5, 0.5]) - 0.5])
        images.append(cv2.warpAffine(big, M, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return Video.from_frames(np.stack(images)), np.stack(maps)


def moved(xy, affine):
    """Points (N, 2) of frame 0 under (T, 2, 3) maps: (N, T, 2)."""
    return np.einsum("tij,nj->nti", affine[:, :, :2], xy) + affine[None, :, :, 2]


def behind_a_bar(frames, side, *, width=24, speed=6.0, delay=0, seed=0):
    """A still texture with a textured bar that crosses it from the left; returns the video and (T,) left edges of the bar."""
    back, front = texture(side, seed), texture(side, seed + 1)
    images, edges = [], []
    for t in range(frames):
        left = -width + speed * (t - delay)
        image = back.copy()
        columns = np.arange(side)
        under = (columns + 0.5 >= left) & (columns + 0.5 < left + width)
        image[:, under] = front[:, (columns[under] - round(left)) % side]
        images.append(image)
        edges.append(left)
    return Video.from_frames(np.stack(images)), np.array(edges)


@pytest.fixture(scope="module")
def turning():
    video, affine = turning_and_shifting(20, SIDE)
    return video, affine


def _inside(xy, margin=6):
    return ((xy > margin) & (xy < SIDE - margin)).all(-1)


@pytest.mark.parametrize("tracker", ["normal", "draft"])
def test_points_of_a_turning_texture_are_followed_to_a_fraction_of_a_pixel(turning, tracker):
    video, affine = turning
    start = np.random.default_rng(0).uniform(40, 88, (60, 2))
    truth = moved(start, affine)
    tracks = track_points(video, np.column_stack([np.zeros(60), start]), tracker=tracker)
    error = np.linalg.norm(tracks.xy - truth, axis=-1)[_inside(truth)]
    assert np.median(error) < 0.1
    assert np.quantile(error, 0.95) < 0.5
    assert tracks.visible[_inside(truth)].mean() > 0.97


def test_tracks_run_both_ways_from_a_query_in_the_middle(turning):
    video, affine = turning
    start = np.random.default_rng(1).uniform(45, 80, (40, 2))
    truth = moved(start, affine)
    queries = np.column_stack([np.full(40, 11), truth[:, 11]])
    tracks = track_points(video, queries)
    assert np.median(np.linalg.norm(tracks.xy - truth, axis=-1)) < 0.1
    assert np.allclose(tracks.xy[:, 11], queries[:, 1:], atol=1e-4), "the query stays where it was asked for"
    assert np.array_equal(tracks.queries, queries.astype(np.float32))


def test_tracks_come_in_the_order_of_the_queries(turning):
    video, affine = turning
    start = np.array([[64.0, 64.0], [50.0, 60.0], [70.0, 55.0]])
    truth = moved(start, affine)
    t = np.array([13, 0, 6])
    tracks = track_points(video, np.column_stack([t, truth[[0, 1, 2], t]]))
    assert np.abs(tracks.xy - truth).max() < 0.5


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_points_that_a_passing_bar_hides_are_not_carried_off_by_it(seed):
    delay, width = 20, 40
    video, left = behind_a_bar(72, SIDE, width=width, speed=4.0, delay=delay, seed=seed)
    x, y = np.meshgrid([50.5, 60.5, 70.5], [40.5, 64.5, 90.5])
    start = np.column_stack([x.ravel(), y.ravel()])
    tracks = track_points(video, np.column_stack([np.zeros(9), start]))
    error = np.linalg.norm(tracks.xy - start[:, None], axis=-1)
    under = (start[:, :1] > left[None] + 5) & (start[:, :1] < left[None] + width - 5)
    after = start[:, :1] < left[None] - 6
    assert tracks.visible[under].mean() < 0.4
    assert tracks.visible[after].mean() > 0.8
    assert np.median(error[after]) < 0.1 and np.median(error[under]) < 1


def test_a_grid_covers_every_frame_and_leaves_nothing_to_prune(turning):
    video, _ = turning
    tracks = track_points(video, grid=(16, 16), every=10)
    assert set(np.unique(tracks.queries[:, 0])) == {0, 10}
    assert len(tracks) < 2 * 256, "cells that a track still covers get no new one"
    assert len(prune_tracks(tracks)) == len(tracks)
    for t in (0, 10, 19):
        cells = np.zeros((4, 4), int)
        seen = tracks.xy[tracks.visible[:, t], t]
        np.add.at(cells, tuple(np.clip((seen // (SIDE / 4)).astype(int).T, 0, 3)), 1)
        assert (cells >= 4).all(), "each sixteenth of the image holds tracks"


def test_the_same_input_gives_the_same_tracks(turning):
    video, _ = turning
    a, b = (track_points(video, grid=(8, 8), seed=5) for _ in range(2))
    assert a.xy.tobytes() == b.xy.tobytes() and a.visible.tobytes() == b.visible.tobytes()


def test_positions_are_in_pixels_of_the_video_when_frames_are_shrunk_for_flow():
    video, affine = turning_and_shifting(6, 800, shift=(4.0, 2.0), turn_deg=0.1)
    start = np.random.default_rng(2).uniform(200, 600, (30, 2))
    tracks = track_points(video, np.column_stack([np.zeros(30), start]), tracker="draft")
    assert np.median(np.linalg.norm(tracks.xy - moved(start, affine), axis=-1)) < 0.3


def test_sigma_grows_away_from_the_query_and_confidence_falls(turning):
    video, _ = turning
    tracks = track_points(video, [[0, 64, 64]])
    assert tracks.sigma_px is not None
    assert tracks.sigma_px[0, 0] < tracks.sigma_px[0, 5] <= tracks.sigma_px[0].max() < 3
    assert 0 <= tracks.confidence.min() and tracks.confidence.max() <= 1


@pytest.mark.parametrize("shape", [(1, 40, 40), (2, 40, 40), (3, 33, 57)])
def test_short_and_odd_videos_are_tracked(shape):
    frame = texture(80, 0)[: shape[1], : shape[2]]
    tracks = track_points(Video.from_frames(np.repeat(frame[None], shape[0], axis=0)), grid=(4, 4))
    assert tracks.visible.shape == (16, shape[0])
    assert np.abs(tracks.xy - tracks.queries[:, None, 1:]).max() < 0.05
    assert tracks.visible.all()


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([[0.5, 10, 10]], "not at a whole frame"),
        ([[20, 10, 10]], "outside the frames 0 to 19"),
        ([[0, 129, 10]], "outside the image of 128 x 128"),
        ([[0, np.nan, 10]], "is not finite"),
        ([[0, 10]], "shape"),
        (np.zeros((0, 3)), "at least one row"),
        ([["a", "b", "c"]], "numbers"),
    ],
)
def test_queries_that_cannot_be_tracked_are_told_in_one_sentence(turning, queries, message):
    with pytest.raises(UserError, match=message):
        track_points(turning[0], queries)


def test_a_tiny_video_and_an_unknown_tracker_are_refused(turning):
    with pytest.raises(UserError, match="1 x 1 px"):
        track_points(Video.from_frames(np.zeros((3, 1, 1, 3), np.uint8)))
    with pytest.raises(UserError, match="no tracker 'magic'; there are auto, normal"):
        track_points(turning[0], tracker="magic")
    with pytest.raises(UserError, match="grid is 0 x 4"):
        track_points(turning[0], grid=(0, 4))
    with pytest.raises(UserError, match="every 0 frames"):
        track_points(turning[0], every=0)


def test_progress_rises_to_its_total_and_can_stop_the_work(turning):
    seen = []
    track_points(turning[0], [[0, 64, 64]], report=lambda done, total: seen.append((done, total)))
    assert [d for d, _ in seen] == sorted(d for d, _ in seen) and seen[-1][0] == seen[-1][1]

    def stop(done, total):
        if done > total // 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track_points(turning[0], [[0, 64, 64]], report=stop)
    silent(0, 1)


def test_the_registry_says_what_each_tracker_is_and_whose_terms_apply():
    known = trackers()
    assert list(known)[:3] == ["normal", "fine", "draft"]
    assert "CC BY-NC" in known["cotracker3"].licence and not known["normal"].licence
    assert all(info.sentence.endswith(".") for info in known.values())
