"""Points are followed through a video to a fraction of a pixel, and their number is kept up."""

import cv2
import numpy as np
import pytest

from tests.sfm import walk_clip
from toolkit.geometry.cameras import project, unproject
from toolkit.sfm.video_points import PassOptions, follow_video
from toolkit.sfm.video_tracks import Follower, FollowOptions, new_corners
from toolkit.synthetic.clips import look_pinhole

OPTIONS = PassOptions(max_side=320, follow=FollowOptions(most=250, window_px=15, corner=0.02))


@pytest.fixture(scope="module")
def clip():
    return walk_clip.film(walk_clip.walk())


@pytest.fixture(scope="module")
def points(clip):
    video, _ = clip
    return follow_video(iter(video.frames), len(video), video.size, OPTIONS)


def test_points_stay_on_the_surface_they_started_on(clip, points):
    _, cameras = clip
    errors = []
    first = points.ids[0]
    depth = look_pinhole(walk_clip._world(), walk_clip.K, walk_clip.SIZE, cameras.T_wc[0], 0.0, paint=False).distance
    column, row = points.xy[0].astype(int).T
    xyz = unproject(points.xy[0], depth[row, column], walk_clip.K, cameras.T_wc[0])
    # At the rim of a thing a patch sees two surfaces, and the truth of one pixel says little.
    square = np.ones((9, 9))
    inside = (cv2.dilate(depth, square) / cv2.erode(depth, square))[row, column] < 1.1
    first, xyz = first[inside], xyz[inside]
    for t in (3, 6, 9):
        _, a, b = np.intersect1d(first, points.ids[t], return_indices=True)
        expected, _ = project(xyz[a], walk_clip.K, cameras.T_wc[t])
        errors.append(np.linalg.norm(expected - points.xy[t][b], axis=1))
    assert len(errors[0]) > 60
    assert np.median(np.concatenate(errors)) < 0.25
    assert np.mean(np.concatenate(errors) < 1.0) > 0.85


def test_every_part_of_the_picture_keeps_its_points(points):
    for t in (0, 10, 23):
        assert len(points.ids[t]) > 100
        cells = set(map(tuple, (points.xy[t] // 80).astype(int)))
        assert len(cells) >= 9


def test_no_point_starts_or_stays_where_nothing_is_wanted(clip):
    video, _ = clip
    hidden = np.zeros((240, 320), bool)
    hidden[:, :120] = True
    masked = follow_video(iter(video.frames[:6]), 6, video.size, OPTIONS, ignore=lambda t: hidden)
    for xy in masked.xy:
        assert len(xy) > 50 and xy[:, 0].min() >= 120
    assert min(f.xy[:, 0].min() for f in masked.features.values()) > 115


def test_a_cut_starts_afresh(clip):
    video, _ = clip
    other, _ = walk_clip.film(walk_clip.walk(3, start=(0.8, -1.2, 1.0), way=(0.1, 0, 0), turn_deg=2, yaw_deg=150))
    joined = np.concatenate([video.frames[:4], other.frames])
    points = follow_video(iter(joined), 7, video.size, OPTIONS)
    assert points.cuts == [4] and 4 in points.keyframes
    assert len(np.intersect1d(points.ids[3], points.ids[4])) == 0


def test_a_picture_that_does_not_change_makes_no_further_keyframe(clip):
    video, _ = clip
    still = follow_video(iter([video.frames[0]] * 30), 30, video.size, OPTIONS)
    assert still.keyframes == [0]


def test_a_shift_by_a_fraction_of_a_pixel_is_measured():
    rng = np.random.default_rng(0)
    large = cv2.GaussianBlur(rng.integers(0, 255, (500, 600)).astype(np.float32), (0, 0), 6)
    large = 255 * (large - large.min()) / np.ptp(large)

    def view(x):
        shift = np.array([[2.0, 0, 20 + 2 * x], [0, 2.0, 20]])
        return cv2.warpAffine(large, shift, (240, 200), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP).astype(np.uint8)

    follower = Follower(FollowOptions(most=120))
    first = follower.add(view(0.0))
    for x in (0.8, 1.6, 2.4, 3.2):
        last = follower.add(view(x))
    _, a, b = np.intersect1d(first.ids, last.ids, return_indices=True)
    moved = last.xy[b] - first.xy[a]
    assert len(a) > 60
    assert np.abs(np.median(moved, axis=0) - [-3.2, 0]).max() < 0.03
    assert np.percentile(np.linalg.norm(moved - [-3.2, 0], axis=1), 90) < 0.1


def test_new_corners_keep_away_from_taken_places():
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 255, (120, 160)).astype(np.uint8)
    taken = np.array([[40.0, 60.0], [120.0, 60.0]], np.float32)
    fresh = new_corners(grey, taken, None, FollowOptions(most=60))
    assert len(fresh) > 20
    assert np.linalg.norm(fresh[:, None] - taken, axis=2).min() > 4
