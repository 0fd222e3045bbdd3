"""The nouns check their shapes and say what they are."""

# pyright: reportArgumentType=false
# The nouns take whatever numpy can turn into their arrays, and that is tested here.

import numpy as np
import pytest

import toolkit as tk


def tracks_3d(count=4, frames=3):
    xyz = np.arange(count * frames * 3, dtype=np.float32).reshape(count, frames, 3)
    return tk.Tracks3D(xyz, np.ones((count, frames)), np.zeros((count, 3)), np.zeros(count), np.ones((count, frames)))


def test_a_wrong_shape_is_told_with_the_field_and_both_shapes():
    with pytest.raises(tk.UserError, match=r"Tracks2D.visible has shape \(3, 5\), but \(N, T\) is needed with N = 3, T = 4"):
        tk.Tracks2D(np.zeros((3, 4, 2)), np.zeros((3, 5)), np.zeros((3, 4)), np.zeros((3, 3)))


def test_objects_are_no_numbers():
    with pytest.raises(tk.UserError, match="numbers of type float32"):
        tk.PointCloud(np.array([["a", "b", "c"]]), np.zeros((1, 3)))


def test_time_must_rise():
    with pytest.raises(tk.UserError, match="must rise"):
        tk.Video(np.zeros((2, 4, 4, 3), np.uint8), [0.1, 0.1])


def test_an_empty_video_and_eyes_that_differ_are_refused():
    with pytest.raises(tk.UserError, match="empty"):
        tk.Video(np.zeros((0, 4, 4, 3), np.uint8), [])
    left, right = (tk.Video.from_frames(np.zeros((n, 4, 4, 3), np.uint8)) for n in (2, 3))
    with pytest.raises(tk.UserError, match="both must be alike"):
        tk.StereoVideo(left, right, np.eye(3), 0.063)
    with pytest.raises(tk.UserError, match="baseline is 0 m"):
        tk.StereoVideo(left, left, np.eye(3), 0)


def test_the_parts_of_a_scene_must_have_the_same_frames():
    video = tk.Video.from_frames(np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(tk.UserError, match="different numbers of frames"):
        tk.Scene(video=video, tracks_3d=tracks_3d(), method="x")


def test_frames_without_a_pose_are_not_registered_and_stay_unknown():
    T = np.tile(np.eye(4), (3, 1, 1))
    T[1] = np.nan
    cameras = tk.Cameras.from_poses(np.eye(3), T[:, :3], (8, 6))
    assert cameras.registered.tolist() == [True, False, True]
    assert np.isnan(cameras.T_wc[1]).all()
    np.testing.assert_allclose(cameras.T_cw[2], np.eye(4))
    assert str(cameras) == "3 poses, 2 registered, path 0.00"


def test_the_camera_inverse_undoes_the_camera():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = q * np.sign(np.linalg.det(q)), rng.normal(size=3)
    cameras = tk.Cameras.from_poses(np.eye(3), T[None], (8, 6))
    np.testing.assert_allclose(cameras.T_cw[0] @ T, np.eye(4), atol=1e-12)


def test_tracks_are_selected_and_replaced_in_order():
    tracks = tracks_3d()
    assert len(tracks.select([2, 0])) == 2
    np.testing.assert_array_equal(tracks.select(np.array([False, True, False, False])).xyz[0], tracks.xyz[1])
    swapped = tracks.replaced([1, 3], tracks.select([3, 1]))
    np.testing.assert_array_equal(swapped.xyz[[0, 1, 2, 3]], tracks.xyz[[0, 3, 2, 1]])
    np.testing.assert_array_equal(tracks.xyz, tracks_3d().xyz)


def test_nouns_say_what_they_are():
    assert str(tk.Video.from_frames(np.zeros((2, 4, 6, 3), np.uint8), 25)) == "2 frames, 6 x 4, 25.0 fps"
    assert str(tracks_3d()) == "4 tracks x 3 frames, 0 % moving"
    assert str(tk.Source("a.mp4", "vr180", 149, (1072, 1504), 29.97, "top-bottom", "mesh")) == (
        "VR180, top-bottom, 149 frames, 1072 x 1504, 30.0 fps, lens mesh found"
    )


def test_one_frame_is_one_frame():
    assert str(tk.Video.from_frames(np.zeros((1, 4, 6, 3), np.uint8), 25)).startswith("1 frame, 6 x 4")


def test_a_metric_scene_tells_the_length_of_its_path_in_metres():
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, 0, 3] = 0.53
    cameras = tk.Cameras.from_poses(np.diag([30.0, 30, 1]), poses, (32, 24))
    assert str(tk.Scene(cameras=cameras, unit="metre", method="test")).endswith("path 0.53 m")
    assert str(tk.Scene(cameras=cameras, unit="relative", method="test")).endswith("path 0.53")


def test_pictures_of_numbers_up_to_one_are_refused_rather_than_black():
    frames = np.random.default_rng(0).random((2, 4, 4, 3))
    with pytest.raises(tk.UserError, match="from 0 to 1, but whole numbers from 0 to 255 are needed; multiply by 255"):
        tk.Video.from_frames(frames)
    assert tk.Video.from_frames(frames * 255).frames.max() > 200
