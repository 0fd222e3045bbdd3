"""Points seen in several pictures, as rays: of photos joined along their matches, of a video as they were followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from toolkit.scene import F64, I64, B
from toolkit.sfm.mapping import Correspondences
from toolkit.sfm.video_points import VideoPoints

if TYPE_CHECKING:
    import pycolmap

MOST_POINTS = 800  # of a comparison, chosen at random
PLAIN = frozenset({"SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"})
"""Lenses whose distortion is a factor on pixels, as that of a turning camera; of others the one that was found is taken."""

ACROSS = 8  # parts of the picture along each side


@dataclass(frozen=True, eq=False)
class Sightings:
    """Points seen in several pictures.

    Attributes:
        frame: (N,) picture of each sighting, 0 to T - 1.
        point: (N,) point of each, 0 to P - 1.
        rays: (N, 2) where it is seen: x/z and y/z in the camera, lens distortion taken out.
        plain: (N, 2) the same where the lens was only assumed, in units of its focal length: distortion left in, from the picture's centre.
        focal_px: (N,) focal length, in pixels of a picture that is reduced to 1000 where it is larger.
        cell: (N,) part of the picture it lies in.
        lens: (T,) number of each picture's lens.
        name: (P,) number of each point as it was followed; of photos without a meaning.
    """

    frame: I64
    point: I64
    rays: F64
    plain: F64
    focal_px: F64
    cell: I64
    lens: I64
    name: I64


def of_photos(
    found: Correspondences, cameras: Sequence[pycolmap.Camera], photos: Sequence[int], *, fixed_lens: bool = False, seed: int = 0
) -> Sightings | None:
    """Points of some photos, joined along their matches; None where there are none.

    Args:
        found: Features and pairs.
        cameras: The lens of each photo of `found`.
        photos: Which photos, rising; these are the pictures of the result.
        fixed_lens: Whether the lens is known; else a camera that only turns may have another one.
        seed: Of the random choice.
    """
    number = {t: k for k, t in enumerate(photos)}
    starts = np.concatenate([[0], np.cumsum([len(found.features[t]) for t in photos])])
    edges = [
        pair.pairs.astype(np.int64) + [starts[number[i]], starts[number[j]]]
        for (i, j), pair in found.pairs.items()
        if i in number and j in number and len(pair.pairs)
    ]
    if not edges:
        return None
    a, b = np.concatenate(edges).T
    total = int(starts[-1])
    label = connected_components(coo_array((np.ones(len(a), bool), (a, b)), (total, total)), directed=False)[1]
    node = np.unique(np.concatenate([a, b]))
    frame = np.searchsorted(starts, node, side="right") - 1
    xy = np.concatenate([found.features[t].xy for t in photos])[node]
    return _seen(frame, label[node], xy, [cameras[t] for t in photos], fixed_lens, seed)


def of_video(
    points: VideoPoints, camera: pycolmap.Camera, frames: Sequence[int], *, fixed_lens: bool = False, seed: int = 0
) -> Sightings | None:
    """Points followed through some frames, whether they move or not; None where there are none.

    Args:
        points: Of the whole video.
        camera: Its lens.
        frames: Which frames, rising; these are the pictures of the result.
        fixed_lens: Whether the lens is known; else a camera that only turns may have another one.
        seed: Of the random choice.
    """
    frame = np.repeat(np.arange(len(frames)), [len(points.ids[t]) for t in frames])
    ids = np.concatenate([points.ids[t] for t in frames])
    xy = np.concatenate([points.xy[t] for t in frames])
    return _seen(frame, ids, xy, [camera] * len(frames), fixed_lens, seed)


def _seen(frame: NDArray, label: NDArray, xy: NDArray, cameras: Sequence[pycolmap.Camera], fixed_lens: bool, seed: int) -> Sightings | None:
    # Of a point that one picture shows twice it is not known where it is.
    _, at, times = np.unique(frame * (int(label.max(initial=0)) + 1) + label, return_inverse=True, return_counts=True)
    good = np.ones(int(label.max(initial=0)) + 1, bool)
    good[label[times[at] > 1]] = False
    length = np.bincount(label, minlength=len(good))
    usable = np.flatnonzero(good & (length > 1))
    if len(usable) == 0:
        return None
    if len(usable) > MOST_POINTS:
        usable = np.sort(np.random.default_rng(seed).choice(usable, MOST_POINTS, replace=False))
    to = np.full(len(good), -1)
    to[usable] = np.arange(len(usable))
    kept: B = to[label] >= 0
    frame, point, xy = frame[kept], to[label[kept]], xy[kept].astype(np.float64)
    rays, plain, focal, cell = np.empty((len(xy), 2)), np.empty((len(xy), 2)), np.empty(len(xy)), np.empty(len(xy), np.int64)
    ids = sorted({c.camera_id for c in cameras})
    for t, camera in enumerate(cameras):
        rows = np.flatnonzero(frame == t)
        size = np.array([camera.width, camera.height])
        rays[rows] = np.asarray(camera.cam_from_img(xy[rows]))[:, :2] if len(rows) else 0
        plain[rows] = rays[rows]
        if not fixed_lens and camera.model_name in PLAIN:
            plain[rows] = (xy[rows] - size / 2) / [camera.focal_length_x, camera.focal_length_y]
        focal[rows] = camera.mean_focal_length() * min(1, 1000 / max(size))
        column, row = np.clip(xy[rows] / size * ACROSS, 0, ACROSS - 1).astype(np.int64).T
        cell[rows] = row * ACROSS + column
    known = np.isfinite(rays).all(1)
    rays[~known] = 0
    length = np.bincount(point[known], minlength=len(usable))
    known &= length[point] > 1
    if not known.any():
        return None
    name, point = np.unique(point[known], return_inverse=True)
    return Sightings(
        frame[known],
        point,
        rays[known],
        plain[known],
        focal[known],
        cell[known],
        np.array([ids.index(c.camera_id) for c in cameras]),
        usable[name],
    )
