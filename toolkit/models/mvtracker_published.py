"""The published predictor around MVTracker's network: its resizing, its supporting points, its threshold; for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional

from toolkit.models.mvtracker_cloud import View
from toolkit.models.mvtracker_views import TRAINED_SIZE, supporting_queries
from toolkit.scene import F32, I64, B

if TYPE_CHECKING:
    from toolkit.models.mvtracker import MVTracker

ITERATIONS = 6
SUPPORT = 4
SEEN_ABOVE = 0.5


def published_predictor(
    network: MVTracker,
    rgbs: ArrayLike,
    depths: ArrayLike,
    intrs: ArrayLike,
    extrs: ArrayLike,
    query_points: ArrayLike,
    *,
    size: tuple[int, int] = TRAINED_SIZE,
    support: int = SUPPORT,
    iters: int = ITERATIONS,
    seen_above: float = SEEN_ABOVE,
) -> tuple[F32, B, F32]:
    """Places (T, N, 3), where they are seen (T, N), and the chance of it (T, N), as the published predictor gives them.

    Args:
        network: Made with `parity=True`.
        rgbs: As in `MVTracker.track`, as are all arrays.
        depths: As there.
        intrs: As there.
        extrs: As there.
        query_points: As there.
        size: (width, height) that the network sees.
        support: Supporting points along each side of each view of the first frame.
        iters: Iterations per window.
        seen_above: A point counts as seen where its chance is higher.
    """
    queries = np.asarray(query_points, np.float32)
    images, depth, K = published_resized(rgbs, depths, intrs, size)
    T_cw = np.asarray(extrs, np.float64)
    first = [View(images[v, 0], depth[v, 0, 0], K[v, 0], T_cw[v, 0]) for v in range(len(images))]
    asked = np.concatenate([queries, supporting_queries(first, 0, support, published=True)])
    xyz, chance = network.track(images, depth, K, T_cw, asked, iters)
    xyz, chance = xyz[:, : len(queries)], chance[:, : len(queries)]
    return xyz, chance > seen_above, chance


def published_resized(rgbs: ArrayLike, depths: ArrayLike, intrs: ArrayLike, size: tuple[int, int]) -> tuple[NDArray, F32, NDArray]:
    """Views (V, T, 3, H, W), depth (V, T, 1, H, W) and intrinsics (V, T, 3, 3) resized as the published predictor does.

    Pixels are the nearest ones, and intrinsics forget the half pixel by which a pixel's centre is off its corner.
    """
    images, depth, K = np.asarray(rgbs), np.asarray(depths, np.float32), np.array(intrs, np.float64)
    height, width = images.shape[-2:]
    rows, columns = _nearest(height, size[1]), _nearest(width, size[0])
    K[..., 0, :] *= size[0] / width
    K[..., 1, :] *= size[1] / height
    return images[..., rows[:, None], columns], depth[..., rows[:, None], columns], K


def _nearest(length: int, wanted: int) -> I64:
    """Which pixel of `length` each of `wanted` becomes, by torch's own rounding."""
    index = functional.interpolate(torch.arange(length, dtype=torch.float64)[None, None], size=wanted, mode="nearest")
    return index[0, 0].long().numpy()
