"""What goes into the network from tracks in pixels, and the scene that comes out of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import checked_intrinsics, intrinsics_from_fov
from toolkit.geometry.poses import from_rotation, invert, transform
from toolkit.scene import F32, F64, B, Cameras, Scene, Tracks2D, Tracks3D

MOVING_PX = 3.0
"""A point whose projections stray further from a still one's path moves; a tracker's own errors are about one pixel."""
USUAL_FOV_DEG = 60.0
"""Horizontal field of view of a camera that nothing is known of: between a phone's wide lens and its normal one."""


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """Tracks as the network sees them.

    Attributes:
        normalised: (N, 3, T) float32: x and y from the principal point by the focal length, and 1 where seen, else 0.
        visible: (N, T) seen and finite.
        K: (T, 3, 3) intrinsics in pixels.
        size: (width, height) of the image.
        guessed: Whether the intrinsics are a guess.
    """

    normalised: F32
    visible: B
    K: F64
    size: tuple[int, int]
    guessed: bool


@dataclass(frozen=True, eq=False)
class NetworkLift:
    """What the network says of tracks, before anything is adjusted: where to start from, and how far to trust it.

    Attributes:
        T_wc: (T, 4, 4) world-from-camera, the world the first camera that sees anything; NaN where a frame sees nothing.
        still_xyz: (N, 3) where each point is if it stands still; NaN for tracks that are never seen.
        xyz: (N, T, 3) where it is if it moves.
        gamma: (N,) how far its projections stray from those of the still point, in focal lengths.
        K: (T, 3, 3) intrinsics in pixels, with the network's own focal length where it has learned one.
        given: What it saw.
    """

    T_wc: F64
    still_xyz: F64
    xyz: F64
    gamma: F64
    K: F64
    given: NetworkInput


def checked_tracks(tracks: Tracks2D, K: ArrayLike | None, size: tuple[int, int] | None, *, published: bool = False) -> NetworkInput:
    """Tracks ready for the network.

    Args:
        tracks: N tracks of T frames, in pixels.
        K: (3, 3) or (T, 3, 3) intrinsics in pixels, or None.
        size: (width, height) of the image; None where K says enough.
        published: Guess missing intrinsics as the published code does, see `published_intrinsics`.

    Raises:
        UserError: intrinsics that can't be a camera's, a size that can't be an image's, or neither of the two.
    """
    frames = tracks.xy.shape[1]
    visible = tracks.visible & np.isfinite(tracks.xy).all(-1)
    if size is not None and not (len(size) == 2 and min(size) > 0):  # noqa: PLR2004  (width, height)
        raise UserError(f"The image size is {tuple(size)}, but (width, height) in pixels is needed.")
    if K is None and published:
        matrices = published_intrinsics(tracks.xy.swapaxes(0, 1), visible.T, frames)
    elif K is None and size is not None:
        matrices = np.tile(intrinsics_from_fov(USUAL_FOV_DEG, size), (frames, 1, 1))
    elif K is None:
        raise UserError("Neither K nor the size of the image is known, but one of them is needed to tell directions from pixels.")
    else:
        given = np.asarray(K, np.float64)
        if given.shape not in ((3, 3), (frames, 3, 3)):
            raise UserError(f"K has shape {given.shape}, but (3, 3) or {(frames, 3, 3)} is needed.")
        matrices = np.broadcast_to(given, (frames, 3, 3)).copy()
        for matrix in matrices if given.ndim == 3 else matrices[:1]:  # noqa: PLR2004  (one a frame)
            checked_intrinsics(matrix, "K")
    uv = normalised(np.where(visible[..., None] | published, tracks.xy, 0), matrices)
    array = np.concatenate([uv, visible[..., None]], axis=-1).astype(np.float32).transpose(0, 2, 1)
    whole = size or tuple(int(round(2 * float(c))) for c in matrices[0, :2, 2])  # the principal point is the middle, for want of better
    return NetworkInput(np.ascontiguousarray(array), visible, matrices, (whole[0], whole[1]), K is None)


def normalised(xy: NDArray, K: NDArray) -> NDArray:
    """Pixels (N, T, 2) from the principal point by the focal length, by intrinsics (T, 3, 3); skew is left out, as published."""
    return (xy - K[:, :2, 2]) / K[:, [0, 1], [0, 1]]


def published_intrinsics(xy: NDArray, visible: NDArray, frames: int) -> F64:
    """The published guess of K (frames, 3, 3): the largest visible x and y (T, N, 2) are taken for the size of the image."""
    if not visible.any():
        raise UserError("None of the tracks is ever seen, so there is nothing to guess a focal length from.")
    x, y = (float(xy[..., axis][visible].max()) for axis in (0, 1))
    focal = (x + y) / 2
    return np.tile(np.array([[focal, 0, x / 2], [0, focal, y / 2], [0, 0, 1.0]]), (frames, 1, 1))


def as_lift(found: Mapping[str, NDArray], given: NetworkInput) -> NetworkLift:
    """The network's answer for one clip, arrays without the leading axis, in the world of the first camera that sees anything."""
    T_wc = from_rotation(found["R"].astype(np.float64), found["t"].astype(np.float64))
    seen_frames, seen_tracks = given.visible.any(0), given.visible.any(1)
    into_first = invert(T_wc[int(np.argmax(seen_frames))])
    xyz, still = (transform(into_first, found[name].transpose(2, 0, 1).astype(np.float64)) for name in ("X", "X_static"))
    T_wc = into_first @ T_wc
    T_wc[~seen_frames] = np.nan
    xyz[~seen_tracks] = still[~seen_tracks] = np.nan
    K = given.K.copy()
    K[:, [0, 1], [0, 1]] *= found["focal"][:, None]
    return NetworkLift(T_wc, still[:, 0], xyz, found["gamma"].astype(np.float64), K, given)


def as_scene(lift: NetworkLift, tracks: Tracks2D) -> Scene:
    """The scene of the network's answer to these tracks, in the unit of the network."""
    given = lift.given
    focal_px = float(np.median(lift.K[:, 0, 0]))
    stray_px = lift.gamma * focal_px
    motion = stray_px / (stray_px + MOVING_PX)
    rgb = np.full((len(tracks), 3), 200, np.uint8)  # tracks alone have no colour
    report: dict[str, Any] = {
        "intrinsics": "guessed" if given.guessed else "given",
        "focal_px": round(focal_px, 3),
        "moving": int((stray_px > MOVING_PX).sum()),
    }
    if given.guessed:
        report["warnings"] = [
            f"K was not given: a focal length of {report['focal_px']:g} px was taken, and depth and motion are as wrong as it is."
        ]
    return Scene(
        cameras=Cameras(lift.K, lift.T_wc, np.tile(np.array(given.size, np.int64), (len(lift.K), 1))),
        tracks_2d=tracks,
        tracks_3d=Tracks3D(lift.xyz.astype(np.float32), given.visible, rgb, motion.astype(np.float32)),
        unit="relative",
        method="tracksto4d",
        report=report,
    )
