"""The result bundle: a scene as files that other tools open, written whole or not at all, with a manifest."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.export.camera_files import write_transforms, write_tum
from toolkit.export.cloud_files import write_glb, write_ply
from toolkit.export.clouds import static_cloud
from toolkit.export.manifest import write_manifest
from toolkit.export.picture_files import write_depth_pngs, write_images
from toolkit.export.tables import write_tracks_csv
from toolkit.media.scene_file import save
from toolkit.media.stereo4d_npz import save_dataset_npz
from toolkit.media.video import write_video
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import U8, Scene
from toolkit.views.depth import draw_depth
from toolkit.views.flyaround import draw_tracks_3d
from toolkit.views.overlay import draw_tracks

_NOT_OUR_FAULT = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST)

Tick = Callable[[], None]
"""Called often inside a writer: it may raise `Cancelled`."""


@dataclass(frozen=True)
class Format:
    """One kind of file in the bundle.

    Attributes:
        opens_with: One line on what opens it.
        write: (scene, path, tick, seed) -> notes for the manifest.
        lacks: What the scene lacks for it, or "".
    """

    opens_with: str
    write: Callable[[Scene, Path, Tick, int], Mapping[str, Any] | None]
    lacks: Callable[[Scene], str]


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
    Files of the same names are replaced, others in the folder stay.

    Args:
        scene: The result of any method.
        folder: Where to; made if needed.
        formats: "all", or names of `FORMATS`. What the scene has no parts for is left out, and the manifest says why.
        seed: Of the choices of tracks and points that are drawn.
        report: Called per file, and with the same numbers in between; it may raise `Cancelled`.

    Returns:
        Name of each format written to its path (a folder for "depth" and "images"); "manifest.json" always.

    Raises:
        UserError: an unknown format, a scene that has nothing for any of them, or a folder that can't be written.
    """
    wanted = _wanted(formats)
    skipped = {name: reason for name in wanted if (reason := FORMATS[name].lacks(scene))}
    todo = [name for name in wanted if name not in skipped]
    if wanted and not todo:
        raise UserError(f"Nothing can be exported: {'; '.join(f'{name} needs {reason}' for name, reason in skipped.items())}.")
    total, notes = len(todo) + 1, {}
    with _moved_into(Path(folder)) as partial:
        report(0, total)
        if scene.points is None and _has(scene, "video", "depth", "cameras"):
            scene = replace(scene, points=static_cloud(scene, report=lambda *_: report(0, total)))
        written = 0

        def write(name: str) -> Mapping[str, Any] | None:
            return FORMATS[name].write(scene, partial / name, lambda: report(written, total), seed)

        for name, told in zip(todo, in_order(write, todo), strict=True):
            notes[name] = {"opens_with": FORMATS[name].opens_with, **(told or {})}
            written += 1
            report(written, total)
        write_manifest(scene, partial, notes, {name: f"needs {reason}" for name, reason in skipped.items()}, seed)
    report(total, total)
    return {name: Path(folder) / name for name in (*todo, "manifest.json")}


def check_export(folder: str | os.PathLike[str], formats: str | Iterable[str] = "all") -> None:
    """Tells before a long computation what `export` would refuse after it.

    Raises:
        UserError: an unknown format, or a folder that can't be written.
    """
    _wanted(formats)
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise UserError(f"{place} is a file, but a folder is needed to export to.")
    nearest = next(parent for parent in (place, *place.resolve().parents) if parent.exists())
    if not nearest.is_dir():
        raise UserError(f"{place} can't be written: {nearest} is a file, not a folder.")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"{place} can't be written: {nearest} is read-only.")


def _wanted(formats: str | Iterable[str]) -> list[str]:
    """Names in the order of the registry."""
    asked = list(FORMATS) if formats == "all" else [formats] if isinstance(formats, str) else list(formats)
    unknown = [str(name) for name in asked if name not in FORMATS and name != "manifest.json"]
    if unknown:
        raise UserError(f"There is no export format {', '.join(map(repr, unknown))}; there are: all, {', '.join(FORMATS)}.")
    return [name for name in FORMATS if name in asked]


