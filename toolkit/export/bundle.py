"""The result bundle: a scene as files that other tools open, written whole or not at all, with a manifest."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.export.clouds import static_cloud
from toolkit.export.earlier import MANIFEST, Earlier, earlier_in, refuse
from toolkit.export.formats import FORMATS
from toolkit.export.manifest import scene_digest, write_manifest
from toolkit.media.writing import NOT_OUR_FAULT
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import Scene


def export(
    scene: Scene,
    folder: str | os.PathLike[str],
    formats: str | Iterable[str] = "all",
    *,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Path]:
    """Writes a scene as files.

    Everything is written beside the folder first and moved into it at the end: on an error or when cancelled, nothing changes.
    Files of an earlier export, which its manifest tells, are replaced; those of another scene are removed. Whatever else lies in the
    folder stays, and where it lies in the place of a file to be written, nothing is.

    Args:
        scene: The result of any method.
        folder: Where to; made if needed.
        formats: "all", or names of `FORMATS`. What the scene has no parts for is left out, and the manifest says why.
        seed: Of the choices of tracks and points that are drawn.
        report: Called per file, and with the same numbers in between; it may raise `Cancelled`.

    Returns:
        Name of each format written to its path (a folder for "depth" and "images"); "manifest.json" always.

    Raises:
        UserError: an unknown format, a scene that has nothing for any of them, a folder that can't be written, or one that holds other
            files in the places of these.
    """
    if not isinstance(scene, Scene):
        raise UserError(f"A Scene is exported, but this is {type(scene).__name__}; load reads a saved one.")
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"The seed is {seed!r}, but a whole number from 0 is needed.")
    place = _place(folder)
    wanted = _wanted(formats)
    skipped = {name: reason for name in wanted if (reason := FORMATS[name].lacks(scene))}
    todo = [name for name in wanted if name not in skipped]
    if wanted and not todo:
        raise UserError(f"Nothing can be exported: {'; '.join(f'{name} needs {reason}' for name, reason in skipped.items())}.")
    total, notes = len(todo) + 1, {}
    earlier, digest = earlier_in(place), scene_digest(scene)
    refuse(earlier.in_the_way(todo), place)
    with _moved_into(place, earlier, keep=earlier.of_the_same_scene(digest)) as partial:
        report(0, total)
        if scene.points is None and None not in (scene.video, scene.depth, scene.cameras):
            scene = replace(scene, points=static_cloud(scene, report=lambda *_: report(0, total)))
        written = 0

        def write(name: str) -> Mapping[str, Any] | None:
            return FORMATS[name].write(scene, partial / name, lambda: report(written, total), seed)

        for name, told in zip(todo, in_order(write, todo), strict=True):
            notes[name] = {"opens_with": FORMATS[name].opens_with, **(told or {})}
            written += 1
            report(written, total)
        lacking = {name: f"needs {reason}" for name, reason in skipped.items()}
        before = earlier if earlier.of_the_same_scene(digest) else None
        write_manifest(scene, partial, notes, lacking, seed, digest=digest, before=before)
    report(total, total)
    return {name: place / name for name in (*todo, "manifest.json")}


def check_export(folder: str | os.PathLike[str], formats: str | Iterable[str] = "all") -> None:
    """Tells before a long computation what `export` would refuse after it.

    Raises:
        UserError: an unknown format, a folder that can't be written, or one that holds other files in the places of these.
    """
    wanted = _wanted(formats)
    place = _place(folder)
    with _partial_for(place):
        refuse(earlier_in(place).in_the_way(wanted), place)


def _place(folder: str | os.PathLike[str]) -> Path:
    if not isinstance(folder, str | os.PathLike) or not str(folder):
        raise UserError(f"The folder to export to is {folder!r}, but its name is needed.")
    return Path(folder)


def _wanted(formats: str | Iterable[str]) -> list[str]:
    """Names in the order of the registry."""
    if not isinstance(formats, Iterable):
        raise UserError(f"The formats are {formats!r}, but 'all' or names are needed; there are: {', '.join(FORMATS)}.")
    asked = [formats] if isinstance(formats, str) else list(formats)
    unknown = [str(name) for name in asked if name not in FORMATS and name not in ("all", "manifest.json")]
    if unknown:
        raise UserError(f"There is no export format {', '.join(map(repr, unknown))}; there are: all, {', '.join(FORMATS)}.")
    return [name for name in FORMATS if name in asked or "all" in asked]


@contextmanager
def _moved_into(folder: Path, earlier: Earlier, *, keep: bool) -> Iterator[Path]:
    """An empty folder to write to; its contents are moved to `folder` at the end, or removed if anything is raised.

    Args:
        folder: Where to.
        earlier: The export that it holds.
        keep: Whether formats of that export which are not written anew stay.
    """
    with _partial_for(folder) as partial:
        try:
            yield partial
            if not folder.exists():
                partial.rename(folder)
                return
            files = [path.relative_to(partial).as_posix() for path in sorted(partial.rglob("*")) if not path.is_dir()]
            refuse(earlier.taken(files), folder)
            anew = {name.partition("/")[0] for name in files}
            earlier.remove(name for name in earlier.files if name not in files and not (keep and name.partition("/")[0] not in anew))
            for name in sorted(files, key=lambda name: name == MANIFEST):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).replace(folder / name)
        except OSError as error:
            if error.errno not in NOT_OUR_FAULT:
                raise
            raise UserError(f"{folder} can't be written: {error.strerror}.") from error


@contextmanager
def _partial_for(folder: Path) -> Iterator[Path]:
    """An empty folder on the disk of `folder`: in it where that exists, beside it where not. It is gone at the end, with the parents
    that were made for it, unless it was renamed to `folder`.
    """
    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file, but a folder is needed to export to.")
        place = folder if folder.exists() else folder.parent
        partial = place / f".{folder.name}.{os.getpid()}-{threading.get_ident()}.partial"
        made = [parent for parent in (place, *place.parents) if not parent.exists()]
        # A killed process may have left one of the same name.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        _remove_empty(made)
        raise UserError(f"{folder} can't be written: {error.strerror}.") from error
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _remove_empty(made)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
