"""Photos of one scene in a folder, an archive or a list: their sizes, lenses and masks first, their pixels when asked for."""

from __future__ import annotations

import hashlib
import io
import math
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from toolkit.errors import UserError
from toolkit.media.archive import unpacked
from toolkit.media.recording import find_recording
from toolkit.media.sequences import check_size, read_image
from toolkit.media.suffixes import IMAGES
from toolkit.scene import U8, B

FULL_FRAME_DIAGONAL_MM = 43.2666
"""Of 36 x 24 mm: what a "35 mm equivalent" focal length refers to (CIPA DCG-001)."""
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # of EXIF's FocalPlaneResolutionUnit
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo, not yet decoded.

    Attributes:
        name: Its file name.
        size: (width, height) in pixels, upright.
        focal_px: Focal length in these pixels by its EXIF data; None where that tells none.
        lens: What took it, as EXIF tells it: photos of equal size and lens share a camera.
        content: Hash of the file, or of the pixels.
        path: The file; None for a picture in memory.
        pixels: (H, W, 3) uint8 RGB; None for a file.
        mask: File of its mask, or (H, W) array; None where it has none.
    """

    name: str
    size: tuple[int, int]
    focal_px: float | None
    lens: str
    content: str
    path: Path | None = None
    pixels: U8 | None = None
    mask: Path | NDArray | None = None

    def read(self) -> U8:
        """(H, W, 3) uint8 RGB, upright."""
        if self.pixels is not None:
            return self.pixels
        assert self.path is not None
        return read_image(self.path)

    def ignored(self, *, white_is_kept: bool = False) -> B | None:
        """(H, W) where the mask says that nothing counts: where it is not zero, or where it is zero with `white_is_kept`; None without one.

        Raises:
            UserError: the mask has another shape than the photo.
        """
        if self.mask is None:
            return None
        mask = read_image(self.mask).max(axis=2) if isinstance(self.mask, Path) else np.asarray(self.mask)
        width, height = self.size
        if abs(math.log(mask.shape[1] * height / (mask.shape[0] * width))) > 0.01:
            raise UserError(
                f"The mask of {self.name} is {mask.shape[1]} x {mask.shape[0]} px, but the photo is {width} x {height} px; "
                "both must have the same shape."
            )
        ignored = (mask == 0) if white_is_kept else (mask != 0)
        return cv2.resize(ignored.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0  # type: ignore[return-value]


@contextmanager
def opened_photos(place: str | os.PathLike[str] | Sequence[Any]) -> Iterator[list[Photo]]:
    """The photos of a folder, a .zip, a list of files, or a list of (H, W, 3) uint8 RGB arrays.

    A folder `masks` gives each photo the mask of the same name: one beside the photos, or beside their folder where that is called `images`
    or lies in `place`.

    Raises:
        UserError: nothing there, not photos, or not readable.
    """
    if isinstance(place, str | os.PathLike):
        path = Path(place)
        if path.suffix.lower() == ".zip" and path.is_file():
            with unpacked(path) as folder:
                yield _in_place(folder)
        else:
            yield _in_place(path)
    else:
        yield [_photo(Path(p)) if isinstance(p, str | os.PathLike) else _in_memory(p, n) for n, p in enumerate(place)]


def _in_place(path: Path) -> list[Photo]:
    recording = find_recording(path)
    if recording.form != "images":
        raise UserError(f"{path.name} holds no photos of one scene, but a recording of the form {recording.form!r}.")
    masks = _masks(path, recording.folders[0])
    paths = recording.sequences[0].paths
    meant = next((m for m in masks.values() if m.parent.parent in (path, recording.folders[0])), None)
    if meant is not None and not any(p.name.lower() in masks or p.stem.lower() in masks for p in paths):
        raise UserError(
            f"No mask in the folder {meant.parent.name} has the name of a photo: {meant.name} is none of {paths[0].name} and the others."
        )
    return [_photo(p, masks.get(p.name.lower()) or masks.get(p.stem.lower())) for p in paths]


def _masks(asked: Path, folder: Path) -> dict[str, Path]:
    """Masks by the name of the photo: `a.jpg`, `a.png` and `a.jpg.png` all mask a.jpg.

    A folder of masks further up, or beside photos that do not lie in `images`, may be that of anything.
    """
    beside = folder.parent if folder.parent == asked or folder.name.lower() == "images" else folder
    for base in dict.fromkeys((folder, beside)):
        for name in ("masks", "mask"):
            if (base / name).is_dir():
                files = [p for p in sorted((base / name).iterdir()) if p.suffix.lower() in IMAGES]
                return {key: p for p in files for key in (p.name.lower(), p.stem.lower())}
    return {}


def _photo(path: Path, mask: Path | None = None) -> Photo:
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    data = path.read_bytes()
    content = hashlib.sha256(data).hexdigest()
    check_size(path, io.BytesIO(data))
    try:
        with Image.open(path) as image:
            width, height = image.size
            exif, details = _exif(image)
    except (OSError, ValueError, SyntaxError) as problem:
        raise UserError(f"{path.name} is not a picture that can be read.") from problem
    if exif.get(ExifTags.Base.Orientation) in _TURNED:
        width, height = height, width
    lens = [str(exif.get(tag, "")).strip() for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
    focal_px = _focal(details, width, height)
    return Photo(path.name, (width, height), focal_px, " ".join([*lens, f"{focal_px or 0:.0f}"]), content, path=path, mask=mask)


def _exif(image: Image.Image) -> tuple[Image.Exif, dict[int, Any]]:
    """What the camera wrote beside the picture; nothing where that is damaged."""
    try:
        exif = image.getexif()
        return exif, exif.get_ifd(ExifTags.IFD.Exif)
    except (OSError, ValueError, TypeError, KeyError, SyntaxError, struct.error, OverflowError):
        return Image.Exif(), {}


def _in_memory(picture: Any, number: int) -> Photo:
    pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise UserError(f"Photo {number} is {pixels.dtype} of shape {pixels.shape}, but uint8 of shape (H, W, 3) is needed.")
    content = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
    return Photo(f"{number:06d}.jpg", (pixels.shape[1], pixels.shape[0]), None, "", content, pixels=pixels)


def _focal(exif: Any, width: int, height: int) -> float | None:
    """Focal length in pixels from EXIF data; None where it has none that makes sense."""
    equivalent = _number(exif.get(ExifTags.Base.FocalLengthIn35mmFilm))
    focal_px = equivalent / FULL_FRAME_DIAGONAL_MM * math.hypot(width, height)
    if not equivalent:
        unit = _MM_PER_UNIT.get(int(_number(exif.get(ExifTags.Base.FocalPlaneResolutionUnit)) or 2), 25.4)
        taken = max(_number(exif.get(ExifTags.Base.ExifImageWidth)), _number(exif.get(ExifTags.Base.ExifImageHeight)))
        shrunk = max(width, height) / taken if taken else 1.0
        focal_px = _number(exif.get(ExifTags.Base.FocalLength)) * _number(exif.get(ExifTags.Base.FocalPlaneXResolution)) / unit * shrunk
    # A lens that sees less than 4 or more than 140 degrees is a mistake of whoever wrote the tag.
    return focal_px if 0.2 * max(width, height) < focal_px < 15 * max(width, height) else None


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) else 0.0
