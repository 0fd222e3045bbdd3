"""pycolmap behind one door: loaded after OpenCV, in a version that is known, filled with the toolkit's nouns.

COLMAP's conventions are the toolkit's own: cameras look along +z with y down, and the centre of the top-left pixel is (0.5, 0.5).
So nothing is flipped or shifted, here or elsewhere; only poses are inverted, as COLMAP stores camera-from-world.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2  # noqa: F401  (writing a PNG crashes the process if pycolmap's own libpng is loaded before OpenCV's)
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.scene import F64, U8, Cameras

if TYPE_CHECKING:
    import pycolmap

VERSION = "4.2"
"""Poses, rigs and options change from minor version to minor version."""


def load_pycolmap() -> Any:
    """The module pycolmap.

    Raises:
        UserError: it is not installed, or of another version than the toolkit is written for.
    """
    try:
        module = importlib.import_module("pycolmap")
    except ImportError as problem:
        raise UserError(f"COLMAP files need pycolmap, which can't be loaded ({problem}): pip install 'pycolmap=={VERSION}.*'.") from problem
    found = str(getattr(module, "__version__", "unknown"))
    if found.split(".")[:2] != VERSION.split("."):
        raise UserError(f"pycolmap is {found}, but the toolkit is written for {VERSION}: pip install 'pycolmap=={VERSION}.*'.")
    # What COLMAP logs as errors are attempts that it or the caller gets over ("Failed to create any sparse model"); the rest is raised.
    module.logging.minloglevel = module.logging.FATAL.value
    return module


@dataclass(frozen=True)
class Lens:
    """A lens as COLMAP models it.

    Attributes:
        model: COLMAP's name of the model, such as "SIMPLE_RADIAL".
        size: (width, height) of its pictures in pixels.
        params: Focal lengths, principal point and distortion, in COLMAP's order.
    """

    model: str
    size: tuple[int, int]
    params: tuple[float, ...]


def colmap_camera(lens: Lens, number: int = 1) -> pycolmap.Camera:
    """A lens as COLMAP's camera of that number."""
    width, height = lens.size
    return load_pycolmap().Camera(model=lens.model, width=width, height=height, params=list(lens.params), camera_id=number)


def rigid(T: NDArray) -> pycolmap.Rigid3d:
    """A (4, 4) rigid motion as COLMAP's."""
    return load_pycolmap().Rigid3d(np.asarray(T, np.float64)[:3])


def reconstruction(
    cameras: Cameras,
    names: Sequence[str],
    xyz_w: F64,
    rgb: U8,
    *,
    point: NDArray[np.int64],
    frame: NDArray[np.int64],
    xy: F64,
    lenses: Sequence[Lens] | None = None,
) -> pycolmap.Reconstruction:
    """A COLMAP model: cameras and images of the frames with a pose, points, and who saw them where.

    Args:
        cameras: T cameras; one COLMAP camera (PINHOLE) is shared by frames of equal K and size.
        names: File name of each frame; its image has the number of the frame plus one.
        xyz_w: (P, 3) world points.
        rgb: (P, 3) uint8 their colours.
        point: (M,) for each observation its point, sorted.
        frame: (M,) its frame, one that has a pose.
        xy: (M, 2) its place in the picture, continuous pixels.
        lenses: Of each frame the lens that took its picture; None for flat pictures of `cameras`. One COLMAP camera each, where equal.

    Returns:
        The model; its errors are up to date.
    """
    colmap = load_pycolmap()
    model = colmap.Reconstruction()
    camera_of: dict[Lens, int] = {}
    index_in_frame = np.empty(len(point), np.int64)
    for t in np.flatnonzero(cameras.registered).tolist():
        K, (width, height) = cameras.K[t], (int(n) for n in cameras.size[t])
        flat = Lens("PINHOLE", (width, height), (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
        key = flat if lenses is None else lenses[t]
        if key not in camera_of:
            camera_of[key] = len(camera_of) + 1
            model.add_camera_with_trivial_rig(colmap_camera(key, camera_of[key]))
        here = np.flatnonzero(frame == t)
        index_in_frame[here] = np.arange(len(here))
        image = colmap.Image(name=names[t], keypoints=np.asarray(xy[here], np.float64), camera_id=camera_of[key], image_id=t + 1)
        model.add_image_with_trivial_frame(image, rigid(cameras.T_cw[t]))
    ends = np.searchsorted(point, np.arange(len(xyz_w) + 1))
    for i, position in enumerate(np.asarray(xyz_w, np.float64)):
        seen = range(ends[i], ends[i + 1])
        track = colmap.Track([colmap.TrackElement(int(frame[m]) + 1, int(index_in_frame[m])) for m in seen])
        model.add_point3D(position, track, rgb[i])
    model.update_point_3d_errors()
    return model
