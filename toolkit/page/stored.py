"""A scene laid out on disk so that a click can be answered from a few of its bytes: one plain array a file, opened by mapping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.scene import Cameras, DepthVideo, Scene, Tracks2D, Tracks3D, Video

_PARTS: dict[str, tuple[type, tuple[str, ...]]] = {
    "cameras": (Cameras, ("K", "T_wc", "size")),
    "tracks_2d": (Tracks2D, ("xy", "visible", "confidence", "queries", "sigma_px")),
    "tracks_3d": (Tracks3D, ("xyz", "visible", "rgb", "motion", "sigma")),
    "video": (Video, ("frames", "times_s")),
}


def lay_out(scene: Scene, folder: Path) -> None:
    """Writes cameras, tracks, depth and video of a scene; what is not needed to draw or measure stays out."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, (_, names) in _PARTS.items():
        value = getattr(scene, part)
        for name in names if value is not None else ():
            array = getattr(value, name)
            if array is not None:
                np.save(folder / f"{part}.{name}.npy", array, allow_pickle=False)
    if scene.depth is not None:
        np.save(folder / "depth.depth.npy", scene.depth.depth, allow_pickle=False)
        np.save(folder / "depth.confidence.npy", scene.depth.confidence, allow_pickle=False)
    depth_unit = scene.depth.unit if scene.depth is not None else None
    head = {"method": scene.method, "unit": scene.unit, "depth_unit": depth_unit}
    (folder / "head.json").write_text(json.dumps(head))


def opened(folder: Path) -> Scene:
    """The scene that was laid out there; its arrays are read as far as they are looked at."""
    head = json.loads((folder / "head.json").read_text())
    parts: dict[str, Any] = {}
    for part, (noun, names) in _PARTS.items():
        if (folder / f"{part}.{names[0]}.npy").exists():
            there = [(name, folder / f"{part}.{name}.npy") for name in names]
            parts[part] = noun(**{name: _mapped(path) for name, path in there if path.exists()})
    if (folder / "depth.depth.npy").exists():
        depth, confidence = (_mapped(folder / f"depth.{name}.npy") for name in ("depth", "confidence"))
        parts["depth"] = DepthVideo(depth, confidence, head["depth_unit"])
    return Scene(method=head["method"], unit=head["unit"], **parts)


def _mapped(path: Path) -> np.ndarray:
    # Arrays without elements cannot be mapped.
    mode = "r" if path.stat().st_size > 256 else None
    try:
        return np.load(path, mmap_mode=mode, allow_pickle=False)
    except ValueError:
        return np.load(path, allow_pickle=False)
