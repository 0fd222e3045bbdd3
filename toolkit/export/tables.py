"""Tracks as a CSV table, written fast: numbers are formatted by compiled code into one buffer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from toolkit.compiling import compiled
from toolkit.scene import Scene
from toolkit.views.overlay import choose_indices

MAX_ROWS = 500_000  # About 30 MB; spreadsheets stop at 1,048,576 rows.
COLUMNS = ("track", "frame", "time_s", "x_px", "y_px", "visible", "x", "y", "z", "motion")
_DECIMALS = np.array([0, 0, 6, 3, 3, 0, 5, 5, 5, 3])
_WIDEST = 24  # characters of one number with its comma


def write_tracks_csv(scene: Scene, path: Path, *, max_rows: int = MAX_ROWS, seed: int = 0) -> dict[str, Any]:
    """One row per track and frame with a known position; a spread-out choice of tracks where all would be too many.

    Args:
        scene: With 2D or 3D tracks. `track` is the index of the track in the scene, so that rows join with scene.npz.
        path: Where to.
        max_rows: Largest number of rows.
        seed: Of the choice.

    Returns:
        Notes for the manifest: columns, rows, and which share of the tracks was written.
    """
    parts = [p for p in (scene.tracks_2d, scene.tracks_3d) if p is not None]
    frames = parts[0].visible.shape[1]
    known = np.zeros(parts[0].visible.shape, bool)
    if scene.tracks_2d is not None:
        known |= np.isfinite(scene.tracks_2d.xy).all(-1) & scene.tracks_2d.visible
    if scene.tracks_3d is not None:
        known |= np.isfinite(scene.tracks_3d.xyz).all(-1)
    # A track has one row a frame at most.
    which = np.arange(len(known)) if known.sum() <= max_rows else choose_indices(scene, max(1, max_rows // frames), seed=seed)
    track, frame = np.nonzero(known[which])
    track = which[track]
    table = np.full((len(track), len(COLUMNS)), np.nan)
    table[:, 0], table[:, 1] = track, frame
    times = scene.video.times_s if scene.video is not None else np.full(frames, np.nan)
    table[:, 2] = times[frame]
    if scene.tracks_2d is not None:
        table[:, 3:5] = scene.tracks_2d.xy[track, frame]
    table[:, 5] = parts[0].visible[track, frame]
    if scene.tracks_3d is not None:
        table[:, 6:9] = scene.tracks_3d.xyz[track, frame]
        table[:, 9] = scene.tracks_3d.motion[track]
    with path.open("wb") as file:
        file.write((",".join(COLUMNS) + "\n").encode())
        for start in range(0, len(table), 100_000):
            part = table[start : start + 100_000]
            text = np.empty(part.size * _WIDEST, np.uint8)
            file.write(text[: _format(part, _DECIMALS, text)].tobytes())
    return {
        "columns": list(COLUMNS),
        "rows": len(table),
        "tracks_written": len(which),
        "tracks_in_scene": len(known),
        "rule": "rows with a known position only; an empty field is unknown"
        + ("" if len(which) == len(known) else f"; a spread-out choice of tracks, moving ones first, to stay within {max_rows} rows"),
    }


@compiled()
def _format(table, decimals, text):  # pragma: no cover - compiled
    """Writes rows as comma-separated fixed-point numbers, NaN as nothing; returns the number of bytes."""
    digits = np.empty(24, np.uint8)
    n = 0
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            value = table[i, j]
            if abs(value) < 1e12:
                places = decimals[j]
                scaled = np.int64(np.floor(abs(value) * 10.0**places + 0.5))
                if value < 0 and scaled > 0:
                    text[n] = 45
                    n += 1
                count = 0
                while scaled > 0 or count <= places:
                    digits[count] = 48 + scaled % 10
                    scaled //= 10
                    count += 1
                for k in range(count - 1, -1, -1):
                    if k == places - 1:
                        text[n] = 46
                        n += 1
                    text[n] = digits[k]
                    n += 1
            text[n] = 44 if j + 1 < table.shape[1] else 10
            n += 1
    return n
