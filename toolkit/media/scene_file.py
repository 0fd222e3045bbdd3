"""Scenes on disk: one .npz without pickle that holds every part of a scene, its report as JSON and its video as H.264."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import DTypeLike, NDArray

from toolkit.errors import UserError
from toolkit.media.npz import NpzReader
from toolkit.media.recording import SCENE_MARK
from toolkit.media.video import read_bytes, video_bytes
from toolkit.media.writing import replacing
from toolkit.scene import B, Cameras, DepthVideo, PointCloud, Scene, Tracks2D, Tracks3D, Video

VERSION = 1
"""Rises when an older program could no longer read the file."""

_DATE = (1980, 1, 1, 0, 0, 0)
_SAMPLE = 100_000
"""Depth values that the median is taken of."""

_PARTS: dict[str, tuple[type, tuple[str, ...]]] = {
    "cameras": (Cameras, ("K", "T_wc", "size")),
    "tracks_2d": (Tracks2D, ("xy", "visible", "confidence", "queries", "sigma_px")),
    "tracks_3d": (Tracks3D, ("xyz", "visible", "rgb", "motion", "sigma")),
    "points": (PointCloud, ("xyz", "rgb")),
}
_OPTIONAL = {"sigma", "sigma_px"}
_TRACKS = 2048  # at a time, when they are packed
_CHANCE = 2.0**-8  # grid of packed confidences
_SIGNIFICANT = 2.0**8  # steps of a packed standard deviation between a number and its double


def save(scene: Scene, path: str | os.PathLike[str], *, compact: bool = False) -> Path:
    """Writes a scene to one file; it appears only when it is complete.

    Members: `lift4d_version` (), `header` (JSON: method, unit, report, frames, size), `<part>.<array>` for cameras, tracks_2d,
    tracks_3d and points as named in `toolkit.scene`, `depth.depth` and `depth.confidence`, `masks.bits` (eight pixels of a row in a
    byte, the first one highest) and `masks.size`, `video.times_s`, and `video.mp4`, the bytes of an H.264 file; cameras, 2D tracks and
    video of further views with `view0.`, `view1.`, ... before their names. Any program that reads
    .npz reads all of it.

    Args:
        scene: The scene.
        path: Where to, ending with .npz.
        compact: Depth as float16 (exact to 1 part in 2,000), its confidence in 255 steps, confidence of tracks to 1/512 and their image
            sigma to 1 part in 500, and video that is hard to tell from the original, instead of everything to the last bit: about
            six times smaller. Positions are kept to the last bit.

    Returns:
        The path written.

    Raises:
        UserError: a place that can't be written, or a report that JSON can't hold.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise UserError(f"{target.name} must end with .npz.")
    size = scene.video.size if scene.video is not None else tuple(map(int, scene.cameras.size[0])) if scene.cameras is not None else None
    header = {"method": scene.method, "unit": scene.unit, "report": scene.report, "frames": scene.frames, "size": size}
    if scene.views:
        header["views"] = [view.report for view in scene.views]
    try:
        text = json.dumps(header, default=_as_json)
    except (TypeError, ValueError) as error:
        raise UserError(f"The scene's report holds something that JSON can't: {error}.") from error
    # Level 6 takes three times as long for a tenth.
    with replacing(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        _write(archive, SCENE_MARK, np.array(VERSION))
        _write(archive, "header", np.array(text))
        _write_parts(archive, scene, "", _PARTS, compact=compact)
        for v, view in enumerate(scene.views):  # their 3D tracks are the scene's own
            _write_parts(archive, view, f"view{v}.", ("cameras", "tracks_2d"), compact=compact)
            _write_video(archive, view, f"view{v}.", compact=compact)
        if scene.depth is not None:
            _write(archive, "depth.unit", np.array(scene.depth.unit))
            if compact:
                _write_compact_depth(archive, scene.depth)
            else:
                _write(archive, "depth.depth", scene.depth.depth)
                _write(archive, "depth.confidence", scene.depth.confidence)
        if scene.masks is not None:
            T, H, W = scene.masks.shape
            _write(archive, "masks.size", np.array([W, H]))
            _write_packed(archive, "masks.bits", (T, H, -(-W // 8)), np.uint8, (np.packbits(mask, axis=-1) for mask in scene.masks))
        _write_video(archive, scene, "", compact=compact)
    return target


def load(path: str | os.PathLike[str]) -> Scene:
    """Reads a scene that `save` wrote.

    Raises:
        UserError: no such file, not a scene, written by a newer version, or damaged.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"The path of a saved scene is needed, but this is {type(path).__name__}.")
    with NpzReader(path) as file:
        if SCENE_MARK not in file or "header" not in file:
            hint = " Stereo4D annotations are read by load_dataset_npz." if "track_coordinates" in file else ""
            raise UserError(f"{file.name} is not a Lift4D scene; it has {', '.join(file.names[:8])}.{hint}")
        version = file.number(SCENE_MARK)
        if version > VERSION:
            raise UserError(f"{file.name} was written by a newer Lift4D (format {version:g}, this one reads up to {VERSION}).")
        try:
            header = json.loads(file.text("header"))
            method, unit, report = header["method"], header["unit"], header["report"]
            further = list(header.get("views", []))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"The header of {file.name} is damaged.") from error
        parts = _read_parts(file, "")
        if "depth.depth" in file:
            parts["depth"] = _read_depth(file)
        if "masks.bits" in file:
            parts["masks"] = _read_masks(file)
        shared = {"method": method, "unit": unit, "tracks_3d": parts.get("tracks_3d")}
        parts["views"] = tuple(Scene(report=told, **shared, **_read_parts(file, f"view{v}.")) for v, told in enumerate(further))
    return Scene(method=method, unit=unit, report=report, **parts)


def _write_parts(archive: zipfile.ZipFile, scene: Scene, prefix: str, parts: Iterable[str], *, compact: bool) -> None:
    for part in parts:
        value = getattr(scene, part)
        for name in _PARTS[part][1] if value is not None else ():
            array = getattr(value, name)
            if array is not None and compact and part.startswith("tracks"):
                some = (_rounded(f"{part}.{name}", array[n : n + _TRACKS]) for n in range(0, len(array), _TRACKS))
                _write_packed(archive, f"{prefix}{part}.{name}", array.shape, array.dtype, some)
            elif array is not None:
                _write(archive, f"{prefix}{part}.{name}", array)


def _write_video(archive: zipfile.ZipFile, scene: Scene, prefix: str, *, compact: bool) -> None:
    if scene.video is not None:
        _write(archive, f"{prefix}video.times_s", scene.video.times_s)
        _write(archive, f"{prefix}video.size", np.array(scene.video.size))
        _write(archive, f"{prefix}video.mp4", np.frombuffer(video_bytes(scene.video, lossless=not compact), np.uint8))


def _read_parts(file: NpzReader, prefix: str) -> dict[str, Any]:
    """Cameras, tracks, points and video of a scene, or of one of its views."""
    parts: dict[str, Any] = {}
    for part, (noun, names) in _PARTS.items():
        at = f"{prefix}{part}"
        if f"{at}.{names[0]}" in file:
            parts[part] = noun(**{n: np.array(file.array(f"{at}.{n}")) for n in names if n not in _OPTIONAL or f"{at}.{n}" in file})
    if f"{prefix}video.mp4" in file:
        frames = read_bytes(file.array(f"{prefix}video.mp4").tobytes(), file.name)
        width, height = _size(file, f"{prefix}video")
        parts["video"] = Video(np.ascontiguousarray(frames[:, :height, :width]), np.array(file.array(f"{prefix}video.times_s")))
    return parts


def _write(archive: zipfile.ZipFile, name: str, array: NDArray) -> None:
    """One array as a member that is not packed; dates are fixed so that the same scene gives the same bytes."""
    with archive.open(zipfile.ZipInfo(f"{name}.npy", _DATE), "w", force_zip64=True) as member:
        npy_format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _rounded(name: str, values: NDArray) -> NDArray:
    """Values as a compact file holds them: bits that say nothing are zero, which packs well (Zender 2016); the type stays.

    Positions are left alone. Those of still points do not change from frame to frame, so they pack well as they are.
    """
    if name == "tracks_2d.confidence":
        return np.round(values / np.float32(_CHANCE)) * np.float32(_CHANCE)
    if name == "tracks_2d.sigma_px":
        mantissa, exponent = np.frexp(values)
        return np.ldexp(np.round(mantissa * np.float32(2 * _SIGNIFICANT)) / np.float32(2 * _SIGNIFICANT), exponent)
    return values


def _write_packed(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: DTypeLike, parts: Iterator[NDArray]) -> None:
    """One array as a deflated member, from parts along its first axis: memory holds one of them."""
    # Opened by name, the member takes the archive's method and the same fixed date.
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        header = {"descr": npy_format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        npy_format.write_array_header_1_0(member, header)
        for part in parts:
            member.write(np.ascontiguousarray(part, dtype).data)


def _write_compact_depth(archive: zipfile.ZipFile, depth: DepthVideo) -> None:
    """Depth over its median as float16, confidence as uint8."""
    sample = depth.depth.reshape(-1)[:: max(1, depth.depth.size // _SAMPLE) | 1]
    sample = sample[np.isfinite(sample)]
    scale = float(np.median(sample)) if len(sample) else 1.0
    _write(archive, "depth.scale", np.array(scale))
    with np.errstate(over="ignore"):
        _write_packed(archive, "depth.depth", depth.depth.shape, np.float16, (z / np.float32(scale) for z in depth.depth))
    levels = (np.round(np.nan_to_num(c) * 255) for c in depth.confidence)
    _write_packed(archive, "depth.confidence", depth.confidence.shape, np.uint8, levels)


def _read_masks(file: NpzReader) -> B:
    """The masks of moving things."""
    (width, height), bits = _size(file, "masks"), file.array("masks.bits")
    if bits.ndim != 3 or bits.shape[1:] != (height, -(-width // 8)) or bits.dtype != np.uint8:  # noqa: PLR2004
        raise UserError(f"'masks.bits' in {file.name} is {bits.dtype} {bits.shape}, which is no mask of {width} x {height}.")
    return np.unpackbits(bits, axis=-1, count=width).astype(bool)


def _size(file: NpzReader, part: str) -> tuple[int, int]:
    """Width and height of the video or of the masks."""
    size = file.array(f"{part}.size")
    if size.shape != (2,) or size.dtype.kind not in "iu" or size.min() < 1:
        raise UserError(f"'{part}.size' in {file.name} is {size.tolist()!r:.40}, but a width and a height are needed.")
    return int(size[0]), int(size[1])


def _read_depth(file: NpzReader) -> DepthVideo:
    """Depth and confidence; frame by frame where they were packed, so that memory holds them once."""
    unit = "metre" if file.text("depth.unit") == "metre" else "relative"
    shape, dtype = file.shape("depth.depth")
    if dtype != np.float16:
        return DepthVideo(np.array(file.array("depth.depth")), np.array(file.array("depth.confidence")), unit)
    if file.shape("depth.confidence")[0] != shape:
        raise UserError(f"The depth of {file.name} and its confidence differ in shape.")
    scale = np.float32(file.number("depth.scale"))
    depth, confidence = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for z, packed in zip(depth, file.parts("depth.depth"), strict=True):
        np.multiply(packed, scale, out=z)
        z[~np.isfinite(z)] = np.nan
    for c, packed in zip(confidence, file.parts("depth.confidence"), strict=True):
        np.divide(packed, np.float32(255), out=c)
    return DepthVideo(depth, confidence, unit)


def _as_json(value: Any) -> Any:
    """Numpy values as plain ones."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "items"):
        return dict(value)
    raise TypeError(f"a {type(value).__name__}")
