"""Tracks refined within small patches of the full-resolution image, and how sharply each point can be told apart there."""

from __future__ import annotations

import torch
from torch import Tensor

from toolkit.models.encoders import PatchEncoder
from toolkit.models.point_refiner import PointRefiner, Refined
from toolkit.models.update_transformer import Tick, no_tick

PATCH = 31  # px, side of a patch: VGGSfM's patch radius of 15
REACH = PATCH // 2
ITERATIONS = 6
SPREAD_RADIUS = 2  # the heat map is 5 x 5 pixels
LEAST_VARIANCE = 1e-10  # keeps the root of a one-pixel heat map finite


def patch_corners(tracks: Tensor) -> Tensor:
    """(..., 2) whole-numbered corners of the patches around (..., 2) pixel coordinates (pixel centres at whole numbers)."""
    return tracks.floor().long() - REACH


def published_corners(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Corners moved into the image as the published code does: by its height (size = (H, W)) on both axes."""
    return corners.clamp(0, size[0] - PATCH)


def cut_patches(images: Tensor, corners: Tensor) -> Tensor:
    """Patches of images that continue beyond their borders with the colour of the border.

    Args:
        images: (S, 3, H, W).
        corners: (S, N, 2) whole-numbered (x, y).

    Returns:
        (S, N, 3, PATCH, PATCH).
    """
    height, width = images.shape[-2:]
    reach = torch.arange(PATCH, device=images.device)
    x = (corners[..., 0, None] + reach).clamp(0, width - 1)  # (S, N, PATCH)
    y = (corners[..., 1, None] + reach).clamp(0, height - 1)
    frame = torch.arange(len(images), device=images.device)[:, None, None, None]
    return images.permute(0, 2, 3, 1)[frame, y[..., :, None], x[..., None, :]].permute(0, 1, 4, 2, 3)


def refine_in_patches(
    encoder: PatchEncoder,
    refiner: PointRefiner,
    patches: Tensor,
    patch_queries: Tensor,
    *,
    tick: Tick = no_tick,
) -> tuple[Refined, Tensor]:
    """Finds each track's query, given in its patch of frame 0, in its patches of all frames.

    Args:
        encoder: Of patches.
        refiner: The fine one.
        patches: (S, N, 3, PATCH, PATCH).
        patch_queries: (N, 2) places in the patches of frame 0.
        tick: Called after each layer.

    Returns:
        The refined places as groups of one track each (steps (I, N, 1, S, 2)), and the features (S, N, 32, PATCH, PATCH).
    """
    features = encoder(patches.flatten(0, 1)).unflatten(0, tuple(patches.shape[:2]))
    refined = refiner(features.transpose(0, 1), patch_queries[:, None], iterations=ITERATIONS, tick=tick)
    return refined, features


def spread(windows: Tensor, query_feature: Tensor) -> Tensor:
    """How far the likeness to a query reaches around the point found: the sum of the heat map's deviations in x and y.

    Args:
        windows: (..., C, 5, 5) features around the points.
        query_feature: (..., C) features of the queries.

    Returns:
        (...), in half-widths of the window (2 px): 0 for a single pixel, 1.414 where every pixel looks the same.
    """
    logits = torch.einsum("...cyx,...c->...yx", windows, query_feature) / windows.shape[-3] ** 0.5
    side = 2 * SPREAD_RADIUS + 1
    heat = logits.flatten(-2).softmax(-1).unflatten(-1, (side, side))
    line = torch.linspace(-1, 1, side, dtype=heat.dtype, device=heat.device)
    total = torch.zeros_like(heat[..., 0, 0])
    for axis in (-1, -2):
        marginal = heat.sum(-2 if axis == -1 else -1)
        mean = (marginal * line).sum(-1)
        variance = (marginal * line**2).sum(-1) - mean**2
        total = total + variance.clamp(min=LEAST_VARIANCE).sqrt()
    return total


def own_spread(features: Tensor, places: Tensor, query_feature: Tensor) -> Tensor:
    """The spread of each point in its own patch, in the window whose middle pixel holds the place where it was found.

    Args:
        features: (S, N, C, PATCH, PATCH).
        places: (S, N, 2) in the patches.
        query_feature: (N, C).

    Returns:
        (S, N); frame 0 holds the spread of the queries themselves.
    """
    x, y = _window_pixels(places)
    frames, count = places.shape[:2]
    frame = torch.arange(frames, device=places.device)[:, None, None, None]
    track = torch.arange(count, device=places.device)[:, None, None]
    windows = features.permute(0, 1, 3, 4, 2)[frame, track, y[..., :, None], x[..., None, :]]  # (S, N, 5, 5, C)
    return spread(windows.permute(0, 1, 4, 2, 3), query_feature)


def published_spread(features: Tensor, places: Tensor, query_feature: Tensor) -> Tensor:
    """The score as the published code computes it, with its faults, for comparisons only.

    All windows are read from the patch of track 0 in frame 0, and the places, laid out by track and frame, are read as by
    frame and track. Arguments as in `own_spread`; frame 0 gets 1.
    """
    frames, count = places.shape[:2]
    entry = torch.arange(frames * count, device=places.device)
    x, y = _window_pixels(places[entry % frames, entry // frames].view(frames, count, 2))
    windows = features[0, 0][:, y[..., :, None], x[..., None, :]].permute(1, 2, 0, 3, 4)  # (S, N, C, 5, 5)
    score = spread(windows, query_feature)
    score[0] = 1
    return score


def _window_pixels(places: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and rows (S, N, 5) of the windows around places (S, N, 2), moved into the patch where they would leave it."""
    corner = (places.floor().long() - SPREAD_RADIUS).clamp(0, PATCH - 2 * SPREAD_RADIUS - 1)
    reach = torch.arange(2 * SPREAD_RADIUS + 1, device=places.device)
    return corner[..., 0, None] + reach, corner[..., 1, None] + reach
