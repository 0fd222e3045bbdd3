"""Masks of what moves: a picture on a picture, before cameras that stand and pan; real recordings."""

import mmap

import cv2
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.scene import Cameras, PointCloud, Scene, Tracks2D, Tracks3D, Video
from toolkit.sfm.moving_gathering import GatheringOptions
from toolkit.sfm.moving_masks import MaskOptions, moving_masks, stream_masks
from toolkit.sfm.moving_scene import FlatPoints, without_moving
from toolkit.sfm.video_points import PassOptions, follow_video

SIZE = (400, 300)


def _texture(seed, size):
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 255, (size[1] // 12, size[0] // 12, 3)).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)
    return np.clip(0.85 * coarse + 0.15 * rng.integers(0, 255, (size[1], size[0], 3)), 0, 255).astype(np.uint8)


def _film(frames=24, pan=0.0, moves=True):
    """A textured wall, the camera panning by `pan` px a frame, and a textured card that crosses it; with its true masks."""
    wall, card = _texture(0, (600, SIZE[1])), _texture(1, (100, 100))
    card = np.asarray(card // 2 + np.array([110, 20, 0], np.uint8), np.uint8)
    pictures, masks = [], np.zeros((frames, SIZE[1], SIZE[0]), bool)
    rng = np.random.default_rng(2)
    for t in range(frames):
        shift = np.array([[1, 0, -pan * t], [0, 1, 0]], np.float32)
        picture = cv2.warpAffine(wall, shift, SIZE, flags=cv2.INTER_LINEAR)
        if moves:
            x, y = 30 + 5 * t, 50 + 2 * t
            picture[y : y + 100, x : x + 100] = card[:, : max(SIZE[0] - x, 0)][: SIZE[1] - y]
            masks[t, y : y + 100, x : x + 100] = True
        pictures.append(np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8))
    return Video.from_frames(np.stack(pictures)), masks


def _points(video):
    return follow_video(iter(video.frames), len(video), video.size, PassOptions())


@pytest.mark.parametrize("pan", [0.0, 3.0])
def test_a_card_that_crosses_a_wall_is_masked_and_little_else(pan):
    video, truth = _film(pan=pan)
    masks = moving_masks(video, _points(video)).masks
    assert masks.shape == truth.shape and masks.dtype == bool
    assert (masks & truth).sum() / (masks | truth).sum() > 0.75
    assert masks[~truth].mean() < 0.03


@pytest.mark.parametrize("pan", [0.0, 3.0])
def test_masks_are_empty_where_nothing_moves(pan):
    video, _ = _film(pan=pan, moves=False)
    assert not moving_masks(video, _points(video)).masks.any()


def test_a_border_that_was_never_imaged_does_not_move():
    video, _ = _film(moves=False)
    frames, wide = video.frames.copy(), 22 + np.round(12 * np.sin(np.arange(len(video)) / 3)).astype(int)
    for t, picture in enumerate(frames):
        picture[:, : wide[t]] = 0
    steady = Video.from_frames(frames)
    points = _points(steady)
    masks = moving_masks(steady, points).masks
    assert masks.mean() < 0.0002 and not any(mask[:, :width].any() for mask, width in zip(masks, wide, strict=True))
    assert all((xy[:, 0] > width).all() for width, xy in zip(wide, points.xy, strict=True))


def test_masks_in_blocks_are_those_of_the_whole():
    video, truth = _film(frames=40)
    points = _points(video)
    whole = moving_masks(video, points).masks
    # Masks of long clips lie in a file.
    assert isinstance(whole.base, mmap.mmap)
    read = []

    def frames():
        for t, frame in enumerate(video.frames):
            read.append(t)
            yield frame

    options = MaskOptions(gathering=GatheringOptions(block=1))
    motion, masks = stream_masks(frames(), len(video), video.size, points, options=options)
    first = next(masks)
    # No more is read ahead than is compared and heard.
    assert len(read) <= 2 + 6 * motion.gap + max(motion.gap, motion.far_gap) < len(video)
    parts = np.stack([first, *masks])
    assert len(parts) == len(video) and truth.any()
    assert (parts & whole).sum() > 0.95 * (parts | whole).sum()


def test_what_moved_stays_masked_while_it_pauses():
    video, truth = _film(frames=24)
    frames, masks = video.frames.copy(), truth.copy()
    frames, masks = np.insert(frames, [12] * 6, frames[12], axis=0), np.insert(masks, [12] * 6, masks[12], axis=0)
    paused = Video.from_frames(frames)
    found = moving_masks(paused, _points(paused)).masks
    assert found[12:18][masks[12:18]].mean() > 0.7


def test_a_small_card_that_crosses_fast_is_masked_though_slow_things_are_looked_at_over_long():
    wall, card = _texture(0, (600, SIZE[1])), np.asarray(_texture(1, (48, 48)) // 2 + np.array([110, 20, 0], np.uint8), np.uint8)
    pictures, truth = [], np.zeros((24, SIZE[1], SIZE[0]), bool)
    for t in range(24):
        picture, x = wall[:, : SIZE[0]].copy(), 20 + 10 * t
        picture[120:168, x : x + 48] = card
        truth[t, 120:168, x : x + 48] = True
        pictures.append(picture)
    video = Video.from_frames(np.stack(pictures))
    found = moving_masks(video, _points(video))
    assert found.tracks.gap == 6
    assert found.masks[truth].mean() > 0.7 and found.masks[~truth].mean() < 0.02


def test_a_video_without_points_to_follow_has_empty_masks():
    video = Video.from_frames(np.full((10, *SIZE[::-1], 3), 90, np.uint8))
    nothing = FlatPoints([np.zeros(0, np.int64)] * 10, [np.zeros((0, 2), np.float32)] * 10)
    assert not moving_masks(video, nothing).masks.any()


def test_points_of_another_clip_are_told():
    video, _ = _film(frames=6)
    with pytest.raises(UserError, match="5 frames, but the video has 6"):
        moving_masks(video, FlatPoints([np.zeros(0, np.int64)] * 5, [np.zeros((0, 2), np.float32)] * 5))


def test_points_under_masks_leave_the_still_scene():
    video, truth = _film(frames=20)
    rng = np.random.default_rng(0)
    N = 60
    xy = np.repeat(rng.uniform(5, 295, (N, 1, 2)), 20, axis=1)
    xy[:10] = [[45, 65]] + np.arange(20)[:, None] * [5, 2] + rng.uniform(0, 70, (10, 1, 2))
    still = ~np.array([truth[np.arange(20), p[:, 1].astype(int), p[:, 0].astype(int)].any() for p in xy])
    chosen = np.flatnonzero(still | (np.arange(N) < 10))
    xyz = rng.normal(size=(N, 3)).astype(np.float32)
    seen = np.ones((N, 20), bool)
    tracks = Tracks2D(xy.astype(np.float32), seen, seen.astype(np.float32), np.zeros((N, 3), np.float32)).select(chosen)
    path = Tracks3D(np.repeat(xyz[:, None], 20, axis=1), seen, np.zeros((N, 3), np.uint8), np.zeros(N, np.float32)).select(chosen)
    cameras = Cameras.from_poses(np.array([[300, 0, 200], [0, 300, 150], [0, 0, 1.0]]), np.tile(np.eye(4), (20, 1, 1)), SIZE)
    cloud = PointCloud(xyz, np.zeros((N, 3), np.uint8))
    scene = without_moving(Scene(cameras, tracks, path, None, cloud, video=video), _points(video))
    assert scene.masks is not None and scene.tracks_2d is not None and scene.tracks_3d is not None and scene.points is not None
    assert len(scene.tracks_2d) == len(scene.tracks_3d) == len(chosen) - 10
    assert len(scene.points) == N - 10 and scene.report["moving"]["points_left_out"] == 10
    assert np.array_equal(scene.points.xyz, xyz[10:])


@pytest.mark.data
def test_a_still_room_stays_whole(data):
    files = sorted((data / "rgbd_7scenes_like" / "dev").glob("*.color.jpg"))[:24]
    video = Video.from_frames(np.stack([np.asarray(cv2.imread(str(f)))[..., ::-1] for f in files]), 15)
    assert moving_masks(video, _points(video)).masks.mean() < 0.02


@pytest.mark.data
def test_masks_cover_the_moving_points_of_an_annotated_clip(data):
    from toolkit.media.video import read_video

    place = data / "stereo4d_clips" / "dev"
    video = read_video(place / "9F_CaOaT9Xg_642409076.mp4")
    with np.load(place / "9F_CaOaT9Xg_642409076.npz") as file:
        xy, seen = file["tracks2d"], file["vis2d"].astype(bool)
    masks = moving_masks(video, _points(video)).masks
    t, n = np.nonzero(seen & ((xy >= 0) & (xy < 512)).all(-1))
    column, row = xy[t, n].astype(int).T
    assert masks[t, row, column].mean() > 0.9
    assert masks.mean() < 0.25
