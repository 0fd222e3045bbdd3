"""The static cloud of a scene: depth pixels of a few frames that agree with each other, thinned and cleaned."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from toolkit.compiling import compiled
from toolkit.disk_arrays import large_take, pieces
from toolkit.errors import UserError
from toolkit.geometry.cameras import unproject
from toolkit.geometry.depth_edges import off_edges
from toolkit.geometry.poses import invert
from toolkit.geometry.sampling import pixel_centres
from toolkit.progress import Report, silent
from toolkit.scene import F64, I64, U8, B, Cameras, DepthVideo, PointCloud, Scene, Video


@dataclass(frozen=True)
class CloudSettings:
    """How still, confident pixels are found.

    Attributes:
        key_frames: Frames that give points, spread over the clip; more add little but time.
        candidates_per_point: So many pixels are looked at for each point of the result.
        min_confidence: Of a depth pixel, 0..1.
        agreement: Two depths agree when they differ by less than this share; stereo at 10 m is about that good.
        edge: A pixel whose neighbourhood spans more than this share of its depth may float between two surfaces.
        most_through: A point may be seen through in so many frames per frame that agrees with it; more, and it has moved.
        most_unknown: Nor may so many frames per frame that agrees have no depth at its place: matches in an empty sky come and go.
        moving_radius: Around a moving track nothing is taken, as a share of the picture's width.
        isolation: A point whose third neighbour is further than so many pixel footprints is an outlier.
    """

    key_frames: int = 12
    candidates_per_point: float = 3.0
    min_confidence: float = 0.5
    agreement: float = 0.05
    edge: float = 0.1
    most_through: float = 0.25
    most_unknown: float = 4.0
    moving_radius: float = 0.015
    isolation: float = 6.0


def static_cloud(scene: Scene, *, max_points: int = 200_000, report: Report = silent) -> PointCloud:
    """The coloured cloud of what stands still in a scene with video, depth and cameras; see `cloud_from_depth`.

    Raises:
        UserError: one of these parts is missing.
    """
    if scene.video is None or scene.depth is None or scene.cameras is None:
        lacking = ", ".join(n for n in ("video", "depth", "cameras") if getattr(scene, n) is None)
        raise UserError(f"A static cloud needs video, depth and cameras, but the scene holds no {lacking}.")
    moving_xy = None
    if scene.tracks_2d is not None and scene.tracks_3d is not None:
        moves = np.nan_to_num(scene.tracks_3d.motion) > 0.5
        moving_xy, seen = large_take(scene.tracks_2d.xy, moves), large_take(scene.tracks_2d.visible, moves)
        for some in pieces(*seen.shape):
            moving_xy[some][~seen[some]] = np.nan
    return cloud_from_depth(scene.video, scene.depth, scene.cameras, moving_xy=moving_xy, max_points=max_points, report=report)


def cloud_from_depth(
    video: Video,
    depth: DepthVideo,
    cameras: Cameras,
    *,
    moving_xy: NDArray | None = None,
    max_points: int = 200_000,
    settings: CloudSettings | None = None,
    report: Report = silent,
) -> PointCloud:
    """Confident depth pixels of a few frames in the world, without what moves.

    A pixel counts as still when the other frames that look at its place agree with its depth; where they look through it to
    something farther, it has moved. Points closer together than the cloud can hold are averaged.

    Args:
        video: T frames of the size of the depth.
        depth: Z-depth of each frame.
        cameras: Of each frame; frames without a pose are left out.
        moving_xy: (M, T, 2) pixels of tracks known to move, NaN where hidden; their surroundings are left out.
        max_points: Largest number of points.
        settings: Thresholds.
        report: Called per key frame.

    Returns:
        World points in the unit of the depth; empty where no pixel qualifies.
    """
    settings = settings or CloudSettings()
    usable = np.flatnonzero(cameras.registered)
    if len(usable) == 0 or max_points <= 0:
        return PointCloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))
    keys = usable[np.unique(np.linspace(0, len(usable) - 1, settings.key_frames).round().astype(int))]
    h, w = depth.depth.shape[1:]
    stride = max(1, int(np.sqrt(len(keys) * h * w / (settings.candidates_per_point * max_points))))
    centres = pixel_centres((w, h))
    places, colours, footprints, sources = [], [], [], []
    for i, t in enumerate(keys):
        report(i, len(keys))
        good = off_edges(depth.depth[t], span=settings.edge) & (depth.confidence[t] >= settings.min_confidence)
        if moving_xy is not None:
            good &= ~_near_moving(moving_xy[:, t], (w, h), settings.moving_radius)
        row, column = np.nonzero(good[i % stride :: stride, i % stride :: stride])
        row, column = row * stride + i % stride, column * stride + i % stride
        z = depth.depth[t, row, column]
        places.append(unproject(centres[row, column], z, cameras.K[t], cameras.T_wc[t]))
        colours.append(video.frames[t, row, column])
        footprints.append(z * stride / cameras.K[t, 0, 0])
        sources.append(np.full(len(z), i))
    xyz, rgb, footprint = np.concatenate(places), np.concatenate(colours), np.concatenate(footprints)
    others = np.ascontiguousarray(depth.depth[keys]), cameras.K[keys], invert(cameras.T_wc[keys])
    agree, through, unknown, looked = _ask_other_frames(xyz, np.concatenate(sources), *others, settings.agreement)
    still = (through <= settings.most_through * agree) & (unknown <= settings.most_unknown * agree) & ((agree > 0) | (looked == 0))
    xyz, rgb, footprint = _thinned(xyz[still], rgb[still], footprint[still], max_points)
    kept = _not_isolated(xyz, footprint, settings.isolation)
    report(len(keys), len(keys))
    return PointCloud(xyz[kept].astype(np.float32), rgb[kept])


def _near_moving(xy: NDArray, size: tuple[int, int], radius: float) -> B:
    """(H, W) pixels within `radius` (a share of the width) of any of the points."""
    marks = np.zeros((size[1], size[0]), np.uint8)
    column, row = np.floor(xy[np.isfinite(xy).all(-1)]).astype(int).T
    inside = (column >= 0) & (column < size[0]) & (row >= 0) & (row < size[1])
    marks[row[inside], column[inside]] = 1
    side = 2 * max(1, round(radius * size[0])) + 1
    return cv2.dilate(marks, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0


@compiled()
def _ask_other_frames(xyz, source, depth, K, T_cw, agreement):  # pragma: no cover - compiled
    """How many other frames agree with each point, look through it, know no depth at its place, and know one."""
    h, w = depth.shape[1], depth.shape[2]
    agree, through = np.zeros(len(xyz), np.int32), np.zeros(len(xyz), np.int32)
    unknown, looked = np.zeros(len(xyz), np.int32), np.zeros(len(xyz), np.int32)
    for i in range(len(xyz)):
        for f in range(len(depth)):
            if f == source[i]:
                continue
            T = T_cw[f]
            z = T[2, 0] * xyz[i, 0] + T[2, 1] * xyz[i, 1] + T[2, 2] * xyz[i, 2] + T[2, 3]
            if not z > 1e-6:
                continue
            x = (T[0, 0] * xyz[i, 0] + T[0, 1] * xyz[i, 1] + T[0, 2] * xyz[i, 2] + T[0, 3]) / z
            y = (T[1, 0] * xyz[i, 0] + T[1, 1] * xyz[i, 1] + T[1, 2] * xyz[i, 2] + T[1, 3]) / z
            u, v = K[f, 0, 0] * x + K[f, 0, 1] * y + K[f, 0, 2], K[f, 1, 1] * y + K[f, 1, 2]
            if not (0 <= u < w and 0 <= v < h):
                continue
            seen = depth[f, int(v), int(u)]
            if not seen > 0:
                unknown[i] += 1
                continue
            looked[i] += 1
            if abs(seen - z) <= agreement * z:
                agree[i] += 1
            elif seen > z * (1 + 2 * agreement):
                through[i] += 1
    return agree, through, unknown, looked


def _thinned(xyz: F64, rgb: U8, footprint: F64, max_points: int) -> tuple[F64, U8, F64]:
    """Points averaged within cubes, which grow from the median pixel footprint until few enough are left."""
    if len(xyz) == 0:
        return xyz, rgb, footprint
    side = float(np.median(footprint))
    colour, weight = rgb.astype(np.float64), np.ones(len(xyz))
    while True:
        cube = _cube_of(xyz, side)
        count = np.bincount(cube, weight)
        xyz, colour = (np.stack([np.bincount(cube, weight * a[:, c]) for c in range(3)], 1) / count[:, None] for a in (xyz, colour))
        footprint, weight = np.bincount(cube, weight * footprint) / count, count
        if len(xyz) <= max_points:
            return xyz, np.clip(np.round(colour), 0, 255).astype(np.uint8), np.maximum(footprint, side)
        # Points lie on surfaces: their number falls with the square of the side.
        side *= max(1.05, float(np.sqrt(len(xyz) / max_points)))


def _cube_of(xyz: F64, side: float) -> I64:
    """(P,) number of the cube that each point lies in, without gaps."""
    cell = np.floor((xyz - xyz.min(0)) / side).astype(np.int64)
    extent = cell.max(0) + 1
    key = (cell[:, 0] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 2]
    return np.unique(key, return_inverse=True)[1]


def _not_isolated(xyz: F64, footprint: F64, limit: float) -> B:
    """Points whose third neighbour is no further than `limit` footprints."""
    neighbours = 3
    if len(xyz) <= neighbours:
        return np.ones(len(xyz), bool)
    distance = KDTree(xyz).query(xyz, k=neighbours + 1)[0]
    return np.asarray(distance[:, -1] <= limit * footprint)
