"""Zip archives, unpacked only as far as they are safe: no way out of the folder, no links, no bombs, known kinds of files alone."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from toolkit.errors import UserError
from toolkit.media.suffixes import ANNOTATIONS, CALIBRATIONS, IMAGES, VIDEOS


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold.

    Attributes:
        bytes: All files together, unpacked.
        files: Number of files.
        ratio: Unpacked over packed size; photos and video hardly pack at all, calibration files up to 20.
        ratio_from_bytes: Smaller archives may have any ratio.
    """

    bytes: int = 4 << 30
    files: int = 20_000
    ratio: float = 100.0
    ratio_from_bytes: int = 50 << 20


_CHUNK = 1 << 20
_ODD_NAMES = (errno.EEXIST, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ)
_DAMAGED = "{name} is not a zip archive, or it is damaged; pack it again."


@contextmanager
def unpacked(path: str | os.PathLike[str], limits: ArchiveLimits | None = None) -> Iterator[Path]:
    """A temporary folder with the media and calibration files of a zip archive; it is removed afterwards.

    Args:
        path: The archive.
        limits: What it may hold.

    Raises:
        UserError: not a zip, damaged, encrypted, empty, beyond the limits, or with paths that lead out of it.
    """
    limits = limits or ArchiveLimits()
    path = Path(path)
    folder = Path(tempfile.mkdtemp(prefix="lift4d-"))
    try:
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, path.name, folder, limits)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, zlib.error, struct.error, UnicodeError) as error:
            raise UserError(_DAMAGED.format(name=path.name)) from error
        except OSError as error:
            if error.errno not in (errno.EINVAL, None):  # a place before the start of the file
                raise
            raise UserError(_DAMAGED.format(name=path.name)) from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_file(target: Path, archive: str, member: str) -> BinaryIO:
    """Opens a file that is not there yet."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return open(target, "xb")
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _ODD_NAMES:
            raise
        raise UserError(f"{archive} holds {member[:60]!r}, a name that can't be unpacked or that is there twice.") from error


def _unpack(archive: zipfile.ZipFile, name: str, folder: Path, limits: ArchiveLimits) -> None:
    members = [m for m in archive.infolist() if m.filename and not m.is_dir()]
    if len(members) > limits.files:
        raise UserError(f"{name} holds {len(members)} files, but at most {limits.files} are unpacked.")
    total = sum(m.file_size for m in members)
    packed = max(1, sum(m.compress_size for m in members))
    if total > limits.bytes or (total > limits.ratio_from_bytes and total / packed > limits.ratio):
        raise UserError(f"{name} unpacks to {total / 1e6:.0f} MB from {packed / 1e6:.1f} MB, which is more than is trusted.")
    written = kept = 0
    for member in members:
        inner = PurePosixPath(member.filename.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts or ":" in member.filename:
            raise UserError(f"{name} holds {member.filename!r}, a path that leads out of the archive; it is not unpacked.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{name} holds the link {member.filename!r}; links are not unpacked.")
        if member.flag_bits & 1:
            raise UserError(f"{name} is encrypted; pack it without a password.")
        if inner.suffix.lower() not in VIDEOS | IMAGES | CALIBRATIONS | ANNOTATIONS or any(
            p.startswith((".", "__MACOSX")) for p in inner.parts
        ):
            continue
        target = folder.joinpath(*inner.parts)
        with archive.open(member) as source, _new_file(target, name, member.filename) as sink:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                # The sizes in the directory of an archive may lie.
                if written > limits.bytes or written > total:
                    raise UserError(f"{name} unpacks to more than it says; it is not trusted.")
                sink.write(chunk)
        kept += 1
    if kept == 0:
        raise UserError(f"{name} holds no videos, photos or Stereo4D annotations.")
