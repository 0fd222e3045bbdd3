"""Leaving out queries that an earlier track already follows, exactly as published for Stereo4D."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled
from toolkit.errors import UserError
from toolkit.scene import F32, B, Tracks2D


def prune_tracks(tracks: Tracks2D, *, radius_px: float = 1.0) -> Tracks2D:
    """Tracks without those whose query lies on another track.

    Query frames are visited in rising order. A track is kept when no kept track of an earlier query frame is visible within
    `radius_px` of its query in that query's frame; queries of the same frame never suppress each other.

    The kept positions of a frame are looked up in a grid of cells of `radius_px`, so the cost is one pass over the samples
    in query frames: 294,912 tracks of 177 frames with 18 query frames take about 0.3 CPU-seconds. To measure: time this
    function on random walks from a 128 x 128 grid in every 10th frame, 80 % visible, after one call on a small set.

    Args:
        tracks: N tracks in pixels; `queries[:, 0]` are whole frames of the clip.
        radius_px: Largest distance at which a query counts as covered; a distance of exactly this is covered.

    Returns:
        The kept tracks, in their order.

    Raises:
        UserError: For a radius that is not positive or query frames outside the clip.

    Source: Stereo4D (Jin et al., CVPR 2025), supplementary material on tracking.
    """
    if not (np.isfinite(radius_px) and radius_px > 0):
        raise UserError(f"The pruning radius is {radius_px} px, but a positive number is needed.")
    start = tracks.queries[:, 0].astype(np.int64)
    frames = tracks.visible.shape[1]
    if len(start) and (start.min() < 0 or start.max() >= frames):
        raise UserError(f"Queries are in frames {start.min()} to {start.max()}, but the tracks have the frames 0 to {frames - 1}.")
    points = np.ascontiguousarray(tracks.queries[:, 1:])
    keep = np.ones(len(start), np.bool_)
    for t in np.unique(start)[1:]:
        rows = np.flatnonzero(start == t)
        earlier = np.flatnonzero(keep & (start < t))
        seen = earlier[tracks.visible[earlier, t]]
        keep[rows] = ~covered_queries(points[rows], tracks.xy[seen, t], radius_px=radius_px)
    return tracks.select(keep)


def covered_queries(points: F32, others: F32, *, radius_px: float) -> B:
    """(P,) which points (P, 2) have one of the others (Q, 2) at most `radius_px` away; what is not finite covers nothing."""
    return _covered(np.ascontiguousarray(points, np.float32), np.ascontiguousarray(others, np.float32), float(radius_px))


@compiled()
def _covered(points, others, radius):
    """Which points (P, 2) have one of the others (Q, 2) within the radius; cells of one radius, linked lists per cell."""
    covered = np.zeros(len(points), np.bool_)
    if len(others) == 0 or len(points) == 0:
        return covered
    low_x, low_y, high_x, high_y = np.inf, np.inf, -np.inf, -np.inf
    for p in range(len(points)):
        if np.isfinite(points[p, 0]) and np.isfinite(points[p, 1]):
            low_x, high_x = min(low_x, points[p, 0]), max(high_x, points[p, 0])
            low_y, high_y = min(low_y, points[p, 1]), max(high_y, points[p, 1])
    if low_x > high_x:
        return covered
    # Cells may be larger than the radius, so that their number stays bounded however far the points spread.
    cell = max(radius, (high_x - low_x) / 2048, (high_y - low_y) / 2048)
    columns, rows = int((high_x - low_x) / cell) + 1, int((high_y - low_y) / cell) + 1
    head = np.full(columns * rows, -1, np.int32)
    following = np.full(len(others), -1, np.int32)
    for q in range(len(others)):
        x, y = others[q, 0], others[q, 1]
        if not (low_x - radius <= x <= high_x + radius and low_y - radius <= y <= high_y + radius):
            continue  # too far away, or not a number
        i = min(max(int((x - low_x) / cell), 0), columns - 1)
        j = min(max(int((y - low_y) / cell), 0), rows - 1)
        following[q] = head[j * columns + i]
        head[j * columns + i] = q
    for p in range(len(points)):
        if not (np.isfinite(points[p, 0]) and np.isfinite(points[p, 1])):
            continue
        ci, cj = int((points[p, 0] - low_x) / cell), int((points[p, 1] - low_y) / cell)
        for j in range(max(cj - 1, 0), min(cj + 2, rows)):
            for i in range(max(ci - 1, 0), min(ci + 2, columns)):
                q = head[j * columns + i]
                while q >= 0 and not covered[p]:
                    dx, dy = float(points[p, 0]) - float(others[q, 0]), float(points[p, 1]) - float(others[q, 1])
                    covered[p] = dx * dx + dy * dy <= radius * radius
                    q = following[q]
    return covered
