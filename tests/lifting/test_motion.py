"""Displacement in the image with the camera's motion removed."""

import numpy as np
import pytest
from points_in_motion import camera_path, record
from published_files import cameras_of, tracks_3d

from toolkit.errors import UserError
from toolkit.lifting import motion_label, published_motion_weight, scene_motion
from toolkit.scene import Cameras


def test_displacement_is_the_published_one(golden):
    file = np.load(golden / "stereo4d" / "lift.npz")
    displacement = scene_motion(tracks_3d(file["track3d"], file["visible"]), cameras_of(file))
    np.testing.assert_allclose(displacement, file["displacement"], atol=1e-3)


def test_weight_of_the_dynamic_term_is_the_published_one(golden):
    file = np.load(golden / "stereo4d" / "optimize.npz")
    weight = published_motion_weight(file["motion"], file["mask_eroded"])
    np.testing.assert_allclose(weight[file["terms_sel"]], file["terms_w"], atol=1e-6)


def test_a_still_point_has_no_displacement_however_the_camera_moves():
    cameras = camera_path(20)
    still = np.tile([0.1, -0.2, 3.0], (1, 20, 1))
    assert scene_motion(tracks_3d(still, np.ones((1, 20), bool)), cameras).max() < 1e-3


def test_displacement_equals_the_plain_definition():
    truth = record(count=10, frames=24, moving=1.0)
    cameras, tracks = truth.cameras, truth.tracks
    displacement = scene_motion(tracks, cameras, window=5)
    M = cameras.K @ cameras.T_cw[:, :3]
    for n in range(10):
        for t in range(24):
            best = 0.0
            for s in range(max(0, t - 5), t):
                a, b = (M[t] @ np.append(tracks.xyz[n, i], 1) for i in (s, t))
                inside = all(v[2] > 0.01 and 0.5 <= v[0] / v[2] < 511.5 and 0.5 <= v[1] / v[2] < 511.5 for v in (a, b))
                if tracks.visible[n, s] and tracks.visible[n, t] and inside:
                    best = max(best, float(np.hypot(*(a[:2] / a[2] - b[:2] / b[2]))))
            assert displacement[n, t] == pytest.approx(best, abs=1e-3)


def test_a_frame_without_pose_counts_for_nothing():
    truth = record(count=20, frames=30)
    T_wc = truth.cameras.T_wc.copy()
    T_wc[10] = np.nan
    lost = Cameras(truth.cameras.K, T_wc, truth.cameras.size)
    displacement = scene_motion(truth.tracks, lost)
    assert np.isfinite(displacement).all()
    assert (displacement[:, 10] == 0).all()
    assert np.isfinite(motion_label(truth.tracks, lost)).all()


def test_moving_and_still_points_are_told_apart_within_their_errors():
    truth = record()
    label = motion_label(truth.tracks, truth.cameras)
    assert (label[truth.moving] > 0.5).mean() > 0.97
    assert (label[~truth.moving] < 0.5).mean() > 0.99


def test_a_single_wrong_depth_makes_no_motion():
    truth = record(count=60, moving=0.0, wrong=0.0)
    xyz = truth.tracks.xyz.copy()
    xyz[:, 30] *= 1.5
    label = motion_label(tracks_3d(xyz, truth.tracks.visible), truth.cameras)
    assert (label < 0.5).all()


@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_clips_work(frames):
    truth = record(count=5, frames=frames)
    assert scene_motion(truth.tracks, truth.cameras).shape == (5, frames)
    assert motion_label(truth.tracks, truth.cameras).shape == (5,)


def test_no_tracks_give_no_motion():
    truth = record(count=5, frames=4)
    none = truth.tracks.select(np.zeros(5, bool))
    assert scene_motion(none, truth.cameras).shape == (0, 4)
    assert motion_label(none, truth.cameras).shape == (0,)
    assert published_motion_weight(np.zeros((0, 4)), np.zeros((0, 4), bool)).shape == (0,)


def test_another_number_of_cameras_is_told():
    truth = record(count=2, frames=4)
    with pytest.raises(UserError, match="The tracks have 4 frames, but 3 cameras were given"):
        scene_motion(truth.tracks, camera_path(3))
    with pytest.raises(UserError, match="window is 0"):
        scene_motion(truth.tracks, truth.cameras, window=0)
