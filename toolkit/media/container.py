"""What an MP4 or MOV file says about itself: stereo layout, projection, lens meshes, motion track, completeness."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.lens_mesh import LensMesh
from toolkit.media.boxes import MAX_INDEX_BYTES, Box, children, find, top_level
from toolkit.media.motion import Orientations, read_orientations
from toolkit.media.spherical import MeshData, Spherical, read_st3d, read_sv3d, read_v1_xml

_SPHERICAL_V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_VISUAL_ENTRY_BYTES = 78  # fixed part of a visual sample entry, before its boxes


@dataclass(frozen=True, eq=False)
class Container:
    """What the boxes of a file say; everything is empty for files of other kinds.

    Attributes:
        codec: Four-character code of the picture, such as "avc1"; "" where not found.
        spherical: Stereo layout, projection, bounds and lens meshes.
        orientations: Camera orientation over time from a `camm` motion track; None where there is none.
        notes: Sentences on what is odd about the file.
    """

    codec: str = ""
    spherical: Spherical = field(default_factory=Spherical)
    orientations: Orientations | None = None
    notes: tuple[str, ...] = ()


def read_container(path: str | os.PathLike[str]) -> Container:
    """Reads the boxes of an MP4 or MOV file; other files, and broken boxes, give an empty result with notes.

    Args:
        path: A video file.

    Returns:
        What was found.
    """
    with open(path, "rb") as file:
        moov = next((box for box, _ in top_level(file) if box.kind == b"moov"), None)
        if moov is None or moov.end - moov.start > MAX_INDEX_BYTES:
            return Container()
        file.seek(moov.start)
        data = file.read(moov.end - moov.start)
        return _read_index(data, file)


def lens_meshes(meshes: tuple[MeshData, ...], eye_size: tuple[int, int]) -> tuple[LensMesh, LensMesh]:
    """The stored meshes as lenses of the left and the right eye.

    Args:
        meshes: One or two; a single one serves both eyes.
        eye_size: (width, height) of the picture of one eye, in pixels.

    Returns:
        Left and right lens in the eye's axes (x right, y down, z forward) and continuous pixels.
    """
    if not meshes:
        raise UserError("The file holds no lens mesh.")
    lenses = []
    for mesh in (meshes[0], meshes[-1]):
        rays = mesh.vertices[:, :3] * [1.0, -1.0, -1.0]  # OpenGL's axes to OpenCV's
        xy = np.stack([mesh.vertices[:, 3], 1.0 - mesh.vertices[:, 4]], axis=1) * eye_size
        lenses.append(LensMesh(rays, xy, mesh.triangles, eye_size))
    return lenses[0], lenses[1]


def _read_index(data: bytes, file: BinaryIO) -> Container:
    """Goes through the tracks of a `moov` box."""
    found = Container()
    movie = next((b for b in children(data) if b.kind == b"mvhd"), None)
    for track in children(data):
        if track.kind != b"trak":
            continue
        handler = find(data, track, b"mdia", b"hdlr")
        kind = data[handler.start + 8 : handler.start + 12] if handler else b""
        table = find(data, track, b"mdia", b"minf", b"stbl")
        if table is None:
            continue
        description = find(data, table, b"stsd")
        entry = next(children(data, description.start + 8, description.end), None) if description else None
        if kind == b"vide" and entry is not None and not found.codec:
            found = replace(found, codec=entry.kind.decode("latin-1"))
            found = _read_picture_track(data, track, entry, found)
        elif entry is not None and entry.kind == b"camm" and found.orientations is None:
            try:
                scale = _timescale(data, find(data, track, b"mdia", b"mdhd"))
                shift_s = _edit_start(data, track, movie, scale)
                found = replace(found, orientations=read_orientations(data, table, scale, shift_s, file))
            except (struct.error, ValueError) as error:
                found = replace(found, notes=(*found.notes, f"The motion track (camm) can't be read ({error}) and was ignored."))
    return replace(found, notes=(*found.notes, *found.spherical.notes))


def _read_picture_track(data: bytes, track: Box, entry: Box, found: Container) -> Container:
    """Stereo and projection boxes of the picture track."""
    spherical, notes = found.spherical, found.notes
    inner = list(children(data, entry.start + _VISUAL_ENTRY_BYTES, entry.end))
    for box in inner:
        if box.kind == b"st3d":
            spherical = read_st3d(data[box.start : box.end], spherical)
        elif box.kind == b"sv3d":
            spherical = read_sv3d(data[box.start : box.end], spherical)
        elif box.kind == b"vexu":
            notes = (
                *notes,
                "This is spatial video with two layers (MV-HEVC); only one eye is decoded, so export it side by side for depth.",
            )
    for box in children(data, track.start, track.end):
        if box.kind == b"uuid" and data[box.start : box.start + 16] == _SPHERICAL_V1:
            spherical = read_v1_xml(data[box.start + 16 : box.end], spherical)
    return replace(found, spherical=spherical, notes=notes)


def _timescale(data: bytes, header: Box | None) -> int:
    """Ticks per second from an mvhd or mdhd box."""
    if header is None:
        raise ValueError("a header is missing")
    version = data[header.start]
    (scale,) = struct.unpack_from(">I", data, header.start + (20 if version == 1 else 12))
    if scale == 0:
        raise ValueError("its clock has no speed")
    return scale


def _edit_start(data: bytes, track: Box, movie: Box | None, media_scale: int) -> float:
    """Seconds to add to media times so that they count from the start of the movie (edit list: leading gap, media offset)."""
    edits = find(data, track, b"edts", b"elst")
    if edits is None:
        return 0.0
    version, (count,) = data[edits.start], struct.unpack_from(">I", data, edits.start + 4)
    shape, size = (">Qq", 20) if version == 1 else (">Ii", 12)
    shift = 0.0
    for i in range(count):
        duration, media_time = struct.unpack_from(shape, data, edits.start + 8 + i * size)
        if media_time >= 0:
            return shift - media_time / media_scale
        shift += duration / _timescale(data, movie)
    return shift
