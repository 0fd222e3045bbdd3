"""Folders of pictures: frames in their natural order, with the times that file names or a list beside them tell."""

from __future__ import annotations

import io
import os
import re
import struct
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from toolkit.errors import UserError
from toolkit.media.suffixes import IMAGES, VIDEOS
from toolkit.scene import F64, U8

MAX_PICTURE_MPX = 175
"""Millions of pixels of a picture that is opened: half a gigabyte. The largest cameras have 150; PIL itself stops a little later."""
# Below its own limit PIL warns from half of it on; the limit here is told as a sentence.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

DEFAULT_FPS = 30.0
"""Frames per second of pictures that tell no time."""

_LEFT_RIGHT = (
    ("left", "right"),
    ("l", "r"),
    ("image_02", "image_03"),  # KITTI's colour pair is more telling than its grey one
    ("image_2", "image_3"),
    ("image_00", "image_01"),
    ("image_0", "image_1"),
    ("cam0", "cam1"),
    ("cam_0", "cam_1"),
    ("camera0", "camera1"),
    ("im0", "im1"),
    ("view0", "view1"),
    ("image0", "image1"),
)
_NANOSECONDS = 10**17
"""File names that are larger numbers are nanoseconds since 1970 (EuRoC, ROS)."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """Pictures in order.

    Attributes:
        paths: One file per frame.
        times_s: (T,) seconds since the first.
        timed: Whether the times are known, rather than 30 frames per second taken for granted.
    """

    paths: tuple[Path, ...]
    times_s: F64
    timed: bool

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.paths)


def images_in(folder: Path) -> list[Path]:
    """Pictures directly in a folder, in natural order; depth maps, masks and hidden files left out."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file() and not p.name.startswith(".")]
    found = [p for p in found if not re.search(r"(^|[._-])(depth|disp|disparity|mask|flow|seg)([._-]|$)", p.stem.lower())]
    return sorted(found, key=natural)


def videos_in(folder: Path) -> list[Path]:
    """Videos directly in a folder, in natural order."""
    return sorted((p for p in folder.iterdir() if p.suffix.lower() in VIDEOS and p.is_file() and not p.name.startswith(".")), key=natural)


def natural(path: Path) -> list[tuple[int, int | str]]:
    """A key that sorts frame2 before frame10."""
    return [(0, int(part)) if part.isdigit() else (1, part.lower()) for part in re.split(r"(\d+)", path.name) if part]


def sequence(folder: Path) -> Sequence:
    """The pictures of a folder, or of its `data` folder as EuRoC and KITTI have it, with their times."""
    inner = folder / "data"
    paths = images_in(folder) or (images_in(inner) if inner.is_dir() else [])
    times = _times(folder, paths)
    return Sequence(tuple(paths), np.arange(len(paths)) / DEFAULT_FPS if times is None else times, times is not None)


