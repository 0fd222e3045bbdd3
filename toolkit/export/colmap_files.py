"""COLMAP models of a scene: its cameras, the points that stand still, and where each was seen; of photos also with their lenses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.export.photo_lenses import PhotoLenses, observations, photo_lenses
from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import inside
from toolkit.scene import F32, F64, B, Cameras, PointCloud, Scene
from toolkit.sfm.colmap import load_pycolmap, reconstruction
from toolkit.views.overlay import moving_tracks
from toolkit.views.selection import spread_tracks

MAX_OBSERVATIONS = 150_000  # About 12 MB, binary and text together.
MAX_VIEWS = 12  # of one point, spread over the time it is seen: more places to look from would add little.
MAX_CLOUD_POINTS = 100_000
FARTHEST_PX = 4.0  # COLMAP's own limit of a reprojection error.


def write_colmap(scene: Scene, folder: Path, *, seed: int = 0) -> dict[str, Any]:
    """Writes `sparse/0` below the folder, as binary and as text: cameras, images, points3D, rigs, frames.

    A scene of photos gives two models of the same world: `sparse/0` is of the photos themselves, with their names, sizes and lenses;
    `undistorted/sparse/0` is of the flat pictures in `images`, as for any other scene `sparse/0` is.

    Args:
        scene: With cameras.
        folder: Made here.
        seed: Of the choice where there are too many points.

    Returns:
        Notes for the manifest.
    """
    photos = photo_lenses(scene)
    if photos is None or scene.tracks_2d is None or scene.tracks_3d is None:
        return _write_flat(scene, folder / "sparse" / "0", seed)
    notes = _write_flat(scene, folder / "undistorted" / "sparse" / "0", seed)
    return {**_write_photos(scene, photos, folder / "sparse" / "0"), "undistorted": notes}


def _write_photos(scene: Scene, photos: PhotoLenses, target: Path) -> dict[str, Any]:
    """The model of the photos: every point that is a track, every place where it was found."""
    assert scene.cameras is not None and scene.tracks_2d is not None and scene.tracks_3d is not None
    xyz_w, seen = observations(scene)
    some = np.flatnonzero(seen.any(1))
    point, frame = np.nonzero(seen[some])
    xy = np.empty((len(point), 2))
    for t in np.unique(frame).tolist():
        here = frame == t
        xy[here] = photos.in_photo(scene, t, scene.tracks_2d.xy[some[point[here]], t].astype(np.float64))
    rgb = scene.tracks_3d.rgb[some]
    model = reconstruction(scene.cameras, photos.names, xyz_w[some], rgb, point=point, frame=frame, xy=xy, lenses=photos.lenses)
    _write(model, target)
    return {
        "pose": "camera-from-world, OpenCV camera axes; the world is that of points.ply",
        "images": "sparse/0: your own photos, by their names, with the lenses that took them; image_id is the frame plus 1. "
        "undistorted/sparse/0: the pictures in images of the bundle",
        "pixels": "the centre of the top-left pixel is (0.5, 0.5)",
        "points": len(some),
        "observations": len(point),
        "reprojection_error_px": round(float(model.compute_mean_reprojection_error()), 4) if len(point) else None,
    }


def _write(model: Any, target: Path) -> None:
    target.mkdir(parents=True)
    model.write_binary(target)
    model.write_text(target)


def _write_flat(scene: Scene, target: Path, seed: int) -> dict[str, Any]:
    """The model of the scene's own pictures.

    Points are the tracks that stand still, their observations the visible samples of the 2D tracks; what lies further than 4 px from
    where the point projects to is left out, as COLMAP's own filter does. A scene without such tracks gives its cloud, seen by no image.
    """
    assert scene.cameras is not None
    cameras = scene.cameras
    tracks = _still_tracks(scene)
    xyz_w, seen = _observed(tracks, cameras)
    if len(xyz_w):
        assert tracks.tracks_2d is not None and tracks.tracks_3d is not None
        some = _few_enough(tracks.tracks_2d.xy, seen, (int(cameras.size[0, 0]), int(cameras.size[0, 1])), seed)
        xyz_w, rgb = xyz_w[some], tracks.tracks_3d.rgb[some]
        point, frame = np.nonzero(seen[some])
        xy = tracks.tracks_2d.xy[some[point], frame].astype(np.float64)
    else:
        cloud = scene.points if scene.points is not None else PointCloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))
        rows = np.sort(np.random.default_rng(seed).permutation(len(cloud))[:MAX_CLOUD_POINTS])
        xyz_w, rgb = cloud.xyz[rows].astype(np.float64), cloud.rgb[rows]
        point, frame, xy = np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 2))
    names = [f"{t:06d}.jpg" for t in range(len(cameras))]
    model = reconstruction(cameras, names, xyz_w, rgb, point=point, frame=frame, xy=xy)
    _write(model, target)
    return {
        "pose": "camera-from-world, OpenCV camera axes; the world is that of points.ply",
        "images": "image_id is the frame plus 1; the pictures are images/*.jpg of the bundle",
        "pixels": "the centre of the top-left pixel is (0.5, 0.5)",
        "points": len(xyz_w),
        "observations": len(point),
        "reprojection_error_px": round(float(model.compute_mean_reprojection_error()), 4) if len(point) else None,
        "rule": f"tracks that stand still and are seen twice or more within {FARTHEST_PX:g} px of where they project to; "
        f"at most {MAX_VIEWS} observations of each, at even steps through its life, and {MAX_OBSERVATIONS} in all",
    }


def lacks_pycolmap() -> str:
    """What is missing for writing COLMAP files, or ""."""
    try:
        load_pycolmap()
    except ValueError as problem:
        return str(problem)
    return ""


def _still_tracks(scene: Scene) -> Scene:
    """The tracks that stand still."""
    if scene.tracks_2d is None or scene.tracks_3d is None:
        return Scene()
    still = ~moving_tracks(scene) & np.asarray(np.isfinite(scene.tracks_3d.xyz).all(-1)).any(axis=1)
    return Scene(tracks_2d=scene.tracks_2d.select(still), tracks_3d=scene.tracks_3d.select(still))


def _observed(scene: Scene, cameras: Cameras) -> tuple[F64, B]:
    """(N, 3) place of each still track and (N, T) samples that count as its observations; nothing where there are none."""
    if scene.tracks_2d is None or scene.tracks_3d is None:
        return np.empty((0, 3)), np.empty((0, 0), bool)
    xyz_w = np.array([np.median(path[np.isfinite(path[:, 0])], axis=0) for path in scene.tracks_3d.xyz], np.float64).reshape(-1, 3)
    seen = np.zeros(scene.tracks_2d.visible.shape, bool)
    for t in np.flatnonzero(cameras.registered):
        xy = scene.tracks_2d.xy[:, t]
        expected, _ = project(xyz_w, cameras.K[t], cameras.T_wc[t])
        near = np.linalg.norm(expected - xy, axis=1) <= FARTHEST_PX
        seen[:, t] = near & scene.tracks_2d.visible[:, t] & inside(xy, (int(cameras.size[t, 0]), int(cameras.size[t, 1])))
    count = seen.sum(1, keepdims=True)
    # Of a point seen more often, samples at even steps through its life.
    step = np.minimum(1.0, MAX_VIEWS / np.maximum(count, 1))
    rank = np.cumsum(seen, axis=1) - 1
    seen &= (np.floor(rank * step + 1e-9) > np.floor((rank - 1) * step + 1e-9)) & (count > 1)
    return (xyz_w, seen) if seen.any() else (xyz_w[:0], seen[:0])


def _few_enough(xy: F32, seen: B, size: tuple[int, int], seed: int) -> NDArray[np.int64]:
    """Tracks that are observed, or a spread-out choice of them whose observations stay within the limit."""
    chosen = np.flatnonzero(seen.any(1))
    if int(seen.sum()) <= MAX_OBSERVATIONS:
        return chosen
    return spread_tracks(xy, seen, size, MAX_OBSERVATIONS // MAX_VIEWS, seed=seed)
