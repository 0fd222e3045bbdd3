"""Parts of the published two-view transformer: rotary positions, attention blocks, and the dense head; weights named as published.

Vision-transformer blocks with 2-D rotary positions as in CroCo v2 (Weinzaepfel et al., ICCV 2023), the dense head as in DPT (Ranftl et
al., ICCV 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-6
ROPE_BASE = 100.0
HEAD_WIDTH = 64


def grid_positions(rows: int, columns: int, device: torch.device | None = None) -> Tensor:
    """(rows * columns, 2) row and column of each token, row by row."""
    y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    return torch.stack([y.flatten(), x.flatten()], -1)


def rotated(tokens: Tensor, positions: Tensor) -> Tensor:
    """Tokens (B, heads, L, 64) turned by where they are: the first half of their channels by row, the second by column.

    Args:
        tokens: Queries or keys.
        positions: (B, L, 2) or (L, 2) row and column.
    """
    positions = positions if positions.ndim == 3 else positions[None]  # noqa: PLR2004
    quarter = tokens.shape[-1] // 4
    frequency = 1.0 / ROPE_BASE ** (torch.arange(0, 2 * quarter, 2, dtype=torch.float32, device=tokens.device) / (2 * quarter))
    out = []
    for half, axis in zip(tokens.chunk(2, -1), (0, 1), strict=True):
        angle = (positions[..., axis].float()[..., None] * frequency)[:, None]
        cos, sin = angle.cos().to(tokens.dtype), angle.sin().to(tokens.dtype)
        a, b = half.chunk(2, -1)
        out += [a * cos - b * sin, b * cos + a * sin]
    return torch.cat(out, -1)


class SelfAttention(nn.Module):
    """Attention of an image's tokens to each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """(B, L, C) tokens at (L, 2) positions."""
        q, k, v = (part.unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(rotated(q, positions), rotated(k, positions), v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Attention of an image's tokens to the other's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projq, self.projk, self.projv, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, positions: Tensor, memory_positions: Tensor) -> Tensor:
        """(B, L, C) tokens and the other image's (B, M, C), each at its positions."""
        q, k, v = (part.unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2) for part in (self.projq(x), self.projk(memory), self.projv(memory)))
        mixed = functional.scaled_dot_product_attention(rotated(q, positions), rotated(k, memory_positions), v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """Two layers with an exact GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) to (B, L, C)."""
        return self.fc2(functional.gelu(self.fc1(x)))


class EncoderBlock(nn.Module):
    """Self-attention and a perceptron, each beside what goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, NORM_EPS), nn.LayerNorm(width, NORM_EPS)
        self.attn, self.mlp = SelfAttention(width), Perceptron(width)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """(B, L, C) to (B, L, C)."""
        x = x + self.attn(self.norm1(x), positions)
        return x + self.mlp(self.norm2(x))


class DecoderBlock(nn.Module):
    """The same with attention to the other image's tokens, as they were before this layer, between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3, self.norm_y = (nn.LayerNorm(width, NORM_EPS) for _ in range(4))
        self.attn, self.cross_attn, self.mlp = SelfAttention(width), CrossAttention(width), Perceptron(width)

    def forward(self, x: Tensor, memory: Tensor, positions: Tensor, memory_positions: Tensor) -> Tensor:
        """(B, L, C) and a memory (B, M, C) to (B, L, C)."""
        x = x + self.attn(self.norm1(x), positions)
        x = x + self.cross_attn(self.norm2(x), self.norm_y(memory), positions, memory_positions)
        return x + self.mlp(self.norm3(x))


class _Unit(nn.Module):
    """Two convolutions, each after a ReLU, beside what goes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.relu(self.conv1(functional.relu(x))))


class _Fusion(nn.Module):
    """A level joined to the coarser ones, twice as large."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(channels, channels, 1)
        self.resConfUnit1, self.resConfUnit2 = _Unit(channels), _Unit(channels)

    def forward(self, coarser: Tensor, level: Tensor | None = None) -> Tensor:
        x = coarser if level is None else coarser + self.resConfUnit1(level)
        x = functional.interpolate(self.resConfUnit2(x), scale_factor=2, mode="bilinear", align_corners=True)
        return self.out_conv(x)


class _Scratch(nn.Module):
    def __init__(self, widths: tuple[int, ...], channels: int) -> None:
        super().__init__()
        for i, width in enumerate(widths, start=1):
            setattr(self, f"layer{i}_rn", nn.Conv2d(width, channels, 3, padding=1, bias=False))
            setattr(self, f"refinenet{i}", _Fusion(channels))


class DenseHead(nn.Module):
    """Tokens of four depths of the network to four numbers a pixel."""

    def __init__(self, encoder: int, decoder: int, widths: tuple[int, int, int, int] = (96, 192, 384, 768), channels: int = 256) -> None:
        super().__init__()
        inputs = (encoder, decoder, decoder, decoder)
        after = (
            nn.ConvTranspose2d(widths[0], widths[0], 4, stride=4),
            nn.ConvTranspose2d(widths[1], widths[1], 2, stride=2),
            nn.Identity(),
            nn.Conv2d(widths[3], widths[3], 3, stride=2, padding=1),
        )
        self.act_postprocess = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, w, 1), resize) for i, w, resize in zip(inputs, widths, after, strict=True)
        )
        self.scratch = _Scratch(widths, channels)
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(channels // 2, channels // 2, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels // 2, 4, 1),
        )

    def forward(self, taps: list[Tensor], rows: int, columns: int) -> Tensor:
        """Four token maps (B, L, C) to (B, 4, 16 rows, 16 columns)."""
        levels = []
        for i, (tokens, resize) in enumerate(zip(taps, self.act_postprocess, strict=True), start=1):
            image = tokens.transpose(1, 2).unflatten(2, (rows, columns))
            levels.append(getattr(self.scratch, f"layer{i}_rn")(resize(image)))
        refine = [getattr(self.scratch, f"refinenet{i}") for i in (1, 2, 3, 4)]
        x = refine[3](levels[3])[..., : levels[2].shape[2], : levels[2].shape[3]]
        for level in (2, 1, 0):
            x = refine[level](x, levels[level])
        return self.head(x)
