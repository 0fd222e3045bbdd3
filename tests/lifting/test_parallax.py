"""Standing points whose stereo depth is wrong are told from moving ones by their parallax, and put in their place."""

from dataclasses import replace

import numpy as np
import pytest
from points_in_motion import BASELINE_M, camera_path, record

from toolkit.errors import UserError
from toolkit.geometry.cameras import project, unproject
from toolkit.lifting.parallax import stand_by_parallax
from toolkit.scene import Tracks2D


def recording(*, off_px=0.0, **options):
    """Tracks in the image and in the world, all suspected of motion; disparities are wrong by so many pixels, more than they tell."""
    truth = record(white_px=0.2, slow_px=0.1, wrong=0.0, **options)
    tracks, cameras = truth.tracks, truth.cameras
    xy, z = project(np.nan_to_num(tracks.xyz), cameras.K, cameras.T_wc)
    scale = cameras.K[0, 0, 0] * BASELINE_M
    measured = unproject(xy, scale / (scale / np.where(tracks.visible, z, 1.0) + off_px), cameras.K, cameras.T_wc).astype(np.float32)
    seen = tracks.visible
    measured[~seen] = np.nan
    first = seen.argmax(1)
    queries = np.column_stack([first, xy[np.arange(len(xy)), first]]).astype(np.float32)
    image = Tracks2D(xy.astype(np.float32), seen, seen.astype(np.float32), queries, np.full(seen.shape, 0.4, np.float32))
    suspected = replace(tracks, xyz=measured, motion=np.ones(len(xy), np.float32))
    return truth, image, suspected


def test_a_standing_point_at_a_wrong_depth_is_put_where_its_parallax_places_it():
    truth, image, world = recording(off_px=1.0, moving=0.0, sway_m=0.6)
    _, placed, changed = stand_by_parallax(image, world, truth.cameras)
    assert changed.mean() > 0.9
    assert (placed.motion[changed] == 0).all()
    before, after = truth.error_m(world)[changed], truth.error_m(placed)[changed]
    assert np.nanmedian(after) < 0.3 * np.nanmedian(before)


def test_the_told_error_of_such_a_point_covers_what_stereo_was_off():
    truth, image, world = recording(off_px=1.0, moving=0.0, sway_m=0.6)
    placed = stand_by_parallax(image, world, truth.cameras)[1]
    assert placed.sigma is not None and world.sigma is not None
    assert np.nanmedian(placed.sigma) > 2 * np.nanmedian(world.sigma)


def test_points_that_leave_their_epipolar_lines_go_on_moving():
    truth, image, world = recording(moving=1.0, sway_m=0.6)
    _, placed, changed = stand_by_parallax(image, world, truth.cameras)
    assert changed.mean() < 0.1
    np.testing.assert_array_equal(placed.xyz[~changed], world.xyz[~changed])


def test_a_camera_that_does_not_move_changes_nothing():
    truth, image, world = recording(off_px=1.0, moving=0.5, sway_m=0.0)
    changed = stand_by_parallax(image, world, truth.cameras)[2]
    assert not changed.any()


def test_tracks_that_nobody_suspects_are_left_alone():
    truth, image, world = recording(off_px=1.0, moving=0.0, sway_m=0.6)
    still = replace(world, motion=np.zeros(len(world), np.float32))
    moved, placed, changed = stand_by_parallax(image, still, truth.cameras)
    assert not changed.any()
    np.testing.assert_array_equal(moved.xy, image.xy)
    np.testing.assert_array_equal(placed.xyz, still.xyz)


def test_the_image_path_is_that_of_the_standing_point():
    truth, image, world = recording(off_px=1.0, moving=0.0, sway_m=0.6)
    moved, placed, changed = stand_by_parallax(image, world, truth.cameras)
    seen = placed.visible & changed[:, None]
    xy = project(np.nan_to_num(placed.xyz), truth.cameras.K, truth.cameras.T_wc)[0]
    assert np.abs(moved.xy - xy)[seen].max() < 0.01


def test_tracks_and_cameras_of_different_length_are_refused():
    _, image, world = recording(moving=0.0)
    with pytest.raises(UserError, match="60 frames, but 10 cameras"):
        stand_by_parallax(image, world, camera_path(10))
