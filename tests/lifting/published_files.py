"""The published implementation's files as nouns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.poses import invert
from toolkit.scene import Cameras, DepthVideo, Tracks2D, Tracks3D


def cameras_of(file: Mapping) -> Cameras:
    """60 degrees wide, poses from world-to-camera matrices."""
    width, height = (int(v) for v in file["image_size"])
    T_cw = np.tile(np.eye(4), (len(file["world2cam"]), 1, 1))
    T_cw[:, :3] = file["world2cam"]
    return Cameras.from_poses(intrinsics_from_fov(60, (width, height)), invert(T_cw), (width, height))


def tracks_2d_of(file: Mapping) -> Tracks2D:
    """Queries turned to (t, x, y)."""
    return Tracks2D(file["tracks2d"], file["visibles2d"], file["visibles2d"].astype(np.float32), file["query_points"][:, [0, 2, 1]])


def depth_of(file: Mapping) -> DepthVideo:
    """Unknown depth, 0 in the file, as NaN."""
    return DepthVideo(np.where(file["depth"] > 0, file["depth"], np.nan), (file["depth"] > 0).astype(np.float32))


def tracks_3d(xyz: np.ndarray, visible: np.ndarray) -> Tracks3D:
    """Tracks without colour, label or error."""
    return Tracks3D(xyz, visible, np.zeros((len(xyz), 3), np.uint8), np.zeros(len(xyz), np.float32))
