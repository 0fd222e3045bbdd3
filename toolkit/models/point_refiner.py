"""Points moved towards what looks like them, step by step: the predictor that coarse and fine tracking share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.models.correlation import correlation_windows, pyramid, sample_features
from toolkit.models.embeddings import displacement_embedding, position_encoding
from toolkit.models.update_transformer import Tick, UpdateTransformer, no_tick

FEATURE_NORM_EPS = 1e-5


@dataclass(frozen=True)
class RefinerShape:
    """Sizes of a point refiner; those of the published weights are `COARSE` and `FINE`.

    Attributes:
        channels: Of the feature maps.
        levels: Of the pyramid.
        radius: Of the correlation windows, in pixels of their level.
        token: Numbers per token, filled up with zeros.
        width: Numbers per token inside the transformer.
        layers: Of the transformer.
        virtual: Virtual tracks.
        predicts_visibility: Whether there is a head that tells it.
    """

    channels: int
    levels: int
    radius: int
    token: int
    width: int
    layers: int
    virtual: int
    predicts_visibility: bool


COARSE = RefinerShape(channels=128, levels=5, radius=4, token=664, width=384, layers=6, virtual=64, predicts_visibility=True)
FINE = RefinerShape(channels=32, levels=3, radius=3, token=216, width=256, layers=4, virtual=0, predicts_visibility=False)

STRIDE = 8  # image pixels per pixel of the coarse feature maps
LEAST_SIDE = STRIDE * 2 ** (COARSE.levels - 1)  # px of an image: the top of the coarse pyramid needs a pixel


@dataclass(frozen=True, eq=False)
class Refined:
    """What a refiner found for B groups of N tracks in S frames.

    Attributes:
        steps: (I, B, N, S, 2) places after each iteration, in pixels of the maps.
        query_feature: (B, N, C) features of the queries.
        visible: (B, N, S) chance that a point is seen; None without that head.
    """

    steps: Tensor
    query_feature: Tensor
    visible: Tensor | None


class PointRefiner(nn.Module):
    """Starts every point at its query and moves it for a few iterations. Frame 0 is that of the queries."""

    def __init__(self, shape: RefinerShape) -> None:
        super().__init__()
        self.shape = shape
        self.updateformer = UpdateTransformer(
            width_in=shape.token, width=shape.width, width_out=shape.channels + 2, layers=shape.layers, virtual=shape.virtual
        )
        self.norm = nn.GroupNorm(1, shape.channels, eps=FEATURE_NORM_EPS)
        self.ffeat_updater = nn.Sequential(nn.Linear(shape.channels, shape.channels), nn.GELU())
        self.vis_predictor = nn.Sequential(nn.Linear(shape.channels, 1)) if shape.predicts_visibility else None

    def forward(self, maps: Tensor, queries: Tensor, *, iterations: int, tick: Tick = no_tick) -> Refined:
        """Finds the queries of frame 0 in all frames.

        Args:
            maps: (B, S, C, H, W) feature maps.
            queries: (B, N, 2) places in frame 0, in pixels of the maps, whole numbers at pixel centres.
            iterations: How many times the points are moved.
            tick: Called after each layer of the transformer.
        """
        groups, frames = maps.shape[:2]
        size = (int(maps.shape[-2]), int(maps.shape[-1]))
        query_feature = sample_features(maps[:, 0], queries)  # (B, N, C)
        features = query_feature[:, :, None].expand(-1, -1, frames, -1)  # (B, N, S, C)
        xy = queries[:, :, None].expand(-1, -1, frames, -1)  # (B, N, S, 2)
        place = position_encoding(queries, size, self.shape.token)[:, :, None]  # (B, N, 1, token)
        levels = pyramid(maps.flatten(0, 1), self.shape.levels)
        steps = []
        for _ in range(iterations):
            tokens = self._tokens(levels, features, xy) + place
            delta = self._answer(tokens, tick)
            features = features + self.ffeat_updater(self._normalised(delta[..., 2:]))
            xy = xy + delta[..., :2]
            xy = torch.cat([queries[:, :, None], xy[:, :, 1:]], dim=2)
            steps.append(xy)
        visible = None if self.vis_predictor is None else self.vis_predictor(features)[..., 0].sigmoid()
        return Refined(torch.stack(steps), query_feature, visible)

    def _tokens(self, levels: list[Tensor], features: Tensor, xy: Tensor) -> Tensor:
        """(B, N, S, token): where a point has gone, what it looks like there, and what it looked like."""
        groups, count, frames = xy.shape[:3]
        by_frame = [t.transpose(1, 2).flatten(0, 1) for t in (features, xy)]  # (B S, N, .)
        windows = correlation_windows(levels, by_frame[0], by_frame[1], self.shape.radius)
        windows = windows.unflatten(0, (groups, frames)).transpose(1, 2)
        moved = displacement_embedding(xy - xy[:, :, :1], self.shape.channels // 2)
        tokens = torch.cat([moved, windows, features], dim=-1)
        return functional.pad(tokens, (0, self.shape.token - tokens.shape[-1]))

    def _answer(self, tokens: Tensor, tick: Tick) -> Tensor:
        """(B, N, S, C + 2) from the transformer; tracks of different groups must not meet in it."""
        if self.shape.virtual and len(tokens) > 1:
            return torch.stack([self.updateformer(group, tick) for group in tokens])
        return self.updateformer(tokens.flatten(0, 1), tick).unflatten(0, tuple(tokens.shape[:2]))

    def _normalised(self, delta: Tensor) -> Tensor:
        return self.norm(delta.flatten(0, -2)).view(delta.shape)
