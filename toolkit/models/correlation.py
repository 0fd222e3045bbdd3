"""How alike a point's feature is to the maps around it, without ever holding the whole correlation volume."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_GATHERED_AT_ONCE = 1 << 23  # numbers copied out of a map at a time: 32 MB


def pyramid(maps: Tensor, levels: int) -> list[Tensor]:
    """Maps averaged over 2 x 2, again and again.

    Args:
        maps: (B, C, H, W).
        levels: How many, the first included.

    Returns:
        `levels` tensors (B, H_l, W_l, C), channels last so that a place's feature lies together.
    """
    found = []
    for level in range(levels):
        if level:
            maps = functional.avg_pool2d(maps, 2)
        found.append(maps.permute(0, 2, 3, 1).contiguous())
    return found


def correlation_windows(maps: list[Tensor], features: Tensor, xy: Tensor, radius: int) -> Tensor:
    """Scalar products of features with windows of all levels, zero outside a map, over the root of the channels.

    The correlation at a place between pixels is linear in the maps, so the products are formed at whole pixels and then
    interpolated: all windows of a point share one fraction of a pixel.

    Args:
        maps: Per level (B, H_l, W_l, C); see `pyramid`.
        features: (B, N, C) of the points.
        xy: (B, N, 2) places in the first level, whole numbers at pixel centres.
        radius: Windows reach so many pixels of their level to each side.

    Returns:
        (B, N, levels * (2 * radius + 1)**2), level by level, the offset in x outer, in y inner.
    """
    return torch.cat([_windows(m, features, xy / 2**level, radius) for level, m in enumerate(maps)], dim=-1)


def _windows(maps: Tensor, features: Tensor, xy: Tensor, radius: int) -> Tensor:
    batch, height, width, channels = maps.shape
    # Along an axis of one pixel the published sampling, which maps corners onto corners, knows a single place.
    xy = xy * torch.tensor([width > 1, height > 1], device=xy.device)
    low = xy.floor()
    fraction = xy - low
    reach = torch.arange(-radius, radius + 2, device=xy.device)
    # A place far outside must not overflow; its window is empty anyway.
    x = low[..., 0].clamp(-1e6, 1e6).long()[..., None] + reach  # (B, N, 2r + 2)
    y = low[..., 1].clamp(-1e6, 1e6).long()[..., None] + reach
    inside_x = (x >= 0) & (x < width) if width > 1 else torch.ones_like(x, dtype=torch.bool)
    inside_y = (y >= 0) & (y < height) if height > 1 else torch.ones_like(y, dtype=torch.bool)
    inside = inside_x[..., :, None] & inside_y[..., None, :]
    place = x.clamp(0, width - 1)[..., :, None] + width * y.clamp(0, height - 1)[..., None, :]  # (B, N, 2r + 2, 2r + 2), x outer
    place = place.flatten(2)
    flat = maps.flatten(1, 2)  # (B, H W, C)
    if flat.shape[1] <= 8 * place.shape[2]:  # a product with the whole small map costs less than gathering
        products = (features @ flat.transpose(1, 2)).gather(2, place)
    else:
        together = max(1, _GATHERED_AT_ONCE // (place[0].numel() * channels))
        pieces = [slice(b, b + together) for b in range(0, batch, together)]
        products = torch.cat([_gathered_products(flat[p], features[p], place[p]) for p in pieces])
    products = products.unflatten(-1, (2 * radius + 2,) * 2) * inside
    fx, fy = fraction[..., 0, None, None], fraction[..., 1, None, None]
    products = products[..., :-1, :] * (1 - fx) + products[..., 1:, :] * fx
    products = products[..., :-1] * (1 - fy) + products[..., 1:] * fy
    return products.flatten(2) / channels**0.5


def _gathered_products(flat: Tensor, features: Tensor, place: Tensor) -> Tensor:
    """(B, N, K) products of features (B, N, C) with the places (B, N, K) of flat maps (B, P, C)."""
    batch, pixels, channels = flat.shape
    row = place + pixels * torch.arange(batch, device=place.device)[:, None, None]
    near = flat.flatten(0, 1).index_select(0, row.flatten()).view(-1, place.shape[2], channels)  # (B N, K, C)
    return torch.bmm(near, features.reshape(-1, channels, 1)).view(place.shape)


def sample_features(maps: Tensor, xy: Tensor) -> Tensor:
    """Features between pixels, bilinear; beyond the border those of the border.

    Args:
        maps: (B, C, H, W).
        xy: (B, N, 2) places, whole numbers at pixel centres.

    Returns:
        (B, N, C).
    """
    height, width = maps.shape[-2:]
    scale = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)], dtype=xy.dtype, device=xy.device)
    found = functional.grid_sample(maps, (xy * scale - 1)[:, :, None], mode="bilinear", padding_mode="border", align_corners=True)
    return found[..., 0].transpose(1, 2)
