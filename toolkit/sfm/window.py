"""Following the camera frame by frame: each pose from the landmarks known so far, the last keyframes adjusted together as it goes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.progress import Report, silent
from toolkit.scene import F64, I64
from toolkit.sfm.landmarks import fit_landmarks, landmark_in_camera
from toolkit.sfm.observations import Observations
from toolkit.sfm.pnp import pose_from_landmarks
from toolkit.sfm.stereo_bundle import adjust
from toolkit.sfm.stereo_model import CAUCHY, GEMAN_MCCLURE


@dataclass(frozen=True)
class WindowOptions:
    """How the camera is followed.

    Attributes:
        free: Keyframes adjusted together; ten span the parallax that a track gathers before it leaves the image.
        held: Keyframes before these that still hold the landmarks, their poses fixed.
        scale: Robust scale in standard deviations; 2.5 keeps 95 % efficiency on clean data.
        least: Landmarks that must agree before a pose is believed: twice the six unknowns.
        share: Least share of the visible landmarks that must agree.
        patience: Frames without a pose after which the path is given up.
        moving_below: A landmark whose measurements keep less than this mean robust weight is left out from then on.
    """

    free: int = 10
    held: int = 12
    scale: float = 2.5
    least: int = 12
    share: float = 0.2
    patience: int = 15
    moving_below: float = 0.3


@dataclass
class Path:
    """A camera path in the making.

    Attributes:
        R: (T, 3, 3) camera-from-world rotation.
        t: (T, 3) camera-from-world translation.
        registered: (T,) which frames have a pose.
        X: (L, 4) homogeneous landmarks.
        known: (L,) which landmarks have a place.
        still: (L,) how likely each stands still, 0..1.
        agreeing: (T,) landmarks that agree with each pose.
    """

    R: F64
    t: F64
    registered: NDArray[np.bool_]
    X: F64
    known: NDArray[np.bool_]
    still: F64
    agreeing: I64

    @staticmethod
    def empty(frames: int, landmarks: int) -> Path:
        """Nothing known yet."""
        X = np.zeros((landmarks, 4))
        X[:, 2] = 1
        return Path(
            np.tile(np.eye(3), (frames, 1, 1)),
            np.zeros((frames, 3)),
            np.zeros(frames, bool),
            X,
            np.zeros(landmarks, bool),
            np.full(landmarks, 0.5),
            np.zeros(frames, np.int64),
        )


def follow(
    observations: Observations,
    frames: int,
    camera: F64,
    *,
    first: int = 0,
    stride: int = 1,
    options: WindowOptions | None = None,
    report: Report = silent,
) -> Path:
    """The camera path from frame `first` on, that frame's camera being the world.

    Args:
        observations: Measurements of all landmarks.
        frames: Number of frames, T.
        camera: (5,) fx, fy, cx, cy, focal length times baseline.
        first: Where to start.
        stride: Every how many frames a keyframe is taken.
        options: How.
        report: Called after each frame.
    """
    o = options or WindowOptions()
    path = Path.empty(frames, len(observations.track))
    landmark = observations.landmark
    order = np.argsort(observations.frame, kind="stable")
    by_frame = np.split(order, np.searchsorted(observations.frame[order], np.arange(1, frames)))
    keyframes = [first]
    path.registered[first] = True
    _add_landmarks(path, observations, landmark, by_frame[first], first, camera)
    path.agreeing[first] = len(by_frame[first])
    for f in range(first + 1, frames):
        seen = by_frame[f]
        if not _register(path, observations, landmark, seen, f, keyframes, camera, o):
            if f - np.flatnonzero(path.registered)[-1] >= o.patience:
                break
            continue
        _add_landmarks(path, observations, landmark, seen, f, camera)
        if f - keyframes[-1] >= stride or f == frames - 1:
            keyframes.append(f)
            _adjust_window(path, observations, landmark, by_frame, keyframes, camera, o)
        report(f + 1, frames)
    return path


def _register(
    path: Path, observations: Observations, landmark: I64, seen: I64, f: int, keyframes: list[int], camera: F64, o: WindowOptions
) -> bool:
    """Finds the pose of frame `f` and writes it into the path; False where too few landmarks agree."""
    seen = seen[path.known[landmark[seen]] & (path.still[landmark[seen]] > 0)]
    if len(seen) < o.least:
        return False
    X, uvd, information, prior = (
        path.X[landmark[seen]],
        observations.uvd[seen],
        observations.information[seen].copy(),
        path.still[landmark[seen]],
    )
    before = np.flatnonzero(path.registered[:f])
    last = before[-1]
    starts = [(path.R[last], path.t[last])]
    if len(before) > 1:
        # The same motion again: T_f = (T_last T_previous^-1)^n T_last, for one frame.
        previous = before[-2]
        turn = path.R[last] @ path.R[previous].T
        starts.insert(0, (turn @ path.R[last], turn @ (path.t[last] - path.t[previous]) + path.t[last]))
    # What is not yet known of 1/depth shows as soon as the camera leaves the place where the landmark was last fitted.
    base = keyframes[-1]
    centre = -path.R[base].T @ path.t[base]
    moved = np.linalg.norm(-starts[0][0].T @ starts[0][1] - centre)
    unknown_parallax = 0.5 * moved * camera[0] / camera[4] / np.maximum(information[:, 1], 1e-3)
    information[:, 0] = 1 / np.hypot(1 / information[:, 0], np.minimum(unknown_parallax, 20))
    scales = np.array([16.0, 6.0, o.scale])
    found = [pose_from_landmarks(R, t, X, uvd, information, prior, camera, scales, GEMAN_MCCLURE, 5) for R, t in starts]
    best = min(found, key=lambda pose: pose[4])
    limit = (2 * o.scale) ** 2
    if (best[3] < limit).mean() < 0.5 and len(seen) >= 2 * o.least:
        sampled = _sampled_pose(X, uvd, camera)
        if sampled is not None:
            best = min(
                best,
                pose_from_landmarks(*sampled, X, uvd, information, prior, camera, scales[1:], GEMAN_MCCLURE, 5),
                key=lambda pose: pose[4],
            )
    agreeing = int((best[3] < limit).sum())
    if agreeing < max(o.least, o.share * len(seen)):
        return False
    path.R[f], path.t[f], path.registered[f], path.agreeing[f] = best[0], best[1], True, agreeing
    return True


def _sampled_pose(X: F64, uvd: F64, camera: F64) -> tuple[F64, F64] | None:
    """A start from random samples of landmarks at a finite distance, for frames that no prediction reaches."""
    near = np.abs(X[:, 3]) > 1e-3 * np.linalg.norm(X[:, :3], axis=1)
    if near.sum() < 6:
        return None
    fx, fy, cx, cy, _ = camera
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    ok, turn, shift, inliers = cv2.solvePnPRansac(
        X[near, :3] / X[near, 3:], uvd[near, :2], K, None, iterationsCount=200, reprojectionError=4.0, flags=cv2.SOLVEPNP_AP3P
    )
    return (np.asarray(cv2.Rodrigues(turn)[0], np.float64), np.asarray(shift, np.float64)[:, 0]) if ok and inliers is not None else None


def _add_landmarks(path: Path, observations: Observations, landmark: I64, seen: I64, f: int, camera: F64) -> None:
    """Gives a place to the landmarks first seen in frame `f`."""
    new = seen[~path.known[landmark[seen]]]
    if len(new) == 0:
        return
    path.X[landmark[new]] = landmark_in_camera(observations.uvd[new, :2], observations.uvd[new, 2], camera, path.R[f], path.t[f])
    path.known[landmark[new]] = True


def _adjust_window(
    path: Path, observations: Observations, landmark: I64, by_frame: list[I64], keyframes: list[int], camera: F64, o: WindowOptions
) -> None:
    """Adjusts the last keyframes and all they see; what then still disagrees is taken for moving."""
    window = np.array(keyframes[-(o.free + o.held) :])
    measured = np.sort(np.concatenate([by_frame[f] for f in window]))
    measured = measured[path.still[landmark[measured]] > 0]
    # Only landmarks that a free keyframe sees, and that are seen twice, say anything.
    recent = np.zeros(len(path.X), bool)
    recent[landmark[measured[observations.frame[measured] >= window[-min(o.free, len(window))]]]] = True
    recent &= np.bincount(landmark[measured], minlength=len(path.X)) >= 2
    measured = measured[recent[landmark[measured]]]
    if len(measured) == 0:
        return
    used, index = np.unique(landmark[measured], return_inverse=True)
    start = np.concatenate([[0], np.cumsum(np.bincount(index))]).astype(np.int64)
    frame = np.searchsorted(window, observations.frame[measured])
    uvd, information = observations.uvd[measured], observations.information[measured]
    fixed = np.arange(max(len(window) - o.free, 1))
    result = adjust(
        path.R[window],
        path.t[window],
        path.X[used],
        start,
        frame,
        uvd,
        information,
        camera,
        fixed=fixed,
        scale=o.scale,
        shape=CAUCHY,
        iterations=4,
    )
    path.R[window], path.t[window], path.X[used] = result.R, result.t, result.X
    r2 = fit_landmarks(start, frame, uvd, information, result.R, result.t, result.X, camera, o.scale, CAUCHY, 0)
    weight = 1 / (1 + r2 / o.scale**2)
    mean = np.add.reduceat(weight.min(1), start[:-1]) / np.diff(start)
    count = np.diff(start)
    path.still[used] = np.where((mean < o.moving_below) & (count >= 3), 0, np.where(count >= 3, mean, 0.5))
