"""Stereo4D's released annotations: ragged world tracks and cameras in one .npz, read with every check and written back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.media.npz import NpzReader
from toolkit.media.stereo4d_bundle import is_bundle, load_bundle
from toolkit.media.video import read_video
from toolkit.media.writing import replacing
from toolkit.scene import F32, B, Cameras, Scene, Tracks3D
from toolkit.wording import counted

KEYS = (
    "name",
    "video_id",
    "timestamps",
    "camera2world",
    "track_lengths",
    "track_indices",
    "track_coordinates",
    "rectified2rig",
    "fov_bounds",
)
HFOV_DEG, SIZE = 60.0, 512  # the published pipeline's rectified images; the released files do not say
_HFOV_RANGE = (1, 170)  # degrees that a flat picture can show
_SIZE_RANGE = (32, 8192)  # pixels that a picture of a video can have
_ROTATION_TOLERANCE = 1e-2
_MOST_SAMPLES = 200_000_000  # 2.6 GB; the longest released clips have 5 million. A file of a few kilobytes may claim any number


def load_dataset_npz(
    path: str | os.PathLike[str], *, hfov_deg: float | None = None, size: int | None = None, with_video: bool = False
) -> Scene:
    """A released Stereo4D annotation, or a reduced bundle of one, as a scene.

    Args:
        path: A local path or a URL of any protocol that fsspec has a package for.
        hfov_deg: Horizontal field of view of the rectified video; the file's own where it tells, else 60 as published.
        size: Width and height of the rectified video in pixels; the file's own where it tells (which need not be square), else 512
            as published.
        with_video: Also read the rectified video beside a reduced bundle (same name, .mp4).

    Returns:
        Scene with `cameras` (left rectified eye) and `tracks_3d` in metres: (N, T, 3) float32, NaN where a track is absent;
        `motion` is NaN and `rgb` grey, as the files hold neither. `report` holds name, video_id, timestamps_us, rectified2rig
        (2 rotations), fov_bounds_deg (yaw from, to, tilt from, to) and warnings. Bundles also have `tracks_2d`.

    Raises:
        UserError: not an .npz, pickles inside, missing keys, lengths that do not add up, frame indices out of range or used twice
            by one track, poses that are not finite or no rotations, wrong types, a field of view or size no picture has.
    """
    with NpzReader(path) as file:
        if is_bundle(file):
            video = Path(path).with_suffix(".mp4") if "://" not in str(path) else None
            video = video if video is not None and video.exists() else None
            if with_video and video is None:
                raise UserError(f"There is no video {Path(file.name).with_suffix('.mp4')} beside {file.name}.")
            scene = load_bundle(file, hfov_deg=hfov_deg or HFOV_DEG, size=size, video=read_video(video) if with_video and video else None)
            return scene
        missing = [key for key in KEYS if key not in file]
        if missing:
            raise UserError(f"{file.name} lacks {', '.join(missing)}, so it is not a Stereo4D annotation; it has {', '.join(file.names)}.")
        hfov_deg = hfov_deg if hfov_deg is not None else _within(file, "hfov", *_HFOV_RANGE, "degrees") if "hfov" in file else HFOV_DEG
        width = size if size is not None else int(_within(file, "size", *_SIZE_RANGE, "pixels")) if "size" in file else SIZE
        height, centre = width, None
        if size is None and "height" in file:
            height = int(_within(file, "height", *_SIZE_RANGE, "pixels"))
            centre = [_within(file, f"centre_{axis}", 0, most, "pixels") for axis, most in (("x", width), ("y", height))]
        timestamps = _array(file, "timestamps", "iu", ("T",), {})
        dims = {"T": len(timestamps)}
        if len(timestamps) == 0:
            raise UserError(f"{file.name} has no frames: its timestamps are empty.")
        if np.any(np.diff(timestamps) <= 0) or timestamps[0] < 0:
            raise UserError(f"The timestamps in {file.name} must rise from frame to frame, in microseconds.")
        poses = _array(file, "camera2world", "f", ("T", 3, 4), dims).astype(np.float64)
        _check_poses(poses, file.name, "camera2world")
        rectified2rig = _array(file, "rectified2rig", "f", (2, 3, 3), {}).astype(np.float64)
        _check_poses(rectified2rig, file.name, "rectified2rig")
        bounds = _array(file, "fov_bounds", "fiu", (4,), {}).astype(np.float64)
        if not (np.isfinite(bounds).all() and bounds[0] < bounds[1] and bounds[2] < bounds[3]):
            raise UserError(f"fov_bounds in {file.name} is {bounds.tolist()}, but yaw from, to and tilt from, to in degrees are needed.")
        xyz, visible, unknown = _tracks(file, len(timestamps))
        report = {
            "name": file.text("name"),
            "video_id": _video_id(file),
            "timestamps_us": [int(t) for t in timestamps],
            "rectified2rig": rectified2rig.tolist(),
            "fov_bounds_deg": bounds.tolist(),
            "warnings": [f"{unknown} track samples are not finite and count as absent."] if unknown else [],
        }
    K = intrinsics_from_fov(hfov_deg, (width, height))
    K[:2, 2] = centre or K[:2, 2]
    cameras = Cameras.from_poses(K, poses, (width, height))
    n = len(xyz)
    tracks = Tracks3D(xyz, visible, np.full((n, 3), 128, np.uint8), np.full(n, np.nan, np.float32))
    return Scene(cameras=cameras, tracks_3d=tracks, unit="metre", method="stereo4d", report=report)


def save_dataset_npz(scene: Scene, path: str | os.PathLike[str], *, compress: bool = False) -> Path:
    """Writes a scene in Stereo4D's released schema, so that whatever reads the data set reads it.

    What the scene's report does not tell gets these values: timestamps from the video or 30 frames per second, identity rotations,
    a half sphere, and the file's stem as name. Where the field of view is not 60 degrees on 512 px the keys `hfov` and `size` are
    added, and `height`, `centre_x`, `centre_y` where the picture is no square seen straight; other readers ignore them. 2D tracks,
    depth, colours and the video are not part of the schema.

    Args:
        scene: With cameras of every frame and 3D tracks, in metres.
        path: Where to, ending with .npz.
        compress: Deflate the arrays: a little smaller, several times slower to read.

    Returns:
        The path written.

    Raises:
        UserError: the scene lacks cameras or 3D tracks, has frames without a pose, or is not metric.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise UserError(f"{target.name} must end with .npz.")
    cameras, tracks, report = scene.cameras, scene.tracks_3d, scene.report
    if cameras is None or tracks is None:
        raise UserError(
            "Stereo4D's schema holds cameras and 3D tracks, but the scene has no " + ("cameras." if cameras is None else "tracks.")
        )
    if scene.unit != "metre":
        raise UserError("Stereo4D's schema is in metres, but the scale of this scene is not known.")
    if not cameras.registered.all():
        raise UserError(f"Stereo4D's schema needs a pose for every frame, but {int((~cameras.registered).sum())} frames have none.")
    stamps = report.get("timestamps_us")
    if stamps is None:
        times = scene.video.times_s if scene.video is not None else np.arange(len(cameras)) / 30.0
        stamps = np.round(times * 1e6)
    stamps = np.asarray(stamps, np.int64)
    if stamps.shape != (len(cameras),):
        raise UserError(f"The report has {stamps.size} timestamps, but the scene has {len(cameras)} frames.")
    visible = tracks.visible & np.isfinite(tracks.xyz).all(2)
    video_id = str(report.get("video_id", target.stem))
    width, height = (int(v) for v in cameras.size[0])
    hfov_deg = float(np.rad2deg(2 * np.arctan(0.5 * width / cameras.K[0, 0, 0])))
    centre = cameras.K[0, :2, 2]
    extra: dict[str, Any] = {"hfov": np.float64(hfov_deg), "size": np.int64(width)}
    if height != width or np.abs(centre - width / 2).max() > 1e-6:  # noqa: PLR2004  (px)
        extra |= {"height": np.int64(height), "centre_x": centre[0], "centre_y": centre[1]}
    elif abs(hfov_deg - HFOV_DEG) < 1e-6 and width == SIZE:  # noqa: PLR2004  (degrees)
        extra = {}
    arrays = {
        "name": np.array(str(report.get("name", f"{video_id}_{stamps[0]}"))),
        "video_id": np.array(video_id),
        "timestamps": stamps,
        "camera2world": cameras.T_wc[:, :3],
        "track_lengths": visible.sum(1),
        "track_indices": np.flatnonzero(visible) % visible.shape[1],
        "track_coordinates": tracks.xyz[visible],
        "rectified2rig": np.asarray(report.get("rectified2rig", np.tile(np.eye(3), (2, 1, 1))), np.float64),
        "fov_bounds": np.asarray(report.get("fov_bounds_deg") or (-90.0, 90.0, -90.0, 90.0), np.float64),
    }
    with replacing(target) as partial, open(partial, "wb") as file:
        (np.savez_compressed if compress else np.savez)(file, **arrays, **extra)
    return target


