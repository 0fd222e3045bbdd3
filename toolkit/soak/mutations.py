"""Ways to spoil a file: its bytes, its boxes, its members, its numbers, its sizes. The same generator spoils it in the same way."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from numpy.lib import format as npy_format

Mutation = Callable[[bytes, np.random.Generator], bytes]

_WORDS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1_000_000, 100_000)
_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"udta", b"sv3d", b"proj")
_NUMBERS = ("nan", "inf", "-inf", "1e308", "-1e308", "0", "-1", "1e-320", "99999999999999999999", "x", "", "null", "[]", '"', "{", "1e9")
_NAMES = (
    "../../evil.mp4",
    "/etc/evil.mp4",
    "a\0b.mp4",
    "C:\\evil.mp4",
    ".hidden.mp4",
    "x" * 300 + ".mp4",
    "ü\ud7ff.mp4",
    "a/b/c/d.jpg",
    "con.mp4",
)
_SHAPES = ((0,), (), (1 << 40,), (1 << 62, 4), (-1,), (3, 0, 5), (2, 2, 2, 2, 2, 2, 2), (10**9, 10**9))
_TYPES = ("<f8", "|O", "<U9", "|S3", "<c16", "|b1", "<M8[ns]", "|V8", ">f4", "<i8", "|u1", "<f2")


def bits(data: bytes, rng: np.random.Generator) -> bytes:
    """Flips single bits."""
    spoilt = bytearray(data)
    for at in rng.integers(0, max(1, len(data)), int(2 ** rng.uniform(0, 8))):
        if spoilt:
            spoilt[at] ^= 1 << int(rng.integers(8))
    return bytes(spoilt)


def words(data: bytes, rng: np.random.Generator) -> bytes:
    """Writes numbers at the edge of what a field holds over some places, most of them near the start or the end."""
    spoilt = bytearray(data)
    for _ in range(int(2 ** rng.uniform(0, 5))):
        if len(spoilt) < 8:
            break
        span = min(len(spoilt) - 4, int(2 ** rng.uniform(4, 20)))
        at = int(rng.integers(0, span))
        at = at if rng.random() < 0.5 else len(spoilt) - 4 - at
        struct.pack_into(str(rng.choice(["<I", ">I"])), spoilt, at, int(rng.choice(_WORDS)))
    return bytes(spoilt)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """Leaves out the end, the start, or a piece."""
    a, b = sorted(int(v) for v in rng.integers(0, len(data) + 1, 2))
    return (data[:a], data[b:], data[:a] + data[b:])[int(rng.integers(3))]


def doubled(data: bytes, rng: np.random.Generator) -> bytes:
    """Says a piece twice, or puts zeros or noise in its place."""
    a, b = sorted(int(v) for v in rng.integers(0, len(data) + 1, 2))
    b = min(b, a + (1 << 16))
    return data[:b] + (data[a:b], bytes(b - a), rng.bytes(b - a))[int(rng.integers(3))] + data[b if rng.random() < 0.5 else a :]


def boxes(data: bytes, rng: np.random.Generator) -> bytes:
    """Spoils a box of an MP4 file: its length, its kind, its numbers; or drops it, doubles it, or puts it into itself."""
    found = list(_boxes(data, 0, len(data)))
    if not found:
        return words(data, rng)
    spoilt = bytearray(data)
    start, end = found[int(rng.integers(len(found)))]
    choice = int(rng.integers(6))
    if choice == 0:
        struct.pack_into(">I", spoilt, start, int(rng.choice([*_WORDS, end - start - 1, end - start + 1, 8, 7])))
    elif choice == 1:
        spoilt[start + 4 : start + 8] = rng.choice([b"free", b"moov", b"trak", b"stbl", b"stsz", b"\0\0\0\0", b"sv3d", b"mesh"])
    elif choice == 2 and end - start >= 16:
        for _ in range(int(rng.integers(1, 5))):
            at = int(rng.integers(start + 8, end - 3))
            struct.pack_into(">I", spoilt, at, int(rng.choice(_WORDS)))
    elif choice == 3:
        del spoilt[start:end]
    elif choice == 4:
        spoilt[start:start] = data[start:end]
    else:
        spoilt[min(start + 8, end) : min(start + 8, end)] = data[start:end]
    return bytes(spoilt)


def _boxes(data: bytes, start: int, stop: int) -> list[tuple[int, int]]:
    found = []
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > stop:
            break
        found.append((start, start + size))
        if kind in _CONTAINERS:
            found += _boxes(data, start + 8, start + size)
        elif kind == b"stsd":  # the sample entry holds st3d and sv3d behind its own fields
            found += _boxes(data, start + 16, start + size) + _boxes(data, start + 16 + 86, start + size)
        start += size
    return found


def members(data: bytes, rng: np.random.Generator) -> bytes:
    """Packs an archive anew with one member or more renamed, emptied, doubled, spoilt, blown up, or lying about itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = [(member.filename, archive.read(member)) for member in archive.infolist()]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError):
        return words(data, rng)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.7 else zipfile.ZIP_STORED) as archive:
        chosen = set(rng.choice(len(inside), int(rng.integers(1, 3)))) if inside else set()
        for i, (name, content) in enumerate(inside):
            if i not in chosen:
                _add(archive, name, content)
                continue
            how = int(rng.integers(7))
            if how == 1:
                _add(archive, str(rng.choice(_NAMES)), content)
            elif how == 2:
                _add(archive, name, b"")
            elif how == 3:
                _add(archive, name, (bits, words, cut, doubled, arrays, numbers)[int(rng.integers(6))](content, rng))
            elif how == 4:
                _add(archive, name, bytes(1 << int(rng.integers(20, 27))))
            elif how == 5:
                link = zipfile.ZipInfo(name)
                link.external_attr = 0o120777 << 16
                archive.writestr(link, "/etc/passwd")
            elif how == 6:
                _add(archive, name, content)
                _add(archive, f"again/{name}", content)
    packed = bytearray(target.getvalue())
    if rng.random() < 0.3:  # sizes in the directory that are not true
        at = packed.rfind(b"PK\x01\x02")
        if at >= 0 and at + 28 <= len(packed):
            struct.pack_into("<I", packed, at + int(rng.choice([8, 16, 20, 24])), int(rng.choice(_WORDS)))
    return bytes(packed)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Adds a member that does not tell when it was added."""
    member = zipfile.ZipInfo(name)
    member.compress_type = archive.compression
    archive.writestr(member, content)


def arrays(data: bytes, rng: np.random.Generator) -> bytes:
    """Spoils numpy arrays: of an .npz each some, or one .npy: other shapes, other types, numbers that are none."""
    if not data.startswith(b"\x93NUMPY"):
        return _arrays_inside(data, rng)
    stream = io.BytesIO(data)
    try:
        npy_format.read_magic(stream)
        shape, _, dtype = npy_format.read_array_header_1_0(stream)
    except ValueError:
        return bits(data, rng)
    body = data[stream.tell() :]
    how = int(rng.integers(5))
    if how == 0:
        shape = _SHAPES[int(rng.integers(len(_SHAPES)))]
    elif how == 1:
        dtype = np.dtype(str(rng.choice(_TYPES)))
    elif how == 2 and shape:
        axis = int(rng.integers(len(shape)))
        shape = tuple(int(n + rng.choice([-1, 1])) if i == axis else n for i, n in enumerate(shape))
        shape = shape if rng.random() < 0.5 else shape[::-1]
    elif how == 3 and dtype.kind in "fiu" and len(body) >= dtype.itemsize:
        values = np.frombuffer(body, dtype, len(body) // dtype.itemsize).copy()
        odd = [np.nan, np.inf, -np.inf, 1e38, -1e38, 0, 1e-40] if dtype.kind == "f" else [0, 1, np.iinfo(dtype).max, np.iinfo(dtype).min]
        share = rng.choice([1.0, 0.1, 0.0])
        values[rng.random(len(values)) <= share] = dtype.type(odd[int(rng.integers(len(odd)))])
        body = values.tobytes()
    else:
        return data[: stream.tell()] + bits(body, rng)
    head = io.BytesIO()
    npy_format.write_array_header_1_0(
        head, {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": bool(rng.random() < 0.1), "shape": shape}
    )
    return head.getvalue() + body


def _arrays_inside(data: bytes, rng: np.random.Generator) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError):
        return bits(data, rng)
    names = list(inside)
    for i in rng.choice(len(names), int(rng.integers(1, 3))) if names else []:
        name = names[i]
        if rng.random() < 0.15:
            inside.pop(name, None)
        elif name in inside and inside[name].startswith(b"\x93NUMPY"):
            inside[name] = arrays(inside[name], rng)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED) as archive:
        for name, content in inside.items():
            _add(archive, name, content)
    return target.getvalue()


def numbers(data: bytes, rng: np.random.Generator) -> bytes:
    """Spoils a text: some of its numbers, some of its lines, or brackets without an end."""
    text = data.decode("utf-8", "replace")
    how = int(rng.integers(6))
    if how <= 2:
        share = float(rng.choice([0.02, 0.2, 1.0]))
        spoilt = re.sub(r"-?\d+\.?\d*(e[+-]?\d+)?", lambda m: str(rng.choice(_NUMBERS)) if rng.random() < share else m[0], text)
    elif how == 3:
        lines = text.splitlines(keepends=True)
        kept = [line for line in lines if rng.random() < 0.8]
        spoilt = "".join(kept) if rng.random() < 0.5 else "".join(rng.permutation(lines)) if lines else ""
    elif how == 4:
        depth = int(2 ** rng.uniform(3, 17))
        spoilt = str(
            rng.choice(["[" * depth, "{a: " * depth, '{"a":' * depth, "- " * depth, "<a>" * depth, text[: len(text) // 2] + "[" * depth])
        )
    else:
        bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"] + [f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(9)]
        laughs = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
        entity = f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "lol">{laughs}]><opencv_storage><K>&l9;</K></opencv_storage>'
        spoilt = ("\n".join(bomb) + "\n" + text, entity, json.dumps({"cameras": [{}] * 10_000}))[int(rng.integers(3))]
    return spoilt.encode("utf-8", "replace")


def sizes(data: bytes, rng: np.random.Generator) -> bytes:
    """Lets a picture or its header claim another size: PNG (with a right checksum), JPEG, BMP, PGM, GIF, TIFF, H.264's tkhd and avc1."""
    width, height = (int(rng.choice([0, 1, 65_535, 100_000, 1 << 20, 0x7FFFFFFF])) for _ in range(2))
    spoilt = bytearray(data)
    if data.startswith(b"\x89PNG") and len(data) > 33:
        struct.pack_into(">II", spoilt, 16, width, height)
        struct.pack_into(">I", spoilt, 29, zlib.crc32(spoilt[12:29]))
    elif data.startswith(b"\xff\xd8"):
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        if 0 <= at < len(data) - 9:
            struct.pack_into(">HH", spoilt, at + 5, height & 0xFFFF, width & 0xFFFF)
    elif data.startswith(b"BM") and len(data) > 26:
        struct.pack_into("<ii", spoilt, 18, width, height)
    elif data.startswith((b"P5", b"P6")):
        spoilt = bytearray(re.sub(rb"^(P\d\s+)\d+\s+\d+", rb"\g<1>%d %d" % (width, height), data, count=1))
    elif data.startswith(b"GIF8") and len(data) > 10:
        struct.pack_into("<HH", spoilt, 6, width & 0xFFFF, height & 0xFFFF)
    else:
        at = data.find((b"avc1", b"tkhd")[int(rng.integers(2))])
        offset = {b"avc1": 28, b"tkhd": 80}.get(bytes(data[at : at + 4]), 0)
        if at < 0 or not offset or at + offset + 8 > len(data):
            return words(data, rng)
        struct.pack_into(">HH" if offset == 28 else ">II", spoilt, at + offset, width & 0xFFFF, height & 0xFFFF)
    return bytes(spoilt)


_ANY: tuple[Mutation, ...] = (bits, words, cut, doubled)
_BY_KIND: dict[str, tuple[Mutation, ...]] = {
    "video": (boxes, boxes, boxes, sizes),
    "archive": (members, members, members, arrays),
    "arrays": (arrays, arrays, arrays, members),
    "text": (numbers, numbers, numbers),
    "picture": (sizes, words),
}


def mutations(suffix: str) -> tuple[Mutation, ...]:
    """The ways that fit a file by the ending of its name; those of its kind come more often than blind ones."""
    kinds = {".mp4": "video", ".mov": "video", ".zip": "archive", ".npz": "arrays"}
    kind = kinds.get(suffix, "text" if suffix in (".txt", ".yaml", ".yml", ".xml", ".json", ".toml", ".csv") else "picture")
    return (*_BY_KIND[kind], *_ANY)
