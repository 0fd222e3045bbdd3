"""Files that hold a finished scene already: they are opened, nothing is computed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from toolkit.media.archive import unpacked
from toolkit.media.inspection import inspect
from toolkit.media.recording import raw_video
from toolkit.media.scene_file import load
from toolkit.media.stereo4d_npz import load_dataset_npz
from toolkit.media.video import read_video
from toolkit.scene import Scene, Source


def is_finished(source: Source) -> bool:
    """Whether what was found is a result: a scene of ours, an annotation without its raw video, or a bundle of one with the frames."""
    return source.kind == "scene" or source.details.get("annotation") == "reduced bundle"


def open_finished(path: str | os.PathLike[str]) -> Scene:
    """The scene that a file, or the one .npz of a folder, holds already: one of ours, or a released annotation with its video.

    Raises:
        UserError: not readable, or damaged.
    """
    place = Path(path)
    if place.suffix.lower() == ".zip":
        with unpacked(place) as inside:
            return open_finished(inside)
    found = next((p for p in sorted(place.rglob("*.npz"))), place) if place.is_dir() else place
    source = inspect(found)
    if not source.details.get("annotation"):
        return load(found)
    scene = load_dataset_npz(found)
    video = raw_video(found, scene.report.get("video_id"))
    # The raw video of a released annotation is not what its tracks live in; a bundle's is.
    if video is not None and source.details["annotation"] != "Stereo4D":
        scene = replace(scene, video=read_video(video, frames=scene.frames))
    return scene
