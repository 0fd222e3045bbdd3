"""Photos that the mapper left out, placed by what they share with the model's points; and matches sought along known epipolar lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, F64, B
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.features import Features
from toolkit.sfm.mapping import Correspondences
from toolkit.sfm.matching import MatchOptions, Pairs, match_guided

if TYPE_CHECKING:
    import pycolmap

NEAR_RAD = 0.01
"""Distance to an epipolar line, over the focal length, within which a match agrees with known poses: unknown distortion may be as much."""

CONTRADICTED = 0.5
"""Share of the matches of a photo that must agree with its known pose."""


@dataclass(frozen=True)
class RegistrationOptions:
    """When a photo counts as placed.

    Attributes:
        fewest: Points of the model that must agree with its pose.
        error_px: Largest reprojection error of these, in pixels of a picture of 1600.
        ratio: Nearest descriptor over the second nearest point's; many are wrong, the pose is what sorts them out.
        share: Least share of the matches that must agree; a pose by chance has less.
    """

    fewest: int = 12
    error_px: float = 8.0
    ratio: float = 0.85
    share: float = 0.1


@dataclass(frozen=True, eq=False)
class Placed:
    """How the placing of one photo went.

    Attributes:
        T_cw: (4, 4) camera-from-world; None where it can't be placed.
        matches: Features that look like a point of the model.
        agreeing: Those that one pose explains.
    """

    T_cw: F64 | None
    matches: int
    agreeing: int


@dataclass(frozen=True, eq=False)
class KnownPoints:
    """Points of a model by all that they can be known again by.

    Attributes:
        xyz: (P, 3) in the world.
        descriptors: (D, 128) uint8 of their observations.
        owner: (D,) the row of the point of each.
        by_track: Row of the point by the number of the followed point that it is.
    """

    xyz: F64
    descriptors: NDArray[np.uint8]
    owner: NDArray[np.int64]
    by_track: dict[int, int]


def place(
    model: pycolmap.Reconstruction,
    found: Correspondences,
    photo: int,
    options: RegistrationOptions,
    seed: int,
    known: KnownPoints | None = None,
) -> Placed:
    """The pose of one photo from features that are, or look like, points of the model (2D-3D matching, Sattler 2011; then RANSAC PnP).

    Args:
        model: Of other photos; image numbers are photos plus one.
        found: Features and cameras of all photos.
        photo: The one to be placed.
        options: When it counts as placed.
        seed: Of the random samples.
        known: What `known_points` gives, where many photos are placed.
    """
    colmap = load_pycolmap()
    points = known or known_points(model, found)
    xyz = points.xyz
    features = found.features[photo]
    rows, to = _candidates(features, points, options.ratio)
    camera = _camera_of(model, found, photo)
    if len(rows) < options.fewest:
        return Placed(None, len(rows), 0)
    asked = colmap.AbsolutePoseEstimationOptions()
    asked.ransac.max_error = options.error_px * max(camera.width, camera.height, 1600) / 1600
    asked.ransac.random_seed = seed
    asked.ransac.min_inlier_ratio = 0.02
    result = colmap.estimate_and_refine_absolute_pose(features.xy[rows].astype(float), xyz[to], camera, asked)
    agreeing = 0 if result is None else int(np.sum(result["inlier_mask"]))
    if result is None or agreeing < options.fewest or agreeing < options.share * len(rows):
        return Placed(None, len(rows), agreeing)
    T_cw = np.eye(4)
    T_cw[:3] = result["cam_from_world"].matrix()
    return Placed(T_cw, len(rows), agreeing)


def poses(model: pycolmap.Reconstruction, photos: int) -> F64:
    """(T, 4, 4) camera-from-world of each photo, NaN where it is not registered."""
    T_cw = np.full((photos, 4, 4), np.nan)
    for image in model.reg_image_ids():
        T_cw[image - 1, :3] = model.image(image).cam_from_world().matrix()
        T_cw[image - 1, 3] = [0, 0, 0, 1]
    return T_cw


def second_look(
    found: Correspondences, cameras: tuple[pycolmap.Camera, pycolmap.Camera], T_cw: F64, pair: tuple[int, int], options: MatchOptions
) -> Pairs:
    """Matches of two placed photos along the epipolar lines that their poses give.

    Args:
        found: Features of all photos.
        cameras: Of both, as the model has refined them.
        T_cw: (T, 4, 4) poses of all photos.
        pair: The two photos.
        options: How alike matches must be.
    """
    i, j = pair
    first, second = (_rays(c, found.features[t].xy) for c, t in zip(cameras, pair, strict=True))
    E = _essential(T_cw[i], T_cw[j])
    focal = float(np.sqrt(cameras[0].mean_focal_length() * cameras[1].mean_focal_length()))
    near = options.near_line_px * max(cameras[0].width, cameras[0].height, 1600) / 1600 / focal
    return match_guided(found.features[i].descriptor, found.features[j].descriptor, first, second, E, near, options)


def agreement(found: Correspondences, T_cw: F64) -> F64:
    """(T,) share of the matches of each photo that known poses explain; NaN where it has no match with another one that has a pose.

    Args:
        found: Matches, each pair by a relative pose of its own, and the lenses.
        T_cw: (T, 4, 4) camera-from-world, NaN where it is not known.
    """
    near, all_of = np.zeros(len(T_cw)), np.zeros(len(T_cw))
    for (i, j), pair in found.pairs.items():
        if not np.isfinite(T_cw[[i, j]]).all():
            continue
        a, b = (_rays(found.cameras[t], found.features[t].xy[rows]).astype(float) for t, rows in zip((i, j), pair.pairs.T, strict=True))
        E = _essential(T_cw[i], T_cw[j])
        a, b = (np.column_stack([xy, np.ones(len(xy))]) for xy in (a, b))
        from_a, from_b = a @ E.T, b @ E
        off = np.abs((b * from_a).sum(1)) / np.maximum(np.sqrt((from_a[:, :2] ** 2).sum(1) + (from_b[:, :2] ** 2).sum(1)), 1e-300)
        good = np.sum((off < NEAR_RAD) & _before_both(a, b, T_cw[j] @ np.linalg.inv(T_cw[i])))
        for t in (i, j):
            near[t] += good
            all_of[t] += len(pair.pairs)
    return np.where(all_of > 0, near / np.maximum(all_of, 1), np.nan)


def _before_both(a: F64, b: F64, relative: F64) -> B:
    """(M,) whether two rays meet before both cameras, or too far away to tell."""
    turned, t = a @ relative[:3, :3].T, relative[:3, 3]
    apart = np.cross(turned, b)
    depth_b, depth_a = (np.cross(turned, t) * apart).sum(1), (np.cross(b, t) * apart).sum(1)
    return ((depth_a > 0) & (depth_b > 0)) | (np.linalg.norm(apart, axis=1) < NEAR_RAD)


def _essential(first_cw: F64, second_cw: F64) -> F64:
    relative = second_cw @ np.linalg.inv(first_cw)
    x, y, z = relative[:3, 3]
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ relative[:3, :3]


def _rays(camera: pycolmap.Camera, xy: F32) -> F32:
    """(K, 2) places on the plane one before the camera, lens distortion taken out."""
    return np.asarray(camera.cam_from_img(xy.astype(np.float64)), np.float64)[:, :2].astype(np.float32)


def known_points(model: pycolmap.Reconstruction, found: Correspondences) -> KnownPoints:
    """Points of a model by the descriptors of their observations and by the followed points that they are."""
    xyz, owners, rows = [], [], []
    for number, (_, point) in enumerate(sorted(model.points3D.items())):
        xyz.append(point.xyz)
        for seen in point.track.elements:
            owners.append(number)
            rows.append((seen.image_id - 1, seen.point2D_idx))
    table, owner = np.array(rows, np.int64).reshape(-1, 2), np.array(owners, np.int64)
    descriptors, followed = np.zeros((len(table), 128), np.uint8), np.full(len(table), -1)
    for t in np.unique(table[:, 0]):
        here, features = table[:, 0] == t, found.features[t]
        if features.descriptor.shape[1]:
            descriptors[here] = features.descriptor[table[here, 1]]
        if features.track is not None:
            followed[here] = features.track[table[here, 1]]
    tracked, described = followed >= 0, descriptors.any(axis=1)
    by_track = dict(zip(followed[tracked].tolist(), owner[tracked].tolist(), strict=True))
    return KnownPoints(np.array(xyz).reshape(-1, 3), descriptors[described], owner[described], by_track)


def _candidates(features: Features, points: KnownPoints, ratio: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Features and the points they may be: the same followed point, or else one that looks alike."""
    rows, to = _nearest_points(features, points.descriptors, points.owner, ratio)
    if features.track is None or not points.by_track:
        return rows, to
    point = np.array([points.by_track.get(n, -1) for n in features.track.tolist()], np.int64)
    same = np.flatnonzero(point >= 0)
    others = ~np.isin(rows, same)
    return np.concatenate([same, rows[others]]), np.concatenate([point[same], to[others]])


