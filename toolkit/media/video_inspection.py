"""What one video is: metadata of the container first, then a few frames of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.image_circle import detect_image_circle
from toolkit.media.container import read_container
from toolkit.media.decoding import Clip
from toolkit.media.layout import agreement, eyes_swapped, looks_equirect, split, stereo_layout
from toolkit.media.side_data import told_by_frame
from toolkit.media.spherical import MeshData, Spherical
from toolkit.scene import U8, Kind, Source

LOOKED_AT = (0.1, 0.5, 0.85)
"""Moments of a clip that are looked at, as shares of its length: beginnings and ends are often black."""
LOOK_MAX_SIDE = 1280
FEW_PIXELS_PER_DEGREE = 8.0
"""A 60 degree view of 512 px has 8.5 pixels a degree in its middle; raw pictures with fewer give blurred ones."""


@dataclass
class Look:
    """What the pictures tell.

    Attributes:
        layout: "mono", "side-by-side", "top-bottom" (or "separate", for pairs).
        projection: "pinhole", "equirect" or "fisheye".
        warnings: Sentences for a person.
        details: JSON-like.
    """

    layout: str
    projection: str
    warnings: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


def inspect_video(path: Path, *, look: bool = True) -> Source:
    """What a video file is; `look` says whether frames are looked at where the metadata is silent.

    Raises:
        UserError: see `iter_video`.
    """
    with Clip(path, max_side=LOOK_MAX_SIDE) as clip:
        container = read_container(path)
        stored = _upright(clip)
        stream = clip.stream
        frames, fps, duration_s, variable = _timing(clip)
        details: dict[str, Any] = {
            "duration_s": round(duration_s, 6),
            "codec": stream.codec_context.name,
            "rotation_deg": clip.rotation_deg,
            "variable_frame_rate": variable,
        }
        warnings = list(container.notes)
        aspect = stream.sample_aspect_ratio
        if aspect and aspect != 1:
            details["pixel_aspect"] = float(aspect)
            warnings.append(f"The pixels of the video are not square ({float(aspect):.3f} wide); they are used as they are stored.")
        told = told_by_frame(clip.first_frame, container.spherical)
        found = _combine(clip, told, look, duration_s, details, warnings)
    if container.orientations is not None:
        details["camm"] = len(container.orientations.times_s)
    kind: Kind = "mono" if found.layout == "mono" else "vr180" if found.projection in ("equirect", "mesh", "fisheye") else "stereo"
    eye = _eye_size(stored, found.layout)
    details["eye_size"] = list(eye)
    if kind == "vr180":
        _judge_resolution(eye, details, warnings)
    if kind == "mono" and found.projection not in ("pinhole", "rectilinear"):
        warnings.append(f"The video is a single {found.projection} panorama; the methods for one camera need a perspective view of it.")
    if frames < 2:
        warnings.append("The video has a single frame; nothing can be followed in it.")
    return Source(str(path), kind, frames, stored, fps, found.layout, found.projection, tuple(warnings), details=details)


def inspect_frames(frames: Sequence[U8], pairs: Sequence[tuple[U8, U8]] | None = None) -> Look:
    """What pictures without metadata are; `pairs` are the eyes where they have pictures of their own."""
    if pairs is None:
        layout, matches = stereo_layout(frames)
        if layout is None:
            return Look("mono", "pinhole", details={"layout_from": "content"})
        eyes = [half for frame in frames for half in split(frame, layout)]
    else:
        layout, matches = "separate", [agreement(*pair) for pair in pairs]
        eyes = [eye for pair in pairs for eye in pair]
    look = Look(layout, "pinhole", details={"layout_from": "content", "projection_from": "content"})
    if matches and max(m.share for m in matches) == 0:
        look.warnings.append("Nothing in the left pictures was found again in the right ones; do they belong together?")
    circles = [c for c in map(_fisheye_circle, eyes) if c is not None]
    if len(circles) > len(eyes) / 2:
        look.projection = "fisheye"
        look.details["fisheye_circle"] = [round(float(v), 2) for v in np.median(circles, axis=0)]
        look.warnings.append("The pictures are round fisheye images without a lens calibration; one is estimated from the clip itself.")
    else:
        sphere, why = looks_equirect(eyes)
        shape = eyes[0].shape[1] / eyes[0].shape[0]
        if sphere or (sphere is None and 0.8 <= shape <= 1.25):
            look.projection = "equirect"
            look.warnings.append(f"The file does not say so, but it looks like VR180 ({why}); say projection='pinhole' if it is flat 3D.")
        elif layout == "side-by-side" and shape < 1.2:
            look.details["squeezed"] = True
    look.details["swapped"] = None if look.projection == "fisheye" else eyes_swapped(matches, parallel=look.projection == "equirect")
    if look.details["swapped"]:
        look.warnings.append("The eyes look swapped (near things shift the wrong way); they are used the other way round.")
    return look


def _combine(clip: Clip, told: Spherical, look: bool, duration_s: float, details: dict[str, Any], warnings: list[str]) -> Look:
    """Metadata where it speaks, the pictures where it does not."""
    found = Look(told.stereo_layout or "mono", told.projection or "pinhole")
    silent = told.stereo_layout is None or (told.stereo_layout != "mono" and told.projection is None)
    if look and (silent or told.stereo_layout != "mono"):
        frames = clip.glimpses([share * duration_s for share in LOOKED_AT])
        seen = inspect_frames(frames) if told.stereo_layout is None else _seen_as(frames, told.stereo_layout)
        if told.stereo_layout is None:
            found.layout = seen.layout
        if told.projection is None and found.layout != "mono":
            found.projection = seen.projection
            details |= {k: v for k, v in seen.details.items() if k in ("fisheye_circle", "squeezed")}
        # A lens mesh shifts the raw pictures against each other: which eye is which only shows after rectifying.
        if found.layout != "mono":
            details["swapped"] = None if found.projection == "mesh" else seen.details.get("swapped")
        if told.projection is None or told.stereo_layout is None:
            warnings += seen.warnings
        elif details.get("swapped"):
            warnings += [w for w in seen.warnings if "swapped" in w]
    if told.swapped:
        details["swapped"] = True
    details["layout_from"] = "metadata" if told.stereo_layout is not None else "content" if look else "default"
    details["projection_from"] = "metadata" if told.projection is not None else "content" if look else "default"
    if told.fov_bounds_deg is not None:
        details["fov_bounds_deg"] = list(told.fov_bounds_deg)
    elif found.projection == "equirect":
        details["fov_bounds_deg"] = [-90.0, 90.0, -90.0, 90.0]
    if told.meshes:
        details["mesh_vertices"] = len(told.meshes[0].vertices)
        details["mesh_fov_deg"] = round(_width_deg(told.meshes[0]), 1)
    if any(told.pose_deg):
        details["pose_deg"] = list(told.pose_deg)
    return found


def _seen_as(frames: Sequence[U8], layout: str) -> Look:
    """The pictures of a file that tells its layout."""
    if layout == "mono" or not frames:
        return Look("mono", "pinhole")
    pairs = [split(frame, layout) for frame in frames]  # type: ignore[arg-type]
    look = inspect_frames(frames, pairs)
    look.layout = layout
    return look


def _fisheye_circle(eye: U8) -> tuple[float, float, float] | None:
    """Centre x, y and radius of the image circle of a fisheye lens, in pixels of the eye; None where there is none."""
    try:
        circle = detect_image_circle(eye)
    except UserError:  # which says why there is none
        return None
    return (*circle.centre, circle.radius_px)


def _timing(clip: Clip) -> tuple[int, float, float, bool]:
    """Number of frames, median rate, duration and whether the rate varies."""
    stream = clip.stream
    base = float(stream.time_base or 0)
    ticks = np.array([entry.timestamp for entry in stream.index_entries], np.int64)
    frames = stream.frames
    if frames <= 0 or len(ticks) != frames:
        # Only MP4 and AVI keep a full index; elsewhere the packets are counted, which reads the file but decodes nothing.
        times = clip.times_s()
        frames = len(times)
        steps = np.diff(times)
    else:
        steps = np.diff(np.sort(ticks)) * base
    if len(steps) == 0:
        rate = float(stream.average_rate or 0)
        return frames, rate, 1 / rate if rate else 0.0, False
    step = float(np.median(steps))
    varies = bool(np.percentile(steps, 95) > 1.5 * step or np.percentile(steps, 5) < 0.5 * step)
    fps = 1 / step if step > 0 else float(stream.average_rate or 0)
    # Containers round their steps: a constant rate is better read from the header.
    average = float(stream.average_rate or 0)
    if average and abs(average / fps - 1) < 0.05:
        fps = average
    return frames, fps, float(steps.sum() + step), varies


def _upright(clip: Clip) -> tuple[int, int]:
    """(width, height) of the stored picture after rotation."""
    first = clip.first_frame
    return (first.height, first.width) if clip.rotation_deg in (90, 270) else (first.width, first.height)


def _eye_size(size: tuple[int, int], layout: str) -> tuple[int, int]:
    return (size[0] // 2 if layout == "side-by-side" else size[0], size[1] // 2 if layout == "top-bottom" else size[1])


def _width_deg(mesh: MeshData) -> float:
    """The horizontal field of view of a lens mesh, along the middle of its picture."""
    x, z, v = mesh.vertices[:, 0], -mesh.vertices[:, 2], mesh.vertices[:, 4]
    yaw = np.rad2deg(np.arctan2(x, z))[np.abs(v - 0.5) < 0.1]
    return float(np.ptp(yaw)) if len(yaw) else 180.0


def _judge_resolution(eye: tuple[int, int], details: dict[str, Any], warnings: list[str]) -> None:
    """Warns of half spheres with too few pixels: downloads at the wrong quality are the most common fault."""
    bounds = details.get("fov_bounds_deg") or (-90.0, 90.0, -90.0, 90.0)
    density = eye[0] / details.get("mesh_fov_deg", bounds[1] - bounds[0])
    details["pixels_per_degree"] = round(density, 2)
    if density < FEW_PIXELS_PER_DEGREE:
        warnings.append(
            f"One eye has {eye[0]} x {eye[1]} px, {density:.1f} a degree, so a 60 degree view of 512 px is blurred; "
            "take the best download there is."
        )
