"""Writes into an MP4 or MOV file how its picture is to be seen: the boxes st3d and sv3d of Google's Spherical Video V2."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

from toolkit.errors import UserError
from toolkit.media.boxes import MAX_INDEX_BYTES, Box, children, find, top_level
from toolkit.media.spherical import Spherical
from toolkit.media.writing import replacing

LABELLED = (".mp4", ".mov")
"""Suffixes of files that can hold the boxes."""

_MODES = {"mono": 0, "top-bottom": 1, "side-by-side": 2}
_RIGHT_LEFT = 4
_SOURCE = b"Lift4D\0"


def check_label(spherical: Spherical) -> None:
    """Tells what can't be written before a long encoding.

    Raises:
        UserError: a projection other than equirect (or none, for flat pictures), bounds that are no part of a sphere, or top-bottom eyes
            the wrong way round, for which there is no mark.
    """
    if spherical.projection not in (None, "rectilinear", "equirect"):
        raise UserError(f"Videos are labelled as equirect or flat, but the projection asked for is {spherical.projection!r}.")
    if spherical.swapped and spherical.stereo_layout != "side-by-side":
        raise UserError(f"Swapped eyes can be marked side by side only, but the layout is {spherical.stereo_layout!r}.")
    left, right, top, bottom = spherical.fov_bounds_deg or (-180.0, 180.0, -90.0, 90.0)
    if not (-180 <= left < right <= 180 and -90 <= top < bottom <= 90):
        raise UserError(f"The bounds {spherical.fov_bounds_deg} are no part of a sphere: yaw within -180 .. 180, tilt within -90 .. 90.")


def label_video(path: str | os.PathLike[str], spherical: Spherical) -> None:
    """Puts stereo layout, projection, bounds and pose into the sample entry of a file's picture.

    Args:
        path: An MP4 or MOV file without such boxes; it is replaced when the new one is complete.
        spherical: What to write; `stereo_layout`, `projection`, `fov_bounds_deg`, `pose_deg` and `swapped` count. The bounds lie on the
            outer edges of the picture of one eye.

    Raises:
        UserError: as `check_label`, or a file without a picture track.
    """
    check_label(spherical)
    source = Path(path)
    with open(source, "rb") as old:
        places = [box for box, _ in top_level(old) if box.kind == b"moov"]
        if not places or places[0].end - places[0].start > MAX_INDEX_BYTES:
            raise UserError(f"{source.name} has no index that could be labelled.")
        moov = places[0]
        old.seek(moov.start)
        index = old.read(moov.end - moov.start)
        labelled = _labelled(index, moov, label_boxes(spherical), source.name)
        with replacing(source) as partial, open(partial, "wb") as new:
            old.seek(0)
            new.write(old.read(moov.start - 8))
            new.write(struct.pack(">I4s", 8 + len(labelled), b"moov") + labelled)
            old.seek(moov.end)
            shutil.copyfileobj(old, new, 1 << 20)


def label_boxes(spherical: Spherical) -> bytes:
    """The boxes st3d (stereo layout) and sv3d (projection, pose, bounds), as far as there is anything to say."""
    out = b""
    if spherical.stereo_layout is not None:
        mode = _RIGHT_LEFT if spherical.swapped else _MODES[spherical.stereo_layout]
        out += _box(b"st3d", struct.pack(">IB", 0, mode))
    if spherical.projection == "equirect":
        pose = struct.pack(">I3i", 0, *(round(65536 * angle) for angle in spherical.pose_deg))
        bounds = struct.pack(">5I", 0, *_cropped(spherical.fov_bounds_deg or (-180.0, 180.0, -90.0, 90.0)))
        out += _box(
            b"sv3d",
            _box(b"svhd", bytes(4) + _SOURCE) + _box(b"proj", _box(b"prhd", pose) + _box(b"equi", bounds)),
        )
    return out


def _cropped(bounds_deg: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """What is cropped off the top, bottom, left and right of a full sphere, in units of 2^-32: `equirect_bounds` the other way."""
    left, right, top, bottom = bounds_deg
    shares = ((top + 90) / 180, (90 - bottom) / 180, (left + 180) / 360, (180 - right) / 360)
    return tuple(min(round(share * 2**32), 2**32 - 1) for share in shares)  # type: ignore[return-value]


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def _labelled(index: bytes, moov: Box, extra: bytes, name: str) -> bytes:
    """The payload of `moov` with `extra` at the end of the picture's sample entry, sizes and chunk offsets put right."""
    for track in children(index):
        handler = find(index, track, b"mdia", b"hdlr") if track.kind == b"trak" else None
        if handler is None or index[handler.start + 8 : handler.start + 12] != b"vide":
            continue
        road = [track]
        for kind in (b"mdia", b"minf", b"stbl", b"stsd"):
            road.append(_needed(find(index, road[-1], kind), name))
        # The table starts with version and a count; the boxes around it just begin.
        road.append(_needed(next(children(index, road[-1].start + 8, road[-1].end), None), name))
        out = bytearray(index)
        _move_chunks(out, moov.end, len(extra))
        for box in road:
            # Boxes this deep in an index have 32-bit sizes, right before their kind.
            (size,) = struct.unpack_from(">I", out, box.start - 8)
            struct.pack_into(">I", out, box.start - 8, size + len(extra))
        out[road[-1].end : road[-1].end] = extra
        return bytes(out)
    raise UserError(f"{name} has no picture track that could be labelled.")


def _needed(box: Box | None, name: str) -> Box:
    if box is None:
        raise UserError(f"{name} has no picture track that could be labelled.")
    return box


def _move_chunks(index: bytearray, after: int, by: int) -> None:
    """Adds `by` to the offset of every chunk that lies behind the index, whatever track it belongs to."""
    boxes = bytes(index)
    for track in children(boxes):
        table = find(boxes, track, b"mdia", b"minf", b"stbl") if track.kind == b"trak" else None
        for box in children(boxes, table.start, table.end) if table else ():
            if box.kind not in (b"stco", b"co64"):
                continue
            shape, width = (">I", 4) if box.kind == b"stco" else (">Q", 8)
            (count,) = struct.unpack_from(">I", boxes, box.start + 4)
            for at in range(box.start + 8, box.start + 8 + width * count, width):
                (offset,) = struct.unpack_from(shape, boxes, at)
                if offset >= after:
                    struct.pack_into(shape, index, at, offset + by)
