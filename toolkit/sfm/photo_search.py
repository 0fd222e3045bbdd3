"""Photos of a model that see few of its points get more: corners of theirs, spread over the picture, found again in their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, B, Tracks2D
from toolkit.sfm.patch_search import PatchOptions, View, find_in_neighbours
from toolkit.sfm.photo_scene import flattened, pinhole, undistortion
from toolkit.sfm.registration import poses

if TYPE_CHECKING:
    import pycolmap

    from toolkit.sfm.photo_model import PhotoModel


@dataclass(frozen=True)
class SearchOptions:
    """Which photos are searched for, and where.

    Attributes:
        weak: Photos that see fewer points are searched for; a pose from so many is good to a few hundredths of a degree.
        fewest: Points that a photo must see for its surroundings to be known at all.
        most_photos: That are searched for, the weakest first.
        neighbours: Photos to look in, those that share most points.
        corners: Of one photo.
        cells: (columns, rows) of the grid that they are spread over.
        side: Photos are reduced to so many pixels.
        sigma_px: Standard deviation of a place found, in these pixels.
        patches: How alike, how near.
    """

    weak: int = 200
    fewest: int = 12
    most_photos: int = 40
    neighbours: int = 4
    corners: int = 600
    cells: tuple[int, int] = (24, 16)
    side: int = 1600
    sigma_px: float = 0.3
    patches: PatchOptions = field(default_factory=PatchOptions)


def weak_photos(result: PhotoModel, options: SearchOptions) -> list[int]:
    """Photos of the model that see few of its points, the weakest first."""
    counted = [(check.points, t) for t, check in enumerate(result.checks) if not check.reason and options.fewest <= check.points]
    return [t for points, t in sorted(counted) if points < options.weak][: options.most_photos]


def search(
    result: PhotoModel,
    weak: Sequence[int],
    read: Sequence[Callable[[], tuple[U8, B | None]]],
    options: SearchOptions,
    report: Report = silent,
) -> Tracks2D:
    """Corners of weak photos and where their neighbours show them, in pixels of each photo as it is stored.

    Args:
        result: The model.
        weak: The photos that are searched for.
        read: For each photo a function that gives (H, W, 3) uint8 RGB and where to ignore it.
        options: Where.
        report: Called per photo.
    """
    model, found = result.model, result.found
    T_cw = poses(model, len(found.names))
    cameras = [model.camera(c.camera_id) if model.exists_camera(c.camera_id) else c for c in found.cameras]
    views: dict[int, View] = {}
    xy = [np.empty((0, len(cameras), 2), np.float32)]
    queries = [np.empty((0, 3), np.float32)]

    def view(t: int) -> View:
        if t not in views:
            shrink = _shrink(cameras[t], options.side)
            K = pinhole(cameras[t], shrink)
            grey = cv2.cvtColor(read[t]()[0], cv2.COLOR_RGB2GRAY)
            flat = flattened(grey, cameras[t], undistortion(cameras[t], K, shrink), shrink)  # type: ignore[arg-type]
            views[t] = View(flat.astype(np.float32), K, T_cw[t])
        return views[t]

    for done, t in enumerate(weak):
        report(done, len(weak))
        near, xyz = _neighbours(model, t, options.neighbours)
        if len(near) < 2:
            continue
        corners = _corners(view(t), options)
        corners = corners[_counts(corners, view(t).K, cameras[t], read[t]()[1])]
        where = find_in_neighbours({n: view(n) for n in (t, *near)}, t, near, corners, xyz, options.patches)
        seen = np.full((len(corners), len(cameras), 2), np.nan, np.float32)
        seen[:, t] = _stored(corners, view(t).K, cameras[t])
        for n, places in where.items():
            hit = np.flatnonzero(np.isfinite(places[:, 0]))
            seen[hit, n] = _stored(places[hit], view(n).K, cameras[n])
        kept = np.isfinite(seen[:, :, 0]).sum(1) >= options.patches.fewest_views
        xy.append(seen[kept])
        queries.append(np.column_stack([np.full(kept.sum(), t), seen[kept, t]]).astype(np.float32))
    report(len(weak), len(weak))
    places = np.concatenate(xy)
    visible = np.isfinite(places[:, :, 0])
    scale = np.array([options.sigma_px / _shrink(c, options.side) for c in cameras], np.float32)
    sigma = np.where(visible, scale, np.nan).astype(np.float32)
    return Tracks2D(places, visible, visible.astype(np.float32), np.concatenate(queries), sigma)


def _shrink(camera: pycolmap.Camera, side: int) -> float:
    return min(1.0, side / max(camera.width, camera.height))


def _neighbours(model: pycolmap.Reconstruction, t: int, most: int) -> tuple[list[int], F64]:
    """Photos that share most points with one, and these points."""
    points = [model.point3D(p.point3D_id) for p in model.image(t + 1).points2D if p.has_point3D()]
    shared: dict[int, int] = {}
    for point in points:
        for n in {e.image_id - 1 for e in point.track.elements} - {t}:
            shared[n] = shared.get(n, 0) + 1
    best = sorted(shared, key=lambda n: (-shared[n], n))[:most]
    return best, np.array([p.xyz for p in points]).reshape(-1, 3)


def _corners(view: View, options: SearchOptions) -> F32:
    """(N, 2) the strongest corners of each cell of a grid (Shi and Tomasi 1994), so that all of the photo is covered."""
    found = cv2.goodFeaturesToTrack(view.grey, 20 * options.corners, 0.0005, 4, blockSize=7)
    if found is None:
        return np.empty((0, 2), np.float32)
    xy = np.asarray(found, np.float32).reshape(-1, 2)  # strongest first
    columns, rows = options.cells
    height, width = view.grey.shape
    cell = (xy[:, 0] * columns // width + columns * (xy[:, 1] * rows // height)).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(cell[order]) > 0])
    rank = np.empty(len(xy), np.int64)
    rank[order] = np.arange(len(xy)) - np.repeat(starts, np.diff(np.r_[starts, len(xy)]))
    return xy[np.argsort(rank, kind="stable")[: options.corners]] + np.float32(0.5)  # OpenCV counts from the first pixel's centre


def _stored(xy: F32 | F64, K: F64, camera: pycolmap.Camera) -> F32:
    """Pixels of a flat, reduced picture in the photo as it is stored."""
    rays = np.column_stack([(xy - K[:2, 2]) / [K[0, 0], K[1, 1]], np.ones(len(xy))]).astype(np.float64)
    return np.asarray(camera.img_from_cam(rays)).reshape(-1, 2).astype(np.float32)


def _counts(corners: F32, K: F64, camera: pycolmap.Camera, ignore: B | None) -> B:
    """Which corners lie in the photo and are not masked."""
    xy = _stored(corners, K, camera)
    inside = np.all((xy >= 0) & (xy < (camera.width, camera.height)), axis=1)
    if ignore is not None:
        column, row = np.clip(np.nan_to_num(xy).astype(np.int64), 0, np.array([camera.width, camera.height]) - 1).T
        inside &= ~ignore[row, column]
    return inside
