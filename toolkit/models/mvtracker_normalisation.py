"""Bringing a scene to where MVTracker was trained: cameras six units from its middle, floor at z = 0, z up; and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.alignment import Similarity
from toolkit.geometry.poses import invert
from toolkit.models.mvtracker_cloud import Moment, View, unprojected
from toolkit.scene import F32, F64

CAMERAS_AWAY = 6.3  # median distance of cameras from the middle of the floor in the scenes of training
FLOOR_SHARE = 0.12  # of the points lie below the floor
FAR_SHARE = 0.95  # of the points lie nearer than the rest, where the scale is taken from points
CONFIDENT = 4.8  # of DUSt3R's confidence
LEAST_PIXELS = 100  # of a view, published
LEAST_AGREEMENT = 0.5  # length of the mean of the cameras' upward axes, below which they don't show what is up
SPARSE = 4  # every so many pixels tell enough


def normalisation(moment: Moment) -> Similarity:
    """The similarity from a world to that of training, from the views of one frame.

    Up is where the cameras' upward axes point on average, unless they disagree: then all axes are the world's. The first camera's
    right is x, so that the same views give the same in any world.

    Args:
        moment: Views with some depth.

    Raises:
        UserError: if no view has any depth.
    """
    poses = np.array([invert(np.vstack([np.asarray(view.T_cw, np.float64), [0, 0, 0, 1]])) for view in moment]).reshape(-1, 4, 4)
    clouds = [_points(view) for view in moment]
    if not sum(map(len, clouds)):
        raise UserError("No view of the first frame has any depth, from which the size of the scene is told; name it as world.")
    R = _upright(poses)
    points, cameras = np.concatenate(clouds) @ R.T, poses[:, :3, 3] @ R.T
    middle = points.mean(0)
    middle[2] = np.quantile(points[:, 2], FLOOR_SHARE)
    scale = CAMERAS_AWAY / float(np.median(np.linalg.norm(cameras - middle, axis=1)))
    return Similarity(scale, R, -scale * middle)


def published_normalisation(
    depths: ArrayLike, confidences: ArrayLike, intrs: ArrayLike, extrs: ArrayLike, *, by_cameras: bool = True
) -> Similarity:
    """The published code's "auto" normalisation, its mistake included: it takes the extrinsic translation for the camera's centre.

    Args:
        depths: (V, H, W) z-depth of the first frame, 0 where unknown.
        confidences: (V, H, W) as DUSt3R gives it.
        intrs: (V, 3, 3) intrinsics in pixels whose centres are whole numbers.
        extrs: (V, 3, 4) camera-from-world; world z is up.
        by_cameras: Whether the cameras tell the scale, else the points.
    """
    depth, confident = np.asarray(depths), np.asarray(confidences) > CONFIDENT
    K, T_cw = np.asarray(intrs, np.float64), np.asarray(extrs, np.float64)
    clouds = []
    for v in range(len(depth)):
        used = confident[v] & (depth[v] > 0)
        if used.sum() >= LEAST_PIXELS:
            y, x = np.nonzero(used)
            clouds.append(unprojected(np.stack([x, y], -1), depth[v][used].astype(np.float64), K[v], T_cw[v]))
    if not clouds:
        raise UserError(f"No view has {LEAST_PIXELS} pixels whose depth is known with a confidence over {CONFIDENT}.")
    points = np.concatenate(clouds).astype(np.float64)
    middle = points.mean(0)
    middle[2] += np.quantile(points[:, 2] - middle[2], FLOOR_SHARE)
    away = T_cw[:, :, 3] - middle if by_cameras else points - middle
    distance = np.linalg.norm(away, axis=1)
    scale = CAMERAS_AWAY / float(np.median(distance) if by_cameras else np.quantile(distance, FAR_SHARE))
    return Similarity(scale, np.eye(3), -scale * middle)


def moved_extrinsics(T_cw: ArrayLike, by: Similarity) -> F64:
    """Camera-from-world (..., 3, 4) after the world was moved by a similarity; depth is then `by.scale` times as large."""
    M = np.array(T_cw, np.float64)
    R = M[..., :3] @ by.R.T
    return np.concatenate([R, by.scale * M[..., 3:] - (R @ by.t)[..., None]], axis=-1)


def moved_moment(moment: Sequence[View], by: Similarity) -> Moment:
    """Views in a world that was moved by a similarity."""
    return [View(v.image, (v.depth * np.float32(by.scale)), v.K, moved_extrinsics(v.T_cw, by)) for v in moment]


def moved_queries(queries: NDArray, by: Similarity) -> F32:
    """Queries (N, 4) (t, x, y, z) in a world that was moved by a similarity."""
    return np.concatenate([queries[:, :1], by(np.asarray(queries[:, 1:], np.float64))], axis=1).astype(np.float32)


def inverse(of: Similarity) -> Similarity:
    """The similarity that undoes another."""
    return Similarity(1 / of.scale, of.R.T, -of.R.T @ of.t / of.scale)


def _upright(poses: F64) -> F64:
    """The rotation (3, 3) from the world of poses (V, 4, 4) to one whose z is up."""
    up = -poses[:, :3, 1].mean(0)
    if np.linalg.norm(up) < LEAST_AGREEMENT:
        return np.eye(3)
    z = up / np.linalg.norm(up)
    sideways = poses[0, :3, :3] - z[:, None] * (z @ poses[0, :3, :3])  # the first camera's axes, without what is up in them
    x = sideways[:, 0] if np.linalg.norm(sideways[:, 0]) >= LEAST_AGREEMENT else sideways[:, 2]
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def _points(view: View) -> F32:
    depth = np.asarray(view.depth, np.float64)[::SPARSE, ::SPARSE]
    known = np.isfinite(depth) & (depth > 0)
    xy = np.argwhere(known)[:, ::-1] * float(SPARSE)
    return unprojected(xy, depth[known], view.K, view.T_cw)
