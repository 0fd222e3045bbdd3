"""How likely each track moves in the world, by how badly it fits what still things do: with known cameras, or from the tracks alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, I64, B, Cameras, Tracks2D
from toolkit.sfm.moving_fits import ViewOptions, views_of_tracks
from toolkit.sfm.moving_seen import Followed, Seen
from toolkit.sfm.moving_views import Views, noise_of, views_of_cameras

_FITS, _ENOUGH = 12.0, 20  # squared residual, in variances, of what may stand still; points that a quantile needs


@dataclass(frozen=True)
class MovingTrackOptions:
    """When a track is taken to move.

    Attributes:
        every: A frame in so many is compared with others; their evidence overlaps anyway.
        longest: Frames to the nearer two others at most; flow between them must still be found.
        step: Share of the picture's longer side that tracks move between these, at the 90th percentile, at most.
        stride: The same share at the 98th percentile: small things may go faster.
        long: The farther two others are so many times as far, where most tracks live so long.
        close: Pixels that are not found again in the nearer two are looked for in two closer ones, so many times as near: what moves fast.
        alive: Share of the tracks of a frame that must live so long.
        floor: Least standard deviation of a position, as a share of the longer side: 0.25 px of 512.
        cap: The evidence of one comparison is at most so many variances: one slip of the tracker says no more than that.
        off: Mean squared distance, in variances, from which on a comparison counts as against standing.
        spread: Standard deviation of the logarithm of the residuals of still tracks, at least: they differ in how well they are tracked.
        widest: Moving tracks are spread evenly in the logarithm up to so many standard deviations.
        least: No track moves that is, in the mean, within so many times the noise of still ones.
        share: What is supposed to move before anything is seen.
        noise: Errors of positions are so many times the told ones, at least and at most.
        probes: Frames at which it is measured how far tracks go and how long they live.
        views: How still things are found.
    """

    every: int = 2
    longest: int = 6
    step: float = 0.04
    stride: float = 0.05
    long: int = 4
    close: int = 3
    alive: float = 0.6
    floor: float = 0.0005
    cap: float = 49.0
    off: float = 6.0
    spread: float = 0.35
    widest: float = 7.0
    least: float = 1.6
    share: float = 0.1
    noise: tuple[float, float] = (0.3, 4.0)
    probes: int = 40
    views: ViewOptions = field(default_factory=ViewOptions)


@dataclass(frozen=True, eq=False)
class TrackMotion:
    """Which tracks move.

    Attributes:
        moving: (N,) float32 probability of moving at some time; NaN where a track says nothing.
        offset: (N,) float32 mean distance from still things, in standard deviations of still tracks; NaN where unknown.
        views: How still things move around each frame that was compared.
        noise: Factor by which errors of positions exceed the told ones.
        gap: Frames to the nearer others.
        compared: For each frame that was compared the numbers of its points and their (n,) mean squared distance from still things, in
            variances of still tracks; NaN where unknown.
        lasting: (N,) which tracks are off in most comparisons, not only while something passes them.
        close_gap: Frames to the closer others; 0 where there are none.
        close: For each frame that was compared how still things move to these.
        far_gap: Frames to the farther others; 0 where there are none.
    """

    moving: F32
    offset: F32
    views: dict[int, Views]
    noise: float
    gap: int
    compared: dict[int, tuple[I64, F32]]
    lasting: B
    close_gap: int = 0
    close: dict[int, Views] = field(default_factory=dict)
    far_gap: int = 0


def moving_tracks(
    tracks: Tracks2D | Followed,
    size: tuple[int, int],
    cameras: Cameras | None = None,
    *,
    seed: int = 0,
    options: MovingTrackOptions | None = None,
    report: Report = silent,
) -> TrackMotion:
    """Tells which tracks no still thing explains.

    Every second frame is compared with two near and two far ones. What most of the picture does, by area, is taken for still; residuals
    are weighed by the tracks' own errors.

    Args:
        tracks: N tracks of T frames, in pixels; or points of T frames with rising numbers, N being the largest and one.
        size: (width, height) of the picture.
        cameras: T cameras where they are known, NaN where a frame has none; None tells still things from the tracks alone.
        seed: Of random samples.
        options: How.
        report: Called per frame.

    Raises:
        UserError: tracks and cameras differ in their number of frames.
    """
    o = options or MovingTrackOptions()
    seen = Seen.of(tracks, size, o.floor)
    T = len(seen.ids)
    if cameras is not None and len(cameras) != T:
        raise UserError(f"The tracks have {T} frames, but there are {len(cameras)} cameras; one for each frame is needed.")
    gap, far = choose_gaps(seen, size, o)
    nearness = (0.0, np.inf) if cameras is None else nearness_of(seen, cameras, gap, far)
    found: dict[int, Views] = {}
    compared: dict[int, tuple[I64, F32]] = {}
    closer: dict[int, Views] = {}
    short = gap // o.close
    for m in range(0, T, o.every):
        told = _views_and_unlikeness(seen, cameras, nearness, m, others_of(m, T, gap, far), size, seed, o)
        if told is not None:
            found[m] = told[0]
            compared[m] = seen.ids[m], told[1]
            close = [t for t in (m - short, m + short) if 0 <= t < T] if short else []
            beside = _views_and_unlikeness(seen, cameras, nearness, m, np.array(close, np.int64), size, seed, o)
            if beside is not None:
                closer[m] = beside[0]
        report(m + 1, T)
    return replace(_judged(found, compared, seen.count, gap, o), close_gap=short, close=closer, far_gap=far if far > 2 * gap else 0)


def _views_and_unlikeness(
    seen: Seen,
    cameras: Cameras | None,
    nearness: tuple[float, float],
    base: int,
    others: I64,
    size: tuple[int, int],
    seed: int,
    o: MovingTrackOptions,
) -> tuple[Views, F32] | None:
    """How still things move between a frame and others, and how far its points are from that; None where nothing tells."""
    if len(others) == 0 or len(seen.ids[base]) == 0:
        return None
    xy, sigmas = seen.elsewhere(base, others)
    if cameras is not None:
        views = views_of_cameras(cameras, base, others, nearness)
        chosen = [int(np.flatnonzero(others == f)[0]) for f in views.others] if views is not None else []
        xy, sigmas = xy[:, chosen], sigmas[:, chosen]
    else:
        views = views_of_tracks(seen.xy[base], xy, sigmas, base=base, others=others, size=size, seed=seed, options=o.views)
    return None if views is None else (views, views.unlikeness(seen.xy[base], xy, sigmas).astype(np.float32))


def _judged(found: dict[int, Views], compared: dict[int, tuple[I64, F32]], N: int, gap: int, o: MovingTrackOptions) -> TrackMotion:
    """Gathers what all comparisons say of each track."""
    noise = noise_of(np.concatenate([q for _, q in compared.values()])) if compared else 1.0
    noise = float(np.clip(noise, *o.noise))
    total, count, off = np.zeros(N), np.zeros(N), np.zeros(N)
    scaled = {m: (ids, (q / noise**2).astype(np.float32)) for m, (ids, q) in compared.items()}
    for ids, q in scaled.values():
        known = np.isfinite(q)
        total[ids[known]] += np.sqrt(np.minimum(q[known], o.cap))
        count[ids[known]] += 1
        off[ids[known]] += q[known] > o.off
    offset = np.full(N, np.nan, np.float32)
    offset[count > 0] = total[count > 0] / count[count > 0]
    return TrackMotion(probability(offset, count, o), offset, found, noise, gap, scaled, off > 0.5 * np.maximum(count, 1))


def probability(offset: F32, count: F64, o: MovingTrackOptions) -> F32:
    """(N,) posterior of moving from mean residuals; still ones peak in the logarithm, moving ones spread widely above."""
    known = np.isfinite(offset)
    value = np.log(np.maximum(offset[known], 1e-3)).astype(np.float64)
    out = np.full(len(offset), np.nan, np.float32)
    if not known.any():
        return out
    share, mean, width = o.share, 0.0, o.spread
    moving = np.zeros(len(value))
    for _ in range(10):
        z = np.maximum(value - mean, 0) / np.hypot(width, 0.5 / np.sqrt(count[known]))
        still = (1 - share) * np.exp(-0.5 * z**2) / (width * np.sqrt(2 * np.pi))
        likely = np.where(value > mean + np.log(o.least), share / np.log(o.widest), 0.0)
        moving = likely / (likely + still)
        share = float(np.clip(moving.mean(), 0.03, 0.5))
        rest = 1 - moving
        mean = float(np.clip((rest * value).sum() / max(rest.sum(), 1e-9), -0.3, 0.3))
        above = rest * (value > mean)
        width = float(np.clip(np.sqrt((above * (value - mean) ** 2).sum() / max(above.sum(), 1e-9)), o.spread, 0.45))
    out[known] = moving
    return out


def choose_gaps(seen: Seen, size: tuple[int, int], o: MovingTrackOptions) -> tuple[int, int]:
    """Frames to the near and the far others: as long as motion stays small, and as tracks live."""
    T = len(seen.ids)
    bases = range(0, T, max(T // o.probes, 1))

    def lived(g: int) -> tuple[float, F64]:
        """Share of the points that are still seen after g frames, and their steps."""
        steps, all_points = [np.empty(0)], 0
        for m in bases:
            if m + g < T:
                xy = seen.elsewhere(m, np.array([m + g]))[0][:, 0]
                steps.append(np.abs(xy - seen.xy[m]).max(1)[np.isfinite(xy[:, 0])])
                all_points += len(xy)
        step = np.concatenate(steps)
        return len(step) / max(all_points, 1), step

    gap, far = 1, 0
    for g in range(1, min(o.longest, max(T - 1, 1)) + 1):
        step = lived(g)[1]
        if len(step) and np.all(np.quantile(step, [0.9, 0.98]) <= np.array([o.step, o.stride]) * max(size)):
            gap = g
    for factor in range(2, o.long + 1):
        if 2 * factor * gap < T and lived(factor * gap)[0] >= o.alive:
            far = factor * gap
    return gap, far


def others_of(base: int, frames: int, gap: int, far: int) -> I64:
    """Frames that a frame is compared with, the widest apart last; near the ends those on one side."""
    near = [base - gap, base + gap]
    if base < gap:
        near = [base + gap, base + 2 * gap]
    elif base + gap >= frames:
        near = [base - gap, base - 2 * gap]
    wanted = [*near, *([base - far, base + far] if far > 2 * gap else [])]
    inside = [f for f in dict.fromkeys(wanted) if 0 <= f < frames and f != base]
    return np.array(inside, np.int64)


def nearness_of(seen: Seen, cameras: Cameras, gap: int, far: int) -> tuple[float, float]:
    """Least and largest 1/z of still things: none is behind infinity, and hardly any much nearer than most of the tracks."""
    T = len(seen.ids)
    nearest = []
    for m in range(0, T, max(T // 12, 1)):
        others = others_of(m, T, gap, far)
        views = views_of_cameras(cameras, m, others, (0.0, np.inf)) if len(others) else None
        if views is not None and np.any(views.a):
            squared, count, w = views.explained(seen.xy[m], *seen.elsewhere(m, views.others))
            nearest.append(w[(count >= len(views.others) / 2) & (squared < _FITS * count) & np.isfinite(w)])
    w = np.concatenate(nearest) if nearest else np.zeros(0)
    return (0.0, 8 * float(np.quantile(w, 0.98))) if len(w) > _ENOUGH else (0.0, np.inf)
