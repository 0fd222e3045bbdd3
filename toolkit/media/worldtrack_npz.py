"""WorldTrack and TAPVid-3D files: pictures, points in each frame's camera and cameras in one .npz; read as clips, and written.

Their pictures are JPEG bytes. Released files keep them as Python objects, in a pickle: of such a member the bytes of the pictures are
cut out by its structure, nothing in it is executed.
"""

from __future__ import annotations

import io
import os
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.geometry.poses import invert, transform
from toolkit.media.npz import DAMAGED, MAX_ARRAY_BYTES
from toolkit.media.writing import replacing
from toolkit.scene import F32, F64, B, Cameras, DepthVideo, Scene, Tracks2D, Tracks3D, Video

PICTURES, POINTS, LENS, SEEN, POSES, DEPTH = (
    "images_jpeg_bytes", "tracks_XYZ", "fx_fy_cx_cy", "visibility", "extrinsics_w2c", "depth_map",
)  # fmt: skip
FPS = 30.0  # the files tell no times
JPEG = b"\xff\xd8"
QUALITY = 95
MOVES_M = 0.01  # as the benchmark has it


@dataclass(frozen=True, eq=False)
class WorldtrackFile:
    """A file of the benchmark.

    Attributes:
        name: Its stem.
        pictures: T JPEG files.
        points: (T, N, 3) in each frame's own camera, metres; NaN where unknown.
        lens: (4,) fx, fy, cx, cy in pixels, whole numbers at pixel centres.
        visible: (T, N).
        T_cw: (T, 4, 4) camera from world; None where the camera stands still.
        depth: (T, H, W) z-depth in metres; or None.
    """

    name: str
    pictures: tuple[bytes, ...]
    points: F64
    lens: F64
    visible: B
    T_cw: F64 | None
    depth: F32 | None

    @property
    def K(self) -> F64:  # noqa: N802  (a matrix)
        """(3, 3) intrinsics, pixel centres at .5."""
        fx, fy, cx, cy = self.lens
        return np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1.0]])

    def video(self) -> Video:
        """The pictures, decoded.

        Raises:
            UserError: one that is no picture, or of another size.
        """
        return Video.from_frames(np.stack([decoded(data, self.name, t) for t, data in enumerate(self.pictures)]), FPS)

    def scene(self, *, frames: int | None = None) -> Scene:
        """The truth as a scene in the first camera's frame, with video, cameras and tracks asked for where each is first seen."""
        count = len(self.points) if frames is None else min(frames, len(self.points))
        video = self.video()
        video = Video(video.frames[:count], video.times_s[:count])
        T_cw = np.tile(np.eye(4), (count, 1, 1)) if self.T_cw is None else self.T_cw[:count]
        T_wc = invert(T_cw @ invert(T_cw[0]))
        points, seen = self.points[:count], self.visible[:count].T
        xyz = transform(T_wc[:, None], points).swapaxes(0, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            xy = np.where(points[..., 2:] > 0, points[..., :2] / points[..., 2:] * self.K[[0, 1], [0, 1]] + self.K[:2, 2], np.nan)
        xy = xy.swapaxes(0, 1)
        first = seen.argmax(1)
        queries = np.column_stack([first, np.nan_to_num(xy[np.arange(len(xy)), first])])
        steps = np.linalg.norm(np.diff(xyz, axis=1), axis=-1)
        depth = None if self.depth is None else np.where(self.depth[:count] > 0, self.depth[:count], np.nan)
        return Scene(
            cameras=Cameras.from_poses(self.K, T_wc, video.size),
            tracks_2d=Tracks2D(xy, seen, seen.astype(np.float32), queries),
            tracks_3d=Tracks3D(xyz, seen, np.zeros((len(xyz), 3), np.uint8), (np.nansum(steps, 1) > MOVES_M).astype(np.float32)),
            depth=None if depth is None else DepthVideo(depth, np.isfinite(depth).astype(np.float32)),
            method="truth",
            video=video,
        )


def is_worldtrack(path: str | os.PathLike[str]) -> bool:
    """Whether an .npz file is one of these."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except DAMAGED:
        return False
    return {PICTURES, POINTS} <= names


def load_worldtrack_npz(path: str | os.PathLike[str]) -> WorldtrackFile:
    """A file of WorldTrack or TAPVid-3D.

    Raises:
        UserError: none of these, cut off, arrays that don't fit together, or pictures that can't be told without running code.
    """
    place = Path(path)
    if not place.is_file():
        raise UserError(f"There is no file {place}.")
    try:
        with zipfile.ZipFile(place) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            for needed in (PICTURES, POINTS, LENS, SEEN):
                if needed not in names:
                    raise UserError(f"{place.name} has no {needed!r}; it has {', '.join(sorted(names)[:8])}.")
            pictures = _pictures(archive, place.name)
            arrays = {name: _numbers(archive, name, place.name) for name in (POINTS, LENS, SEEN, POSES, DEPTH) if name in names}
    except DAMAGED as error:
        raise UserError(f"{place.name} is not an .npz file, or it is cut off; copy or download it again.") from error
    points, seen = arrays[POINTS].astype(np.float64), arrays[SEEN].astype(bool)
    count = len(pictures)
    wanted = {POINTS: (count, seen.shape[-1], 3), SEEN: (count, seen.shape[-1]), LENS: (4,), POSES: (count, 4, 4)}
    for name, shape in wanted.items():
        if name in arrays and arrays[name].shape != shape:
            raise UserError(f"{name!r} in {place.name} has shape {arrays[name].shape}, but {shape} is needed for {count} pictures.")
    if DEPTH in arrays and (arrays[DEPTH].ndim != 3 or len(arrays[DEPTH]) != count):  # noqa: PLR2004
        raise UserError(f"{DEPTH!r} in {place.name} has shape {arrays[DEPTH].shape}, but ({count}, H, W) is needed.")
    poses = arrays[POSES].astype(np.float64) if POSES in arrays else None
    depth = arrays[DEPTH].astype(np.float32) if DEPTH in arrays else None
    return WorldtrackFile(place.stem, pictures, points, arrays[LENS].astype(np.float64), seen, poses, depth)


def save_worldtrack_npz(scene: Scene, path: str | os.PathLike[str]) -> None:
    """Writes a scene as such a file; its pictures are kept as bytes of one length, not as objects.

    Args:
        scene: With video, cameras that share one lens, and tracks; in metres, as the benchmark counts.
        path: Of the .npz; replaced at once or not at all.

    Raises:
        UserError: a part is missing, or the lens changes.
    """
    if scene.video is None or scene.cameras is None or scene.tracks_3d is None:
        raise UserError("A WorldTrack file needs a scene with video, cameras and tracks in 3D.")
    K = scene.cameras.K
    if np.ptp(K, axis=0).max() > 1e-3 * K[0, 0, 0] or not scene.cameras.registered.all():
        raise UserError("A WorldTrack file has one lens and a pose for every frame, but this scene's lens changes or a frame has no pose.")
    T_cw = scene.cameras.T_cw
    points = transform(T_cw[:, None], scene.tracks_3d.xyz.swapaxes(0, 1).astype(np.float64))
    arrays: dict[str, NDArray] = {
        PICTURES: np.array([_encoded(frame) for frame in scene.video.frames]),
        POINTS: points.astype(np.float32),
        LENS: np.array([K[0, 0, 0], K[0, 1, 1], K[0, 0, 2] - 0.5, K[0, 1, 2] - 0.5]),
        SEEN: scene.tracks_3d.visible.T,
        POSES: T_cw,
    }
    if scene.depth is not None:
        arrays[DEPTH] = np.nan_to_num(scene.depth.depth)
    with replacing(Path(path)) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def decoded(data: bytes, name: str, t: int) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of one picture.

    Raises:
        UserError: it is none.
    """
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise UserError(f"Picture {t} of {name} can't be decoded; copy or download the file again.")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def _encoded(frame: NDArray) -> bytes:
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(frame[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert ok
    return data.tobytes()


def _member(archive: zipfile.ZipFile, name: str, file: str) -> tuple[tuple[int, ...], bool, np.dtype, bytes]:
    """(shape, Fortran order, type, bytes after the header) of an array."""
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > MAX_ARRAY_BYTES:
        raise UserError(f"{name!r} in {file} unfolds to more than {MAX_ARRAY_BYTES >> 30} GB.")
    data = io.BytesIO(archive.read(info))
    try:
        version = npy_format.read_magic(data)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran, dtype = read(data)
    except ValueError as error:
        raise UserError(f"{name!r} in {file} is not a numpy array.") from error
    return shape, fortran, dtype, data.read()


def _numbers(archive: zipfile.ZipFile, name: str, file: str) -> NDArray:
    shape, fortran, dtype, data = _member(archive, name, file)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise UserError(f"{name!r} in {file} holds {dtype}, but numbers are needed.")
    count = int(np.prod(shape, dtype=np.int64))
    if len(data) < count * dtype.itemsize:
        raise UserError(f"{name!r} in {file} is cut off.")
    flat = np.frombuffer(data, dtype, count)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _pictures(archive: zipfile.ZipFile, file: str) -> tuple[bytes, ...]:
    shape, _, dtype, data = _member(archive, PICTURES, file)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype.kind == "S":
        found = [bytes(one) for one in np.frombuffer(data, dtype, count)]
    elif dtype.hasobject:
        found = _cut_out(data)
    else:
        raise UserError(f"{PICTURES!r} in {file} holds {dtype}, but JPEG files as bytes are needed.")
    if len(found) != count or not all(one.startswith(JPEG) for one in found):
        raise UserError(
            f"{PICTURES!r} in {file} holds Python objects that are not plainly {count} JPEG files; they could run code and are not opened."
        )
    return tuple(found)


def _cut_out(pickled: bytes) -> list[bytes]:
    """The byte strings of a pickle that are JPEG files, in order; its instructions are listed, not carried out."""
    try:
        return [arg for _, arg, _ in pickletools.genops(pickled) if isinstance(arg, bytes) and arg.startswith(JPEG)]
    except ValueError:
        return []
