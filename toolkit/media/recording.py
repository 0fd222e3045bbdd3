"""What lies at a path: one video, a pair, several views, photos, an annotation, a scene or an archive of any of these."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolkit.errors import UserError
from toolkit.media.npz import NpzReader
from toolkit.media.sequences import Sequence, images_in, pair_files, pair_folders, sequence, videos_in
from toolkit.media.stereo4d_bundle import is_bundle
from toolkit.media.stereo4d_npz import KEYS as DATASET_KEYS
from toolkit.media.suffixes import IMAGES
from toolkit.media.tracks_input import NEEDED, is_tracks_npz
from toolkit.media.worldtrack_npz import is_worldtrack

Form = Literal[
    "video",
    "video pair",
    "image pair",
    "images",
    "videos",
    "image folders",
    "dataset",
    "bundle",
    "scene",
    "benchmark clip",
    "tracks",
    "archive",
]

SCENE_MARK = "lift4d_version"
"""The array that only our own scene files have."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Files that belong together.

    Attributes:
        form: How the recording is stored.
        path: The file or folder that was asked for.
        files: The video, both videos (left first), all videos, or the one .npz.
        sequences: Both sequences of pictures (left first), the one, or one per view.
        folders: Where the sequences or both eyes come from; calibration lies in or beside them.
    """

    form: Form
    path: Path
    files: tuple[Path, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    folders: tuple[Path, ...] = ()


def find_recording(path: str | os.PathLike[str]) -> Recording:
    """What lies at a path, told from names alone; only .npz files are opened.

    Raises:
        UserError: nothing there, or nothing in it that is known.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _in_folder(path)
        found = path.exists()
    except OSError as error:
        raise UserError(f"{str(path):.100} can't be opened: {error.strerror}.") from error
    if not found:
        # Path() makes one slash of the two of an address.
        told = re.sub(r"^([a-z][a-z0-9+.-]+):/(?=[^/])", r"\1://", str(path))
        if told != str(path):
            raise UserError(f"{told} is an address, but a file on this machine is needed; download it first.")
        raise UserError(f"There is no file or folder {path}.")
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return Recording("archive", path, (path,))
    if suffix == ".npz":
        return Recording(_npz_form(path), path, (path,))
    if suffix in IMAGES:
        return Recording("images", path, sequences=(_one_picture(path),), folders=(path.parent,))
    return Recording("video", path, (path,))


def raw_video(annotation: Path, video_id: str | None) -> Path | None:
    """The video that belongs to a Stereo4D annotation, beside it: <stem>.mp4 or <video_id>.mp4, or .webm, .mkv, .mov."""
    for stem in (annotation.stem, f"{annotation.stem}-raw_equirect", video_id or annotation.stem[:11]):
        for suffix in (".mp4", ".webm", ".mkv", ".mov"):
            found = annotation.with_name(stem + suffix)
            if found.is_file():
                return found
    return None


def _in_folder(folder: Path) -> Recording:
    pair = pair_folders(folder)
    if pair is not None:
        return Recording("image pair", folder, sequences=(sequence(pair[0]), sequence(pair[1])), folders=pair)
    videos = videos_in(folder)
    if len(videos) == 1:
        return Recording("video", videos[0], (videos[0],))
    if len(videos) > 1:
        eyes = pair_files(videos)
        if eyes is not None and len(eyes[0]) == 1:
            return Recording("video pair", folder, (eyes[0][0], eyes[1][0]), folders=(folder, folder))
        return Recording("videos", folder, tuple(videos), folders=(folder,))
    pictures = images_in(folder)
    if pictures:
        eyes = pair_files(pictures)
        if eyes is not None:
            return Recording("image pair", folder, sequences=(_listed(eyes[0]), _listed(eyes[1])), folders=(folder, folder))
        return Recording("images", folder, sequences=(sequence(folder),), folders=(folder,))
    inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    filled = [p for p in inner if len(sequence(p))]
    # Masks and the like lie beside the pictures in folders of their own.
    filled = [p for p in filled if p.name.lower() not in ("masks", "mask", "seg", "depth", "depths", "labels", "annotations")]
    if len(filled) == 1:
        return Recording("images", filled[0], sequences=(sequence(filled[0]),), folders=(filled[0],))
    if len(filled) > 1:
        return Recording("image folders", folder, sequences=tuple(sequence(p) for p in filled), folders=tuple(filled))
    annotations = sorted(folder.glob("*.npz"))
    if len(annotations) == 1:
        return find_recording(annotations[0])
    deeper = [p for p in inner if any(True for _ in p.iterdir())]
    if len(deeper) == 1 or any(p.name in ("mav0", "ims", "images") for p in deeper):
        chosen = next((p for p in deeper if p.name in ("mav0", "ims", "images")), deeper[0])
        return _in_folder(chosen)
    raise UserError(
        f"The folder {folder} holds no video, no photos and no stereo pair (left and right, cam0 and cam1, image_00 and image_01)."
    )


def _npz_form(path: Path) -> Form:
    if is_worldtrack(path):  # asked first: its pictures may be kept as Python objects, which are refused otherwise
        return "benchmark clip"
    with NpzReader(path) as file:
        if SCENE_MARK in file:
            return "scene"
        if is_bundle(file):
            return "bundle"
        if any(key in file for key in ("track_coordinates", "camera2world")) or sum(key in file for key in DATASET_KEYS) > 2:
            return "dataset"
        if is_tracks_npz(file):
            return "tracks"
        raise UserError(
            f"{path.name} is neither a Stereo4D annotation nor a Lift4D scene nor 2D tracks ({NEEDED}); it has {', '.join(file.names[:8])}"
            + (" ..." if len(file.names) > 8 else "")
            + "."
        )


def _one_picture(path: Path) -> Sequence:
    return _listed([path])


def _listed(paths: list[Path]) -> Sequence:
    """Pictures without times."""
    import numpy as np

    from toolkit.media.sequences import DEFAULT_FPS

    return Sequence(tuple(paths), np.arange(len(paths)) / DEFAULT_FPS, False)
