"""Sine and cosine embeddings of displacements and of places in an image."""

from __future__ import annotations

import torch
from torch import Tensor

LOWEST_WAVELENGTH = 10000.0  # of the positional encoding, as in "Attention is all you need"
HIGHEST_FREQUENCY = 1000.0  # of the embedding of displacements, rad per unit


def displacement_embedding(d: Tensor, channels: int) -> Tensor:
    """Sines and cosines of a displacement, alternating, at frequencies rising linearly from zero.

    Args:
        d: (..., 2) displacement (dx, dy).
        channels: Numbers per axis, even.

    Returns:
        (..., 2 * channels + 2): embedding of dx, of dy, then dx and dy themselves.
    """
    frequency = torch.arange(0, channels, 2, dtype=d.dtype, device=d.device) * (HIGHEST_FREQUENCY / channels)
    angle = d[..., None] * frequency  # (..., 2, channels / 2)
    waves = torch.stack([angle.sin(), angle.cos()], dim=-1)
    return torch.cat([waves.flatten(-3), d], dim=-1)


def position_encoding(xy: Tensor, size: tuple[int, int], channels: int) -> Tensor:
    """The encoding of whole pixels, read bilinearly between them; beyond the border it is that of the border.

    Args:
        xy: (..., 2) places, whole numbers at pixel centres.
        size: (H, W) of the image.
        channels: Numbers in all, divisible by 4: half of them for x, half for y, each sines then cosines.

    Returns:
        (..., channels).
    """
    parts = []
    for axis, length in ((0, size[1]), (1, size[0])):
        table = _waves(length, channels // 2, xy)
        place = xy[..., axis].clamp(0, length - 1)
        low = place.floor().long().clamp(max=max(length - 2, 0))
        weight = (place - low)[..., None]
        parts.append(table[low] * (1 - weight) + table[(low + 1).clamp(max=length - 1)] * weight)
    return torch.cat(parts, dim=-1)


def _waves(length: int, channels: int, like: Tensor) -> Tensor:
    """(length, channels) sines then cosines of whole numbers, computed in double precision as published."""
    omega = LOWEST_WAVELENGTH ** -(torch.arange(channels // 2, dtype=torch.float64) / (channels / 2))
    angle = torch.arange(length, dtype=torch.float64)[:, None] * omega
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(like)
