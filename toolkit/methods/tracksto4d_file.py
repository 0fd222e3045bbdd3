"""TracksTo4D on a file of 2D tracks that another tracker wrote: no picture is needed."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.media.archive import unpacked
from toolkit.media.frame_choice import FrameChoice
from toolkit.media.recording import find_recording
from toolkit.media.tracks_input import TracksInput, load_tracks_input
from toolkit.methods.request import Request
from toolkit.scene import F32, F64, B, Tracks2D, Video

FPS = 30.0  # files of tracks tell no times


def opened_tracks(request: Request) -> tuple[TracksInput, F64 | None, B | None]:
    """The tracks of a request, of the frames that were asked for; the lens that is known, and what counts nowhere.

    Raises:
        UserError: not readable, points to follow, or masks of another number of frames.
    """
    path = Path(request.recording)  # type: ignore[arg-type]
    if request.queries is not None:
        raise UserError(f"{path.name} holds tracks already, so no points can be followed; leave queries out.")
    if path.suffix.lower() == ".zip":
        with unpacked(path) as folder:
            found = load_tracks_input(find_recording(folder).files[0])
    else:
        found = load_tracks_input(find_recording(path).files[0])
    rows = FrameChoice.of(request.frames).of_count(found.tracks.xy.shape[1], path.name)
    found = replace(
        found, tracks=_through(found.tracks, rows), pictures=None if found.pictures is None else np.ascontiguousarray(found.pictures[rows])
    )
    K = found.K if request.K is None else request.K
    if request.masks is not None and len(request.masks) != len(rows):
        raise UserError(f"{len(request.masks)} masks came with tracks through {len(rows)} frames; one each is needed.")
    return found, K, None if request.masks is None else np.asarray(request.masks) != 0


def video_of(found: TracksInput) -> Video | None:
    """The pictures that lie in the file beside its tracks."""
    return None if found.pictures is None else Video.from_frames(found.pictures, FPS)


def facts_of(request: Request) -> dict[str, Any]:
    """What the report says of where the tracks are from; settings of following points say nothing here."""
    settings = {name: value for name, value in asdict(request.settings).items() if name in ("weights", "finetune_steps")}
    return {"source": {"path": Path(request.recording).name}, "settings": {**settings, "seed": request.seed}}  # type: ignore[arg-type]


def _through(tracks: Tracks2D, rows: np.ndarray) -> Tracks2D:
    """The tracks in some frames; those asked for elsewhere start where they are first seen."""
    if len(rows) == tracks.xy.shape[1]:
        return tracks
    xy, visible = tracks.xy[:, rows], tracks.visible[:, rows]
    at = np.searchsorted(rows, tracks.queries[:, 0])
    kept = np.isin(tracks.queries[:, 0], rows)
    first = np.where(kept, np.minimum(at, len(rows) - 1), visible.argmax(1))
    queries: F32 = np.column_stack([first, xy[np.arange(len(xy)), first]]).astype(np.float32)
    return Tracks2D(xy, visible, tracks.confidence[:, rows], queries)
