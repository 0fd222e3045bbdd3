"""The transformer that looks at all tracks of a clip, over time and over points in turn, whatever their order."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LONGEST_WAVELENGTH = 10000.0  # of the time code, as in "Attention is all you need"
TOKENS_AT_ONCE = 1 << 15  # bounds the memory of a block when nothing is learned; larger pieces are not faster on a CPU


def fourier_features(m: Tensor, frequencies: int) -> Tensor:
    """Numbers and their sines and cosines at pi, 2 pi, 4 pi, ...

    Args:
        m: (..., C).
        frequencies: How many.

    Returns:
        (..., C + 2 C frequencies): the numbers; then for each frequency the sines of all C, then their cosines.
    """
    omega = math.pi * 2.0 ** torch.arange(frequencies, dtype=m.dtype, device=m.device)
    angle = m[..., None, :] * omega[:, None]
    return torch.cat([m, torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(-2)], dim=-1)


def time_code(frames: int, channels: int, like: Tensor) -> Tensor:
    """(frames, channels) sines, then cosines, of the frame number at frequencies falling from 1 to 1 / 10000 rad."""
    half = channels // 2
    omega = LONGEST_WAVELENGTH ** (-torch.arange(half, dtype=torch.float32, device=like.device) / (half - 1))
    angle = torch.arange(frames, dtype=torch.float32, device=like.device)[:, None] * omega
    return torch.cat([angle.sin(), angle.cos()], dim=-1).to(like.dtype)


class MaskedAttention(nn.Module):
    """x := x + attention(norm(x)), without biases; what is masked is not attended to."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """(G, L, C) tokens and (G, L) which of them count, to what is added to them."""
        qkv = self.to_qkv(self.norm(x))
        mask = None if seen is None else seen[:, None, None, :]
        halved = torch.is_autocast_enabled(x.device.type)
        if halved and x.device.type == "cpu":  # half the digits quicken products of matrices there, but slow attention down
            halved, qkv = False, qkv.float()
        with torch.autocast(x.device.type, enabled=halved):
            q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, G, heads, L, inner / heads)
            attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.to_out(attended.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """x := x + mlp(norm(x))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to what is added to it."""
        return self.net(x)


class TrackBlock(nn.Module):
    """Attention and a feed-forward layer, each on the normalised input; its own output is normalised again."""

    def __init__(self, width: int, *, heads: int, inner: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList([nn.ModuleList([MaskedAttention(width, heads, inner), FeedForward(width, hidden)])])

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """(G, L, C) groups of tokens and (G, L) which of them count; a group with none counts whole."""
        if seen is not None:
            seen = seen | ~seen.any(dim=1, keepdim=True)
        if torch.is_grad_enabled():
            return self._whole(x, seen)
        groups = max(1, TOKENS_AT_ONCE // x.shape[1])
        masks = [None] * len(x) if seen is None else seen.split(groups)
        return torch.cat([self._whole(part, mask) for part, mask in zip(x.split(groups), masks, strict=False)])

    def _whole(self, x: Tensor, seen: Tensor | None) -> Tensor:
        for attention, feed_forward in self.layers:  # type: ignore[union-attr]  (a list of pairs)
            x = x + attention(x, seen)
            x = x + feed_forward(x)
        return self.norm(x)


class TrackEncoder(nn.Module):
    """Tokens of points in frames, embedded, then attended over the frames of each point and the points of each frame in turn.

    Kasten, Lu and Maron, "Fast Encoder-Based 3D from Casual Videos via Point Track Processing" (NeurIPS 2024), section 3.2. Weights
    are named as in the published files.

    Args:
        width: Channels of a token.
        pairs: Pairs of a block over time and one over points.
        heads: Attention heads.
        inner: Channels of all heads together.
        hidden: Channels inside the feed-forward layers.
        frequencies: Of the Fourier features.
    """

    def __init__(self, *, width: int, pairs: int, heads: int, inner: int, hidden: int, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        channels = 3 + 6 * frequencies + 1
        self.to_patch_embedding = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width), nn.LayerNorm(width))
        size = {"heads": heads, "inner": inner, "hidden": hidden}
        # Made in turn, so that a seed gives the same new network as the published code.
        blocks = [TrackBlock(width, **size) for _ in range(2 * pairs)]
        self.transformer_frames, self.transformer_points = nn.ModuleList(blocks[::2]), nn.ModuleList(blocks[1::2])

    def forward(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """Encodes clips.

        Args:
            tokens: (b, N, P, 3) of N frames and P points: x, y, seen (0 or 1).
            seen: (b, N, P) bool, which tokens are attended to; None for all of them.

        Returns:
            (b, N, P, C).
        """
        features = fourier_features(tokens, self.frequencies)
        x = self.to_patch_embedding(torch.cat([features, torch.ones_like(features[..., :1])], dim=-1))
        b, frames, points, width = x.shape
        x = x + time_code(frames, width, x)[None, :, None]
        over_frames = None if seen is None else seen.transpose(1, 2).flatten(0, 1)
        over_points = None if seen is None else seen.flatten(0, 1)
        for time_block, point_block in zip(self.transformer_frames, self.transformer_points, strict=True):
            x = time_block(x.transpose(1, 2).flatten(0, 1), over_frames).unflatten(0, (b, points)).transpose(1, 2)
            x = point_block(x.flatten(0, 1), over_points).unflatten(0, (b, frames))
        return x
