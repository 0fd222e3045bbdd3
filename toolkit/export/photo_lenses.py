"""The lenses that took the photos of a scene, and where its flat pictures' points lie in the photos themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.scene import F64, B, Scene
from toolkit.sfm.colmap import Lens, colmap_camera, load_pycolmap

_SAME = 1e-4  # of a focal length: the report rounds


@dataclass(frozen=True)
class PhotoLenses:
    """Photos and their lenses.

    Attributes:
        names: File name of each photo.
        lenses: Of each photo; of one without a pose any.
        shrink: Pixels of the scene's flat pictures to a pixel of the photos.
    """

    names: list[str]
    lenses: list[Lens]
    shrink: float

    def in_photo(self, scene: Scene, frame: int, xy: F64) -> F64:
        """Places in a flat picture as places in its photo, lens distortion put back.

        Args:
            scene: The scene of these photos.
            frame: Number of the photo.
            xy: (N, 2) continuous pixels of the scene's picture.

        Returns:
            (N, 2) continuous pixels of the photo.
        """
        assert scene.cameras is not None
        K = scene.cameras.K[frame]
        rays = np.column_stack([(xy - K[:2, 2]) / [K[0, 0], K[1, 1]], np.ones(len(xy))])
        return np.asarray(colmap_camera(self.lenses[frame]).img_from_cam(rays)).reshape(-1, 2)


def photo_lenses(scene: Scene) -> PhotoLenses | None:
    """The lenses of a scene made of photos, as its report tells them; None for any other scene."""
    told, photos = scene.report.get("lenses"), scene.report.get("photos")
    if scene.cameras is None or not told or not photos or len(photos) != len(scene.cameras):
        return None
    lenses = [Lens(str(lens["model"]), (int(lens["size"][0]), int(lens["size"][1])), tuple(map(float, lens["params"]))) for lens in told]
    try:
        flats = [_flat(lens) for lens in lenses]
    except ValueError:  # a model that this COLMAP does not know, or no COLMAP
        return None
    chosen, shrinks = [], []
    for t in range(len(photos)):
        K = scene.cameras.K[t]
        mine = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
        apart = [float(np.abs(mine / flat / (mine[0] / flat[0]) - 1).max()) for flat in flats]
        best = int(np.argmin(apart))
        if apart[best] > _SAME and scene.cameras.registered[t]:
            return None
        chosen.append(lenses[best])
        if scene.cameras.registered[t]:
            shrinks.append(mine[0] / flats[best][0])
    return PhotoLenses([str(photo["name"]) for photo in photos], chosen, float(np.median(shrinks))) if shrinks else None


def observations(scene: Scene) -> tuple[F64, B]:
    """(N, 3) world points of the tracks and (N, T) where they were seen in a frame with a pose; a point seen once is none."""
    assert scene.cameras is not None and scene.tracks_2d is not None and scene.tracks_3d is not None
    xyz = scene.tracks_3d.xyz[:, 0].astype(np.float64)
    seen = scene.tracks_2d.visible & scene.cameras.registered & np.isfinite(xyz[:, 0, None])
    return xyz, seen & (seen.sum(1, keepdims=True) > 1)


def nerfstudio_lens(lens: Lens) -> dict[str, Any] | None:
    """A lens in nerfstudio's words, in pixels; None for a model that it does not have."""
    p = lens.params
    distortion = {"SIMPLE_PINHOLE": (), "PINHOLE": (), "SIMPLE_RADIAL": ("k1",), "RADIAL": ("k1", "k2"), "OPENCV": ("k1", "k2", "p1", "p2")}
    fisheye = {"SIMPLE_RADIAL_FISHEYE": ("k1",), "RADIAL_FISHEYE": ("k1", "k2"), "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4")}
    names = {**distortion, **fisheye}.get(lens.model)
    if names is None:
        return None
    rest = len(p) - len(names)
    fx, fy, cx, cy = p[:4] if rest == 4 else (p[0], p[0], p[1], p[2])
    told = dict.fromkeys(("k1", "k2", "k3", "k4") if lens.model in fisheye else ("k1", "k2", "p1", "p2"), 0.0)
    told.update(zip(names, p[rest:], strict=True))
    model = "OPENCV_FISHEYE" if lens.model in fisheye else "OPENCV"
    return {"camera_model": model, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": lens.size[0], "h": lens.size[1], **told}


def _flat(lens: Lens) -> F64:
    """Focal lengths and principal point of the flat picture that a lens gives."""
    load_pycolmap()
    camera = colmap_camera(lens)
    two = len(camera.focal_length_idxs()) == 2
    focal = (camera.focal_length_x, camera.focal_length_y) if two else (camera.focal_length,) * 2
    return np.array([*focal, camera.principal_point_x, camera.principal_point_y])