def _array(file: NpzReader, name: str, kinds: str, shape: tuple[int | str, ...], dims: dict[str, int]) -> NDArray:
    """An array of the file, or a UserError that tells its shape and type and what is needed."""
    value = file.array(name)
    wanted = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    fits = value.ndim == len(shape) and all(
        n == (dims.setdefault(want, n) if isinstance(want, str) else want) for n, want in zip(value.shape, shape, strict=True)
    )
    if not fits:
        known = "".join(f", {k} = {v}" for k, v in dims.items())
        raise UserError(f"{name} in {file.name} has shape {value.shape}, but {wanted} is needed{known}.")
    if value.dtype.kind not in kinds:
        raise UserError(f"{name} in {file.name} holds {value.dtype}, but {'integers' if kinds == 'iu' else 'numbers'} are needed.")
    return value


def _within(file: NpzReader, name: str, least: float, most: float, unit: str) -> float:
    """A number of the file, or a UserError where it is outside its range."""
    value = file.number(name)
    if not least <= value <= most:
        raise UserError(f"{name!r} in {file.name} is {value:g}, but {least} to {most} {unit} are needed.")
    return value


def _video_id(file: NpzReader) -> str:
    """The name of the clip; one that leads to another folder is refused, as the video is looked for under it."""
    name = file.text("video_id")
    if any(c in name for c in "/\\\0") or name in (".", "..") or len(name) > 200:
        raise UserError(f"'video_id' in {file.name} is {name[:40]!r}, but the name of a file without any folder is needed.")
    return name


