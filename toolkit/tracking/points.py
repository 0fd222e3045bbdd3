"""`track_points`: points of a video followed both ways in time by the tracker of one's choice."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from numpy.typing import ArrayLike

from toolkit.progress import Report, silent
from toolkit.scene import Tracks2D, Video
from toolkit.stage_cache import kept_or_made
from toolkit.tracking.queries import checked_queries
from toolkit.tracking.registry import find_tracker


def track_points(
    video: Video,
    queries: ArrayLike | None = None,
    *,
    tracker: str = "auto",
    grid: tuple[int, int] = (128, 128),
    every: int = 10,
    seed: int = 0,
    report: Report = silent,
) -> Tracks2D:
    """Follows points through a video, from each query to both ends of the clip.

    Args:
        video: T frames.
        queries: (N, 3) (t, x, y), t a frame index, continuous pixels. None asks for a dense grid in every `every`-th frame,
            leaving out what a track from an earlier grid follows already.
        tracker: A name of `trackers()`; "auto" is "normal".
        grid: (columns, rows) of the dense grid, whatever the size of the image.
        every: Frames from one grid to the next.
        seed: Of everything random: the same input gives the same tracks.
        report: Told the progress; may raise `Cancelled`.

    Returns:
        N tracks in pixels of the video, in the order of the queries (of the query frames for a grid): position and sigma in
        pixels, visibility, and as confidence the chance that a sample is seen and within 4 px on a raster of 256 x 256.

    Raises:
        UserError: For queries outside the video, an unknown tracker, or frames too small to track in.
    """
    info = find_tracker(tracker)
    asked = None if queries is None else checked_queries(queries, frames=len(video), size=video.size)

    def follow() -> dict[str, Any]:
        found = info.run(video, asked, grid=grid, every=every, seed=seed, report=report)
        return {part.name: value for part in fields(found) if (value := getattr(found, part.name)) is not None}

    if info.licence:  # weights that a person brings may be others tomorrow
        return Tracks2D(**follow())
    depends_on = {"video": video.frames, "queries": asked, "tracker": info.name, "grid": grid, "every": every, "seed": seed}
    return Tracks2D(**kept_or_made("tracks", depends_on, follow))
