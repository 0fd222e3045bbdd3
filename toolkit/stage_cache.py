"""What costly stages found, kept on disk by what it depends on: a run with other settings redoes only the stages that they touch."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.disk_arrays import large_empty, pieces

Arrays = dict[str, np.ndarray]
_LOOKED_AFTER = 0.02
"""Share of all room that is filled before somebody looks again how much there is."""
_BLOCK = 16 << 20  # bytes that are read at a time


@dataclass
class StageCache:
    """A folder of what stages found, the longest unused of which goes first.

    Attributes:
        folder: Where it lies; nothing else does.
        most_mb: That all of it may take.
        content: Hash of the clip that is worked on.
        made: Stages that were computed.
        kept: Stages that were found.
    """

    folder: Path
    most_mb: float
    content: str
    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    _room_mb: float = 0.0

    def read(self, name: str, key: str) -> Arrays | None:
        """What is kept under a key; None where nothing is, or what is can't be read."""
        path = self._path(name, key)
        try:
            with zipfile.ZipFile(path) as file:
                found = {member.removesuffix(".npy"): _array_in(file, member) for member in file.namelist()}
            os.utime(path)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        return found

    def write(self, name: str, key: str, arrays: Arrays) -> None:
        """Keeps arrays where there is room for them; a disk without any is no mistake."""
        needed_mb = sum(array.nbytes for array in arrays.values()) / 1e6
        if needed_mb > self.most_mb / 2:
            return
        path = self._path(name, key)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if needed_mb > self._room_mb:  # looked at now and then: there may be thousands of files, and others write here, too
                shrink(self.folder, self.most_mb - needed_mb)
                self._room_mb = needed_mb + _LOOKED_AFTER * self.most_mb
            self._room_mb -= needed_mb
            with open(partial, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)

    def _path(self, name: str, key: str) -> Path:
        return self.folder / f"{name}-{key}.npz"


def shrink(folder: Path, most_mb: float) -> float:
    """Takes away what was longest not used, until the rest is no more than that; tells how many MB went."""
    found = []
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):  # another worker took it away
            found.append((path.stat().st_mtime, path.stat().st_size / 1e6, path))
    total, gone = sum(size for _, size, _ in found), 0.0
    for _, size, path in sorted(found):
        if total - gone <= most_mb:
            break
        path.unlink(missing_ok=True)
        gone += size
    return gone


def _array_in(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """An array of an .npz file, in a file of its own where it is large: a long clip's does not fit into memory."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("objects are never read")
        array = large_empty(shape[::-1] if columns_first else shape, dtype)
        for some in pieces(array.nbytes, 1, most=_BLOCK) if array.nbytes else ():
            block = file.read(some.stop - some.start)
            array.reshape(-1).view(np.uint8)[some] = np.frombuffer(block, np.uint8)
        if file.read(1):
            raise ValueError("more than its header tells")
    return array.T if columns_first else array


_current: ContextVar[StageCache | None] = ContextVar("stage_cache", default=None)


@contextlib.contextmanager
def keeping(cache: StageCache | None) -> Iterator[None]:
    """Inside, stages look here first."""
    token = _current.set(cache)
    try:
        yield
    finally:
        _current.reset(token)


def kept_or_made(name: str, depends_on: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
    """What a stage found before for the same clip and settings, by the same code; what it finds now where there is no such thing.

    Args:
        name: Of the stage.
        depends_on: All that it depends on beside the clip and the code: JSON-like, or arrays.
        make: Computes it.
    """
    cache = _current.get()
    if cache is None:
        return make()
    told = json.dumps(
        [cache.content, _code(), {key: _print(value) for key, value in sorted(depends_on.items())}], sort_keys=True, default=repr
    )
    key = hashlib.sha256(told.encode()).hexdigest()[:32]
    found = cache.read(name, key)
    if found is not None:
        cache.kept.append(name)
        return found
    cache.made.append(name)
    arrays = make()
    cache.write(name, key, arrays)
    return arrays


def _print(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    told = hashlib.sha256()
    for some in pieces(len(value), value[:1].nbytes, most=_BLOCK) if value.ndim else (...,):
        told.update(np.ascontiguousarray(value[some]).tobytes())
    return [str(value.dtype), list(value.shape), told.hexdigest()]


@functools.cache
def _code() -> str:
    """Changes with the text of the program and with the libraries that it computes with."""
    import cv2

    told = hashlib.sha256(f"{np.__version__} {cv2.__version__}".encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        told.update(path.read_bytes())
    return told.hexdigest()
