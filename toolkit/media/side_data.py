"""What FFmpeg attaches to a frame: how to turn it upright, how it holds two eyes, what it projects."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from toolkit.media.spherical import Spherical, StereoLayout, equirect_bounds
from toolkit.scene import U8

TRANSPOSED, FLIP_X, FLIP_Y = 1, 2, 4
"""What turns a stored picture upright, as bits: transposed first, then flipped."""
_ROTATIONS = {0: 0, FLIP_X | FLIP_Y: 180, TRANSPOSED | FLIP_X: 90, TRANSPOSED | FLIP_Y: 270}
_LAYOUTS: dict[int, StereoLayout] = {0: "mono", 1: "side-by-side", 2: "top-bottom"}  # AVStereo3DType
_INVERTED = 1  # AV_STEREO3D_FLAG_INVERT: the right eye comes first
_EQUIRECT, _CUBEMAP, _EQUIRECT_TILE, _HALF_EQUIRECT = range(4)  # AVSphericalProjection


def orientation(frame: VideoFrame) -> int:
    """The bits that turn a frame upright, from its display matrix; mirrored ones too."""
    for raw in _of_type(frame, Type.DISPLAYMATRIX):
        a, b, _, c, d = struct.unpack_from("<5i", raw)
        # A stored pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift.
        if abs(b) + abs(c) > abs(a) + abs(d):
            return TRANSPOSED | (FLIP_X if c < 0 else 0) | (FLIP_Y if b < 0 else 0)
        return (FLIP_X if a < 0 else 0) | (FLIP_Y if d < 0 else 0)
    return 0


def rotation_deg(bits: int) -> int:
    """How far `bits` turn a picture clockwise: 0, 90, 180 or 270; 0 for mirrored ones."""
    return _ROTATIONS.get(bits, 0)


def turn(image: U8, bits: int) -> U8:
    """An (H, W, 3) picture, upright."""
    if bits & TRANSPOSED:
        image = image.transpose(1, 0, 2)
    if bits & FLIP_X:
        image = image[:, ::-1]
    if bits & FLIP_Y:
        image = image[::-1]
    return np.ascontiguousarray(image)


def told_by_frame(frame: VideoFrame, told: Spherical) -> Spherical:
    """Stereo and projection of other containers (Matroska) or of the stream itself (frame packing); what is `told` already stays."""
    for raw in _of_type(frame, Type.STEREO3D):
        if told.stereo_layout is None and len(raw) >= 8:
            kind, flags = struct.unpack_from("<2i", raw)
            layout = _LAYOUTS.get(kind)
            told = replace(told, stereo_layout=layout, swapped=bool(flags & _INVERTED) and layout not in (None, "mono"))
    for raw in _of_type(frame, Type.SPHERICAL):
        if told.projection is None and len(raw) >= 32:
            kind, *_, left, top, right, bottom = struct.unpack_from("<4i4I", raw)
            if kind in (_EQUIRECT, _EQUIRECT_TILE):
                told = replace(told, projection="equirect", fov_bounds_deg=equirect_bounds(top, bottom, left, right))
            elif kind == _HALF_EQUIRECT:
                told = replace(told, projection="equirect", fov_bounds_deg=(-90.0, 90.0, -90.0, 90.0))
            elif kind == _CUBEMAP:
                told = replace(told, projection="cubemap")
    return told


def _of_type(frame: VideoFrame, kind: Type) -> list[bytes]:
    """The bytes of all attachments of a kind."""
    attached: list[Any] = list(frame.side_data)
    return [bytes(data) for data in attached if data.type == kind]