def _nearest_points(
    features: Features, descriptors: NDArray[np.uint8], point: NDArray[np.int64], ratio: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Features and the points they look like, clearly more than like any other point; each point at most once."""
    if len(descriptors) == 0 or len(features) == 0 or features.descriptor.shape[1] == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    order = np.argsort(point, kind="stable")
    table, owner = descriptors[order].astype(np.float32) / 512, point[order]
    starts = np.flatnonzero(np.r_[True, np.diff(owner) > 0])
    best, second, at = np.zeros(len(features)), np.zeros(len(features)), np.zeros(len(features), np.int64)
    for a in range(0, len(features), 512):
        alike = features.descriptor[a : a + 512].astype(np.float32) / 512 @ table.T
        by_point = np.maximum.reduceat(alike, starts, axis=1)
        rows = np.arange(len(by_point))
        at[a : a + 512] = by_point.argmax(1)
        best[a : a + 512] = by_point[rows, at[a : a + 512]]
        by_point[rows, at[a : a + 512]] = 0
        second[a : a + 512] = by_point.max(1)
    good = np.arccos(np.minimum(best, 1)) < np.minimum(ratio * np.arccos(np.minimum(second, 1)), 0.8)
    rows = np.flatnonzero(good)
    rows = rows[np.argsort(-best[rows], kind="stable")]
    _, first = np.unique(at[rows], return_index=True)
    rows = np.sort(rows[first])
    return rows, owner[starts][at[rows]]


def _camera_of(model: pycolmap.Reconstruction, found: Correspondences, photo: int) -> pycolmap.Camera:
    """The camera as the model has refined it, or as it was taken to be."""
    camera = found.cameras[photo]
    return model.camera(camera.camera_id) if model.exists_camera(camera.camera_id) else camera
