"""The fly-around: the right place for a point, what is in front hides what is behind, any scene with 3D tracks draws."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.scene import Cameras, Scene, Tracks3D
from toolkit.views.flyaround import draw_tracks_3d
from toolkit.views.raster import draw_trails, splat


def test_there_is_one_frame_per_frame_of_the_asked_size(room):
    images = list(draw_tracks_3d(room, size=(161, 120)))
    assert len(images) == len(room.video) and images[0].shape[1] == 162 and images[0].shape[0] % 2 == 0


def test_the_eye_swings_so_that_pictures_of_a_still_scene_differ(room):
    still = replace(room, tracks_3d=replace(room.tracks_3d, motion=np.zeros(len(room.tracks_3d), np.float32)), depth=None)
    images = list(draw_tracks_3d(still, size=(128, 128)))
    assert np.abs(images[2].astype(int) - images[7]).mean() > 2


@pytest.mark.parametrize("missing", ["cameras", "depth", "points", "video", "tracks_2d"])
def test_any_other_part_may_be_missing(room, missing):
    image = list(draw_tracks_3d(replace(room, **{missing: None}), size=(96, 96)))[-1]
    assert (image.max(-1) > 60).mean() > 0.02


def test_tracks_alone_draw_and_the_same_seed_draws_the_same(room):
    bare = Scene(tracks_3d=room.tracks_3d, method="x", unit="relative")
    for a, b in zip(draw_tracks_3d(bare, size=(96, 96), seed=1), draw_tracks_3d(bare, size=(96, 96), seed=1), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_known_sample_is_enough_and_none_is_refused(room):
    xyz = np.full((1, 3, 3), np.nan, np.float32)
    tracks = Tracks3D(xyz, np.zeros((1, 3), bool), np.zeros((1, 3), np.uint8), np.ones(1, np.float32))
    with pytest.raises(UserError, match="no 3D tracks with a known position"):
        draw_tracks_3d(Scene(tracks_3d=tracks, method="x"))
    xyz[0, 1] = [0, 0, 2]
    assert len(list(draw_tracks_3d(Scene(tracks_3d=tracks, method="x"), size=(64, 64)))) == 3


def test_splats_land_where_the_pinhole_puts_them_and_the_nearer_one_wins():
    image, zbuffer = np.zeros((40, 60, 3), np.uint8), np.full((40, 60), np.inf, np.float32)
    points = np.array([[0.11, -0.19, 1], [0.22, -0.38, 2], [0, 0, -1]], np.float32)
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    splat(image, zbuffer, points, rgb, np.eye(4), focal_px=50, size_w=0.0)
    row, column = 20 - 10, 30 + 5
    np.testing.assert_array_equal(image[row, column], [255, 0, 0])
    assert zbuffer[row, column] == 1 and np.isfinite(zbuffer).sum() == 1


def test_a_line_behind_the_scene_is_dimmed_and_one_in_front_is_not():
    image, zbuffer = np.zeros((20, 40, 3), np.uint8), np.full((20, 40), 2.0, np.float32)
    paths = np.array([[[2, 5.5], [38, 5.5]], [[2, 14.5], [38, 14.5]]], np.float32)
    depths = np.array([[1, 1], [3, 3]], np.float32)
    white = np.full((2, 3), 255, np.uint8)
    draw_trails(image, paths, np.ones((2, 2), bool), white, 1.0, 2.0, depths=depths, zbuffer=zbuffer, behind=0.2)
    assert image[5, 20, 0] > 200 and 20 < image[14, 20, 0] < 80


def test_chained_segments_do_not_blend_twice_at_their_joints():
    one, many = np.zeros((2, 21, 61, 3), np.uint8)
    white, ends = np.full((1, 3), 255, np.uint8), np.array([[[3.0, 4.0], [57.0, 15.0]]])
    chain = ends[:, :1] + np.linspace(0, 1, 28)[None, :, None] * (ends[:, 1:] - ends[:, :1])
    draw_trails(one, ends, np.ones((1, 2), bool), white, 0.5, 2.0)
    for k in range(27):
        draw_trails(many, chain[:, k : k + 2], np.ones((1, 2), bool), white, 0.5, 2.0)
    assert np.abs(one.astype(int) - many).max() <= 2


def test_tracks_that_no_picture_shows_are_drawn_too(room):
    xyz = np.tile(np.array([40.0, 0, 1], np.float32), (2, 3, 1))  # far to the side of where the camera looks
    tracks = Tracks3D(xyz, np.ones((2, 3), bool), np.full((2, 3), 128, np.uint8), np.ones(2, np.float32))
    cameras = Cameras.from_poses(room.cameras.K[0], np.tile(np.eye(4), (3, 1, 1)), room.cameras.size[0])
    assert len(list(draw_tracks_3d(Scene(tracks_3d=tracks, cameras=cameras, method="x"), size=(64, 64)))) == 3
