"""The tracker without learned weights: merged flow hops, both ways in time, from any queries or a dense grid."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from toolkit.disk_arrays import large_empty, pieces
from toolkit.progress import Report, silent
from toolkit.scene import F32, Tracks2D, Video
from toolkit.tracking.certainty import confidence_of, sigma_of
from toolkit.tracking.flow import FlowSettings, compute_flows, working_frames
from toolkit.tracking.merge import MergeSettings, TrackState
from toolkit.tracking.prune import prune_tracks
from toolkit.tracking.queries import checked_queries, grid_points, query_frames
from toolkit.tracking.smoothing import majority_over_time, smooth_tracks
from toolkit.tracking.sweep import GridSettings, track_grid, track_queries
from toolkit.tracking.windows import LONGEST_WHOLE, track_in_windows


@dataclass(frozen=True)
class ClassicalSettings:
    """Everything that can be set; see the parts.

    Attributes:
        flow: Optical flow.
        merge: How hops are joined.
        grid: Where a grid is asked for.
        smooth: Whether paths are smoothed over time: not between photos, whose camera jumps.
    """

    flow: FlowSettings = field(default_factory=FlowSettings)
    merge: MergeSettings = field(default_factory=MergeSettings)
    grid: GridSettings = field(default_factory=GridSettings)
    smooth: bool = True


NORMAL = ClassicalSettings()
PHOTOS = ClassicalSettings(smooth=False)
DRAFT = ClassicalSettings(flow=FlowSettings(strides=(1, 4, 16), refined_strides=()))


def track_classical(
    video: Video,
    queries: F32 | None = None,
    *,
    grid: tuple[int, int] = (128, 128),
    every: int = 10,
    seed: int = 0,
    report: Report = silent,
    settings: ClassicalSettings = NORMAL,
) -> Tracks2D:
    """Points followed by flow hops of several lengths, the most certain one at each frame. Arguments as in `track_points`.

    After "multi-flow tracking" (MFT: Neoral et al., WACV 2024), with inverse-search flow in place of a network.
    """
    frames = len(video)
    # What a person got wrong is told before the long work.
    asked = None if queries is None else checked_queries(queries, frames=frames, size=video.size)
    grid_points(video.size, grid=grid)
    query_frames(frames, every=every)
    gray = working_frames(video.frames, max_pixels=settings.flow.max_pixels)
    scale = np.array([gray.shape[2] / video.size[0], gray.shape[1] / video.size[1]], np.float32)

    # Flow takes most of the time; a frame of it counts as two of the sweeps.
    total = 4 * frames
    flows = compute_flows(gray, settings.flow, report=lambda done, _: report(2 * done, total))

    def report_sweep(done: int, _: int) -> None:
        report(2 * frames + done, total)

    if asked is None and frames > LONGEST_WHOLE:
        return track_in_windows(gray, flows, scale, settings, grid=grid, every=every, seed=seed, finish=_finished, report=report_sweep)
    if asked is None:
        state = track_grid(gray, flows, settings.merge, grid=grid, every=every, seed=seed, seeding=settings.grid, report=report_sweep)
        del flows  # the largest part of the memory, no longer needed
        # Seeding leaves nothing to prune as a rule; this makes it certain.
        return prune_tracks(_finished(state, scale, settings))
    order = np.argsort(asked[:, 0], kind="stable")
    scaled = asked[order] * np.append(np.float32(1), scale)
    state = track_queries(gray, flows, scaled, settings.merge, report=report_sweep)
    tracks = _finished(state, scale, settings).select(np.argsort(order))
    return Tracks2D(tracks.xy, tracks.visible, tracks.confidence, asked, tracks.sigma_px)


def _finished(state: TrackState, scale: F32, settings: ClassicalSettings) -> Tracks2D:
    """A state in pixels of the video, smoothed where asked, with visibility and certainty."""
    count, frames = state.drift.shape
    visible = large_empty((count, frames), np.bool_)
    for some in pieces(count, frames):
        visible[some] = state.part(some).certain(settings.merge)
    if settings.smooth:
        majority_over_time(visible, state.start, settings.merge.visible_window)
        smooth_tracks(state.xy, state.start)
    rows = np.arange(len(state.start))
    mean_scale = float(np.sqrt(scale.prod()))
    confidence, sigma = (large_empty((count, frames), np.float32) for _ in range(2))
    for some in pieces(count, frames):
        part = state.part(some)
        part.xy[...] /= scale
        confidence[some], sigma[some] = confidence_of(part), sigma_of(part) / mean_scale
    queries = np.column_stack([state.start, state.xy[rows, state.start]]).astype(np.float32)
    return Tracks2D(state.xy, visible, confidence, queries, sigma)
