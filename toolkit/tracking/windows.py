"""A grid of tracks through a long clip: window by window, so that memory is that of a window; the tracks of all lie on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolkit.disk_arrays import large_full, stay_small
from toolkit.progress import Report, silent
from toolkit.scene import F32, U8, Tracks2D
from toolkit.tracking.flow import FlowBank
from toolkit.tracking.merge import TrackState
from toolkit.tracking.queries import query_frames
from toolkit.tracking.sweep import track_grid

LONGEST_WHOLE = 600  # frames: up to here tracks go from end to end
_OWN = 300  # frames of a window in which its tracks begin ...
_BEYOND = 150  # ... and before and after these, in which they go on
_MOST_SAMPLES = 64_000_000  # tracks times frames of the whole clip: 34 bytes each, here and in the world
_LOST_PX = 100.0  # what a tracker tells of a place that it knows nothing of


def track_in_windows(
    gray: U8,
    flows: FlowBank,
    scale: F32,
    settings: Any,
    *,
    grid: tuple[int, int],
    every: int,
    seed: int,
    finish: Callable[[TrackState, F32, Any], Tracks2D],
    report: Report = silent,
) -> Tracks2D:
    """Tracks of a grid; each begins in one window, and ends where the frames around that window end.

    Where it is still seen there, a later window follows the same point by a track of its own.

    Args:
        gray: (T, H, W) uint8 working frames.
        flows: Flow between them.
        scale: (2,) working pixels in one of the video.
        settings: Of the tracker, a `ClassicalSettings`.
        grid: As in `track_points`.
        every: As in `track_points`.
        seed: As in `track_points`.
        finish: Turns a state into tracks.
        report: Called with frames done in both directions and twice their number.
    """
    frames = len(gray)
    moments = query_frames(frames, every=every)
    most_tracks = max(_MOST_SAMPLES // frames, len(moments))
    done: list[tuple[int, Tracks2D]] = []
    for own in range(0, frames, _OWN):
        first, last = max(0, own - _BEYOND), min(frames, own + _OWN + _BEYOND)
        here = range(-(-own // every) * every, min(own + _OWN, frames), every)
        if not here:
            continue
        before = [(begin, tracks) for begin, tracks in done if begin + tracks.visible.shape[1] > own]

        def covered(t: int, first: int = first, before: list[tuple[int, Tracks2D]] = before) -> F32:
            living = [np.zeros((0, 2), np.float32)]
            for begin, tracks in before:
                at = t + first - begin
                if at < tracks.visible.shape[1]:
                    living.append(tracks.xy[tracks.visible[:, at], at] * scale)
            return np.concatenate(living)

        def tell(now: int, of: int, own: int = own) -> None:
            report(2 * own + int(2 * min(_OWN, frames - own) * now / max(of, 1)), 2 * frames)

        state = track_grid(
            gray[first:last],
            flows.part(first, last),
            settings.merge,
            grid=grid,
            every=every,
            seed=seed + own,
            seeding=settings.grid,
            moments=range(here.start - first, here.stop - first, every),
            most=max(1, most_tracks * len(here) // len(moments)),
            covered=covered,
            report=tell,
        )
        done.append((first, finish(state, scale, settings)))
    return _laid_out(done, frames)


def _laid_out(done: list[tuple[int, Tracks2D]], frames: int) -> Tracks2D:
    """The tracks of all windows as tracks of the clip; those of a window are forgotten once they are written."""
    count = sum(len(tracks) for _, tracks in done)
    xy, visible = large_full((count, frames, 2), 0, np.float32), large_full((count, frames), False, np.bool_)
    confidence, sigma = large_full((count, frames), 0, np.float32), large_full((count, frames), _LOST_PX, np.float32)
    queries = np.zeros((count, 3), np.float32)
    row = 0
    while done:
        first, tracks = done.pop(0)
        rows, some = slice(row, row + len(tracks)), slice(first, first + tracks.visible.shape[1])
        row = rows.stop
        xy[rows, :first], xy[rows, some], xy[rows, some.stop :] = tracks.xy[:, :1], tracks.xy, tracks.xy[:, -1:]
        visible[rows, some], confidence[rows, some] = tracks.visible, tracks.confidence
        if tracks.sigma_px is not None:
            sigma[rows, some] = tracks.sigma_px
        queries[rows] = tracks.queries + np.array([first, 0, 0], np.float32)
        stay_small()
    return Tracks2D(xy, visible, confidence, queries, sigma)
