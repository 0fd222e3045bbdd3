"""What MVTracker found, as tracks of the toolkit: with the colour of each point, and how much it moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import inside, sample_nearest
from toolkit.scene import F32, U8, MultiViewVideo, Tracks3D

HALF_MOVING = 0.02  # of its distance from the cameras, that a point strays whose motion is 0.5
GREY = 128


def as_tracks(xyz: F32, chance: F32, queries: F32, clip: MultiViewVideo, *, seen_above: float) -> Tracks3D:
    """Tracks of queries in a clip.

    Args:
        xyz: (N, T, 3) places, NaN where not known.
        chance: (N, T) that any view sees them.
        queries: (N, 4) (t, x, y, z).
        clip: The views; colours are of the one whose depth fits the query best.
        seen_above: A point counts as seen where its chance is higher.
    """
    moments = queries[:, 0].astype(np.int64)
    away = np.full((len(clip.views), len(queries)), np.nan)
    for v, cameras in enumerate(clip.cameras):
        away[v] = np.linalg.norm(cameras.centres[moments] - queries[:, 1:], axis=1)
    strays = np.linalg.norm(xyz - queries[:, None, 1:], axis=-1)
    strays = np.nanmax(np.where(np.isfinite(strays), strays, 0), axis=1, initial=0.0)
    still = HALF_MOVING * np.nan_to_num(np.nanmedian(away, axis=0), nan=1.0)
    visible = (chance > seen_above) & np.isfinite(xyz).all(-1)
    return Tracks3D(xyz, visible, colours(queries, clip), (strays / (strays + still)).astype(np.float32))


def colours(queries: NDArray, clip: MultiViewVideo) -> U8:
    """(N, 3) colours of queries (N, 4) (t, x, y, z) in their frame; grey where no view has them in its picture."""
    found = np.full((len(queries), 3), GREY, np.uint8)
    moments = queries[:, 0].astype(np.int64)
    for t in np.unique(moments):
        those = np.flatnonzero(moments == t)
        best = np.full(len(those), np.inf)
        for v, (video, cameras) in enumerate(zip(clip.views, clip.cameras, strict=True)):
            if not cameras.registered[t]:
                continue
            xy, z = project(queries[those, 1:].astype(np.float64), cameras.K[t], cameras.T_wc[t])
            apart = np.full(len(those), 1e6)  # a view without depth is better than none
            if clip.depth_m is not None:
                depth = sample_nearest(clip.depth_m[v][t], xy)
                apart = np.where(np.isfinite(depth) & (depth > 0), np.abs(depth - z), apart)
            better = inside(xy, video.size) & (z > 0) & (apart < best)
            found[those[better]] = sample_nearest(video.frames[t], xy[better])
            best[better] = apart[better]
    return found
