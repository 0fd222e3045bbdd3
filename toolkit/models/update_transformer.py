"""The transformer that looks at all tracks over all frames and says how to move each point."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from toolkit.models.blocks import CrossAttentionBlock, SelfAttentionBlock

Tick = Callable[[], None]
"""Called after each layer; may raise `Cancelled`."""


def no_tick() -> None:
    """A `Tick` that does nothing."""


class UpdateTransformer(nn.Module):
    """Attention over the frames of each track, and over the tracks of each frame through a few learned virtual tracks.

    Karaev et al., "CoTracker" (2024), as VGGSfM (Wang et al., CVPR 2024) uses it: without any order of the frames.

    Args:
        width_in: Numbers per token.
        width: Numbers per token inside.
        width_out: Numbers per answer.
        layers: Layers of attention over frames.
        virtual: Virtual tracks; with none, tracks don't know of each other.
        heads: Attention heads.
    """

    def __init__(self, *, width_in: int, width: int, width_out: int, layers: int, virtual: int, heads: int = 8) -> None:
        super().__init__()
        self.input_transform = nn.Linear(width_in, width)
        self.flow_head = nn.Linear(width, width_out)
        self.time_blocks = nn.ModuleList(SelfAttentionBlock(width, heads) for _ in range(layers))
        self.virtual = virtual
        if virtual:
            self.virual_tracks = nn.Parameter(torch.empty(1, virtual, 1, width))  # spelt as in the published weights
            self.space_virtual_blocks = nn.ModuleList(SelfAttentionBlock(width, heads) for _ in range(layers))
            self.space_point2virtual_blocks = nn.ModuleList(CrossAttentionBlock(width, heads) for _ in range(layers))
            self.space_virtual2point_blocks = nn.ModuleList(CrossAttentionBlock(width, heads) for _ in range(layers))

    def forward(self, tokens: Tensor, tick: Tick = no_tick) -> Tensor:
        """(N, S, width_in) tokens of N tracks in S frames to (N, S, width_out)."""
        embedded = self.input_transform(tokens)
        x = embedded
        if self.virtual:
            x = torch.cat([x, self.virual_tracks[0].expand(-1, x.shape[1], -1)])
        for layer, over_time in enumerate(self.time_blocks):
            x = over_time(x)
            if self.virtual:
                x = self._over_space(x, layer)
            tick()
        return self.flow_head(x[: len(embedded)] + embedded)

    def _over_space(self, x: Tensor, layer: int) -> Tensor:
        by_frame = x.transpose(0, 1)  # (S, N + virtual, C)
        points, virtual = by_frame[:, : -self.virtual], by_frame[:, -self.virtual :]
        virtual = self.space_virtual2point_blocks[layer](virtual, points)
        virtual = self.space_virtual_blocks[layer](virtual)
        points = self.space_point2virtual_blocks[layer](points, virtual)
        return torch.cat([points, virtual], dim=1).transpose(0, 1)
