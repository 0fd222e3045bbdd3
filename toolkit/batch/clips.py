"""Which clips are meant: those of a folder, of a list, of a table, or behind addresses."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from toolkit.batch.wanted import Wanted, checked, parse_value
from toolkit.errors import UserError
from toolkit.media.recording import find_recording, raw_video
from toolkit.media.suffixes import ANNOTATIONS, VIDEOS
from toolkit.methods.registry import methods

_CLIPS = VIDEOS | ANNOTATIONS | {".zip"}
_OWN = ("method", "preset", "frames", "seed")
_NAME_LENGTH = 80


@dataclass(frozen=True)
class Clip:
    """One recording of many.

    Attributes:
        name: Of its folder of results; letters, digits, dots and dashes alone.
        path: The file, folder or address, absolute.
        wanted: What is asked of it.
    """

    name: str
    path: str
    wanted: Wanted


def is_address(text: str) -> bool:
    """Whether it names something that fsspec has to fetch."""
    return "://" in text


def find_clips(sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], wanted: Wanted, *, out: Path) -> list[Clip]:
    """The clips of sources, in order, each once.

    Args:
        sources: One or several of: a folder, whose files and folders are a clip each (a video that lies beside its annotation belongs to
            that); a text file with a path or address a line; a CSV or Parquet table with a column `path`, and where wanted `name`,
            `method`, `preset`, `frames`, `seed` and settings of the method; an address, in which * stands for anything; or a clip.
        wanted: What is asked of each, where a table does not say otherwise.
        out: The folder of results, which is no clip itself.

    Raises:
        UserError: a source that is not there, holds no clip, or a table that can't be read.
    """
    several = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    found: dict[str, Clip] = {}
    for source in several:
        before = len(found)
        for clip in _of_source(os.fspath(source), wanted, out):
            found.setdefault(clip.path, clip)
        if len(found) == before and len(several) == 1:
            raise UserError(f"{source} holds no clips: videos, zips, Stereo4D annotations, or folders of photos or views are needed.")
    if not found:
        raise UserError("No clips were named; a folder, a list, a table or an address is needed.")
    return _named(found.values())


def _of_source(source: str, wanted: Wanted, out: Path) -> Iterator[Clip]:
    if not source.strip():
        raise UserError("The name of a source is empty, but a folder, a list, a table or an address is needed.")
    if is_address(source):
        yield from (Clip("", address, wanted) for address in _behind(source))
        return
    path = Path(source)
    if not path.exists():
        raise UserError(f"There is no file or folder {path}.")
    suffix = path.suffix.lower()
    if path.is_dir():
        yield from (Clip("", str(inner), wanted) for inner in _in_folder(path.resolve(), out.resolve()))
    elif suffix == ".csv":
        yield from _of_rows(_csv_rows(path), path, wanted)
    elif suffix in (".parquet", ".pq"):
        yield from _of_rows(_parquet_rows(path), path, wanted)
    elif suffix in (".txt", ".lst", ".list"):
        yield from (Clip("", _placed(line, path), wanted) for line in _lines(path))
    else:
        yield Clip("", str(path.resolve()), wanted)


def _in_folder(folder: Path, out: Path) -> list[Path]:
    """What is a clip in a folder: known files, and folders that hold a recording."""
    inner = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.resolve() != out)
    files = [path for path in inner if path.is_file() and path.suffix.lower() in _CLIPS]
    belonging = {raw_video(path, None) for path in files if path.suffix.lower() in ANNOTATIONS}
    folders = [path for path in inner if path.is_dir() and _holds_recording(path)]
    return sorted({*files, *folders} - belonging)


def _holds_recording(folder: Path) -> bool:
    try:
        find_recording(folder)
    except UserError:
        return False
    return True


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"The list {path} can't be read; a text file with a path or address a line is needed.") from problem
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _placed(text: str, listing: Path) -> str:
    """A path of a list, seen from where the list lies."""
    return text if is_address(text) else str((listing.parent / text).resolve())


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise UserError(f"The table {path} can't be read ({problem}).") from problem


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-not-found]
    except ModuleNotFoundError as problem:
        raise UserError(f"Reading {path.name} needs pyarrow: pip install pyarrow, or bring the table as CSV.") from problem
    try:
        return parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as problem:  # ArrowInvalid is a ValueError
        raise UserError(f"{path.name} is not a Parquet table, or it is damaged.") from problem


def _of_rows(rows: list[dict[str, Any]], path: Path, wanted: Wanted) -> Iterator[Clip]:
    if rows and "path" not in rows[0]:
        raise UserError(f"The table {path.name} has no column path; it has: {', '.join(map(str, rows[0]))}.")
    settings = {f.name for info in methods().values() for f in fields(info.settings)}
    for number, row in enumerate(rows, start=1):
        given = {k: v for k, v in row.items() if k and v is not None and str(v).strip()}
        if "path" not in given:
            raise UserError(f"Row {number} of {path.name} has no path.")
        own = {k: _own(k, given[k], number, path) for k in _OWN if k in given}
        options = {k: parse_value(str(v)) for k, v in given.items() if k in settings and k not in _OWN}
        theirs = wanted
        if own or options:
            theirs = checked(**{**wanted.as_json(), **own, "options": {**wanted.options, **options}})
        yield Clip(str(given.get("name", "")), _placed(str(given["path"]), path), theirs)


def _own(name: str, value: Any, number: int, path: Path) -> Any:
    if name not in ("frames", "seed"):
        return str(value).strip()
    try:
        return int(float(value))
    except ValueError as problem:
        raise UserError(f"Row {number} of {path.name} has {value!r} as {name}, but a whole number is needed.") from problem


def _behind(address: str) -> list[str]:
    """The addresses that one with * stands for, or that a folder at that address holds."""
    import fsspec

    protocol = address.split("://", 1)[0]
    try:
        system, place = fsspec.core.url_to_fs(address)
        if "*" not in place and "?" not in place:
            if protocol in ("http", "https") or not system.isdir(place):
                return [address]
            place = f"{place.rstrip('/')}/*"
        found = [system.unstrip_protocol(str(path)) for path in sorted(system.glob(place))]
    except (ImportError, ValueError) as problem:
        raise UserError(f"{address} can't be opened: fsspec lacks the package for {protocol}:// ({problem}).") from problem
    except OSError as problem:
        raise UserError(f"{address} can't be looked at: {problem}.") from problem
    return [path for path in found if Path(path).suffix.lower() in _CLIPS]


def _named(clips: Iterable[Clip]) -> list[Clip]:
    """Clips with a name each of their own, that a file system anywhere takes."""
    listed = list(clips)
    wished = [_plain(clip.name or clip.path.rstrip("/").rsplit("/", 1)[-1]) for clip in listed]
    folded = [name.casefold() for name in wished]
    counts: Mapping[str, int] = {name: folded.count(name) for name in set(folded)} if len(set(folded)) < len(folded) else {}
    named = []
    for clip, name in zip(listed, wished, strict=True):
        alone = counts.get(name.casefold(), 1) == 1
        mark = hashlib.sha256(clip.path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        named.append(replace(clip, name=name if alone else f"{name}-{mark}"))
    return named


def _plain(name: str) -> str:
    """A name of letters, digits, dots and dashes; what else there is becomes a dash, and a mark keeps two such apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:_NAME_LENGTH]
    if plain == name:
        return plain
    return f"{plain or 'clip'}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
