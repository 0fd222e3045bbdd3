"""The clips that travel with the program: which part of which example, how large, and as what kind of file."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.media.video import Encoding, write_video
from toolkit.media.writing import replacing
from toolkit.progress import Report, silent
from toolkit.scene import U8, Cameras, DepthVideo, Scene, Tracks2D, Tracks3D
from toolkit.synthetic.clips import look_pinhole
from toolkit.synthetic.examples import FPS, Name, SyntheticClip, example
from toolkit.synthetic.storing import label_of
from toolkit.synthetic.tracks import true_tracks, true_visibility

POSTER_SIZE = (640, 480)
POSTER_FOV_DEG = 75.0  # of a VR180 clip; wide enough for a street
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same bytes at any time


@dataclass(frozen=True)
class Take:
    """How much of an example is shown.

    Attributes:
        frames: Length at 30 frames a second.
        size: (width, height) of the pinhole views.
        eye_size: (width, height) of one VR180 eye.
        encoding: Of the video: stereo matching needs finer detail than the eye.
    """

    frames: int
    size: tuple[int, int]
    eye_size: tuple[int, int] = (16, 16)
    encoding: Encoding = Encoding(crf=20, preset="slow")


TAKES: dict[Name, Take] = {
    # 1600 pixels for 180 degrees: just over the 512 that a view of 60 degrees is cut to.
    "street": Take(36, (16, 16), (1600, 1600), Encoding(crf=19, preset="slow")),
    "room": Take(40, (640, 480), encoding=Encoding(crf=18, preset="slow")),
    "handheld": Take(48, (720, 408)),
    "ring": Take(40, (480, 360)),
}


def film(name: Name, *, report: Report = silent) -> SyntheticClip:
    """Makes a shown clip and its truth; the same each time. For VR180 the truth is left tiny: nobody is shown it."""
    take = TAKES[name]
    return example(name, frames=take.frames, size=take.size, eye_size=take.eye_size, bounds_on="edges", report=report)


def write_clip(clip: SyntheticClip, path: str | os.PathLike[str], *, encoding: Encoding) -> Path:
    """Writes a clip as a person would have it: one video, or a zip of synchronised videos with their calibration.

    A zip holds `camera_0.mp4`, `camera_1.mp4` ... and `cameras.json`: for each video its size, K and T_wc (world-from-camera, metres).
    The same clip gives the same bytes.
    """
    target = Path(path)
    if clip.views is None:
        return write_video(target, clip.video.frames, FPS, stereo=label_of(clip), encoding=encoding)
    calibration = [
        {"video": f"camera_{i}.mp4", "size": cameras.size[0].tolist(), "K": _short(cameras.K[0]), "T_wc": _short(cameras.T_wc[0])}
        for i, cameras in enumerate(clip.views.cameras)
    ]
    told = {
        "axes": "x right, y down, z forward; T_wc maps camera to world; the centre of the top-left pixel is (0.5, 0.5)",
        "unit": "metre",
        "fps": FPS,
        "cameras": calibration,
    }
    with tempfile.TemporaryDirectory() as folder, replacing(target) as partial, zipfile.ZipFile(partial, "w") as archive:
        for camera, view in zip(calibration, clip.views.views, strict=True):
            video = write_video(Path(folder) / camera["video"], view.frames, FPS, encoding=encoding)
            archive.writestr(zipfile.ZipInfo(video.name, _ZIP_DATE), video.read_bytes())
        archive.writestr(zipfile.ZipInfo("cameras.json", _ZIP_DATE), json.dumps(told, indent=1))
    return target


def poster(clip: SyntheticClip) -> U8:
    """(480, 640, 3) uint8 RGB picture of a clip: its middle frame, seen straight; four of them for four views."""
    middle = len(clip.video) // 2
    if clip.kind == "vr180":
        K = intrinsics_from_fov(POSTER_FOV_DEG, POSTER_SIZE)
        return look_pinhole(clip.world, K, POSTER_SIZE, clip.cameras.T_wc[middle], float(clip.video.times_s[middle])).rgb
    if clip.views is None:
        return _filled((clip.stereo.left if clip.stereo is not None else clip.video).frames[middle], POSTER_SIZE)
    quarter = (POSTER_SIZE[0] // 2, POSTER_SIZE[1] // 2)
    four = [_filled(view.frames[middle], quarter) for view in clip.views.views[:4]]
    return np.vstack([np.hstack(four[:2]), np.hstack(four[2:])])


def true_scene(clip: SyntheticClip, *, grid: tuple[int, int] = (40, 30), every: int = 12) -> Scene:
    """The truth of a clip as a scene in the first view; for several views its tracks are those of the grids of all of them."""
    scene = clip.truth(grid=grid, every=every)
    if clip.views is None:
        return scene
    found = [_tracks_of_view(clip, cameras, grid, every) for cameras in clip.views.cameras]
    flat = [tracks for tracks, _ in found]
    solid = [tracks for _, tracks in found]
    joined_2d = Tracks2D(*(np.concatenate([getattr(t, name) for t in flat]) for name in ("xy", "visible", "confidence", "queries")))
    joined_3d = Tracks3D(*(np.concatenate([getattr(t, name) for t in solid]) for name in ("xyz", "visible", "rgb", "motion")))
    return replace(scene, tracks_2d=joined_2d, tracks_3d=joined_3d)


def true_views(clip: SyntheticClip) -> list[Scene]:
    """Video, depth and cameras of each view, as scenes of their own in one world."""
    if clip.views is None or clip.views.depth_m is None:
        return [clip.truth(grid=(1, 1))]
    return [
        Scene(cameras, depth=DepthVideo(depth, np.isfinite(depth).astype(np.float32)), video=video)
        for cameras, depth, video in zip(clip.views.cameras, clip.views.depth_m, clip.views.views, strict=True)
    ]


def _tracks_of_view(clip: SyntheticClip, cameras: Cameras, grid: tuple[int, int], every: int) -> tuple[Tracks2D, Tracks3D]:
    """Tracks of a grid on every few frames of one view: where they are in the first view, and in the world."""
    (w, h), (n, m), times = cameras.size[0], grid, clip.video.times_s
    x, y = np.meshgrid((np.arange(n) + 0.5) * w / n, (np.arange(m) + 0.5) * h / m)
    starts = range(0, len(times), every)
    queries = np.concatenate([np.stack([np.full(x.size, t), x.ravel(), y.ravel()], 1) for t in starts])
    tracks = true_tracks(clip.world, cameras, times, queries)
    tracks = replace(tracks, **{name: value[tracks.object_id > 0] for name, value in vars(tracks).items()})
    if cameras is clip.cameras:
        return tracks.tracks_2d, tracks.tracks_3d
    xy, visible = true_visibility(clip.world, clip.cameras, times, tracks.xyz_w)
    t = tracks.queries[:, 0].astype(np.int64)
    asked = np.concatenate([tracks.queries[:, :1], xy[np.arange(len(t)), t]], 1)
    ahead = np.isfinite(asked).all(1)
    flat = Tracks2D(xy[ahead].astype(np.float32), visible[ahead], visible[ahead].astype(np.float32), asked[ahead].astype(np.float32))
    return flat, tracks.tracks_3d.select(ahead)


def _filled(image: U8, size: tuple[int, int]) -> U8:
    """The middle of a picture, scaled to fill (width, height)."""
    (w, h), (rows, columns) = size, image.shape[:2]
    scale = max(w / columns, h / rows)
    kept_w, kept_h = round(w / scale), round(h / scale)
    x, y = (columns - kept_w) // 2, (rows - kept_h) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(image[y : y + kept_h, x : x + kept_w], size, interpolation=method), np.uint8)


def _short(matrix: Any) -> list[list[float]]:
    """Rows of a matrix to a micrometre."""
    return [[round(float(v), 6) + 0.0 for v in row] for row in matrix]
