"""2D tracks that any tracker wrote, in an .npz: by the names that CoTracker, TAPIR, TAP-Vid, TracksTo4D and this package give them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import checked_intrinsics
from toolkit.media.npz import NpzReader
from toolkit.scene import F64, U8, B, Tracks2D
from toolkit.wording import counted

PLACES = {"xy": "NT", "tracks_xy": "NT", "tracks": "NT", "points": "NT", "pred_tracks": "TN"}
"""Names of coordinates (N, T, 2) or, as CoTracker has them, (T, N, 2)."""
SEEN = ("visible", "tracks_visible", "visibles", "visibility", "pred_visibility")
HIDDEN = ("occluded",)
LENSES = ("K", "Ks_all")
NEEDED = "coordinates as xy (N, T, 2) or pred_tracks (T, N, 2) and who is seen as visible (N, T), occluded or pred_visibility (T, N)"
MOST_SAMPLES = 100_000_000  # of a file that is read at all
LIKELY = 0.5  # of a chance of being seen: above, a point is
SHARES = 1.001  # coordinates up to here are shares of the picture, as TAP-Vid has them
MOST_MPX = 85.0  # of the pictures of a file that are taken along


@dataclass(frozen=True, eq=False)
class TracksInput:
    """What a file of tracks holds.

    Attributes:
        tracks: N tracks of T frames, in pixels.
        K: (3, 3) intrinsics in pixels; None where the file does not tell them.
        size: (width, height) of the frames.
        pictures: (T, H, W, 3) the frames; None where the file holds none.
        notes: Sentences about what was taken for granted.
    """

    tracks: Tracks2D
    K: F64 | None
    size: tuple[int, int]
    pictures: U8 | None = None
    notes: tuple[str, ...] = ()


def is_tracks_npz(file: NpzReader) -> bool:
    """Whether a file holds 2D tracks by one of the known names."""
    return any(name in file and file.shape(name)[0][-1:] == (2,) for name in PLACES) or (
        any(name in file for name in PLACES) and any(name in file for name in (*SEEN, *HIDDEN))
    )


def load_tracks_input(path: str | os.PathLike[str]) -> TracksInput:
    """The tracks of a file.

    Args:
        path: An .npz with coordinates in pixels, or in shares of the picture: "xy", "tracks" or "points" (N, T, 2), or "pred_tracks"
            (T, N, 2); who is seen: "visible" or "visibles" (N, T), "occluded" (N, T), or "pred_visibility" (T, N), a chance counting from
            a half; any of these may have a first axis of one more. Where it holds them: "queries" (N, 3) as (t, x, y), "query_points"
            (N, 3) as (t, y, x) or "started_at" (N,); "K" (3, 3) or "Ks_all" (T, 3, 3); "size" (width, height); "video" (T, H, W, 3) uint8.
            Frames of several lenses are brought to that of the first.

    Raises:
        UserError: no such file, none of these, or shapes that don't fit together.
    """
    with NpzReader(path) as file:
        name = next((name for name in PLACES if name in file), None)
        if name is None:
            raise UserError(f"{file.name} holds no 2D tracks: {NEEDED} are needed; it has {', '.join(file.names[:8])}.")
        by_frame = PLACES[name] == "TN"
        xy = _places(file, name, by_frame)
        count, frames = xy.shape[:2]
        visible = _visible(file, name, (count, frames))
        pictures, shown = _pictures(file, frames)
        K = _lens(file, frames)
        size, notes = _size(file, shown, K)
        xy, size, notes = _in_pixels(file.name, xy, visible, size, notes)
        if K is not None and K.ndim == 3:  # noqa: PLR2004  (T, 3, 3)
            # What a lens of each frame shows, as the first frame's would.
            focal, centre = K[:, [0, 1], [0, 1]], K[:, :2, 2]
            xy = (xy - centre) / focal * focal[0] + centre[0]
            K = K[0]
        queries = _queries(file, xy, visible)
    tracks = Tracks2D(xy.astype(np.float32), visible, visible.astype(np.float32), queries)
    return TracksInput(tracks, K, size, pictures, notes)


def _places(file: NpzReader, name: str, by_frame: bool) -> NDArray:
    """(N, T, 2) coordinates."""
    (shape, dtype), told = file.shape(name), "(T, N, 2)" if by_frame else "(N, T, 2)"
    single = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape  # noqa: PLR2004  (one clip)
    if len(single) != 3 or single[2] != 2 or dtype.kind not in "fiu" or not min(single):  # noqa: PLR2004
        raise UserError(f"{name!r} in {file.name} is {dtype} of shape {shape}, but numbers of shape {told} are needed.")
    if single[0] * single[1] > MOST_SAMPLES:
        raise UserError(f"{name!r} in {file.name} holds {single[0] * single[1]:,} samples, but at most {MOST_SAMPLES:,} are taken.")
    places = np.array(file.array(name), np.float64).reshape(single)
    return np.ascontiguousarray(places.swapaxes(0, 1)) if by_frame else places


def _visible(file: NpzReader, places: str, wanted: tuple[int, int]) -> B:
    """(N, T) who is seen."""
    name = next((name for name in (*SEEN, *HIDDEN) if name in file), None)
    if name is None:
        raise UserError(
            f"{file.name} has coordinates ({places}), but not who is seen: visible (N, T), occluded (N, T) or pred_visibility (T, N) is "
            "needed."
        )
    by_frame = PLACES[places] == "TN" and name == "pred_visibility"
    (shape, dtype), needed = file.shape(name), wanted[::-1] if by_frame else wanted
    single = shape[1:] if len(shape) > 2 and shape[0] == 1 else shape  # noqa: PLR2004  (one clip)
    single = single[:-1] if len(single) == 3 and single[-1] == 1 else single  # noqa: PLR2004
    if single != needed or dtype.kind not in "fiub":
        raise UserError(
            f"{name!r} in {file.name} is {dtype} of shape {shape}, but {needed} is needed for {counted(wanted[0], 'track')} "
            f"through {counted(wanted[1], 'frame')}."
        )
    values = np.array(file.array(name)).reshape(needed)
    values = values > LIKELY if dtype.kind == "f" else values != 0
    values = values.T if by_frame else values
    return np.ascontiguousarray(~values if name in HIDDEN else values)


def _pictures(file: NpzReader, frames: int) -> tuple[U8 | None, tuple[int, int] | None]:
    """The frames, if they are not too many to be taken along, and their size."""
    if "video" not in file:
        return None, None
    shape, dtype = file.shape("video")
    if len(shape) != 4 or shape[0] != frames or shape[3] != 3 or dtype != np.uint8 or not min(shape):  # noqa: PLR2004  (RGB)
        raise UserError(f"'video' in {file.name} is {dtype} of shape {shape}, but uint8 of shape ({frames}, H, W, 3) is needed.")
    fits = shape[0] * shape[1] * shape[2] <= MOST_MPX * 1e6
    return (np.array(file.array("video")) if fits else None), (shape[2], shape[1])


def _lens(file: NpzReader, frames: int) -> F64 | None:
    """(3, 3) where all frames share one lens, else (T, 3, 3)."""
    name = next((name for name in LENSES if name in file), None)
    if name is None:
        return None
    shape, dtype = file.shape(name)
    if shape not in ((3, 3), (frames, 3, 3)) or dtype.kind not in "fiu":
        raise UserError(f"{name!r} in {file.name} is {dtype} of shape {shape}, but (3, 3) or ({frames}, 3, 3) is needed.")
    K = np.array(file.array(name), np.float64)
    for one in K.reshape(-1, 3, 3):
        checked_intrinsics(one, f"{name!r} in {file.name}")
    return K[0] if K.ndim == 3 and np.ptp(K, axis=0).max() < 1e-3 else K  # noqa: PLR2004


def _size(file: NpzReader, shown: tuple[int, int] | None, K: F64 | None) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    """(width, height) as the file tells it, else about twice the principal point."""
    if "size" in file:
        shape, _ = file.shape("size")
        size = np.array(file.array("size")) if shape == (2,) else np.zeros(2)
        if size.dtype.kind not in "fiu" or not np.isfinite(size).all() or not (size >= 1).all() or (size != np.round(size)).any():
            raise UserError(f"'size' in {file.name} must be (width, height) of the frames in whole pixels.")
        if shown is not None and shown != (int(size[0]), int(size[1])):
            raise UserError(f"'size' in {file.name} is {int(size[0])} x {int(size[1])}, but its 'video' is {shown[0]} x {shown[1]}.")
        return (int(size[0]), int(size[1])), ()
    if shown is not None:
        return shown, ()
    if K is None:
        return None, ()
    width, height = np.maximum(np.round(2 * K.reshape(-1, 3, 3)[0, :2, 2]), 1).astype(int).tolist()
    return (width, height), (f"The file does not tell the size of the picture: {width} x {height} px, twice the middle of K, was taken.",)


def _in_pixels(
    name: str, xy: F64, visible: B, size: tuple[int, int] | None, notes: tuple[str, ...]
) -> tuple[F64, tuple[int, int], tuple[str, ...]]:
    """Coordinates in pixels, and the size of the picture: where nothing tells it, as far as its tracks reach."""
    used = xy[visible & np.isfinite(xy).all(-1)]
    if not len(used):
        raise UserError(f"None of the {counted(len(xy), 'track')} in {name} is ever seen at a finite place.")
    if used.max() <= SHARES and used.min() >= 1 - SHARES:
        if size is None:
            raise UserError(
                f"The coordinates in {name} are shares of the picture (0 to 1), so its size is needed, too: size (width, height) in pixels."
            )
        return xy * size, size, notes
    if size is None:
        width, height = np.maximum(np.ceil(used.max(axis=0)), 1).astype(int).tolist()
        told = f"The file does not tell the size of the picture (size): {width} x {height} px, as far as its tracks reach, was taken."
        return xy, (width, height), (told,)
    return xy, size, notes


def _queries(file: NpzReader, xy: F64, visible: B) -> NDArray:
    """(N, 3) float32 (t, x, y): as the file tells them, else where each track is first seen."""
    count, frames = visible.shape
    rows = np.arange(count)
    first = visible.argmax(1)
    for name, order in (("queries", (0, 1, 2)), ("query_points", (0, 2, 1))):
        if name in file and file.shape(name)[0][-2:] == (count, 3) and file.shape(name)[1].kind in "fiu":
            told = np.array(file.array(name), np.float64).reshape(-1, count, 3)[0][:, order]
            first = np.clip(np.nan_to_num(told[:, 0]), 0, frames - 1).astype(int)
    if "started_at" in file and file.shape("started_at")[0][-1:] == (count,) and file.shape("started_at")[1].kind in "fiu":
        started = np.array(file.array("started_at"), np.float64).reshape(-1, count)[0]
        first = np.clip(np.nan_to_num(started), 0, frames - 1).astype(int)
    return np.column_stack([first, xy[rows, first]]).astype(np.float32)
