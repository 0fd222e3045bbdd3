"""The boxes that MP4 and MOV files are made of, read without trusting a single length in them (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_INDEX_BYTES = 256 << 20
"""A larger `moov` is not read: ten hours of video need about 30 MB."""

_TOP_LEVEL = {
    b"ftyp",
    b"moov",
    b"mdat",
    b"free",
    b"skip",
    b"wide",
    b"moof",
    b"mfra",
    b"sidx",
    b"styp",
    b"uuid",
    b"meta",
    b"pnot",
    b"prft",
    b"emsg",
}


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        kind: Four-character code.
        start: Where its payload starts, in bytes.
        end: Where it ends; never beyond its parent.
        whole: False where its length points beyond its parent.
    """

    kind: bytes
    start: int
    end: int
    whole: bool = True


def children(data: bytes | memoryview, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes between two places of a buffer; stops quietly where the bytes are no boxes."""
    stop = len(data) if end is None else min(end, len(data))
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1 and start + 16 <= stop:
            size, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        elif size == 0:
            size = stop - start
        if size < header:
            return
        yield Box(kind, start + header, min(start + size, stop), start + size <= stop)
        start += size


def find(data: bytes | memoryview, box: Box, *path: bytes) -> Box | None:
    """The first box at a path of kinds below `box`, such as (b"mdia", b"minf")."""
    for kind in path:
        found = next((child for child in children(data, box.start, box.end) if child.kind == kind), None)
        if found is None:
            return None
        box = found
    return box


def top_level(file: BinaryIO) -> list[tuple[Box, int]]:
    """The boxes of a file with the length each claims; empty for a file that is not MP4 or MOV."""
    file.seek(0, 2)
    length = file.tell()
    found: list[tuple[Box, int]] = []
    at = 0
    while at + 8 <= length:
        file.seek(at)
        head = file.read(16)
        size, kind = struct.unpack_from(">I4s", head)
        header = 8
        if size == 1 and len(head) == 16:
            size, header = struct.unpack_from(">Q", head, 8)[0], 16
        elif size == 0:
            size = length - at
        if size < header or kind not in _TOP_LEVEL:
            break
        found.append((Box(kind, at + header, min(at + size, length), at + size <= length), size))
        at += size
    return found if any(box.kind in (b"ftyp", b"moov", b"mdat") for box, _ in found) else []
