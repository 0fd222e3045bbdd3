"""The published losses of St4RTrack (ICCV 2025): confidence-weighted pointmaps, dynamic reweighting, and those of a video without labels.

With `published=True` as the published code computes them, its ignored masks and its factor of three included; otherwise as meant.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

ALPHA = 0.2  # of the logarithm of the confidence
BOOST = 5.0  # times the highest (or mean) confidence of still pixels count moving ones
FOCAL_STEPS = 10


def unit_of(map2: Tensor, valid: Tensor | None = None, *, published: bool = False) -> Tensor:
    """(B,) what both maps of a pair are divided by: the mean distance of map 2.

    Args:
        map2: (B, H, W, 3).
        valid: (B, H, W) pixels that count; ignored as published, where coordinates are counted instead of points, too.
        published: As published: a third of the mean distance of all pixels.
    """
    distance = map2.norm(dim=-1)
    if published:
        return (distance.sum((1, 2)) / (3 * distance[0].numel())).clamp(min=1e-8)
    weight = torch.ones_like(distance) if valid is None else valid.to(distance.dtype)
    return ((distance * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)).clamp(min=1e-8)


def confidence_loss(error: Tensor, confidence: Tensor, mask: Tensor, log_confidence: Tensor | None = None) -> Tensor:
    """mean(c * error - alpha * log c) over a mask; zero where it is empty.

    Args:
        error: (B, H, W) distances.
        confidence: (B, H, W) from 1 on.
        mask: (B, H, W) pixels that count.
        log_confidence: Its logarithm where that is not log(confidence): moving pixels have a constant weight and no such term.
    """
    log = confidence.log() if log_confidence is None else log_confidence
    value = (confidence * error - ALPHA * log)[mask]
    return value.mean() if value.numel() else error.sum() * 0


def moving_labels(traj: Tensor, first: Tensor, mask: Tensor, *, quantile: float = 0.75, above_mean: bool = True) -> Tensor:
    """(B, H, W) which pixels of pairs count as moving: squared displacement at or above a quantile of it, and its mean.

    Args:
        traj: (B, H, W, 3) where what picture 1 shows is at the other moment.
        first: (B, H, W, 3) where it is at its own.
        mask: (B, H, W) where that is known.
        quantile: 0.75 for scenes of few movers, 0.5 for others ...
        above_mean: ... of which the median alone decides.
    """
    moved = (traj - first).square().sum(-1)
    out = torch.zeros_like(mask)
    for i in range(len(moved)):
        known = moved[i][mask[i]]
        limit = known.quantile(quantile) if known.numel() else moved.new_tensor(0.24)
        if above_mean and known.numel():
            limit = torch.maximum(known.mean(), limit)
        out[i] = (moved[i] >= limit) & mask[i]
    return out


def moving_in_clip(traj: Tensor, mask: Tensor) -> Tensor:
    """(H, W) which pixels of a clip's reference move: absolute displacement, summed over axes, from the first to the last moment, by
    their distance from the world's origin, above its mean.

    Args:
        traj: (S, H, W, 3) of a clip, in the world.
        mask: (H, W) where it is known.
    """
    moved = (traj[-1] - traj[0]).abs().sum(-1) / traj[0].norm(dim=-1).clamp(min=1e-8)
    return (moved > moved[mask].mean()) & mask if bool(mask.any()) else torch.zeros_like(mask)


def reweighted(
    confidence: Tensor, moves: Tensor, mask: Tensor, *, by: Literal["max", "mean"] = "max", boost: float = BOOST, per_pair: bool = True
) -> tuple[Tensor, Tensor]:
    """Confidences of map 1 with those of moving pixels replaced by a constant: learned on still data, they would switch these off.

    Args:
        confidence: (B, H, W) from 1 on.
        moves: (B, H, W) which pixels move.
        mask: (B, H, W) which count.
        by: The constant is so many times the highest, or the mean, confidence of still pixels.
        boost: How many times.
        per_pair: Of each pair by itself; else of all pairs of a clip.

    Returns:
        (B, H, W) weights and their logarithms; for moving pixels both are constants and teach nothing.
    """
    level = torch.empty_like(confidence)
    for part in [slice(i, i + 1) for i in range(len(confidence))] if per_pair else [slice(None)]:
        still = confidence[part].detach()[mask[part] & ~moves[part]]
        level[part] = boost * ((still.max() if by == "max" else still.mean()) if still.numel() else 1.0)
    weight = torch.where(moves & mask, level, confidence)
    return weight, weight.log()


def track_loss(pred: Tensor, truth: Tensor, size: tuple[int, int], *, scaled: bool = True) -> Tensor:
    """Root mean square of projected points (P, 2) against tracks, after their spread about the picture's middle was made alike."""
    middle = torch.tensor([size[0] / 2, size[1] / 2], dtype=pred.dtype, device=pred.device)
    if scaled:
        pred = middle + (pred - middle) * track_scale(pred, truth, size)
    return (pred - truth).square().mean().sqrt()


def track_scale(pred: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean ratio of the distances of tracks and of projections from the picture's middle: absorbs an error of the focal length."""
    middle = torch.tensor([size[0] / 2, size[1] / 2], dtype=pred.dtype, device=pred.device)
    return ((truth - middle).norm(dim=-1) / (pred - middle).norm(dim=-1).clamp(min=1e-8)).mean()


def depth_loss(pred: Tensor, truth: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean squared difference of depths (P,) of a frame after the scale of least squares."""
    if valid is not None:
        pred, truth = pred[valid], truth[valid]
    if not pred.numel():
        return pred.sum() * 0
    scale = (pred * truth).sum() / pred.square().sum().clamp(min=1e-8)
    return (scale * pred - truth).square().mean()


def heads_agree_loss(tracked: Tensor, recon: Tensor, seen: Tensor) -> Tensor:
    """Mean distance of what both maps say of tracked points (P, 3) where these are seen."""
    weight = seen.to(tracked.dtype)
    return ((tracked - recon).norm(dim=-1) * weight).sum() / weight.sum().clamp(min=1)


def focal_of(points: Tensor, *, steps: int = FOCAL_STEPS) -> Tensor:
    """(B,) focal length in pixels of self-pairs' pointmaps (B, H, W, 3), by Weiszfeld's iteration; the principal point is the middle.

    As published (DUSt3R: Wang et al., CVPR 2024, section 3.3): pixels are counted from 0, the middle is (W/2, H/2).
    """
    height, width = points.shape[1:3]
    y, x = torch.meshgrid(
        torch.arange(height, device=points.device, dtype=points.dtype), torch.arange(width, device=points.device, dtype=points.dtype),
        indexing="ij",
    )  # fmt: skip
    pixels = torch.stack([x - width / 2, y - height / 2], -1).reshape(1, -1, 2)
    rays = (points[..., :2] / points[..., 2:]).flatten(1, 2).nan_to_num(posinf=0, neginf=0)
    dot_px, dot_rays = (rays * pixels).sum(-1), rays.square().sum(-1)
    focal = dot_px.mean(1) / dot_rays.mean(1)
    for _ in range(steps):
        weight = (pixels - focal[:, None, None] * rays).norm(dim=-1).clamp(min=1e-8).reciprocal()
        focal = (weight * dot_px).mean(1) / (weight * dot_rays).mean(1)
    return focal