def pair_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of the left and the right camera in a folder, by their names; None where there are none."""
    inside = {p.name.lower(): p for p in folder.iterdir() if p.is_dir()}
    for left, right in _LEFT_RIGHT:
        if left in inside and right in inside and len(sequence(inside[left])) and len(sequence(inside[right])):
            return inside[left], inside[right]
    for name, path in inside.items():
        partner = inside.get(_other_eye(name) or "")
        if partner is not None and len(sequence(path)) and len(sequence(partner)):
            return path, partner
    return None


def pair_files(paths: list[Path]) -> tuple[list[Path], list[Path]] | None:
    """Left and right files of one folder whose names differ only in the eye (001L / 001R, left / right, im0 / im1); None otherwise."""
    by_name = {p.stem.lower(): p for p in paths}
    left, right = [], []
    for stem, path in by_name.items():
        partner = by_name.get(_other_eye(stem) or "")
        if partner is not None:
            left.append(path)
            right.append(partner)
    return (left, right) if left and 2 * len(left) == len(paths) else None


def read_image(path: str | os.PathLike[str]) -> U8:
    """A picture as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Raises:
        UserError: no such file, or not a picture.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise UserError(f"{path.name} is empty (0 bytes).")
    data = np.fromfile(path, np.uint8)
    check_size(path, io.BytesIO(data.data))
    _check_chunks(path, data.data)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:  # a header that makes no sense
        image = None
    if image is None:
        raise UserError(f"{path.name} is not a picture that can be read.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _check_chunks(path: Path, data: memoryview) -> None:
    """Refuses a PNG file with a chunk that claims more bytes than the file has: the decoder would take that much memory first."""
    if bytes(data[:8]) != b"\x89PNG\r\n\x1a\n":
        return
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        rest = len(data) - at - 8
        if length > rest:
            raise UserError(f"{path.name} is cut off or damaged: a part of it claims {length:,} bytes, but only {rest:,} follow.")
        at += 12 + length


def check_size(path: Path, data: BinaryIO) -> tuple[int, int] | None:
    """The (width, height) that a picture's header claims; None where it can't be told. A small file may claim any size.

    Raises:
        UserError: more pixels than are opened.
    """
    try:
        with Image.open(data) as image:
            width, height = image.size
    except Image.DecompressionBombError as problem:
        raise UserError(f"{path.name} claims more than the {MAX_PICTURE_MPX} million pixels that are opened.") from problem
    except (OSError, ValueError, SyntaxError):
        return None
    if width * height > MAX_PICTURE_MPX * 1_000_000:
        raise UserError(f"{path.name} claims {width} x {height} pixels, more than the {MAX_PICTURE_MPX} million that are opened.")
    return width, height


def _other_eye(stem: str) -> str | None:
    """The right eye's name for a left eye's; None where the name is not a left eye's."""
    for left, right in (("left", "right"), ("im0", "im1"), ("view0", "view1")):
        if re.search(rf"(^|[^a-z]){left}($|[^a-z0-9])", stem):
            return re.sub(rf"(^|[^a-z]){left}($|[^a-z0-9])", rf"\g<1>{right}\g<2>", stem, count=1)
    if re.search(r"[\d_-]l$", stem):
        return stem[:-1] + "r"
    return None


def _times(folder: Path, paths: list[Path]) -> F64 | None:
    """(T,) seconds since the first picture, from nanosecond names or a list of times beside them; None where nothing tells."""
    if not paths:
        return None
    stamps: F64 | None = None
    if all(p.stem.isdigit() for p in paths) and int(paths[0].stem) > _NANOSECONDS:
        stamps = np.array([int(p.stem) - int(paths[0].stem) for p in paths], np.float64) / 1e9
    else:
        for beside in (folder / "timestamps.txt", folder.parent / "timestamps.txt", folder / "times.txt", folder.parent / "times.txt"):
            if beside.is_file():
                stamps = _listed_times(beside, paths)
                if stamps is not None:
                    break
    return stamps if stamps is not None and np.all(np.diff(stamps) > 0) else None


def _listed_times(path: Path, paths: list[Path]) -> F64 | None:
    """Times from a list, one a line, as seconds or as dates; a longer list is taken by the numbers in the file names."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip() and not line.startswith("#")]
    try:
        stamps = np.array([_seconds(line) for line in lines])
    except ValueError:
        return None
    if len(stamps) == len(paths):
        chosen = np.arange(len(paths))
    else:
        numbers = [re.findall(r"\d+", p.stem) for p in paths]
        if not all(numbers):
            return None
        chosen = np.array([int(n[-1]) for n in numbers])
        if chosen.max() >= len(stamps):
            return None
    return stamps[chosen] - stamps[chosen[0]]


def _seconds(text: str) -> float:
    """A time in seconds: "12.5", or a date such as "2011-09-26 13:02:25.967790592"."""
    if re.fullmatch(r"[-+0-9.eE]+", text):
        return float(text)
    day, _, clock = text.partition(" ")
    whole, _, fraction = clock.partition(".")
    return datetime.fromisoformat(f"{day} {whole}").timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
