from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.geometry.poses import rotation_angle_deg
from toolkit.geometry.rig import StereoRig
from toolkit.media.container import lens_meshes, read_container
from toolkit.media.video import iter_video
from toolkit.scene import DepthVideo, StereoVideo, Tracks2D, Video
from toolkit.sfm.odometry import stereo_odometry
from toolkit.stereo.disparity import depth_from_disparity, estimate_disparity
from toolkit.stereo.rectify import rectify
from toolkit.tracking.classical import DRAFT, track_classical

pytestmark = [pytest.mark.data, pytest.mark.filterwarnings("ignore::UserWarning")]


def _depth(stereo: StereoVideo, farthest_m: float) -> DepthVideo:
    disparity = estimate_disparity(stereo, matcher="draft")
    return depth_from_disparity(disparity, focal_px=stereo.K[0, 0], baseline_m=stereo.baseline_m, max_depth_m=farthest_m)


@pytest.fixture(scope="module")
def drive(data: Path) -> tuple[StereoVideo, DepthVideo, Tracks2D]:
    folder = data / "kitti_raw_0001_stereo"
    eyes = []
    for eye in ("image_00", "image_01"):
        files = sorted((folder / eye).glob("*.jpg"))
        eyes.append(Video.from_frames(np.stack([cv2.cvtColor(cv2.imread(str(f)), cv2.COLOR_BGR2RGB) for f in files]), 10))  # type: ignore
    K = np.array([[721.5377, 0, 610.0593], [0, 721.5377, 173.354], [0, 0, 1]])
    stereo = StereoVideo(eyes[0], eyes[1], K, 387.5744 / 721.5377)
    return stereo, _depth(stereo, 80.0), track_classical(stereo.left, grid=(48, 48), settings=DRAFT)


def test_a_car_drives_at_a_steady_speed(drive):
    stereo, depth, tracks = drive
    found = stereo_odometry(tracks, depth, stereo.K, baseline_m=stereo.baseline_m, video=stereo.left)
    speed_kmh = 36 * np.linalg.norm(np.diff(found.cameras.centres, axis=0), axis=1)
    assert found.cameras.registered.all()
    assert np.all((speed_kmh > 35) & (speed_kmh < 60))
    assert found.cameras.centres[-1][2] > 0.99 * np.linalg.norm(found.cameras.centres[-1])


def test_driving_backwards_gives_the_same_motion(drive):
    stereo, depth, tracks = drive
    there = stereo_odometry(tracks, depth, stereo.K, baseline_m=stereo.baseline_m).cameras.T_wc[-1]
    queries = tracks.queries * [-1, 1, 1] + [len(depth) - 1, 0, 0]
    sigma = None if tracks.sigma_px is None else tracks.sigma_px[:, ::-1]
    mirrored = Tracks2D(tracks.xy[:, ::-1], tracks.visible[:, ::-1], tracks.confidence[:, ::-1], queries, sigma)
    reverse = DepthVideo(depth.depth[::-1], depth.confidence[::-1])
    back = stereo_odometry(mirrored, reverse, stereo.K, baseline_m=stereo.baseline_m).cameras.T_wc[-1]
    round_trip = there @ back
    assert rotation_angle_deg(round_trip[:3, :3]) < 0.1
    assert np.linalg.norm(round_trip[:3, 3]) < 0.01 * np.linalg.norm(there[:3, 3])


def test_a_hand_held_pan_turns_as_the_motion_sensor_says(data: Path):
    path = data / "google_vr180" / "video-sample-inject.mp4"
    box = read_container(path)
    left, right = lens_meshes(box.spherical.meshes, (1072, 752))
    rig = StereoRig(left, right, np.eye(3), np.eye(3), 0.063, "top-bottom")
    # Every third frame keeps the test short; the first and the last of 149 stay.
    frames = [frame for k, frame in enumerate(iter_video(path)) if k % 3 == 0 or k == 148]
    stereo = rectify(frames, rig, fov_deg=60, size=512)
    tracks = track_classical(stereo.left, grid=(48, 48), settings=DRAFT)
    assert box.orientations is not None
    R_wc = box.orientations.at(stereo.left.times_s)
    found = stereo_odometry(tracks, _depth(stereo, 20.0), stereo.K, baseline_m=0.063, video=stereo.left, rotation_prior=R_wc)
    turned = found.report["device_rotation"]
    assert found.cameras.registered.all()
    assert turned["total_deg"] > 18
    assert turned["max"] <= 0.7
