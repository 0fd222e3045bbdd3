"""Arrays in .npz files, read without pickle and without trusting their sizes; from disk or any place fsspec reaches."""

from __future__ import annotations

import io
import mmap
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from toolkit.errors import UserError

MAX_ARRAY_BYTES = 8 << 30
"""One array may not unfold to more: the largest released clip has 0.1 GB."""

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    UnicodeError,
    struct.error,
)
"""What reading a zip file may raise whose bytes make no sense."""


class NpzReader:
    """An open .npz file; use it in a `with` block.

    Arrays of files that are not compressed are read in place, without a copy: copy what shall outlive the block.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens a file and looks at the header of every member.

        Args:
            path: A local path, or a URL such as `gs://bucket/clip.npz` whose protocol fsspec has a package for.

        Raises:
            UserError: no such file, not an .npz, or a member that holds Python objects.
        """
        self.name = str(path).rsplit("/", 1)[-1]
        self._map: mmap.mmap | None = None
        self._buffer = memoryview(b"")
        self._members: dict[str, zipfile.ZipInfo] = {}
        try:
            self._buffer = self._open(path)
            try:
                with zipfile.ZipFile(_Window(self._buffer)) as archive:
                    members = archive.infolist()
            except DAMAGED as error:
                raise UserError(f"{self.name} is not an .npz file, or it is cut off; copy or download it again.") from error
            self._members = {m.filename.removesuffix(".npy"): m for m in members if m.filename.endswith(".npy")}
            if not self._members:
                raise UserError(f"{self.name} is a zip file but holds no arrays (.npy).")
            self._headers = {name: self._header(name) for name in self._members}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> NpzReader:
        """The reader itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the file."""
        self.close()

    def __contains__(self, name: str) -> bool:
        """Whether there is an array of that name."""
        return name in self._members

    @property
    def names(self) -> list[str]:
        """Names of all arrays."""
        return list(self._members)

    def close(self) -> None:
        """Lets go of the file; arrays that were read in place keep it open as long as they live."""
        self._buffer = memoryview(b"")
        if self._map is not None:
            try:
                self._map.close()
            except BufferError:
                pass  # an array still looks into it; it closes with the last one
            self._map = None

    def array(self, name: str) -> NDArray:
        """One array, read-only.

        Raises:
            UserError: there is none of that name, or it is damaged.
        """
        if name not in self._members:
            raise UserError(f"{self.name} has no {name!r}; it has {', '.join(self.names)}.")
        shape, fortran, dtype, offset = self._headers[name]
        count = int(np.prod(shape, dtype=np.int64))
        data = self._unpacked(name, None)
        if len(data) - offset < count * dtype.itemsize:
            raise UserError(f"{name!r} in {self.name} is cut off: {shape} {dtype} does not fit into {len(data) - offset} bytes.")
        flat = np.frombuffer(data, dtype, count, offset)
        return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)

    def parts(self, name: str) -> Iterator[NDArray]:
        """One array in pieces along its first axis, read-only; a packed one is never in memory as a whole.

        Raises:
            UserError: as `array`, but damage may show only after the last piece.
        """
        if name not in self._members or self._members[name].compress_type == zipfile.ZIP_STORED:
            yield from self.array(name)
            return
        shape, fortran, dtype, offset = self._headers[name]
        if fortran or not shape:
            yield from self.array(name)
            return
        size = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        try:
            with zipfile.ZipFile(_Window(self._buffer)) as archive, archive.open(self._members[name]) as member:
                member.read(offset)
                for _ in range(shape[0]):
                    data = member.read(size)
                    if len(data) < size:
                        raise UserError(f"{name!r} in {self.name} is cut off.")
                    yield np.frombuffer(data, dtype).reshape(shape[1:])
                member.read(1)  # the checksum is compared where the member ends
        except DAMAGED as error:
            raise UserError(f"{name!r} in {self.name} is damaged.") from error

    def shape(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of an array, without reading it.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self._members:
            raise UserError(f"{self.name} has no {name!r}; it has {', '.join(self.names)}.")
        return self._headers[name][0], self._headers[name][2]

    def text(self, name: str) -> str:
        """One member that holds a string."""
        value = self.array(name)
        if value.dtype.kind not in "US" or value.size != 1:
            raise UserError(f"{name!r} in {self.name} is {value.dtype} of shape {value.shape}, but a text is needed.")
        item = value.reshape(-1)[0]
        return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)

    def number(self, name: str) -> float:
        """One member that holds a single finite number."""
        value = self.array(name)
        if value.dtype.kind not in "iuf" or value.size != 1 or not np.isfinite(value).all():
            told = f"{value.reshape(-1)[0].item()!r:.40}" if value.size == 1 else f"{value.dtype} of shape {value.shape}"
            raise UserError(f"{name!r} in {self.name} is {told}, but a number is needed.")
        return value.reshape(-1)[0].item()

    def _open(self, path: str | os.PathLike[str]) -> memoryview:
        if "://" in str(path):
            return memoryview(_fetch(str(path)))
        local = Path(path)
        if local.is_dir():
            raise UserError(f"{local} is a folder, but an .npz file is needed.")
        if not local.exists():
            raise UserError(f"There is no file {local}.")
        if local.stat().st_size == 0:
            raise UserError(f"{local.name} is empty (0 bytes).")
        with open(local, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self._map)

    def _header(self, name: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
        """(shape, Fortran order, dtype, bytes before the data) of a member."""
        try:
            head = io.BytesIO(self._unpacked(name, 12288))
            version = npy_format.read_magic(head)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, fortran, dtype = read(head)
        except (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError, tokenize.TokenError) as error:
            raise UserError(f"{name!r} in {self.name} is not a numpy array.") from error
        if dtype.hasobject:
            raise UserError(f"{name!r} in {self.name} holds Python objects (a pickle), which could run code and are never opened.")
        if any(n < 0 for n in shape):
            raise UserError(f"{name!r} in {self.name} is not a numpy array: its shape is {shape}.")
        if max(int(np.prod(shape, dtype=object)) * dtype.itemsize, *shape, 0) > MAX_ARRAY_BYTES:
            raise UserError(f"{name!r} in {self.name} claims {shape} {dtype}, more than the {MAX_ARRAY_BYTES >> 30} GB that are opened.")
        return shape, fortran, dtype, head.tell()

    def _unpacked(self, name: str, limit: int | None) -> memoryview | bytes:
        """The bytes of a member, or only its first ones; the checksum is compared when all are read."""
        member = self._members[name]
        try:
            fields = _LOCAL_HEADER.unpack_from(self._buffer, member.header_offset)
        except struct.error as error:
            raise UserError(f"{self.name} is cut off.") from error
        start = member.header_offset + _LOCAL_HEADER.size + fields[9] + fields[10]
        packed = self._buffer[start : start + member.compress_size]
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{name!r} in {self.name} is encrypted or packed in an unknown way.")
        if member.compress_type == zipfile.ZIP_STORED:
            data: memoryview | bytes = packed if limit is None else packed[:limit]
        else:
            if member.file_size > MAX_ARRAY_BYTES:
                raise UserError(f"{name!r} in {self.name} unfolds to more than {MAX_ARRAY_BYTES >> 30} GB.")
            try:
                data = zlib.decompressobj(-15).decompress(packed, member.file_size if limit is None else limit)
            except zlib.error as error:
                raise UserError(f"{name!r} in {self.name} is damaged.") from error
        if limit is None and (len(data) != member.file_size or zlib.crc32(data) != member.CRC):
            raise UserError(f"{name!r} in {self.name} is damaged: its checksum does not match; copy or download it again.")
        return data


class _Window(io.RawIOBase):
    """A buffer as a file, without a copy."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer, self._at = buffer, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, len(self._buffer))[whence]
        if self._at < 0:
            raise OSError("before the start")
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        stop = len(self._buffer) if size is None or size < 0 else self._at + size
        data = bytes(self._buffer[self._at : stop])
        self._at += len(data)
        return data


def _fetch(url: str) -> bytes:
    """A file behind a URL, whole."""
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            return file.read()  # type: ignore[union-attr]
    except FileNotFoundError as error:
        raise UserError(f"There is no file {url}.") from error
    except (ImportError, ValueError) as error:
        protocol = url.split("://", 1)[0]
        raise UserError(f"{url} can't be opened: fsspec lacks the package for {protocol}:// ({error}).") from error
    except OSError as error:
        raise UserError(f"{url} can't be read: {error}.") from error
