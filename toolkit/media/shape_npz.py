"""Reads data sets of non-rigid structure from motion: 2D points of a deforming body and the true 3D ones."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from toolkit.errors import UserError
from toolkit.media.npz import NpzReader
from toolkit.scene import F64

NEEDED = "W (2T, N) with S (3T, N), X (3, N, T), or tracks2d_left (2, N, T) with tracks3d (3, N, T)"


@dataclass(frozen=True, eq=False)
class ShapeFile:
    """A deforming body seen by one camera.

    Attributes:
        xy: (N, T, 2) float64 points in the image; NaN where not seen.
        xyz: (N, T, 3) float64 true points, each frame in any axes; NaN where not known. None where there is no truth.
        same_unit: Whether both have one unit; else the truth is compared up to scale.
        note: What a person should know of the file, or nothing.
    """

    xy: F64
    xyz: F64 | None
    same_unit: bool = True
    note: str = ""


def is_shape_npz(file: NpzReader) -> bool:
    """Whether a file holds a deforming body in one of the known ways."""
    return "W" in file or "tracks2d_left" in file or ("X" in file and _dims(file, "X") == 3)  # noqa: PLR2004


def load_shape_npz(path: str | os.PathLike[str]) -> ShapeFile:
    """The points of one sequence.

    Args:
        path: An .npz with "W" (2T, N), rows x and y of each frame in turn, and "S" (3T, N); with "X" (3, N, T) alone, which is looked at
            along its thinnest axis; or with "tracks2d_left" (2, N, T) and "tracks3d" (3, N, T).

    Raises:
        UserError: no such file, none of these, or shapes that don't fit together.
    """
    with NpzReader(path) as file:
        if not is_shape_npz(file):
            raise UserError(f"{file.name} holds no deforming body: {NEEDED} is needed; it has {', '.join(file.names[:8])}.")
        if "W" in file:
            xy = _by_rows(file, "W", 2)
            return _checked(file, ShapeFile(xy, _by_rows(file, "S", 3) if "S" in file else None))
        if "tracks2d_left" in file:
            xy = _numbers(file, "tracks2d_left", (2, None, None)).transpose(1, 2, 0)
            xyz = _numbers(file, "tracks3d", (3, None, None)).transpose(1, 2, 0) if "tracks3d" in file else None
            return _checked(file, ShapeFile(xy, xyz, same_unit=False, note="pixels and length: compared up to one scale"))
        xyz = _numbers(file, "X", (3, None, None)).transpose(1, 2, 0)
        # A face is seen from the front. Axes change places in a cycle, which is no mirror.
        thinnest = int(np.nanstd(xyz - np.nanmean(xyz, axis=0), axis=(0, 1)).argmin())
        xyz = np.roll(xyz, 2 - thinnest, axis=2)
        return _checked(file, ShapeFile(xyz[..., :2], xyz, note=f"3D alone: looked at along its thinnest axis, {'xyz'[thinnest]}"))


def _checked(file: NpzReader, found: ShapeFile) -> ShapeFile:
    if found.xyz is not None and found.xyz.shape[:2] != found.xy.shape[:2]:
        raise UserError(
            f"{file.name} has {found.xy.shape[0]} points over {found.xy.shape[1]} frames in 2D, "
            f"but {found.xyz.shape[0]} over {found.xyz.shape[1]} in 3D; both must be alike."
        )
    return found


def _dims(file: NpzReader, name: str) -> int:
    return len(file.shape(name)[0])


def _numbers(file: NpzReader, name: str, wanted: tuple[int | None, ...]) -> F64:
    """An array of that shape, None for any size."""
    shape, dtype = file.shape(name)
    fits = len(shape) == len(wanted) and all(want in (None, size) for size, want in zip(shape, wanted, strict=True))
    if not fits or dtype.kind not in "fiu":
        told = ", ".join("any" if want is None else str(want) for want in wanted)
        raise UserError(f"{name!r} in {file.name} is {dtype} {shape}, but numbers of shape ({told}) are needed.")
    return np.array(file.array(name), np.float64)


def _by_rows(file: NpzReader, name: str, axes: int) -> F64:
    """(N, T, axes) from (axes T, N)."""
    rows = _numbers(file, name, (None, None))
    if len(rows) % axes or not rows.size:
        raise UserError(f"{name!r} in {file.name} has {len(rows)} rows, but {axes} for each frame are needed.")
    return rows.reshape(-1, axes, rows.shape[1]).transpose(2, 0, 1)
