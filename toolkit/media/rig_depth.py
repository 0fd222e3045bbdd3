"""Depth that lies beside the views of a rig: which file belongs to which view, and its frames as z-depth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.errors import UserError
from toolkit.media.frame_choice import FrameChoice, Frames
from toolkit.media.npz import NpzReader
from toolkit.media.rig_camera import plain
from toolkit.media.sequences import MAX_PICTURE_MPX, natural
from toolkit.scene import F32
from toolkit.wording import counted

THOUSANDTHS = 0.001
"""Of the calibration's unit is one level of a 16-bit picture where nobody says otherwise: millimetres beside metres."""
FORMS = "depth/VIEW.npz, depth/VIEW/*.png (16 bit), VIEW_depth.npz, VIEW_depth/*.png, or one depth.npz with an array named after each view"
_AMONG = re.compile(r"(^|[._ -])depth([._ -]|$)", re.IGNORECASE)  # in the name of a picture that lies among those of its view
"""What a person may bring."""
_FOLDERS = ("depth", "depths")
_PICTURES = (".png", ".tif", ".tiff")
_ENDING = re.compile(r"[._ -]?depths?$", re.IGNORECASE)
_FRAMES_ROWS_COLUMNS = 3


@dataclass(frozen=True, eq=False)
class DepthFiles:
    """Depth of one view, not yet read.

    Attributes:
        name: What a sentence calls it.
        scale: One of its numbers in the unit of the calibration.
        count: How many frames it has.
        stored: Starts over: gives its frames one by one as they are stored, (H, W).
    """

    name: str
    scale: float
    count: int
    stored: Callable[[], Iterator[NDArray]]

    def frames(self, choice: Frames | None = None) -> Iterator[F32]:
        """(H, W) float32 z-depth of the chosen frames in the unit of the calibration; NaN where unknown.

        Raises:
            UserError: a file that can't be read, or holds something else.
        """
        wanted = FrameChoice.of(choice)
        last = wanted.of_count(self.count, self.name)[-1]
        for t, found in enumerate(islice(self.stored(), int(last) + 1)):
            if t in wanted:
                with np.errstate(invalid="ignore"):
                    known = np.isfinite(found) & (found > 0)
                yield np.where(known, found * self.scale, np.nan).astype(np.float32)


def depth_beside(base: Path, views: Sequence[str], scale: float | None = None) -> list[DepthFiles | None]:
    """The depth of each view in a folder; None for those that have none.

    Args:
        base: Where the views lie.
        views: Their names.
        scale: One number of the files in the unit of the calibration; None for what an .npz says (`scale`), else 1 for numbers with a
            fraction and `THOUSANDTHS` for whole ones.

    Raises:
        UserError: depth that can't be read, or that belongs to no view.
    """
    together = next((base / f"{name}.npz" for name in _FOLDERS if (base / f"{name}.npz").is_file()), None)
    out: list[DepthFiles | None] = []
    for view in views:
        place = _place(base, view)
        if place is None and together is not None:
            out.append(_of_npz(together, view, scale))
        else:
            out.append(None if place is None else _of_pictures(place, view, scale) if place.is_dir() else _of_npz(place, None, scale))
    meant = together is not None or any((base / name).is_dir() and any((base / name).iterdir()) for name in _FOLDERS)
    if meant and not any(out):
        raise UserError(f"There is depth beside the views, but none of it is named like them ({', '.join(views)}); {FORMS} is read.")
    return out


def is_depth(name: str) -> bool:
    """Whether a folder of that name beside the views holds the depth of one, rather than a view."""
    return _ENDING.sub("", name) not in ("", name)


