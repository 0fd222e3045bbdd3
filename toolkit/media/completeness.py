"""Is a file all there? Downloads and copies that stopped half-way are told before any work is done on them."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from toolkit.media.boxes import top_level

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067  # Matroska: element ids of the header and of everything else


def missing_bytes(path: str | os.PathLike[str]) -> str:
    """What a video file lacks at its end, in words.

    Args:
        path: An MP4, MOV, Matroska, WebM, AVI or WAV file.

    Returns:
        "" for a whole file, for one that does not tell its length (live recordings), and for files of other kinds.
    """
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(12)
        if head[:4] == struct.pack(">I", _EBML):
            return _told(length, _matroska_end(file))
        if head[:4] == b"RIFF" and len(head) == 12:
            return _told(length, 8 + struct.unpack_from("<I", head, 4)[0])
        found = top_level(file)
    if not found:
        return ""
    last, claimed = found[-1]
    if not last.whole:
        there = (last.end - last.start) / max(claimed, 1)
        return f"its {last.kind.decode()} box holds {100 * there:.0f} % of what it should"
    if b"moov" not in {box.kind for box, _ in found}:
        return "its index (moov) is missing"
    return ""


def _told(length: int, end: int | None) -> str:
    return f"{100 * length / end:.0f} % of its {end} bytes are there" if end is not None and end > length else ""


def _matroska_end(file: BinaryIO) -> int | None:
    """Where the segment of a Matroska file ends; None where it does not say."""
    file.seek(4)
    header = _size(file)
    if header is None:
        return None
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != struct.pack(">I", _SEGMENT):
        return None
    segment = _size(file)
    return None if segment is None else file.tell() + segment


def _size(file: BinaryIO) -> int | None:
    """A size as EBML writes it: the number of leading zero bits tells how many bytes follow; all ones means unknown."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    if len(rest) < more:
        return None
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + rest, "big")
    return None if value == (1 << (7 * (more + 1))) - 1 else value