def _check_poses(matrices: NDArray, file_name: str, name: str) -> None:
    """Refuses what is not finite or not a rotation."""
    R = np.where(np.isfinite(matrices[:, :, :3]), matrices[:, :, :3], 0)
    off = np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    for wrong, told in (
        (~np.isfinite(matrices).all((1, 2)), "numbers that are not finite"),
        ((off > _ROTATION_TOLERANCE) | (np.linalg.det(R) < 0), "something else than a rotation"),
    ):
        bad = np.flatnonzero(wrong)
        if len(bad):
            where = f"in {len(bad)} of {len(matrices)} matrices, first in number {bad[0]} (counted from 0)"
            raise UserError(f"{name} in {file_name} holds {told} {where}.")


def _tracks(file: NpzReader, frames: int) -> tuple[F32, B, int]:
    """Dense (N, T, 3) tracks, where they are known, and how many samples are not finite."""
    lengths = _array(file, "track_lengths", "iu", ("N",), {})
    indices = _array(file, "track_indices", "iu", ("S",), {})
    coordinates = _array(file, "track_coordinates", "f", ("S", 3), {"S": len(indices)})
    if len(lengths) and lengths.min() < 0:
        raise UserError(f"track_lengths in {file.name} holds {lengths.min()}, but a length can't be negative.")
    if len(lengths) and lengths.max() > frames:  # checked before they are added up, which could overflow
        raise UserError(f"track_lengths in {file.name} holds {lengths.max()}, but the clip has {counted(frames, 'frame')}.")
    if int(lengths.sum(dtype=np.int64)) != len(indices):
        raise UserError(f"track_lengths in {file.name} add up to {lengths.sum(dtype=np.int64)}, but there are {len(indices)} samples.")
    if len(indices) and (indices.min() < 0 or indices.max() >= frames):
        sample = int(np.flatnonzero((indices < 0) | (indices >= frames))[0])
        track = int(np.searchsorted(np.cumsum(lengths), sample, side="right"))
        raise UserError(f"Track {track} in {file.name} has a sample at frame {indices[sample]}, but the clip has frames 0 to {frames - 1}.")
    if len(lengths) * frames > _MOST_SAMPLES:
        raise UserError(
            f"{file.name} claims {len(lengths):,} tracks of {frames:,} frames, more than the {_MOST_SAMPLES // 1_000_000:,} million "
            "positions that are opened."
        )
    cell = np.repeat(np.arange(len(lengths)) * frames, lengths)
    cell += indices.astype(np.int64, copy=False)
    xyz = np.full((len(lengths) * frames, 3), np.nan, np.float32)
    xyz[cell] = coordinates
    visible = np.zeros(len(lengths) * frames, np.bool_)
    visible[cell] = True
    if np.count_nonzero(visible) != len(cell):
        ordered = np.sort(cell)
        track, frame = divmod(int(ordered[:-1][np.diff(ordered) == 0][0]), frames)
        raise UserError(f"Track {track} in {file.name} has two samples at frame {frame}.")
    finite = np.isfinite(coordinates).all(1) if not np.isfinite(coordinates).all() else None
    unknown = 0
    if finite is not None:
        unknown = int(np.count_nonzero(~finite))
        visible[cell[~finite]] = False
        xyz[cell[~finite]] = np.nan
    return xyz.reshape(len(lengths), frames, 3), visible.reshape(len(lengths), frames), unknown
