"""What a clip is made of: whether it is still the same, and a copy of it on this machine where it lies elsewhere."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.batch.clips import is_address
from toolkit.batch.ledger import is_full
from toolkit.errors import UserError
from toolkit.media.recording import raw_video
from toolkit.media.suffixes import ANNOTATIONS

MAX_FETCHED_BYTES = 8 << 30
"""What lies behind an address may not be larger."""
_CHUNK = 4 << 20


class Unreachable(UserError):  # noqa: N818  (told by its sentence)
    """A place that did not hand out its file just now; it may the next time."""


def print_of(path: str) -> str:
    """By which a clip is known to be unchanged, without reading it: sizes and times of its files; for an address what its server says.

    Raises:
        UserError: it is not there.
    """
    if is_address(path):
        return _print_behind(path)
    place = Path(path)
    try:
        files = _files_of(place)
        told = [(os.path.relpath(file, place.parent), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError as problem:
        raise UserError(f"There is no file or folder {path}.") from problem
    return hashlib.sha256(repr(told).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def content_of(path: str | os.PathLike[str]) -> str:
    """The same by what is in its files, whatever their times: sha256 over names and bytes."""
    place = Path(path)
    files = _files_of(place)
    found = hashlib.sha256()
    for file in files:
        # One file may be renamed and copied; of several each has its place.
        if len(files) > 1:
            found.update(os.path.relpath(file, place.parent).encode("utf-8", "surrogateescape") + b"\0")
        with file.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()


def _files_of(place: Path) -> list[Path]:
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.is_file())
    beside = raw_video(place, None) if place.suffix.lower() in ANNOTATIONS else None
    return [place] if beside is None else [place, beside]


def _print_behind(address: str) -> str:
    import fsspec

    try:
        system, place = fsspec.core.url_to_fs(address)
        return str(system.ukey(place))[:64]
    except (ImportError, ValueError) as problem:
        protocol = address.split("://", 1)[0]
        raise UserError(f"{address} can't be opened: fsspec lacks the package for {protocol}:// ({problem}).") from problem
    except FileNotFoundError as problem:
        raise UserError(f"There is no file {address}.") from problem
    except NotImplementedError:
        return hashlib.sha256(address.encode()).hexdigest()[:32]  # a server that tells nothing of its files


@contextmanager
def at_hand(path: str, folder: Path) -> Iterator[Path]:
    """The clip on this machine: where it lies, or fetched into a folder for as long as it is needed.

    Raises:
        UserError: it can't be fetched, or is larger than is trusted.
    """
    if not is_address(path):
        yield Path(path)
        return
    inside = folder / "fetched"
    inside.mkdir(parents=True)
    try:
        yield _fetched(path, inside / (path.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1] or "clip"))
    finally:
        shutil.rmtree(inside, ignore_errors=True)


def _fetched(address: str, target: Path) -> Path:
    import fsspec

    written = 0
    try:
        with fsspec.open(address, "rb") as source, target.open("xb") as sink:
            while chunk := source.read(_CHUNK):  # type: ignore[union-attr]
                written += len(chunk)
                if written > MAX_FETCHED_BYTES:
                    raise UserError(f"{address} is larger than the {MAX_FETCHED_BYTES >> 30} GB that are fetched.")
                sink.write(chunk)
    except FileNotFoundError as problem:
        raise UserError(f"There is no file {address}.") from problem
    except UserError:
        raise
    except (ImportError, ValueError) as problem:
        protocol = address.split("://", 1)[0]
        raise UserError(f"{address} can't be opened: fsspec lacks the package for {protocol}:// ({problem}).") from problem
    except Exception as problem:  # each protocol's package has errors of its own
        if is_full(problem):
            raise
        raise Unreachable(f"{address} can't be fetched: {problem!r:.200}.") from problem
    return target
