"""Poses of the frames between those of the model, from the followed points that are points of the model; every frame is checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.pnp import pose_from_landmarks
from toolkit.sfm.stereo_model import GEMAN_MCCLURE
from toolkit.sfm.video_pairs import ModelFrames
from toolkit.sfm.video_points import VideoPoints
from toolkit.wording import counted

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class FrameOptions:
    """When a frame counts as placed.

    Attributes:
        fewest: Points of the model that must agree with its pose.
        share: Least share of those it sees that must agree.
        near_px: Largest error of a point that agrees, in pixels of a picture of 1000.
        scales_px: Robust scales, large to small, in the same pixels: the first reaches what a bad start leaves.
        unsure_deg: Standard deviation of its direction beyond which a frame is not placed.
        bare: Points from which on a frame has something to hold on to.
    """

    fewest: int = 12
    share: float = 0.3
    near_px: float = 3.0
    scales_px: tuple[float, ...] = (12.0, 4.0, 1.5)
    unsure_deg: float = 2.0
    bare: int = 30


@dataclass(frozen=True, eq=False)
class FramePoses:
    """A pose for every frame that has one, and how each came about.

    Attributes:
        T_cw: (T, 4, 4) camera-from-world, NaN where a frame is not registered.
        points: (T,) points of the model that it agrees with.
        error_px: (T,) their mean reprojection error, NaN without any.
        rotation_deg: (T,) standard deviation of its direction, NaN where not known.
        position: (T,) standard deviation of its place, in the unit of the model.
        reasons: For each frame why it is not registered; "" where it is.
    """

    T_cw: F64
    points: NDArray[np.int64]
    error_px: F64
    rotation_deg: F64
    position: F64
    reasons: list[str]


@dataclass(frozen=True, eq=False)
class PointOf:
    """Which followed points are points of the model.

    Attributes:
        ids: (n,) rising numbers of followed points.
        number: (n,) number of the model's point that each is.
    """

    ids: NDArray[np.int64]
    number: NDArray[np.int64]

    def rows(self, ids: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of `ids` that are points of the model, and these points."""
        at = np.searchsorted(self.ids, ids)
        at[at == len(self.ids)] = 0
        hit = np.flatnonzero(self.ids[at] == ids) if len(self.ids) else np.empty(0, np.int64)
        return hit, self.number[at[hit]]


def point_of(model: pycolmap.Reconstruction, frames: ModelFrames, points: VideoPoints) -> PointOf:
    """For every followed point the model's point that most of its observations belong to."""
    pairs = []
    for k, t in enumerate(frames.frames):
        if not (model.exists_image(k + 1) and model.image(k + 1).has_pose):
            continue
        rows = frames.rows[k]
        numbers = [p.point3D_id if p.has_point3D() else -1 for p in list(model.image(k + 1).points2D)[: len(rows)]]
        table = np.column_stack([points.ids[t][rows].astype(np.int64), np.array(numbers, np.int64)])
        pairs.append(table[table[:, 1] >= 0])
    table = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    if len(table) == 0:
        return PointOf(np.empty(0, np.int64), np.empty(0, np.int64))
    both, votes = np.unique(table, axis=0, return_counts=True)
    order = np.lexsort((both[:, 1], -votes, both[:, 0]))
    both = both[order]
    first = np.r_[True, np.diff(both[:, 0]) > 0]
    return PointOf(both[first, 0], both[first, 1])


