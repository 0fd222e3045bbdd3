"""Reduced Stereo4D bundles: 2D and 3D tracks of one clip with camera positions and view directions, a video beside them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.media.npz import NpzReader
from toolkit.scene import F64, B, Cameras, Scene, Tracks2D, Tracks3D, Video

KEYS = ("pts3d", "vis3d", "tracks2d", "vis2d", "cam_pos", "cam_fwd")


def is_bundle(file: NpzReader) -> bool:
    """Whether the file has the arrays of a reduced bundle."""
    return all(key in file for key in KEYS)


def load_bundle(file: NpzReader, *, hfov_deg: float, size: int | None, video: Video | None) -> Scene:
    """The scene of a reduced bundle.

    The files tell where each camera stands and looks, but not how it is rolled: the roll is the one that brings the 3D tracks
    onto the 2D ones; frames that show no track take it from their neighbours.

    Args:
        file: With pts3d (N, T, 3), vis3d (N, T), tracks2d (T, N, 2) px, vis2d (T, N), cam_pos (T, 3), cam_fwd (T, 3).
        hfov_deg: Horizontal field of view of the video.
        size: Its width and height in pixels; from `dim` in the file, or 512.
        video: Goes into the scene.

    Raises:
        UserError: shapes that contradict each other, or positions that are not finite.
    """
    xyz = file.array("pts3d").astype(np.float32)
    seen, seen_3d = file.array("vis2d").astype(bool), file.array("vis3d").astype(bool)
    xy = file.array("tracks2d").astype(np.float32)
    if xy.ndim != 3 or xyz.ndim != 3 or xyz.shape[2:] != (3,) or xy.shape != (xyz.shape[1], xyz.shape[0], 2):
        raise UserError(
            f"{file.name} has tracks2d of shape {xy.shape} and pts3d of shape {xyz.shape}, but (T, N, 2) and (N, T, 3) are needed."
        )
    xy = np.ascontiguousarray(xy.transpose(1, 0, 2))
    centre, forward = file.array("cam_pos").astype(np.float64), file.array("cam_fwd").astype(np.float64)
    frames = xyz.shape[1]
    for name, value, shape in (
        ("vis2d", seen, xyz.shape[1::-1]),
        ("vis3d", seen_3d, xyz.shape[:2]),
        ("cam_pos", centre, (frames, 3)),
        ("cam_fwd", forward, (frames, 3)),
    ):
        if value.shape != shape:
            raise UserError(f"{name} in {file.name} has shape {value.shape}, but {shape} is needed.")
    if not (np.isfinite(centre).all() and np.isfinite(forward).all() and np.linalg.norm(forward, axis=1).min(initial=1) > 1e-6):
        raise UserError(f"The camera positions or directions in {file.name} are not finite.")
    seen = np.ascontiguousarray(seen.T)
    width, height = (size, size) if size else _dimensions(file)
    K = intrinsics_from_fov(hfov_deg, (width, height))
    # float16 overflows to inf where a point runs off.
    seen &= np.isfinite(xy).all(2)
    seen_3d &= np.isfinite(xyz).all(2)
    xyz[~seen_3d] = np.nan
    R_wc = _orientations(xyz, xy, seen & seen_3d, centre, forward, K)
    T_wc = np.concatenate([R_wc, centre[:, :, None]], axis=2)
    n = len(xyz)
    first = seen.argmax(1)
    queries = np.column_stack([first, xy[np.arange(n), first]]).astype(np.float32)
    xy[~seen] = np.nan  # the files hold the corner (0, 0) there
    report = {"name": file.name.removesuffix(".npz"), "video_id": file.name[:11], "warnings": []}
    if "object_ids" in file:
        report["object_ids"] = [int(i) for i in file.array("object_ids").reshape(-1)]
    return Scene(
        cameras=Cameras.from_poses(K, T_wc, (width, height)),
        tracks_2d=Tracks2D(xy, seen, seen.astype(np.float32), queries),
        tracks_3d=Tracks3D(xyz, seen_3d, np.full((n, 3), 128, np.uint8), np.ones(n, np.float32)),
        unit="metre",
        method="stereo4d",
        report=report,
        video=video,
    )


def _dimensions(file: NpzReader) -> tuple[int, int]:
    if "dim" not in file:
        return 512, 512
    dim = file.array("dim").reshape(-1)
    if dim.dtype.kind not in "iuf":
        raise UserError(f"'dim' in {file.name} is {dim.dtype}, but a width and a height are needed.")
    return (int(dim[0]), int(dim[1])) if len(dim) == 2 and (dim > 0).all() else (512, 512)


def _orientations(xyz: NDArray, xy: NDArray, seen: B, centre: F64, forward: F64, K: F64) -> F64:
    """(T, 3, 3) camera-to-world rotations with the given view directions and the roll that fits the tracks best."""
    z = forward / np.linalg.norm(forward, axis=1, keepdims=True)
    down = np.where(np.abs(z[:, 1:2]) < 0.99, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])  # the world is the first camera: y points down
    x = np.cross(down, z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    level = np.stack([x, np.cross(z, x), z], axis=2)  # columns: camera axes in the world, without roll
    predicted = np.einsum("tji,ntj->nti", level, xyz.astype(np.float64) - centre)
    with np.errstate(divide="ignore", invalid="ignore"):
        uv = predicted[..., :2] / predicted[..., 2:]
    measured = (xy - K[:2, 2]) / K[0, 0]
    use = seen & (predicted[..., 2] > 0)
    a, b = np.where(use[..., None], uv, 0.0), np.where(use[..., None], measured, 0.0)
    # Turning uv by the roll must give the measured points; least squares in closed form.
    sine = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(0)
    cosine = (a * b).sum((0, 2))
    known = np.flatnonzero(use.any(0) & (np.hypot(sine, cosine) > 0))
    roll = np.zeros(len(z))
    if len(known):
        roll = np.interp(np.arange(len(z)), known, np.unwrap(np.arctan2(sine, cosine)[known]))
    turn = np.zeros((len(z), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(roll)
    turn[:, 0, 1], turn[:, 1, 0] = -np.sin(roll), np.sin(roll)
    turn[:, 2, 2] = 1
    return level @ turn.transpose(0, 2, 1)
