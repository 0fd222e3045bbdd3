"""What a file says about its projection: Spherical Video V2 boxes (st3d, sv3d with equi or mshp) and the V1 XML."""

from __future__ import annotations

import math
import re
import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from toolkit.media.boxes import children
from toolkit.scene import F64, I64

StereoLayout = Literal["mono", "top-bottom", "side-by-side"]
MAX_MESH_BYTES = 64 << 20
"""A mesh that inflates to more is refused; real ones have about 100 kB."""


@dataclass(frozen=True, eq=False)
class MeshData:
    """The lens mesh of one eye, as stored.

    Attributes:
        vertices: (M, 5) float64 x, y, z, u, v: rays with x right, y up, -z forward; u right and v up, 0..1 over the picture of one eye.
        triangles: (F, 3) int64 indices into the vertices.
    """

    vertices: F64
    triangles: I64


@dataclass(frozen=True, eq=False)
class Spherical:
    """Everything found; None where the file does not say.

    Attributes:
        stereo_layout: How two eyes share a frame; the left eye is first (left, top).
        projection: "equirect", "mesh", "cubemap", "fisheye", or "rectilinear".
        fov_bounds_deg: (left, right, top, bottom) of an equirect picture: longitudes, and latitudes that grow downward; forward is (0, 0).
        meshes: One per eye, left first; a single one serves both.
        pose_deg: (yaw, pitch, roll) that the picture is to be turned by.
        swapped: The right eye is first.
        notes: Sentences on what was wrong with the boxes.
    """

    stereo_layout: StereoLayout | None = None
    projection: str | None = None
    fov_bounds_deg: tuple[float, float, float, float] | None = None
    meshes: tuple[MeshData, ...] = ()
    pose_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    swapped: bool = False
    notes: tuple[str, ...] = field(default=())


_STEREO_MODES: dict[int, StereoLayout] = {0: "mono", 1: "top-bottom", 2: "side-by-side"}


def read_st3d(payload: bytes, into: Spherical) -> Spherical:
    """Stereo mode of a frame: 0 mono, 1 top-bottom, 2 left-right, 3 given by the mesh, 4 right-left."""
    if len(payload) < 5:
        return replace(into, notes=(*into.notes, "The stereo box (st3d) is cut short and was ignored."))
    mode = payload[4]
    if mode == 4:
        return replace(into, stereo_layout="side-by-side", swapped=True)
    return replace(into, stereo_layout=_STEREO_MODES.get(mode, into.stereo_layout))


def read_sv3d(data: bytes, into: Spherical) -> Spherical:
    """Projection box: pose (prhd), and equirect bounds (equi), a mesh (mshp) or a cube map (cbmp)."""
    for box in children(data):
        if box.kind != b"proj":
            continue
        for child in children(data, box.start, box.end):
            payload = bytes(data[child.start : child.end])
            if child.kind == b"prhd" and len(payload) >= 16:
                yaw, pitch, roll = (angle / 65536 for angle in struct.unpack_from(">3i", payload, 4))
                into = replace(into, pose_deg=(yaw, pitch, roll))
            elif child.kind == b"equi" and len(payload) >= 20:
                into = replace(into, projection="equirect", fov_bounds_deg=equirect_bounds(*struct.unpack_from(">4I", payload, 4)))
            elif child.kind == b"cbmp":
                into = replace(into, projection="cubemap")
            elif child.kind == b"mshp":
                into = read_mshp(payload, into)
    return into


def equirect_bounds(top: int, bottom: int, left: int, right: int) -> tuple[float, float, float, float]:
    """(left, right, top, bottom) in degrees from what is cropped off each side of a full sphere, in units of 2^-32."""
    whole = 2.0**32
    return (-180 + 360 * left / whole, 180 - 360 * right / whole, -90 + 180 * top / whole, 90 - 180 * bottom / whole)


def read_mshp(payload: bytes, into: Spherical) -> Spherical:
    """A mesh projection box: checksum, then meshes, plain or deflated."""
    try:
        crc, encoding = struct.unpack_from(">I4s", payload, 4)
        body = payload[12:]
        if encoding == b"dfl8":
            inflater = zlib.decompressobj(-15)
            body = inflater.decompress(body, MAX_MESH_BYTES)
            if inflater.unconsumed_tail:
                raise ValueError("too large")
        elif encoding != b"raw ":
            raise ValueError(f"compressed as {encoding!r}")
        meshes = tuple(_mesh(bytes(body[box.start : box.end])) for box in children(body) if box.kind == b"mesh")
        if not 1 <= len(meshes) <= 2:
            raise ValueError(f"it has {len(meshes)} meshes")
    except (struct.error, ValueError, IndexError, zlib.error) as error:
        return replace(into, notes=(*into.notes, f"The lens mesh in the file can't be read ({error}) and was ignored."))
    if crc != zlib.crc32(payload[8:]):
        into = replace(into, notes=(*into.notes, "The lens mesh in the file does not match its checksum; it was used all the same."))
    return replace(into, projection="mesh", meshes=meshes)


