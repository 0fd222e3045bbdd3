"""Reads a result or a truth to compare with, however it is kept: a scene, a result folder, a released annotation or plain arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.media.npz import NpzReader
from toolkit.media.recording import SCENE_MARK
from toolkit.media.scene_file import load
from toolkit.media.stereo4d_bundle import is_bundle
from toolkit.media.stereo4d_npz import KEYS as DATASET_KEYS
from toolkit.media.stereo4d_npz import load_dataset_npz
from toolkit.media.worldtrack_npz import is_worldtrack, load_worldtrack_npz
from toolkit.scene import Cameras, DepthVideo, Scene, Tracks2D, Tracks3D

NAMES = {
    "xy": ("xy", "tracks_xy"),
    "xyz": ("xyz", "tracks_xyz_w", "tracks_xyz"),
    "visible": ("visible", "tracks_visible"),
    "queries": ("queries",),
    "moving": ("motion", "moving"),
    "T_wc": ("T_wc",),
    "K": ("K",),
    "size": ("size",),
    "depth": ("depth", "depth_m"),
    "depth_mm": ("depth_mm",),
}
"""Names of plain arrays: tracks are (N, T, ...), cameras and depth (T, ...)."""

KNOWN = "T_wc (T, 4, 4) and K, xy (N, T, 2), xyz (N, T, 3), visible (N, T), queries (N, 3), depth (T, H, W)"


def load_truth(path: str | os.PathLike[str]) -> Scene:
    """A scene to compare, or to compare with.

    Args:
        path: A result folder, a scene.npz of ours, a released Stereo4D annotation, a WorldTrack or TAPVid-3D file, or an .npz of plain
            arrays: T_wc (T, 4, 4) with K (3, 3) or (T, 3, 3) and size (2,) or (T, 2), xy, xyz, visible, queries, motion, depth in metres
            or depth_mm; any of these.

    Raises:
        UserError: no such file, nothing in it that is known, or shapes that don't fit together.
    """
    place = Path(path)
    if place.is_dir():
        if not (place / "scene.npz").is_file():
            raise UserError(f"{place} holds no scene.npz, so it is no result folder.")
        place = place / "scene.npz"
    if is_worldtrack(place):
        return load_worldtrack_npz(place).scene()
    with NpzReader(place) as file:
        if SCENE_MARK not in file and not is_bundle(file) and not all(key in file for key in DATASET_KEYS):
            return _plain(file)
        ours = SCENE_MARK in file
    return load(place) if ours else load_dataset_npz(place)


def _plain(file: NpzReader) -> Scene:
    found: dict[str, Any] = {}
    for part, names in NAMES.items():
        for name in names:
            # "moving" may also be a mask of pixels, which is nobody's motion level.
            if name in file and (part != "moving" or len(file.shape(name)[0]) == 1):
                found[part] = np.array(file.array(name))
                break
    if not {"T_wc", "xy", "xyz", "depth", "depth_mm"} & set(found):
        raise UserError(f"{file.name} holds nothing to compare; {KNOWN} are known, but it has {', '.join(file.names[:8])}.")
    return Scene(
        cameras=_cameras(file.name, found), tracks_2d=_tracks_2d(found), tracks_3d=_tracks_3d(found), depth=_depth(found), method="truth"
    )


def _cameras(name: str, found: dict[str, NDArray]) -> Cameras | None:
    if "T_wc" not in found:
        return None
    T_wc = found["T_wc"]
    frames = len(T_wc) if T_wc.ndim else 0
    K, size = found.get("K", np.eye(3)), found.get("size", np.ones(2))
    if T_wc.ndim != 3 or K.shape[-2:] != (3, 3) or size.shape[-1:] != (2,):  # noqa: PLR2004  (T, 4, 4)
        raise UserError(f"{name} has T_wc {T_wc.shape}, K {K.shape} and size {size.shape}; (T, 4, 4), (3, 3) and (2,) are needed.")
    K = np.broadcast_to(K, (frames, 3, 3)) if K.ndim == 2 else K  # noqa: PLR2004
    size = np.broadcast_to(size, (frames, 2)) if size.ndim == 1 else size
    return Cameras(K.copy(), T_wc, size.copy())


def _tracks_2d(found: dict[str, NDArray]) -> Tracks2D | None:
    xy = found.get("xy")
    if xy is None:
        return None
    visible = np.asarray(found.get("visible", np.isfinite(xy).all(-1)), bool)
    queries = found.get("queries")
    if queries is None or queries.shape[-1:] != (3,):
        first = visible.argmax(1) if visible.ndim == 2 and visible.size else np.zeros(len(xy), int)  # noqa: PLR2004  (N, T)
        queries = np.column_stack([first, xy[np.arange(len(xy)), first]]) if xy.ndim == 3 and xy.size else np.zeros((len(xy), 3))  # noqa: PLR2004
    return Tracks2D(xy, visible, visible.astype(np.float32), np.asarray(queries, np.float32))


def _tracks_3d(found: dict[str, NDArray]) -> Tracks3D | None:
    xyz = found.get("xyz")
    if xyz is None:
        return None
    count = len(xyz)
    visible = np.asarray(found.get("visible", np.isfinite(xyz).all(-1)), bool)
    return Tracks3D(xyz, visible, np.zeros((count, 3), np.uint8), found.get("moving", np.full(count, np.nan)).astype(np.float32))


def _depth(found: dict[str, NDArray]) -> DepthVideo | None:
    if "depth" in found:
        depth = found["depth"].astype(np.float32)
    elif "depth_mm" in found:
        depth = found["depth_mm"].astype(np.float32) / 1000
    else:
        return None
    depth = np.where(depth > 0, depth, np.nan)
    return DepthVideo(depth, np.ones_like(depth))
