"""Dense depth in COLMAP's own format, as its dense workspace holds it: `stereo/depth_maps/<picture>.geometric.bin`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.scene import F32, Scene

MAX_SIDE = 640  # pixels; COLMAP takes depth maps that are smaller than their pictures
MAX_BYTES = 64 << 20  # of all maps together


def write_depth_maps(scene: Scene, folder: Path, tick: Callable[[], None]) -> dict[str, Any]:
    """Writes `dense/stereo/depth_maps` below the folder: the depth of the pictures in `images`, which have no lens distortion.

    Args:
        scene: With depth and cameras; without, nothing is written.
        folder: That of the COLMAP model.
        tick: Called per frame.

    Returns:
        Notes for the manifest; {} where nothing was written.
    """
    if scene.depth is None or scene.cameras is None:
        return {}
    frames = [t for t in np.flatnonzero(scene.cameras.registered).tolist() if np.isfinite(scene.depth.depth[t]).any()]
    if not frames:
        return {}
    height, width = scene.depth.depth.shape[1:]
    step = max(1, -(-max(width, height) // MAX_SIDE))
    most = max(1, MAX_BYTES // (4 * -(-width // step) * -(-height // step)))
    some = frames if len(frames) <= most else [frames[i] for i in np.linspace(0, len(frames) - 1, most).round().astype(int)]
    target = folder / "dense" / "stereo" / "depth_maps"
    target.mkdir(parents=True)
    for t in some:
        tick()
        write_array(scene.depth.depth[t, step // 2 :: step, step // 2 :: step], target / f"{t:06d}.jpg.geometric.bin")
    names = [f"{t:06d}.jpg" for t in some]
    stereo = target.parent
    (stereo / "fusion.cfg").write_text("".join(f"{name}\n" for name in names))
    (stereo / "patch-match.cfg").write_text("".join(f"{name}\n__auto__, 20\n" for name in names))
    return {
        "depth": {
            "format": "COLMAP's depth maps: width&height&1& and float32 rows, z-depth in the unit of the scene, 0 where unknown",
            "pictures": "those in images of the bundle, by name",
            "frames": len(some),
            "step_px": step,
        }
    }


def write_array(depth: F32, path: Path) -> None:
    """One (H, W) map of z-depth, NaN where unknown, as COLMAP's MVS format has it."""
    h, w = depth.shape
    with path.open("wb") as file:
        file.write(f"{w}&{h}&1&".encode())
        np.nan_to_num(depth, nan=0.0, posinf=0.0).astype("<f4").tofile(file)


def read_array(path: Path) -> F32:
    """One map as COLMAP stores it, (H, W) float32, NaN where it says 0."""
    data = path.read_bytes()
    w, h, channels, rest = data.split(b"&", 3)
    array = np.frombuffer(rest, "<f4").reshape(int(h), int(w), int(channels))[..., 0]
    return np.where(array > 0, array, np.nan).astype(np.float32)
