"""Reads files of 2D tracks in TracksTo4D's published schema."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.poses import invert
from toolkit.media.npz import NpzReader
from toolkit.scene import F32, F64, B

KEYS = ("pred_tracks", "pred_visibility", "started_at")


@dataclass(frozen=True, eq=False)
class TrackFile:
    """Tracks of one video, with what is known of it.

    Attributes:
        xy: (N, T, 2) float32 pixels; the tracker's guess where a point is hidden.
        visible: (N, T) where the tracker sees the point.
        started_at: (N,) frame of each track's query.
        K: (T, 3, 3) intrinsics in pixels, or None.
        T_wc: (T, 4, 4) true world-from-camera, or None.
        depth: (N, T) float32 true z-depth, 0 where it is not known, or None.
        moving: (N, T) whether the point truly lies on something that moves, or None.
    """

    xy: F32
    visible: B
    started_at: F32
    K: F64 | None = None
    T_wc: F64 | None = None
    depth: F32 | None = None
    moving: B | None = None


def load_track_npz(path: str | os.PathLike[str]) -> TrackFile:
    """The tracks of a file with `pred_tracks`, `pred_visibility`, `started_at` and, optionally, `Ks_all`, `Ms_all` and true depth.

    Raises:
        UserError: no such file, another schema, or arrays whose shapes don't fit together.
    """
    with NpzReader(path) as file:
        missing = [key for key in KEYS if key not in file]
        if missing:
            raise UserError(f"{file.name} lacks {', '.join(missing)}, so it holds no tracks of TracksTo4D; it has {', '.join(file.names)}.")
        shape = file.shape("pred_tracks")[0]
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 2:  # noqa: PLR2004  (1, T, N, 2)
            raise UserError(f"'pred_tracks' in {file.name} has shape {shape}, but (1, T, N, 2) is needed.")
        frames, tracks = shape[1:3]

        def read(key: str, wanted: tuple[int, ...], kinds: str = "fiub") -> np.ndarray | None:
            if key not in file:
                return None
            found, dtype = file.shape(key)
            if found != wanted or dtype.kind not in kinds:
                raise UserError(f"{key!r} in {file.name} is {dtype} of shape {found}, but numbers of shape {wanted} are needed.")
            return np.array(file.array(key))

        xy = read("pred_tracks", (1, frames, tracks, 2), "f")
        visible = read("pred_visibility", (1, frames, tracks))
        started_at = read("started_at", (1, 1, tracks))
        K, M = read("Ks_all", (frames, 3, 3), "f"), read("Ms_all", (frames, 3, 4), "f")
        depth, moving = read("GT_depth_tracks_all", (1, frames, tracks), "f"), read("GT_mask_tracks_all", (1, frames, tracks))
    assert xy is not None and visible is not None and started_at is not None
    if M is not None:
        M = np.concatenate([M.astype(np.float64), np.broadcast_to([0.0, 0.0, 0.0, 1.0], (frames, 1, 4))], axis=1)
    return TrackFile(
        xy=xy[0].swapaxes(0, 1).astype(np.float32),
        visible=visible[0].T > 0,
        started_at=started_at[0, 0].astype(np.float32),
        K=None if K is None else K.astype(np.float64),
        T_wc=None if M is None else invert(M),
        depth=None if depth is None else depth[0].T.astype(np.float32),
        moving=None if moving is None else moving[0].T > 0,
    )
