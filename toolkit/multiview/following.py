"""Points followed through all views at once: each view frame by frame, all views held together by where the point is in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import TOGETHER, let_go
from toolkit.multiview.follow_options import FollowOptions
from toolkit.multiview.surfaces import Surfaces
from toolkit.multiview.sweeping import Sweep
from toolkit.multiview.triangulation import projections
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, Cameras


@dataclass(frozen=True, eq=False)
class ViewTracks:
    """N points in V views.

    Attributes:
        xy: (V, N, T, 2) float64 pixels; NaN where a view does not see the point or lost it.
        sigma_px: (V, N, T) float64 standard deviation per axis; NaN where `xy` is.
    """

    xy: F64
    sigma_px: F64

    @staticmethod
    def unknown(views: int, points: int, frames: int) -> ViewTracks:
        """Nothing known yet."""
        return ViewTracks(np.full((views, points, frames, 2), np.nan), np.full((views, points, frames), np.nan))


def follow(
    images: list[U8],
    cameras: tuple[Cameras, ...],
    queries: F32,
    options: FollowOptions,
    *,
    held_together: bool = True,
    places: NDArray | None = None,
    hidden: NDArray | None = None,
    surfaces: Surfaces | None = None,
    layers: list[F32] | list[U8] | None = None,
    report: Report = silent,
) -> ViewTracks:
    """Follows points both ways in time from where they are asked for.

    Args:
        images: V arrays (T, H, W) of grey frames.
        cameras: V cameras of T frames.
        queries: (N, 4) (t, x, y, z) in the world.
        options: How.
        held_together: Whether views that disagree with the others are dropped, and lost ones taken up again; otherwise each view is
            followed on its own.
        places: (N, T, 3) where points are known to be by other means, NaN elsewhere: they are taken up there once no two views see them.
        hidden: (V, N) which views don't see a point where it is asked for; None where nothing is known of it.
        surfaces: The depth of the views; None for none.
        layers: V arrays (T, H, W) of what tells surfaces apart, see `layers_of`; None for nothing.
        report: Told of every frame and direction.
    """
    V, T, N = len(images), len(images[0]), len(queries)
    tracks = ViewTracks.unknown(V, N, T)
    P = projections(cameras)
    moments = queries[:, 0].astype(int)
    for direction in (1, -1):
        sweep = Sweep(images, cameras, P, options, N, held=held_together, places=places, hidden=hidden, surfaces=surfaces, layers=layers)
        order = range(T) if direction > 0 else range(T - 1, -1, -1)
        before: int | None = None
        for k, t in enumerate(order):
            if before is not None:
                sweep.step(before, t)
            sweep.start(np.flatnonzero(moments == t), queries[:, 1:], t)
            rows = np.flatnonzero((moments <= t) if direction > 0 else (moments >= t))
            tracks.xy[:, rows, t], tracks.sigma_px[:, rows, t] = sweep.xy[:, rows], sweep.sigma[:, rows]
            before = t
            if not k % TOGETHER:
                let_go()
            report(k + 1 + (0 if direction > 0 else T), 2 * T)
    return tracks
