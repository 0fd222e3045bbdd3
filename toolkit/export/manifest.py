"""manifest.json: what is in a bundle and how to read it, complete enough that nobody has to guess a convention."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.export.earlier import MANIFEST, Earlier
from toolkit.scene import Scene

CONVENTIONS = {
    "camera_axes": "OpenCV: x right, y down, z forward, unless a file says otherwise",
    "pose": "T_wc maps camera to world: x_world = T_wc x_camera; world = first camera unless the report says otherwise",
    "pixels": "continuous: the image spans [0, width] x [0, height], the centre of the top-left pixel is (0.5, 0.5)",
    "depth": "z-depth, not ray length; unknown is NaN (0 in PNG files)",
    "queries": "(t, x, y), t a frame index",
    "tracks": "track-major arrays (tracks, frames, ...); NaN where unknown",
    "frames": "counted from 0; times in seconds from the start of the video",
    "colours": "sRGB, 8 bit, unless a file says otherwise",
}
_LIBRARIES = ("numpy", "scipy", "opencv-contrib-python-headless", "numba", "av", "pycolmap", "torch")


def scene_digest(scene: Scene) -> str:
    """By which a manifest knows the scene it was made of: sha256 of what a saved scene keeps to the last bit.

    Without its points: an export finds them where a scene has none.
    """
    found = hashlib.sha256(f"{scene.method} {scene.unit} {scene.frames}".encode())
    cameras, flat, solid = scene.cameras, scene.tracks_2d, scene.tracks_3d
    for array in (
        *(() if cameras is None else (cameras.K, cameras.T_wc)),
        *(() if flat is None else (flat.xy, flat.visible)),
        *(() if solid is None else (solid.xyz, solid.visible)),
    ):
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def write_manifest(
    scene: Scene,
    folder: Path,
    files: Mapping[str, Mapping[str, Any]],
    skipped: Mapping[str, str],
    seed: int,
    *,
    digest: str | None = None,
    before: Earlier | None = None,
) -> Path:
    """Writes manifest.json into a folder that holds the finished files.

    Args:
        scene: What was exported.
        folder: Of the bundle.
        files: Name of each format to its notes ("opens_with" and what its writer tells).
        skipped: Name of each format that was asked for but not written, and why.
        seed: Of everything random in the export.
        digest: The scene's own, where it is known already.
        before: An earlier export of the same scene: the formats of it that are not written anew stay listed.
    """
    report = {str(k): v for k, v in scene.report.items()}
    settings = report.pop("settings", {})
    run_seed = report.pop("seed", settings.get("seed") if isinstance(settings, Mapping) else None)
    listed = {name: {**notes, **_digest(folder / name)} for name, notes in files.items()}
    kept = {} if before is None else {name: notes for name, notes in before.formats.items() if name not in listed}
    manifest = {
        "made_by": "Lift4D",
        "scene": digest or scene_digest(scene),
        "method": scene.method,
        "unit": scene.unit,
        "unit_meaning": "lengths are metres" if scene.unit == "metre" else "lengths are relative: the scale is not known",
        "frames": scene.frames,
        "size": list(scene.video.size) if scene.video is not None else None,
        "fps": round(scene.video.fps, 6) if scene.video is not None else None,
        "holds": _holds(scene),
        "conventions": CONVENTIONS,
        "settings": settings,
        "seeds": {"run": run_seed, "export": seed},
        "versions": versions(),
        "report": report,
        "files": {**kept, **listed},
        "skipped": dict(skipped),
    }
    path = folder / MANIFEST
    path.write_text(json.dumps(_jsonable(manifest), indent=1, allow_nan=False, ensure_ascii=False))
    return path


def _holds(scene: Scene) -> dict[str, Any]:
    """How much of each part the scene has."""
    tracks = scene.tracks_3d if scene.tracks_3d is not None else scene.tracks_2d
    return {
        "tracks": 0 if tracks is None else len(tracks),
        "tracks_2d": scene.tracks_2d is not None,
        "tracks_3d": scene.tracks_3d is not None,
        "poses": 0 if scene.cameras is None else int(scene.cameras.registered.sum()),
        "depth_frames": 0 if scene.depth is None else len(scene.depth),
        "points": 0 if scene.points is None else len(scene.points),
    }


def _digest(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file, or of each file below a folder."""
    if path.is_dir():
        parts = {p.relative_to(path).as_posix(): _digest(p) for p in sorted(path.rglob("*")) if p.is_file()}
        return {"bytes": sum(p["bytes"] for p in parts.values()), "sha256": {name: p["sha256"] for name, p in parts.items()}}
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def versions() -> dict[str, str]:
    """Of Lift4D and of what its numbers depend on, for whoever wants to have them again."""
    from toolkit import __version__

    found = {"lift4d": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _jsonable(value: Any) -> Any:
    """The value in strict JSON: NaN and infinity become null, arrays lists, long arrays their shape."""
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _jsonable(value.tolist()) if value.size <= 1000 else f"array {value.dtype} {value.shape}"
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(v) for v in value]
    if isinstance(value, np.generic):
        return _jsonable(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