@contextmanager
def _moved_into(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` to write to; its contents are moved there at the end, or removed if anything is raised."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, but a folder is needed to export to.")
    partial = folder.parent / f".{folder.name}.{os.getpid()}-{threading.get_ident()}.partial"
    # A killed process may have left one of the same name.
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        if not folder.exists():
            partial.rename(folder)
            return
        for path in sorted(partial.iterdir()):
            target = folder / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.replace(target)
    except OSError as error:
        if error.errno not in _NOT_OUR_FAULT:
            raise
        raise UserError(f"{folder} can't be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _has(scene: Scene, *parts: str) -> bool:
    return all(getattr(scene, part) is not None for part in parts)


def _needs(*parts: str) -> Callable[[Scene], str]:
    """A `lacks` that names the missing parts."""
    return lambda scene: " and ".join(
        part.replace("tracks_2d", "2D tracks").replace("tracks_3d", "3D tracks") for part in parts if not _has(scene, part)
    )


def _poses(scene: Scene) -> str:
    return "" if scene.cameras is not None and scene.cameras.registered.any() else "camera poses"


def _any_tracks(scene: Scene) -> str:
    return "" if _has(scene, "tracks_2d") or _has(scene, "tracks_3d") else "tracks"


def _drawable_tracks(scene: Scene) -> str:
    if not _has(scene, "video"):
        return "video"
    return "" if _has(scene, "tracks_2d") or _has(scene, "tracks_3d", "cameras") else "2D tracks, or 3D tracks and cameras"


def _known_3d(scene: Scene) -> str:
    return "" if scene.tracks_3d is not None and bool((scene.tracks_3d.xyz == scene.tracks_3d.xyz).any()) else "3D tracks"


def _cloud(scene: Scene) -> str:
    return "" if _has(scene, "points") or _has(scene, "video", "depth", "cameras") else "points, or video and depth and cameras"


def _cloud_or_3d(scene: Scene) -> str:
    return "" if not _cloud(scene) or not _known_3d(scene) else "a cloud or 3D tracks"


def _dataset(scene: Scene) -> str:
    """Stereo4D's schema is metric and has a pose for every frame."""
    if scene.unit != "metre":
        return "a metric scale"
    if scene.cameras is None or scene.tracks_3d is None or not scene.cameras.registered.all():
        return "3D tracks and a pose for every frame"
    return ""


def _fps(scene: Scene) -> float:
    return scene.video.fps if scene.video is not None else 30.0


def _ticking(frames: Iterator[U8], tick: Tick) -> Iterator[U8]:
    for frame in frames:
        tick()
        yield frame


def _write_scene(scene: Scene, path: Path) -> dict[str, str]:
    # To the last bit it would be five times as large: too much for a download.
    save(scene, path, compact=True)
    return {"precision": "depth to 1 part in 2,000, video by H.264, all else exact; toolkit.save() keeps every bit"}


def _write_dataset(scene: Scene, path: Path) -> None:
    save_dataset_npz(scene, path)


def _write_video(draw: Callable[[Scene, int], Iterator[U8]], scene: Scene, path: Path, tick: Tick, seed: int) -> None:
    write_video(path, _ticking(draw(scene, seed), tick), _fps(scene))


FORMATS: dict[str, Format] = {
    "scene.npz": Format(
        "toolkit.load(), numpy.load() (no pickle)",
        lambda scene, path, tick, seed: _write_scene(scene, path),
        lambda scene: "",
    ),
    "tracks.csv": Format(
        "any spreadsheet, pandas.read_csv()",
        lambda scene, path, tick, seed: write_tracks_csv(scene, path, seed=seed),
        _any_tracks,
    ),
    "tracks.mp4": Format(
        "any browser or player",
        lambda scene, path, tick, seed: _write_video(lambda s, n: draw_tracks(s, seed=n), scene, path, tick, seed),
        _drawable_tracks,
    ),
    "depth.mp4": Format(
        "any browser or player",
        lambda scene, path, tick, seed: _write_video(lambda s, n: draw_depth(s), scene, path, tick, seed),
        _needs("depth"),
    ),
    "tracks_3d.mp4": Format(
        "any browser or player",
        lambda scene, path, tick, seed: _write_video(lambda s, n: draw_tracks_3d(s, seed=n), scene, path, tick, seed),
        _known_3d,
    ),
    "depth": Format(
        "any tool that reads 16-bit PNG (OpenCV: cv2.imread(path, cv2.IMREAD_UNCHANGED)); depth = value * scale",
        lambda scene, path, tick, seed: write_depth_pngs(_part(scene.depth), path, tick),
        _needs("depth"),
    ),
    "images": Format(
        "any image viewer; transforms.json names them",
        lambda scene, path, tick, seed: write_images(_part(scene.video), path, tick),
        _needs("video"),
    ),
    "cameras.tum": Format(
        "evo, the TUM RGB-D tools",
        lambda scene, path, tick, seed: write_tum(scene, path),
        _poses,
    ),
    "transforms.json": Format(
        "nerfstudio, instant-ngp and most splatting tools",
        lambda scene, path, tick, seed: write_transforms(scene, path),
        _poses,
    ),
    "points.ply": Format(
        "MeshLab, CloudCompare, Blender",
        lambda scene, path, tick, seed: write_ply(_part(scene.points), path, unit=scene.unit),
        _cloud,
    ),
    "tracks.glb": Format(
        "Blender, Windows 3D Viewer, any glTF viewer",
        lambda scene, path, tick, seed: write_glb(scene, path, fps=_fps(scene), seed=seed),
        _cloud_or_3d,
    ),
    "stereo4d.npz": Format(
        "whatever reads the Stereo4D data set; toolkit.load_dataset_npz()",
        lambda scene, path, tick, seed: _write_dataset(scene, path),
        _dataset,
    ),
}
"""Every format by name. To add one: its writer in a file of this folder, one entry here."""


def _part(part: Any) -> Any:
    assert part is not None
    return part
