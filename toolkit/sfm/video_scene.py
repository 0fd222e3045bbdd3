"""A model of a video as a scene: frames without lens distortion in a bounded size, a camera each, the still points and who shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, I64, U8, Cameras, PointCloud, Scene, Tracks2D, Tracks3D, Video
from toolkit.sfm.photo_scene import flat_xy, flattened, pinhole, undistortion
from toolkit.sfm.video_frames import point_of
from toolkit.sfm.video_model import VideoModel
from toolkit.sfm.video_points import VideoPoints

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class VideoSceneOptions:
    """How large a result may get, whatever the length of the clip.

    Attributes:
        max_side: Frames are reduced to so many pixels.
        most_mpx: Millions of pixels of all frames together; long clips are reduced further. 85 are 255 MB.
        least_side: But never under so many pixels along the longer side.
        most_tracks: Points that are given as tracks, those seen most often.
        most_samples: Positions of all tracks in all frames together; 30 bytes each.
        near_px: Farthest from its point that an observation counts as one, in pixels of a picture of 1000.
    """

    max_side: int = 1280
    most_mpx: float = 85.0
    least_side: int = 160
    most_tracks: int = 20_000
    most_samples: int = 1_500_000
    near_px: float = 3.0


def scene_of_video(
    result: VideoModel, points: VideoPoints, frames: Iterator[U8], times_s: F64, options: VideoSceneOptions, report: Report = silent
) -> Scene:
    """The scene of a model; of a camera that stayed in its place without points, as nothing tells how far they are.

    Args:
        result: The model and the pose of every frame.
        points: Followed through the video.
        frames: (H, W, 3) uint8 RGB once more, one by one.
        times_s: (T,) their times.
        options: How large it may get.
        report: Called per frame.
    """
    camera, count = result.camera, len(points)
    longest = max(points.size)
    side = min(options.max_side, longest * np.sqrt(options.most_mpx * 1e6 / (count * points.size[0] * points.size[1])))
    shrink = min(1.0, max(side, min(options.least_side, longest)) / longest)
    canvas = (round(points.size[0] * shrink), round(points.size[1] * shrink))
    K = pinhole(camera, shrink)
    T_wc = np.full((count, 4, 4), np.nan)
    known = np.isfinite(result.poses.T_cw[:, 0, 0])
    T_wc[known] = np.linalg.inv(result.poses.T_cw[known])
    cameras = Cameras.from_poses(K, T_wc, canvas)

    table = _Table(result, points, camera, cameras, options) if result.turn is None else _Followed(points, camera, cameras, options)
    pictures = np.zeros((count, canvas[1], canvas[0], 3), np.uint8)
    maps = undistortion(camera, K, shrink)
    for t, rgb in zip(range(count), frames, strict=False):
        pictures[t] = flattened(rgb, camera, maps, shrink)
        table.add(t, pictures[t])
        report(t + 1, count)
    tracks_2d, tracks_3d, cloud = table.tracks()
    return Scene(cameras, tracks_2d, tracks_3d, None, cloud, "relative", "vggsfm", video=Video(pictures, times_s[:count]))


class _Table:
    """Collects frame by frame who shows which point of the model, and its colour."""

    def __init__(
        self, result: VideoModel, points: VideoPoints, camera: pycolmap.Camera, cameras: Cameras, options: VideoSceneOptions
    ) -> None:
        model = result.model
        self._result, self._points, self._camera, self._cameras = result, points, camera, cameras
        self._near = options.near_px * max(cameras.size[0]) / 1000
        self._numbers = np.array(sorted(model.points3D), np.int64)
        self._xyz = np.array([model.point3D(int(n)).xyz for n in self._numbers]).reshape(-1, 3)
        self._which = point_of(model, result.frames, points)
        self._own = {t: k for k, t in enumerate(result.frames.frames)}
        seen = np.zeros(len(self._numbers), np.int64)
        for t in range(len(points)):
            seen[self._places(t)[0]] += 1
        most = min(options.most_tracks, max(200, options.most_samples // len(points)))
        rows = np.sort(np.argsort(-seen, kind="stable")[: min(most, int((seen > 1).sum()))])
        self._row_of = np.full(len(self._numbers), -1)
        self._row_of[rows] = np.arange(len(rows))
        self._rows = rows
        self._xy = np.full((len(rows), len(points), 2), np.nan, np.float32)
        self._visible = np.zeros((len(rows), len(points)), bool)
        self._rgb, self._coloured = np.zeros((len(self._numbers), 3), np.float32), np.zeros(len(self._numbers), np.int32)

    def _places(self, t: int) -> tuple[I64, F32]:
        """Points of the model that a frame shows, each once, and where, in pixels as they are stored."""
        rows, to = self._which.rows(self._points.ids[t].astype(np.int64))
        number, xy = to, self._points.xy[t][rows]
        k = self._own.get(t)
        if k is not None and self._result.model.exists_image(k + 1):
            skipped = len(self._result.frames.rows[k])
            found = [(p.point3D_id, *p.xy) for p in list(self._result.model.image(k + 1).points2D)[skipped:] if p.has_point3D()]
            if found:
                extra = np.array(found)
                number = np.concatenate([number, extra[:, 0].astype(np.int64)])
                xy = np.concatenate([xy, extra[:, 1:].astype(np.float32)])
        at, first = np.unique(np.searchsorted(self._numbers, number), return_index=True)
        return at, xy[first]

    def add(self, t: int, picture: U8) -> None:
        """Takes in one frame."""
        if not self._cameras.registered[t]:
            self._xy[:, t] = 0
            return
        K, T_wc = self._cameras.K[t], self._cameras.T_wc[t]
        expected, depth = project(self._xyz, K, T_wc)
        expected = np.where(depth[:, None] > 0, expected, -1e4)
        self._xy[:, t] = expected[self._rows]
        at, raw = self._places(t)
        xy: NDArray = flat_xy(self._camera, raw, K)
        height, width = picture.shape[:2]
        good = (np.linalg.norm(xy - expected[at], axis=1) < self._near) & np.all((xy >= 0) & (xy < [width, height]), axis=1)
        at, xy = at[good], xy[good]
        column, row = xy.astype(int).T
        self._rgb[at] += picture[row, column]
        self._coloured[at] += 1
        given = self._row_of[at] >= 0
        self._xy[self._row_of[at[given]], t] = xy[given]
        self._visible[self._row_of[at[given]], t] = True

    def tracks(self) -> tuple[Tracks2D, Tracks3D, PointCloud]:
        """What was collected."""
        rgb = (self._rgb / np.maximum(self._coloured, 1)[:, None]).round().astype(np.uint8)
        kept = self._visible.any(axis=1)
        xy, visible, rows = self._xy[kept], self._visible[kept], self._rows[kept]
        first = visible.argmax(axis=1)
        queries = np.column_stack([first, xy[np.arange(len(xy)), first]]).astype(np.float32)
        tracks_2d = Tracks2D(xy, visible, visible.astype(np.float32), queries)
        xyz = self._xyz.astype(np.float32)
        path = np.repeat(xyz[rows, None], xy.shape[1], axis=1)
        shown = self._coloured > 0
        return tracks_2d, Tracks3D(path, visible, rgb[rows], np.zeros(len(rows), np.float32)), PointCloud(xyz[shown], rgb[shown])


class _Followed:
    """Collects frame by frame where the followed points are that were seen most often."""

    def __init__(self, points: VideoPoints, camera: pycolmap.Camera, cameras: Cameras, options: VideoSceneOptions) -> None:
        self._points, self._camera, self._cameras = points, camera, cameras
        seen = np.bincount(np.concatenate(points.ids).astype(np.int64))
        most = min(options.most_tracks, max(200, options.most_samples // len(points)))
        rows = np.sort(np.argsort(-seen, kind="stable")[: min(most, int((seen > 1).sum()))])
        self._row_of = np.full(len(seen), -1)
        self._row_of[rows] = np.arange(len(rows))
        self._xy = np.zeros((len(rows), len(points), 2), np.float32)
        self._visible = np.zeros((len(rows), len(points)), bool)

    def add(self, t: int, picture: U8) -> None:
        """Takes in one frame."""
        rows = self._row_of[self._points.ids[t]]
        xy = flat_xy(self._camera, self._points.xy[t], self._cameras.K[t])
        height, width = picture.shape[:2]
        good = (rows >= 0) & np.all((xy >= 0) & (xy < [width, height]), axis=1)
        if t:
            self._xy[:, t] = self._xy[:, t - 1]  # what is not seen is said to be where it was
        self._xy[rows[good], t] = xy[good]
        self._visible[rows[good], t] = True

    def tracks(self) -> tuple[Tracks2D, None, None]:
        """What was collected."""
        kept = self._visible.any(axis=1)
        xy, visible = self._xy[kept], self._visible[kept]
        first = visible.argmax(axis=1)
        queries = np.column_stack([first, xy[np.arange(len(xy)), first]]).astype(np.float32)
        return Tracks2D(xy, visible, visible.astype(np.float32), queries), None, None
