"""Where a track has slid onto another surface: stereo depth tells what a 2D tracker cannot see, that something came in between."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.disk_arrays import large_empty, large_full, pieces
from toolkit.lifting._observe import rows_at_once
from toolkit.lifting.label import NoiseOptions, see
from toolkit.lifting.motion import check_frames
from toolkit.scene import B, Cameras, Tracks2D, Tracks3D

_CHUNK = 1024


@dataclass(frozen=True)
class SurfaceOptions:
    """When a sample no longer lies on the surface that the track started on.

    Attributes:
        sigmas: Changes of inverse depth within so many standard deviations belong to the same surface.
        share: So do changes within this share of the inverse depth: people are no thicker, seen from a few metres.
        share_per_frame: How much more each frame allows that the samples in memory are older than usual: a point may come nearer
            meanwhile, at 2 m/s from 2.7 m away.
        most_share: But never more than this: after a long time another surface would do.
        memory: Accepted samples whose median stands for the surface.
    """

    sigmas: float = 4.0
    share: float = 0.07
    share_per_frame: float = 0.025
    most_share: float = 0.25
    memory: int = 5


def drop_other_surfaces(
    tracks_2d: Tracks2D, tracks_3d: Tracks3D, cameras: Cameras, *, options: SurfaceOptions | None = None
) -> tuple[Tracks2D, Tracks3D]:
    """The same tracks, unseen wherever they lie on another surface than their query; see `on_first_surface`.

    Samples without depth stay as they are in the image.
    """
    accepted = on_first_surface(tracks_3d, cameras, tracks_2d.queries[:, 0], options=options)
    seen, xyz = large_empty(accepted.shape, np.bool_), large_empty(tracks_3d.xyz.shape, np.float32)
    for some in pieces(*accepted.shape):
        known = np.isfinite(tracks_3d.xyz[some]).all(-1)
        seen[some] = tracks_2d.visible[some] & ~(known & ~accepted[some])
        xyz[some] = np.where(accepted[some][..., None], tracks_3d.xyz[some], np.float32(np.nan))
        accepted[some] &= tracks_3d.visible[some]
    return replace(tracks_2d, visible=seen), replace(tracks_3d, xyz=xyz, visible=accepted)


def on_first_surface(tracks_3d: Tracks3D, cameras: Cameras, query_frames: NDArray, *, options: SurfaceOptions | None = None) -> B:
    """Which samples lie on the surface that the query lies on, followed from the query in both directions.

    A sample that jumps in depth is left out, and so are those after it until the depth is back: what a point looks like while
    something passes in front of it is that something.

    Args:
        tracks_3d: N tracks of T frames, as lifted; their `sigma` is used where there is one.
        cameras: T cameras.
        query_frames: (N,) frame index of each query.
        options: What counts as a jump.

    Returns:
        (N, T) bool; False also where a track has no depth.
    """
    check_frames(tracks_3d, cameras)
    o = options or SurfaceOptions()
    accepted = large_full(tracks_3d.visible.shape, False, np.bool_)
    step = rows_at_once(_CHUNK, len(cameras))
    start_frames = np.asarray(query_frames).astype(np.int64)
    for start in range(0, len(accepted), step):
        rows = np.arange(start, min(start + step, len(accepted)))
        seen = see(tracks_3d, cameras, None, NoiseOptions(), rows)
        _follow(
            seen.seen[..., 2],
            seen.sigma,
            seen.known,
            start_frames[rows],
            o.sigmas,
            o.share,
            o.share_per_frame,
            o.most_share,
            o.memory,
            accepted[rows[0] : rows[-1] + 1],
        )
    return accepted


@compiled()
def _follow(inverse, sigma, known, query, sigmas, share, share_per_frame, most_share, memory, accepted):  # pragma: no cover - compiled
    """Fills (N, T) `accepted`."""
    N, T = known.shape
    recent, when = np.empty(memory), np.empty(memory)
    usual = (memory + 1) / 2
    for n in range(N):
        # The surface of the query: the median of the samples nearest to it in time, should the first one be wrong.
        count, reach = 0, 0
        while count < memory and reach < T:
            for t in (query[n] - reach, query[n] + reach):
                if 0 <= t < T and known[n, t] and count < memory and (reach > 0 or t == query[n]):
                    if not (reach == 0 and count > 0):
                        recent[count] = inverse[n, t]
                        count += 1
            reach += 1
            if reach > 2 * memory:
                break
        if count == 0:
            continue
        first = np.median(recent[:count])
        for step in (1, -1):
            recent[:], when[:] = first, query[n]
            place = 0
            t = query[n]
            while 0 <= t < T:
                if known[n, t]:
                    surface = np.median(recent)
                    late = max(0.0, abs(t - np.median(when)) - usual)
                    allowed = max(sigmas * sigma[n, t], min(share + share_per_frame * late, most_share) * surface)
                    if abs(inverse[n, t] - surface) <= allowed:
                        accepted[n, t] = True
                        recent[place % memory], when[place % memory] = inverse[n, t], t
                        place += 1
                t += step
