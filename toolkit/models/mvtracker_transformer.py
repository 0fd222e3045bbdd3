"""MVTracker's update transformer: attention over the frames of each track, and over tracks through a few learned virtual ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.models.blocks import CONTEXT_NORM_EPS, NORM_EPS

Tick = Callable[[], None]
"""Called after each layer; may raise `Cancelled`."""

WIDTH = 256
HEADS = 6
HEAD_WIDTH = 48  # six heads of 48 are wider than the tokens
MLP_RATIO = 4
LAYERS = 6
VIRTUAL = 64


class Attention(nn.Module):
    """Multi-head attention with a projection for queries and a joint one for keys and values."""

    def __init__(self) -> None:
        super().__init__()
        inner = HEADS * HEAD_WIDTH
        self.to_q = nn.Linear(WIDTH, inner)
        self.to_kv = nn.Linear(WIDTH, 2 * inner)
        self.to_out = nn.Linear(inner, WIDTH)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens (B, L, C) that attended to a context (B, M, C)."""
        key, value = self.to_kv(context).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (HEADS, HEAD_WIDTH)).transpose(1, 2) for t in (self.to_q(x), key, value))
        return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with GELU in its tanh form between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, MLP_RATIO * WIDTH)
        self.fc2 = nn.Linear(MLP_RATIO * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        return self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))


class SelfBlock(nn.Module):
    """x := x + attention(norm(x)); x := x + mlp(norm(x))."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = Attention()
        self.mlp = Mlp()

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) to (B, L, C)."""
        normalised = _normalised(x)
        x = x + self.attn(normalised, normalised)
        return x + self.mlp(_normalised(x))


class CrossBlock(nn.Module):
    """As `SelfBlock`, attending to a context whose norm has weights."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_context = nn.LayerNorm(WIDTH, eps=CONTEXT_NORM_EPS)
        self.cross_attn = Attention()
        self.mlp = Mlp()

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, L, C) and a context (B, M, C) to (B, L, C)."""
        x = x + self.cross_attn(_normalised(x), self.norm_context(context))
        return x + self.mlp(_normalised(x))


class SpaceTimeTransformer(nn.Module):
    """Six layers over time and six over space; weights are named as in the published file.

    Args:
        width_in: Numbers per token.
        width_out: Numbers per answer.
    """

    def __init__(self, *, width_in: int, width_out: int) -> None:
        super().__init__()
        self.virual_tracks = nn.Parameter(torch.randn(1, VIRTUAL, 1, WIDTH))  # spelt as in the published weights
        self.input_transform = nn.Linear(width_in, WIDTH)
        self.flow_head = nn.Sequential(
            nn.Linear(WIDTH, width_out), nn.ReLU(), nn.Linear(width_out, width_out), nn.ReLU(), nn.Linear(width_out, width_out)
        )
        self.time_blocks = nn.ModuleList(SelfBlock() for _ in range(LAYERS))
        self.space_virtual_blocks = nn.ModuleList(SelfBlock() for _ in range(LAYERS))
        self.space_point2virtual_blocks = nn.ModuleList(CrossBlock() for _ in range(LAYERS))
        self.space_virtual2point_blocks = nn.ModuleList(CrossBlock() for _ in range(LAYERS))

    def forward(self, tokens: Tensor, tick: Tick = lambda: None) -> Tensor:
        """(N, S, width_in) tokens of N tracks in S frames to (N, S, width_out)."""
        x = self.input_transform(tokens)
        x = torch.cat([x, self.virual_tracks[0].expand(-1, x.shape[1], -1)])
        for layer, over_time in enumerate(self.time_blocks):
            by_frame = over_time(x).transpose(0, 1)  # (S, N + virtual, C)
            points, virtual = by_frame[:, :-VIRTUAL], by_frame[:, -VIRTUAL:]
            virtual = self.space_virtual2point_blocks[layer](virtual, points)
            virtual = self.space_virtual_blocks[layer](virtual)
            points = self.space_point2virtual_blocks[layer](points, virtual)
            x = torch.cat([points, virtual], dim=1).transpose(0, 1)
            tick()
        return self.flow_head(x[:-VIRTUAL])


def _normalised(x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=NORM_EPS)
