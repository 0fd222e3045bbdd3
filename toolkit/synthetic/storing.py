"""Examples as files: a video anybody can open, and beside it the truth as plain arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.media.spherical import Spherical
from toolkit.media.video import Encoding, write_video
from toolkit.synthetic.examples import FPS, Name, SyntheticClip, example

TRUE_DETAIL = Encoding(crf=11)
"""Sub-pixel matching sees what the eye does not: at the usual quality the truth would be better than the picture."""


def write_example(
    folder: str | os.PathLike[str],
    name: Name,
    *,
    writer: Callable[..., Any] | None = None,
    grid: tuple[int, int] = (24, 24),
    **options: Any,
) -> dict[str, Path]:
    """Stores an example as `<name>.mp4` and its truth as `<name>.truth.npz` (plain arrays, no pickle).

    VR180 says so in its metadata, with the bounds on the edges of the picture, where players expect them.
    Several views become `<name>.0.mp4`, `<name>.1.mp4` ...; the truth then holds (V, T) cameras `views_K`, `views_T_wc` too.

    Args:
        folder: Made where missing.
        name: Which example.
        writer: Called as writer(path, frames (T, H, W, 3), fps); by default H.264 that keeps fine detail, with its metadata.
        grid: Grid of true tracks, on every tenth frame.
        options: As for `example`.

    Returns:
        The files by their role: "video" (or "video.0" ...), "truth".
    """
    options.setdefault("bounds_on", "edges")
    clip = example(name, **options)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    videos = {"video": clip.video} if clip.views is None else {f"video.{i}": view for i, view in enumerate(clip.views.views)}
    paths = {role: folder / f"{name}{role.removeprefix('video')}.mp4" for role in videos} | {"truth": folder / f"{name}.truth.npz"}
    for role, video in videos.items():
        if writer is None:
            write_video(paths[role], video.frames, FPS, stereo=label_of(clip), encoding=TRUE_DETAIL)
        else:
            writer(paths[role], video.frames, FPS)
    with open(paths["truth"].with_suffix(".part"), "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **truth_arrays(clip, grid=grid))
    paths["truth"].with_suffix(".part").replace(paths["truth"])
    return paths


def label_of(clip: SyntheticClip) -> Spherical | None:
    """What a file's metadata says about an example; None for views that need no explanation."""
    if clip.layout == "mono":
        return None
    layout = "side-by-side" if clip.layout == "side-by-side" else "top-bottom"
    if clip.kind == "stereo":
        return Spherical(layout, "rectilinear")
    # Bounds on pixel centres would reach half a pixel over the poles, which metadata can't say.
    return Spherical(layout, "equirect", clip.fov_bounds_deg)


def truth_arrays(clip: SyntheticClip, *, grid: tuple[int, int] = (24, 24)) -> dict[str, NDArray]:
    """What `write_example` stores: cameras, depth in millimetres (uint16, 0 where unknown or beyond 65 m), ids, tracks."""
    tracks = clip.tracks(grid=grid)
    millimetres = np.nan_to_num(1000 * clip.depth_m)
    arrays: dict[str, Any] = {
        "K": clip.cameras.K,
        "T_wc": clip.cameras.T_wc,
        "size": clip.cameras.size,
        "times_s": clip.video.times_s,
        "depth_mm": np.where(millimetres < 2**16 - 0.5, np.rint(millimetres), 0).astype(np.uint16),
        "object_ids": clip.object_ids,
        "object_names": np.array(clip.world.object_names),
        "moving": clip.moving,
        "baseline_m": np.array(clip.baseline_m),
        "fov_bounds_deg": np.array(clip.fov_bounds_deg if clip.fov_bounds_deg else [np.nan] * 4),
        "bounds_on": np.array(clip.bounds_on),
        "tracks_xyz_w": tracks.xyz_w.astype(np.float32),
        "tracks_xy": tracks.xy.astype(np.float32),
        "tracks_visible": tracks.visible,
        "tracks_object_id": tracks.object_id,
        "tracks_moving": tracks.moving,
        "tracks_queries": tracks.queries,
    }
    if clip.views is not None:
        arrays["views_K"] = np.stack([cameras.K for cameras in clip.views.cameras])
        arrays["views_T_wc"] = np.stack([cameras.T_wc for cameras in clip.views.cameras])
    return arrays
