"""The static cloud: on the walls, without the ball, no more than asked for."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.errors import Cancelled, UserError
from toolkit.export.clouds import cloud_from_depth, static_cloud
from toolkit.scene import Cameras, DepthVideo, Scene, Video


@pytest.fixture(scope="module")
def larger(rooms):
    return rooms.room_scene(frames=12, size=(160, 120), tracks=200)


def off_wall(rooms, xyz):
    return np.min([np.abs(xyz[:, axis] - value) for axis, value in rooms.WALLS], axis=0)


def test_every_point_lies_on_a_wall_even_when_no_track_tells_what_moves(rooms, larger):
    cloud = static_cloud(replace(larger, tracks_2d=None, tracks_3d=None))
    assert len(cloud) > 10_000
    distance = off_wall(rooms, cloud.xyz)
    assert (distance < 0.02).mean() > 0.995 and np.quantile(distance, 0.99) < 0.01


def test_noisy_depth_is_averaged_and_the_ball_stays_out(rooms, larger):
    rng = np.random.default_rng(0)
    noisy = larger.depth.depth * (1 + 0.01 * rng.normal(size=larger.depth.depth.shape)).astype(np.float32)
    cloud = static_cloud(replace(larger, depth=replace(larger.depth, depth=noisy)))
    distance = off_wall(rooms, cloud.xyz)
    assert np.median(distance) < 0.03 and (distance > 0.3).mean() < 0.005


def test_the_cloud_is_thinned_to_the_asked_size_and_still_covers_the_room(larger):
    cloud = static_cloud(larger, max_points=2000)
    assert 1000 < len(cloud) <= 2000
    full = static_cloud(larger)
    for axis in range(3):
        assert np.ptp(cloud.xyz[:, axis]) > 0.9 * np.ptp(full.xyz[:, axis])


def test_colours_are_those_of_the_walls(larger):
    rgb = static_cloud(larger).rgb.astype(float).mean(0)
    assert rgb[2] > rgb[0]  # walls are blue-grey, the ball is orange


def test_unconfident_pixels_give_no_point(larger):
    depth = replace(larger.depth, confidence=np.zeros_like(larger.depth.confidence))
    assert len(static_cloud(replace(larger, depth=depth))) == 0


def test_depth_that_a_frame_or_two_see_in_an_empty_sky_gives_no_point():
    depth = np.full((12, 40, 60), 3, np.float32)
    depth[:, :15] = np.nan
    depth[3:5, 2:12, 10:50] = 2
    video = Video(np.full((12, 40, 60, 3), 128, np.uint8), np.arange(12) / 30)
    cameras = Cameras.from_poses(np.array([[50, 0, 30], [0, 50, 20], [0, 0, 1.0]]), np.tile(np.eye(4), (12, 1, 1)), (60, 40))
    cloud = cloud_from_depth(video, DepthVideo(depth, np.isfinite(depth).astype(np.float32)), cameras)
    assert len(cloud) > 1000 and cloud.xyz[:, 2].min() > 2.9


def test_frames_without_a_pose_are_left_out(rooms, larger):
    T_wc = larger.cameras.T_wc.copy()
    T_wc[3:9] = np.nan
    cloud = static_cloud(replace(larger, cameras=Cameras(larger.cameras.K, T_wc, larger.cameras.size)))
    assert len(cloud) > 5000 and (off_wall(rooms, cloud.xyz) < 0.02).mean() > 0.99


def test_a_single_frame_gives_its_own_cloud(rooms):
    assert len(static_cloud(rooms.room_scene(frames=1))) > 1000


def test_it_names_the_missing_parts_and_can_be_cancelled(larger):
    with pytest.raises(UserError, match="holds no video, depth"):
        static_cloud(Scene(cameras=larger.cameras, method="x"))

    def cancel(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        static_cloud(larger, report=cancel)
