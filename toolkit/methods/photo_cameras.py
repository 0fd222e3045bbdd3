"""Which lens took which photo: from known intrinsics, from EXIF data, or from nothing; shared or one each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import checked_intrinsics
from toolkit.media.photos import Photo
from toolkit.scene import F64, Cameras
from toolkit.sfm.colmap import load_pycolmap

if TYPE_CHECKING:
    import pycolmap

GUESS = 1.2
"""Focal length over the longer side where nothing is known: a 45-degree lens, COLMAP's."""

SKEW = 0.001
"""Largest skew of a K over its focal length; what is smaller is left out."""

OFF_CENTRE = 0.25
"""Of the picture's width or height: a principal point further from the middle is doubted."""


def checked_K(K: ArrayLike | None) -> F64 | None:
    """Known intrinsics as numbers.

    Raises:
        UserError: they are none.
    """
    try:
        return None if K is None else np.asarray(K, np.float64)
    except (TypeError, ValueError) as problem:
        raise UserError(f"K is {K!r}, but (3, 3) numbers [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels are needed.") from problem


def doubts_of_centre(cameras: Sequence[pycolmap.Camera]) -> list[str]:
    """A warning where a given principal point is far from the middle of the picture: K may be that of another size."""
    doubts = (doubt_of_centre((c.principal_point_x, c.principal_point_y), (c.width, c.height)) for c in cameras)
    return next((doubt for doubt in doubts if doubt), [])


def doubt_of_centre(centre: tuple[float, float], size: tuple[int, int]) -> list[str]:
    """The same of one camera: its principal point and the (width, height) of its picture, in pixels."""
    (x, y), (width, height) = centre, size
    if max(abs(x / width - 0.5), abs(y / height - 0.5)) <= OFF_CENTRE:
        return []
    return [
        f"The given K has its centre at ({x:.0f}, {y:.0f}), far from the middle of a picture of {width} x {height} "
        "px: check that it is for pictures of this size."
    ]


def checked_model(name: str) -> str:
    """The name of a camera model that pycolmap has, or "auto".

    Raises:
        UserError: no such model.
    """
    if name == "auto":
        return name
    known = sorted(n for n in load_pycolmap().CameraModelId.__members__ if n not in ("INVALID", "EQUIRECTANGULAR"))
    if not isinstance(name, str) or name.upper() not in known:
        raise UserError(f"There is no camera model {name!r}; there are: auto, {', '.join(known)}.")
    return name.upper()


def cameras_of(
    photos: Sequence[Photo], model: str, shared: bool, K: NDArray | None = None, known: Cameras | None = None
) -> list[pycolmap.Camera]:
    """One COLMAP camera a photo; those that share one share its number.

    Args:
        photos: Their sizes and what EXIF tells.
        model: Name of a camera model, or "auto".
        shared: Whether photos of equal size and lens share a camera.
        K: (3, 3) known intrinsics in pixels of the first photo; scaled for others of the same shape. Or (T, 3, 3).
        known: Known cameras, one a photo.

    Raises:
        UserError: K or sizes that don't fit the photos.
    """
    colmap = load_pycolmap()
    name = checked_model(model)
    if name == "auto":
        name = "SIMPLE_RADIAL" if K is None and known is None else "PINHOLE"
    numbers: dict[tuple, int] = {}
    cameras = []
    for t, photo in enumerate(photos):
        lens = _known_lens(t, photos, K, known)
        focal_px = photo.focal_px or GUESS * max(photo.size)
        key = (photo.size, photo.lens, () if lens is None else tuple(lens.ravel())) if shared else (t,)
        number = numbers.setdefault(key, len(numbers) + 1)
        camera = colmap.Camera.create_from_model_name(number, name, focal_px, *photo.size)
        camera.has_prior_focal_length = lens is not None or photo.focal_px is not None
        if lens is not None:
            params = np.array(camera.params)
            focal = list(camera.focal_length_idxs())
            params[focal] = [lens[0, 0], lens[1, 1]] if len(focal) == 2 else 0.5 * (lens[0, 0] + lens[1, 1])
            params[list(camera.principal_point_idxs())] = [lens[0, 2], lens[1, 2]]
            camera.params = params
        cameras.append(camera)
    return cameras


def _known_lens(t: int, photos: Sequence[Photo], K: NDArray | None, known: Cameras | None) -> F64 | None:
    width, height = photos[t].size
    if known is not None:
        if tuple(known.size[t]) != (width, height):
            raise UserError(
                f"The known camera of {photos[t].name} is for {known.size[t, 0]} x {known.size[t, 1]} px, "
                f"but the photo is {width} x {height} px."
            )
        return known.K[t]
    if K is None:
        return None
    K = np.asarray(K, np.float64)
    if K.shape not in ((3, 3), (len(photos), 3, 3)):
        raise UserError(f"K has shape {K.shape}, but (3, 3) is needed, or ({len(photos)}, 3, 3) for one a photo.")
    lens = K if K.ndim == 2 else K[t]
    checked_intrinsics(lens, "K")
    if abs(lens[0, 1]) > SKEW * lens[0, 0]:
        raise UserError(
            f"K has a skew of {lens[0, 1]:g} px, which no camera model here has; take that out of the photos, or give K without."
        )
    if K.ndim == 3:
        return lens
    first = photos[0].size
    if abs(width * first[1] / (height * first[0]) - 1) > 0.01:
        raise UserError(
            f"K was given once, but {photos[t].name} is {width} x {height} px and {photos[0].name} {first[0]} x {first[1]} px; "
            "give one K a photo, as (T, 3, 3)."
        )
    return np.diag([width / first[0], height / first[1], 1.0]) @ lens
