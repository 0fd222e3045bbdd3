"""A model of followed points as a scene: pinhole cameras, every track of the table with its place in the world where it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from toolkit.scene import F64, I64, B, Cameras, PointCloud, Scene, Tracks2D, Tracks3D
from toolkit.sfm.photo_scene import flat_xy, pinhole
from toolkit.sfm.registration import poses

if TYPE_CHECKING:
    from toolkit.sfm.photo_model import PhotoModel

GREY = 128  # without pictures nobody knows a point's colour


def scene_of_tracks(result: PhotoModel, tracks: Tracks2D, seen: B) -> Scene:
    """The scene of a model made of tracks; without pictures, so points are grey.

    Args:
        result: The model; its features carry the numbers of the tracks.
        tracks: N tracks in T frames.
        seen: (N, T) samples that counted.

    Returns:
        Tracks in the order of the table, lens distortion taken out. A track that the still scene does not explain has no place (NaN);
        `tracks_3d.visible` holds the samples that agree with the model.
    """
    model, found = result.model, result.found
    cameras = [model.camera(c.camera_id) if model.exists_camera(c.camera_id) else c for c in found.cameras]
    T_cw = poses(model, len(found.names))
    T_wc = np.linalg.inv(np.where(np.isfinite(T_cw), T_cw, np.eye(4)))
    T_wc[~np.isfinite(T_cw[:, 0, 0])] = np.nan
    K = np.array([pinhole(c, 1.0) for c in cameras])
    size = np.array([(c.width, c.height) for c in cameras], np.int64)
    xy = tracks.xy.copy()
    for t, camera in enumerate(cameras):
        known = np.flatnonzero(np.isfinite(xy[:, t]).all(1))
        xy[known, t] = flat_xy(camera, xy[known, t], K[t])
    asked = np.clip(np.nan_to_num(tracks.queries[:, 0]), 0, len(cameras) - 1).astype(np.int64)
    queries = np.column_stack([asked, xy[np.arange(len(tracks)), asked]]).astype(np.float32)
    place, agrees = _places(result, len(tracks))
    rgb = np.full((len(tracks), 3), GREY, np.uint8)
    path = np.repeat(place[:, None].astype(np.float32), len(cameras), axis=1)
    return Scene(
        cameras=Cameras(K, T_wc, size),
        tracks_2d=Tracks2D(xy, seen, tracks.confidence, queries, tracks.sigma_px),
        tracks_3d=Tracks3D(path, agrees, rgb, np.zeros(len(tracks), np.float32)),
        depth=None,
        points=PointCloud(place[np.isfinite(place[:, 0])].astype(np.float32), rgb[np.isfinite(place[:, 0])]),
        unit="relative",
        method="vggsfm",
    )


def _places(result: PhotoModel, count: int) -> tuple[F64, B]:
    """(N, 3) the point of each track, the one that most of its samples see, and (N, T) which samples see it."""
    model, found = result.model, result.found
    place, agrees = np.full((count, 3), np.nan), np.zeros((count, len(found.names)), bool)
    best: I64 = np.zeros(count, np.int64)
    for _, point in sorted(model.points3D.items()):
        samples = np.array([(e.image_id - 1, e.point2D_idx) for e in point.track.elements], np.int64)
        followed = np.array([_track(found.features[t], k) for t, k in samples.tolist()])
        for n in np.unique(followed[followed >= 0]).tolist():
            frames = samples[followed == n, 0]
            if len(frames) > best[n]:
                best[n], place[n], agrees[n] = len(frames), point.xyz, False
                agrees[n, frames] = True
    return place, agrees


def _track(features, row: int) -> int:
    return -1 if features.track is None else int(features.track[row])
