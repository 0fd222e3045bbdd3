import cv2
import numpy as np

from toolkit.geometry.cameras import project
from toolkit.multiview.calibration_check import CheckOptions, Sighted, check_rig
from toolkit.multiview.synchrony import SynchronyOptions, disagreement, lags, moving_masks

SIZE, FRAMES = (320, 240), 48
K = np.array([[280.0, 0, 160], [0, 280, 120], [0, 0, 1]])


def poses(count: int) -> list[np.ndarray]:
    out = []
    for turn in np.linspace(-0.7, 0.7, count):
        T_wc = np.eye(4)
        T_wc[:3, :3] = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
        T_wc[:3, 3] = -5 * T_wc[:3, 2] + [0, 0.4 * turn**2 - 0.3 * turn, 0]
        out.append(T_wc)
    return out


def filmed(T_wc: list[np.ndarray], late: list[int]) -> list[np.ndarray]:
    """A bright ball that goes up and down and around before a wall, one clip a view, some of them begun early."""
    rng = np.random.default_rng(1)
    clips = []
    for pose, lag in zip(T_wc, late, strict=True):
        wall = cv2.resize(rng.uniform(40, 120, (24, 32)).astype(np.float32), SIZE)
        frames = []
        for t in np.arange(FRAMES) - lag:
            place = np.array([0.7 * np.cos(t / 9), 0.5 * np.sin(t / 4.3) + 0.2 * np.sin(t / 11), 0.5 * np.sin(t / 7)])
            x, y = project(place, K, pose)[0]
            frame = wall + rng.normal(0, 2, wall.shape).astype(np.float32)
            cv2.circle(frame, (round(16 * x) - 8, round(16 * y) - 8), 16 * 14, 230.0, -1, cv2.LINE_AA, 4)
            frames.append(np.clip(frame, 0, 255).astype(np.uint8))
        clips.append(np.stack(frames))
    return clips


def found(count: int, late: list[int]) -> dict[int, int]:
    T_wc = poses(count)
    masks = [moving_masks(clip) for clip in filmed(T_wc, late)]
    return lags(disagreement(masks, [K] * count, T_wc, SynchronyOptions(most_lag=12)), count)


def test_clips_of_one_moment_are_not_called_late():
    assert found(4, [0, 0, 0, 0]) == {0: 0, 1: 0, 2: 0, 3: 0}


def test_a_clip_that_is_late_is_told_by_how_many_frames():
    assert found(4, [0, 5, 0, 0]) == {0: 0, 1: 5, 2: 0, 3: 0}
    assert found(4, [4, 0, 0, 0]) == {0: 0, 1: -4, 2: -4, 3: -4}


def test_inverted_poses_are_told_by_what_moves_where_the_views_show_nothing_alike():
    T_wc = poses(4)
    world = np.linalg.inv(T_wc[0])  # that of the first camera, as is usual
    for turned in (False, True):
        given = [np.linalg.inv(world @ T) if turned else world @ T for T in T_wc]
        views = [
            Sighted(f"cam{v}", clip, K, T.astype(np.float64)) for v, (clip, T) in enumerate(zip(filmed(T_wc, [0] * 4), given, strict=True))
        ]
        told = " ".join(check_rig(views, CheckOptions(least_motion=10**6)).warnings)
        assert ("wrong way round" in told and "outlines of what moves disagree by" in told) == turned


def test_where_nothing_moves_nothing_is_told():
    clips = [np.full((20, 60, 80), 90, np.uint8) for _ in range(3)]
    assert lags(disagreement([moving_masks(clip) for clip in clips], [K] * 3, poses(3)), 3) == {}
