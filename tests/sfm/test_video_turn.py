"""A camera that stays in its place before far hills, while most of what is near moves: its turns are told where the hills suffice."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.video_points import NO_FEATURES, VideoPoints
from toolkit.sfm.video_turn import TurnOptions, turned_camera

SIZE, FOCAL, FRAMES, STEP_DEG = (640, 480), 700.0, 16, 0.4


def _points(far_share, count=500):
    """Points of a pan: those of the upper part are far, all others go ways of their own."""
    rng = np.random.default_rng(0)
    start = rng.uniform([100, 20], [540, 460], (count, 2))
    far = start[:, 1] < 20 + 440 * far_share
    rays = np.column_stack([(start - [320, 240]) / FOCAL, np.ones(count)])
    speed, sway = rng.normal(0, 2.5, (count, 2)), rng.normal(0, 6, (count, 2))
    ids, xy = [], []
    for t in range(FRAMES):
        seen = rays @ Rotation.from_euler("y", -STEP_DEG * t, degrees=True).as_matrix().T
        turned = FOCAL * seen[:, :2] / seen[:, 2:] + [320, 240]
        own = turned + speed * t + sway * np.sin(t + np.arange(count))[:, None]
        at = np.where(far[:, None], turned, own) + rng.normal(0, 0.2, (count, 2))
        inside = np.all((at > 0) & (at < SIZE), axis=1)
        ids.append(np.flatnonzero(inside).astype(np.int32))
        xy.append(at[inside].astype(np.float32))
    return VideoPoints(SIZE, ids, xy, list(range(0, FRAMES, 3)), [], {t: NO_FEATURES for t in range(0, FRAMES, 3)}, np.full(FRAMES, 0.01))


def _turned(far_share):
    camera = load_pycolmap().Camera(model="PINHOLE", width=SIZE[0], height=SIZE[1], params=[FOCAL, FOCAL, 320, 240], camera_id=1)
    return turned_camera(_points(far_share), list(range(0, FRAMES, 3)), camera, TurnOptions(), fixed_lens=True)


@pytest.mark.parametrize("far_share", [0.42, 0.7])
def test_hills_behind_what_moves_tell_the_turns(far_share):
    found = _turned(far_share)
    assert found is not None and abs(found.share - far_share) < 0.1
    expected = Rotation.from_rotvec(-STEP_DEG * np.arange(FRAMES)[:, None] * [0, 1, 0], degrees=True)
    off = (Rotation.from_matrix(found.poses.T_cw[:, :3, :3]) * expected.inv()).magnitude()
    assert np.degrees(off).max() < 0.1


def test_a_strip_of_hills_tells_nothing():
    assert _turned(0.2) is None
