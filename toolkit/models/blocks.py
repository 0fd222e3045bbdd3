"""Blocks that the networks share: attention with packed projections, and residuals on the normalised input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-6  # of the norms without weights
CONTEXT_NORM_EPS = 1e-5  # of the norm of a cross-attention's context


class Attention(nn.Module):
    """Multi-head attention whose weights are named and packed (query, key, value) as in torch.nn.MultiheadAttention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Attends from `x` to `context`, or to `x` itself.

        Args:
            x: (B, L, C) tokens.
            context: (B, M, C) tokens.

        Returns:
            (B, L, C) tokens.
        """
        width = x.shape[-1]
        if context is None:
            query, key, value = functional.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            query = functional.linear(x, self.in_proj_weight[:width], self.in_proj_bias[:width])
            key, value = functional.linear(context, self.in_proj_weight[width:], self.in_proj_bias[width:]).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (query, key, value))  # (B, heads, L, C / heads)
        return self.out_proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, int(width * ratio))
        self.fc2 = nn.Linear(int(width * ratio), width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        return self.fc2(functional.gelu(self.fc1(x)))


class SelfAttentionBlock(nn.Module):
    """x := norm(x); x := x + attention(x); x := x + mlp(norm(x)).

    The published weights were trained with the residual on the normalised input; the usual order gives other results.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.mlp = Mlp(width, mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) to (B, L, C)."""
        x = _normalised(x)
        x = x + self.attn(x)
        return x + self.mlp(_normalised(x))


class CrossAttentionBlock(nn.Module):
    """As `SelfAttentionBlock`, attending to a context whose norm has weights."""

    def __init__(self, width: int, heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.norm_context = nn.LayerNorm(width, eps=CONTEXT_NORM_EPS)
        self.cross_attn = Attention(width, heads)
        self.mlp = Mlp(width, mlp_ratio)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, L, C) and a context (B, M, C) to (B, L, C)."""
        x = _normalised(x)
        x = x + self.cross_attn(x, self.norm_context(context))
        return x + self.mlp(_normalised(x))


def _normalised(x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=NORM_EPS)
