"""A model of photos as a scene: pictures without lens distortion on one canvas, pinhole cameras, points with who saw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from toolkit.geometry.cameras import project
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, Cameras, PointCloud, Scene, Tracks2D, Tracks3D, Video
from toolkit.sfm.registration import poses

if TYPE_CHECKING:
    import pycolmap

    from toolkit.sfm.photo_model import PhotoModel

MOST_TRACKS = 20_000  # points followed through all photos; those seen most often
SECONDS_EACH = 0.5  # of a photo in a video of photos


def scene_of(
    result: PhotoModel, read: Sequence[Callable[[], U8]], *, max_side: int, times_s: F64 | None = None, report: Report = silent
) -> Scene:
    """The scene of a model.

    The world is that of the model; unregistered photos keep their place in the video and have no pose.

    Args:
        result: The model and its features.
        read: For each photo a function that gives (H, W, 3) uint8 RGB.
        max_side: Larger photos are reduced to so many pixels.
        times_s: (T,) times of the frames; None for half a second each.
        report: Called per photo.
    """
    model, found = result.model, result.found
    cameras = [model.camera(c.camera_id) if model.exists_camera(c.camera_id) else c for c in found.cameras]
    T_cw = poses(model, len(found.names))
    largest = max(max(c.width, c.height) for c in cameras)
    shrink = min(1.0, max_side / largest)
    canvas = (round(max(c.width for c in cameras) * shrink), round(max(c.height for c in cameras) * shrink))
    K = np.array([pinhole(c, shrink) for c in cameras])
    frames = np.zeros((len(cameras), canvas[1], canvas[0], 3), np.uint8)
    maps: dict[int, tuple[F32, F32] | None] = {}
    for t, camera in enumerate(cameras):
        key = camera.camera_id
        if key not in maps:
            maps[key] = undistortion(camera, K[t], shrink)
        picture = flattened(read[t](), camera, maps[key], shrink)
        frames[t, : picture.shape[0], : picture.shape[1]] = picture
        report(t + 1, len(cameras))
    T_wc = np.linalg.inv(np.where(np.isfinite(T_cw), T_cw, np.eye(4)))
    T_wc[~np.isfinite(T_cw[:, 0, 0])] = np.nan
    seen = Cameras(K, T_wc, np.tile(np.array(canvas, np.int64), (len(cameras), 1)))
    sizes = [(round(c.width * shrink), round(c.height * shrink)) for c in cameras]
    tracks_2d, tracks_3d, points = _tracks(result, cameras, seen, frames, sizes)
    times = np.arange(len(cameras), dtype=np.float64) * SECONDS_EACH if times_s is None else times_s
    return Scene(seen, tracks_2d, tracks_3d, None, points, "relative", "vggsfm", video=Video(frames, times))


def pinhole(camera: pycolmap.Camera, shrink: float) -> F64:
    """K of the picture without distortion, of the same focal length, reduced."""
    K = np.eye(3)
    K[0, 0], K[1, 1] = (
        (camera.focal_length_x, camera.focal_length_y) if len(camera.focal_length_idxs()) == 2 else (camera.focal_length,) * 2
    )
    K[0, 2], K[1, 2] = camera.principal_point_x, camera.principal_point_y
    K[:2] *= shrink
    return K


def undistortion(camera: pycolmap.Camera, K: F64, shrink: float) -> tuple[F32, F32] | None:
    """Where each pixel of the flat picture lies in the reduced photo; None where it already is flat."""
    if camera.is_undistorted():
        return None
    width, height = round(camera.width * shrink), round(camera.height * shrink)
    x, y = np.meshgrid((np.arange(width) + 0.5 - K[0, 2]) / K[0, 0], (np.arange(height) + 0.5 - K[1, 2]) / K[1, 1])
    rays = np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
    xy = np.asarray(camera.img_from_cam(rays)) * shrink - 0.5  # OpenCV counts from the centre of the first pixel
    return xy[:, 0].reshape(height, width).astype(np.float32), xy[:, 1].reshape(height, width).astype(np.float32)


def flattened(rgb: U8, camera: pycolmap.Camera, maps: tuple[F32, F32] | None, shrink: float) -> U8:
    """A picture reduced by `shrink`, lens distortion taken out by `maps` where there are any."""
    size = (round(camera.width * shrink), round(camera.height * shrink))
    if shrink < 1:
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return rgb if maps is None else cv2.remap(rgb, *maps, cv2.INTER_LINEAR)  # type: ignore[return-value]


def _tracks(
    result: PhotoModel, cameras: Sequence[pycolmap.Camera], seen: Cameras, frames: U8, sizes: Sequence[tuple[int, int]]
) -> tuple[Tracks2D, Tracks3D, PointCloud]:
    """Points seen most often as tracks over all photos, and all of them as a cloud."""
    model = result.model
    points = [p for _, p in sorted(model.points3D.items())]
    flat = [flat_xy(camera, result.found.features[t].xy, seen.K[t]) for t, camera in enumerate(cameras)]
    xyz = np.array([p.xyz for p in points]).reshape(-1, 3)
    lengths = np.array([p.track.length() for p in points])
    rgb = np.zeros((len(points), 3), np.uint8)
    rows = np.sort(np.argsort(-lengths, kind="stable")[:MOST_TRACKS])
    row_of = np.full(len(points), -1)
    row_of[rows] = np.arange(len(rows))
    xy = np.stack([project(xyz[rows], seen.K[t], seen.T_wc[t])[0] for t in range(len(seen))], axis=1).astype(np.float32)
    visible = np.zeros(xy.shape[:2], bool)
    for n, point in enumerate(points):
        colours = []
        for element in point.track.elements:
            t = element.image_id - 1
            where = flat[t][element.point2D_idx]
            column, row = int(where[0]), int(where[1])
            if 0 <= row < sizes[t][1] and 0 <= column < sizes[t][0]:  # beside a small photo, the canvas shows nothing
                colours.append(frames[t, row, column])
            if row_of[n] >= 0:
                xy[row_of[n], t], visible[row_of[n], t] = where, True
        rgb[n] = np.mean(colours, axis=0).round() if colours else 0
    first = visible.argmax(axis=1)
    queries = np.column_stack([first, xy[np.arange(len(rows)), first]]).astype(np.float32)
    tracks_2d = Tracks2D(xy, visible, visible.astype(np.float32), queries)
    path = np.repeat(xyz[rows, None].astype(np.float32), len(seen), axis=1)
    tracks_3d = Tracks3D(path, visible, rgb[rows], np.zeros(len(rows), np.float32))
    return tracks_2d, tracks_3d, PointCloud(xyz.astype(np.float32), rgb)


def flat_xy(camera: pycolmap.Camera, xy: F32, K: F64) -> F64:
    """Features in pixels of the flat, reduced picture."""
    rays = np.asarray(camera.cam_from_img(xy.astype(np.float64)))[:, :2] if len(xy) else np.empty((0, 2))
    return rays * [K[0, 0], K[1, 1]] + [K[0, 2], K[1, 2]]