def _place(base: Path, view: str) -> Path | None:
    """The file or folder with the depth of a view alone."""
    inside = [p for name in _FOLDERS if (base / name).is_dir() for p in sorted((base / name).iterdir())]
    beside = [p for p in sorted(base.iterdir()) if is_depth(_stem(p)) and (p.is_dir() or p.suffix.lower() == ".npz")]
    found = next((p for p in [*inside, *beside] if plain(_ENDING.sub("", _stem(p))) == plain(view)), None)
    own = base / view
    return own if found is None and own.is_dir() and any(_AMONG.search(p.stem) for p in own.iterdir()) else found


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _of_npz(path: Path, view: str | None, scale: float | None) -> DepthFiles | None:
    """An array (T, H, W) of an .npz: the one named after the view where one file is for all, else the one called depth, or the first."""
    if path.suffix.lower() != ".npz":
        raise UserError(f"The depth in {path.name} can't be read; {FORMS} is.")
    with NpzReader(path) as file:
        names = [name for name in file.names if name not in ("scale", "unit")]
        if view is None:
            key = next((k for k in ("depth", "depth_m", "depths") if k in names), names[0] if names else None)
        else:
            key = next((k for k in names if plain(k) == plain(view)), None)
            if key is None:
                return None
        if key is None:
            raise UserError(f"{path.name} holds no depth; an array (T, H, W) is needed.")
        shape, kind = file.shape(key)
        told = file.number("scale") if "scale" in file else None
    flat = tuple(n for i, n in enumerate(shape) if i == 0 or n != 1)  # (T, 1, H, W) and (T, H, W, 1), too
    if len(flat) != _FRAMES_ROWS_COLUMNS or kind.kind not in "iuf" or 0 in flat:
        raise UserError(f"{key} in {path.name} has shape {shape} and type {kind}, but depth (T, H, W) is needed.")

    def stored() -> Iterator[NDArray]:
        with NpzReader(path) as file:
            for frame in file.parts(key):
                yield frame.reshape(flat[1:])

    if scale is None:
        scale = told if told is not None else THOUSANDTHS if kind.kind in "iu" else 1.0
    return DepthFiles(path.name, _checked(scale, path), flat[0], stored)


def _of_pictures(folder: Path, view: str, scale: float | None) -> DepthFiles:
    """A folder of pictures with one channel of 16 bits, or those of the view's own folder that are called depth."""
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() in _PICTURES and not p.name.startswith(".")), key=natural)
    files = [p for p in files if _AMONG.search(p.stem)] if folder.name == view and folder.parent.name not in _FOLDERS else files
    if not files:
        raise UserError(f"The folder {folder.name} holds no depth; pictures of 16 bits (.png) are needed, one a frame.")
    whole = _read_picture(files[0]).dtype == np.uint16
    scale = (THOUSANDTHS if whole else 1.0) if scale is None else scale
    return DepthFiles(folder.name, _checked(scale, folder), len(files), lambda: (_read_picture(file) for file in files))


def _read_picture(file: Path) -> NDArray:
    told = f"{file.parent.name}/{file.name}"
    try:
        with Image.open(file) as picture:  # the header alone
            pixels = picture.size[0] * picture.size[1]
    except (OSError, ValueError, Image.DecompressionBombError) as problem:
        raise UserError(f"The depth in {told} can't be read; is it cut off?") from problem
    if pixels > 1e6 * MAX_PICTURE_MPX:
        raise UserError(f"{told} claims {pixels / 1e6:.0f} million pixels, but up to {MAX_PICTURE_MPX} are opened.")
    found = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise UserError(f"The depth in {told} can't be read; is it cut off?")
    if found.ndim != 2 or found.dtype not in (np.uint16, np.float32):  # noqa: PLR2004 (rows and columns)
        kind = counted(found.shape[2], "channel") if found.ndim > 2 else f"{8 * found.dtype.itemsize} bits"  # noqa: PLR2004
        raise UserError(f"{told} has {kind}, but depth has one channel of 16 bits.")
    return np.asarray(found)


def _checked(scale: float, path: Path) -> float:
    if not (np.isfinite(scale) and scale > 0):
        raise UserError(f"One number of the depth in {path.name} would be {scale:g} long, but a positive length is needed.")
    return float(scale)
