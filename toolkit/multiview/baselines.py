"""What tracks through several views are held against: each view on its own, and points that stay where they were asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.multiview.follow_options import FollowOptions
from toolkit.multiview.following import follow
from toolkit.multiview.tracking import grey_views
from toolkit.multiview.triangulation import projections, triangulate
from toolkit.scene import F32, F64, U8, MultiViewVideo


def each_view_alone(
    clip: MultiViewVideo, queries: F32, *, held_together: bool = False, images: list[U8] | None = None, options: FollowOptions | None = None
) -> F64:
    """(N, T, 3) points whose windows are followed in each view (Lucas and Kanade), then triangulated; NaN where no two views agree.

    Args:
        clip: The views.
        queries: (N, 4) (t, x, y, z).
        held_together: Whether views that disagree are dropped and lost ones taken up again at the reprojection.
        images: The grey frames, where they are at hand.
        options: How windows are followed.
    """
    options = options or FollowOptions(templates=None)
    seen = follow(grey_views(clip) if images is None else images, clip.cameras, queries, options, held_together=held_together)
    V, N, T = seen.sigma_px.shape
    xy, sigma = seen.xy.transpose(1, 2, 0, 3).reshape(N * T, V, 2), seen.sigma_px.transpose(1, 2, 0).reshape(N * T, V)
    P = np.tile(projections(clip.cameras).transpose(1, 0, 2, 3), (N, 1, 1, 1))
    return triangulate(xy, sigma, P, options.triangulation).xyz.reshape(N, T, 3)


def staying(queries: F32, frames: int) -> NDArray[np.float32]:
    """(N, T, 3) points that never move."""
    return np.repeat(queries[:, None, 1:], frames, axis=1)