def place_frames(
    model: pycolmap.Reconstruction,
    frames: ModelFrames,
    points: VideoPoints,
    camera: pycolmap.Camera,
    model_T_cw: F64,
    options: FrameOptions,
    seed: int,
    tick=lambda t: None,
) -> FramePoses:
    """The pose of every frame.

    Args:
        model: Of some of the frames.
        frames: Which these are.
        points: Of the whole video.
        camera: The lens, as the model has refined it.
        model_T_cw: (K, 4, 4) poses of the model's frames, NaN where one has none.
        options: When a frame counts as placed.
        seed: Of the random samples.
        tick: Called per frame with its place.
    """
    count = len(points)
    which = point_of(model, frames, points)
    numbers = np.array(sorted(model.points3D), np.int64)
    xyz = np.array([model.point3D(int(n)).xyz for n in numbers]).reshape(-1, 3)
    scale = max(camera.width, camera.height, 1000) / 1000
    start = _between(np.array(frames.frames), model_T_cw, count)
    own = {t: k for k, t in enumerate(frames.frames)}
    T_cw = np.full((count, 4, 4), np.nan)
    agreed, error = np.zeros(count, np.int64), np.full(count, np.nan)
    turn, place = np.full(count, np.nan), np.full(count, np.nan)
    reasons = [""] * count
    lens = np.array([1.0, 1.0, 0.0, 0.0, 0.0])
    focal = camera.mean_focal_length()
    for t in range(count):
        tick(t)
        rows, to = which.rows(points.ids[t].astype(np.int64))
        X = xyz[np.searchsorted(numbers, to)]
        if len(points.ids[t]) < options.bare:
            reasons[t] = f"it has only {counted(len(points.ids[t]), 'point')} to hold on to: too dark, blurred or bare"
        elif len(rows) < options.fewest:
            reasons[t] = f"it sees only {counted(len(rows), 'point')} of the model; {options.fewest} are needed"
        if reasons[t]:
            continue
        rays = np.asarray(camera.cam_from_img(points.xy[t][rows].astype(np.float64)))[:, :2]
        known = model_T_cw[own[t]] if t in own and np.isfinite(model_T_cw[own[t], 0, 0]) else None
        begin = known if known is not None else start[t] if np.isfinite(start[t, 0, 0]) else T_cw[t - 1]
        measured = np.column_stack([rays, np.zeros(len(rays))])
        weight = np.tile([focal / scale, 0.0], (len(rays), 1))
        homogeneous = np.column_stack([X, np.ones(len(X))])
        found = None
        if np.isfinite(begin[0, 0]):
            scales = np.array(options.scales_px) if known is None else np.array(options.scales_px[-1:])
            # A frame of the model keeps the pose that all of it agreed on; the rest is measured in the same way.
            found = _refined(begin, homogeneous, measured, weight, lens, scales, 0 if known is not None else 6)
        near = options.near_px
        if found is None or np.mean(found[2] < near**2) < 0.5:
            sampled = _sampled(points.xy[t][rows], X, camera, options, seed)
            if sampled is not None and known is None:
                other = _refined(sampled, homogeneous, measured, weight, lens, np.array(options.scales_px[1:]), 6)
                found = other if found is None or np.sum(other[2] < near**2) > np.sum(found[2] < near**2) else found
        if found is None:
            reasons[t] = f"no pose explains enough of the {len(rows)} points of the model that it sees"
            continue
        pose, information, r2 = found
        good = r2 < near**2
        agreed[t] = good.sum()
        if good.sum() < max(options.fewest, options.share * len(rows)):
            reasons[t] = f"{len(rows)} of its points are points of the model, but only {good.sum()} agree on one pose"
            continue
        error[t] = float(np.sqrt(r2[good]).mean() * scale)
        sigma = max(float(np.sqrt(np.median(r2[good]))) / 1.1774, 0.05)
        covariance = np.linalg.pinv(information) * sigma**2
        turn[t], place[t] = np.rad2deg(np.sqrt(np.trace(covariance[:3, :3]))), np.sqrt(np.trace(covariance[3:, 3:]))
        if turn[t] > options.unsure_deg:
            reasons[t] = f"its direction is unsure by {turn[t]:.1f} degrees; at most {options.unsure_deg:g} are allowed"
            continue
        T_cw[t] = pose
    return FramePoses(T_cw, agreed, error, turn, place, reasons)


def _refined(T: F64, X: F64, rays: F64, weight: F64, lens: F64, scales: F64, steps: int) -> tuple[F64, F64, F64]:
    """Pose, its information, and squared errors in pixels."""
    R, t, H, r2, _ = pose_from_landmarks(
        T[:3, :3].copy(), T[:3, 3].copy(), X, rays, weight, np.ones(len(X)), lens, scales, GEMAN_MCCLURE, steps
    )
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R, t
    return pose, H, r2


def _sampled(xy: NDArray, X: F64, camera: pycolmap.Camera, options: FrameOptions, seed: int) -> F64 | None:
    """A pose from random samples, for frames that no neighbour tells."""
    colmap = load_pycolmap()
    asked = colmap.AbsolutePoseEstimationOptions()
    asked.ransac.max_error = 2 * options.near_px * max(camera.width, camera.height, 1000) / 1000
    asked.ransac.random_seed = seed
    found = colmap.estimate_absolute_pose(xy.astype(np.float64), X, camera, asked)
    if found is None:
        return None
    pose = np.eye(4)
    pose[:3] = found["cam_from_world"].matrix()
    return pose


def _between(frames: NDArray[np.int64], T_cw: F64, count: int) -> F64:
    """(T, 4, 4) poses of all frames, turned and moved evenly between those of the model; NaN before the first and after the last."""
    out = np.full((count, 4, 4), np.nan)
    known = np.isfinite(T_cw[:, 0, 0])
    if known.sum() < 2:
        out[frames[known]] = T_cw[known]
        return out
    at, T_wc = frames[known], np.linalg.inv(T_cw[known])
    inside = np.arange(at[0], at[-1] + 1)
    out[inside] = np.eye(4)
    out[inside, :3, :3] = Slerp(at, Rotation.from_matrix(T_wc[:, :3, :3]))(inside).as_matrix()
    for axis in range(3):
        out[inside, axis, 3] = np.interp(inside, at, T_wc[:, axis, 3])
    out[inside] = np.linalg.inv(out[inside])
    return out
