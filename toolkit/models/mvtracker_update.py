"""MVTracker's network: what a window of frames says about where tracks are, refined over a few iterations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toolkit.models.embeddings import LOWEST_WAVELENGTH, displacement_embedding
from toolkit.models.encoders import ImageEncoder
from toolkit.models.mvtracker_cloud import WIDE, FeatureCloud
from toolkit.models.mvtracker_transformer import SpaceTimeTransformer, Tick

WINDOW = 12  # frames that are looked at together
CHANNELS = ImageEncoder.channels
PER_AXIS = 64  # numbers that embed a displacement along an axis
MOVED = 3 * PER_AXIS + 3
TOKEN = MOVED + WIDE + CHANNELS + 2  # displacement, neighbourhood, feature, mask and visibility


@dataclass(frozen=True, eq=False)
class Refined:
    """What the iterations found.

    Attributes:
        steps: Per iteration (N, S, 3) places in the world.
        visible: (N, S) logit of the chance that any view sees the point.
    """

    steps: list[Tensor]
    visible: Tensor


class WindowUpdater(nn.Module):
    """Encoder and transformer; weights are named as in the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.fnet = ImageEncoder()
        self.updateformer = SpaceTimeTransformer(width_in=TOKEN, width_out=3 + CHANNELS)
        self.ffeats_norm = nn.GroupNorm(1, CHANNELS)
        # A list with an activation, because the published weights are named so.
        self.ffeats_updater = nn.Sequential(nn.Linear(CHANNELS, CHANNELS), nn.GELU())
        self.vis_predictor = nn.Sequential(nn.Linear(CHANNELS, 1))

    def refine(
        self,
        clouds: Sequence[FeatureCloud],
        xyz: Tensor,
        features: Tensor,
        visible: Tensor,
        asked: Tensor,
        *,
        iters: int,
        tick: Tick = lambda: None,
    ) -> Refined:
        """Moves tracks to where the clouds of their frames look like them.

        Args:
            clouds: Of S frames.
            xyz: (N, S, 3) where tracks are thought to be.
            features: (N, C) what they look like.
            visible: (N, S) logits of being seen.
            asked: (N, S) 1 where the track's place is wanted and not known from the window before, else 0.
            iters: How often.
            tick: Called after each layer of the transformer.
        """
        looks = features[:, None].expand(-1, len(clouds), -1)
        place = place_encoding(xyz[:, :1]) + time_encoding(len(clouds)).to(xyz)
        known = torch.stack([asked, visible], dim=-1)
        steps = []
        for _ in range(iters):
            xyz = xyz.detach()
            around = torch.stack([cloud.around(xyz[:, s], looks[:, s]) for s, cloud in enumerate(clouds)], dim=1)
            moved = displacement_embedding(xyz - xyz[:, :1], PER_AXIS)
            change = self.updateformer(torch.cat([moved, around, looks, known], dim=-1) + place, tick)
            xyz = xyz + change[..., :3]
            steps.append(xyz)
            normal = self.ffeats_norm(change[..., 3:].flatten(0, 1)).view_as(looks)
            looks = looks + self.ffeats_updater(normal)
        return Refined(steps, self.vis_predictor(looks)[..., 0])


def place_encoding(xyz: Tensor) -> Tensor:
    """Sines, then cosines, of world coordinates (..., 3), axis after axis; (..., TOKEN)."""
    return waves(xyz.double(), _even(TOKEN, 6) // 3).flatten(-2)[..., :TOKEN].float()


def time_encoding(frames: int) -> Tensor:
    """Sines, then cosines, of the place in a window, as a share of its length; (frames, TOKEN)."""
    return waves(torch.arange(frames, dtype=torch.float64) / WINDOW, _even(TOKEN, 2))[..., :TOKEN].float()


def waves(x: Tensor, channels: int) -> Tensor:
    """(..., channels) half of them sines, half cosines, at falling frequencies; as in "Attention is all you need"."""
    half = channels // 2
    angle = x[..., None] * LOWEST_WAVELENGTH ** -(torch.arange(half, dtype=x.dtype, device=x.device) / half)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _even(least: int, of: int) -> int:
    """The first multiple of `of` from `least` on."""
    return -(-least // of) * of