def _mesh(data: bytes) -> MeshData:
    """One mesh: a table of coordinates, then vertices and triangle lists as deltas of as few bits as the counts need."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    (coordinates,) = struct.unpack_from(">I", data)
    coordinates &= 0x7FFFFFFF
    if 4 + 4 * coordinates > len(data):
        raise ValueError("its table of coordinates is cut short")
    table = np.frombuffer(data, ">f4", coordinates, 4).astype(np.float64)
    at = 8 * (4 + 4 * coordinates)
    vertex_count, at = _number(bits, at, 32)
    vertex_count &= 0x7FFFFFFF
    width = _width(coordinates)
    deltas, at = _signed(bits, at, 5 * vertex_count, width)
    index = np.cumsum(deltas.reshape(-1, 5), axis=0)
    if index.size == 0 or index.min() < 0 or index.max() >= coordinates:
        raise ValueError("a vertex points outside its table")
    at = -(-at // 8) * 8
    list_count, at = _number(bits, at, 32)
    triangles = []
    width = _width(vertex_count)
    for _ in range(list_count & 0x7FFFFFFF):
        header, at = _number(bits, at, 16)  # texture id, then kind of list
        count, at = _number(bits, at, 32)
        deltas, at = _signed(bits, at, count & 0x7FFFFFFF, width)
        at = -(-at // 8) * 8
        order = np.cumsum(deltas)
        if order.size and (order.min() < 0 or order.max() >= vertex_count):
            raise ValueError("a triangle points outside the vertices")
        triangles.append(_triangles(order, header & 0xFF))
    faces = np.concatenate(triangles) if triangles else np.zeros((0, 3), np.int64)
    if len(faces) == 0:
        raise ValueError("it has no triangles")
    return MeshData(table[index], faces)


def _width(count: int) -> int:
    """Bits of one zigzag delta."""
    return math.ceil(math.log2(2 * count)) if count > 0 else 0


def _number(bits: np.ndarray, at: int, width: int) -> tuple[int, int]:
    if at + width > len(bits):
        raise ValueError("it is cut short")
    return int.from_bytes(np.packbits(bits[at : at + width]).tobytes(), "big"), at + width


def _signed(bits: np.ndarray, at: int, count: int, width: int) -> tuple[I64, int]:
    """`count` zigzag numbers of `width` bits each."""
    if at + count * width > len(bits):
        raise ValueError("it is cut short")
    rows = bits[at : at + count * width].reshape(count, width).astype(np.int64)
    value = rows @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64))
    return (value >> 1) ^ -(value & 1), at + count * width


def _triangles(order: I64, kind: int) -> I64:
    """(F, 3) from a list (0), a strip (1) or a fan (2); flat ones that only join strips are dropped."""
    if kind == 0:
        faces = order[: len(order) // 3 * 3].reshape(-1, 3)
    elif kind == 1:
        faces = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
        faces[1::2] = faces[1::2][:, [1, 0, 2]]  # every second triangle of a strip turns the other way
    elif kind == 2:
        faces = np.stack([np.full(max(len(order) - 2, 0), order[0]), order[1:-1], order[2:]], axis=1)
    else:
        raise ValueError(f"it has lists of unknown kind {kind}")
    a, b, c = faces.T
    return faces[(a != b) & (b != c) & (a != c)]


def read_v1_xml(payload: bytes, into: Spherical) -> Spherical:
    """Spherical Video V1: RDF/XML in a uuid box. Boxes of V2 win where both are present."""

    def value(name: str) -> str | None:
        found = re.search(rb"<GSpherical:" + name.encode() + rb">\s*([^<]{1,64}?)\s*</", payload)
        return found.group(1).decode("ascii", "replace") if found else None

    layouts: dict[str, StereoLayout] = {"mono": "mono", "top-bottom": "top-bottom", "left-right": "side-by-side"}
    if into.stereo_layout is None and (mode := value("StereoMode")):
        into = replace(into, stereo_layout=layouts.get(mode.lower()))
    if into.projection is None and (value("ProjectionType") or "").lower() == "equirectangular":
        into = replace(into, projection="equirect", fov_bounds_deg=(-180.0, 180.0, -90.0, 90.0))
        names = ("FullPanoWidthPixels", "FullPanoHeightPixels", "CroppedAreaLeftPixels", "CroppedAreaTopPixels")
        crop = [value(n) for n in (*names, "CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels")]
        if all(c is not None and c.isdigit() for c in crop):
            full_w, full_h, left, top, w, h = (int(c) for c in crop if c is not None)
            if full_w > 0 and full_h > 0:
                x, y = 360 / full_w, 180 / full_h
                into = replace(into, fov_bounds_deg=(-180 + x * left, -180 + x * (left + w), -90 + y * top, -90 + y * (top + h)))
    return into
