"""Which views can't see a point where it is asked for: something nearer is there, or the view shows what never moves."""

from __future__ import annotations

import cv2
import numpy as np

from toolkit.geometry.cameras import project
from toolkit.multiview.seeding import SeedOptions, moving_mask
from toolkit.multiview.surfaces import SIGMAS, Surfaces
from toolkit.scene import F32, U8, B, MultiViewVideo

NEARER = 0.05  # a surface nearer by this share of the distance hides what lies behind it
REACH_PX = 9  # of what moves: flat parts of a thing that moves over itself don't change


def hidden_at_queries(clip: MultiViewVideo, images: list[U8], queries: F32, surfaces: Surfaces | None = None) -> B:
    """(V, N) which views surely don't see a point in the frame of its query.

    Where depth is known it tells. Where cameras stand still and two views or more show something that moves at the point, those that
    show there what never moves look past it: the point is hidden from them by something still, or they see the ground behind.

    Args:
        clip: The views.
        images: V arrays (T, H, W) of grey frames.
        queries: (N, 4) (t, x, y, z).
        surfaces: The depth of the views; None for none.
    """
    V, N = len(images), len(queries)
    hidden, moves, inside = (np.zeros((V, N), bool) for _ in range(3))
    for t in np.unique(queries[:, 0]).astype(int):
        rows = np.flatnonzero(queries[:, 0] == t)
        for v, camera in enumerate(clip.cameras):
            xy, depth = project(queries[rows, 1:].astype(np.float64), camera.K[t], camera.T_wc[t])
            height, width = images[v].shape[1:]
            with np.errstate(invalid="ignore"):
                within = (xy >= 0).all(1) & (xy[:, 0] < width) & (xy[:, 1] < height)
            inside[v, rows] = within
            at = np.where(within[:, None], xy, 0.5)
            if surfaces is not None:
                _, farthest = surfaces.around(v, int(t), at)
                with np.errstate(invalid="ignore"):
                    hidden[v, rows] |= within & (farthest < (1 - max(NEARER, SIGMAS * surfaces.share)) * depth)
            mask = cv2.dilate(moving_mask(images[v], int(t), SeedOptions()).astype(np.uint8), np.ones((REACH_PX, REACH_PX)))
            moves[v, rows] = within & (mask[at[:, 1].astype(int), at[:, 0].astype(int)] > 0)
    return hidden | (inside & ~moves & ((moves & ~hidden).sum(0) > 1))
