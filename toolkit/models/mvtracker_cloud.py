"""The features of all views of one moment as one cloud of points in the world, on four levels, and what a track finds near it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from toolkit.models.mvtracker_ties import PublishedNearest
from toolkit.models.nearest import NearestPoints
from toolkit.scene import F32, F64, U8, B

STRIDE = 4
LEVELS = 4
NEIGHBOURS = 16
WIDE = NEIGHBOURS * 4 * LEVELS  # per neighbour its likeness and three offsets
_GATHERED_AT_ONCE = 1 << 22  # numbers copied out of a cloud at a time: 16 MB


@dataclass(frozen=True, eq=False)
class View:
    """One picture of one moment.

    Attributes:
        image: (3, H, W) uint8 RGB, or float in 0..255.
        depth: (H, W) float32 z-depth in the world's unit, 0 or not finite where unknown.
        K: (3, 3) intrinsics in pixels whose centres are whole numbers.
        T_cw: (3, 4) camera-from-world.
    """

    image: U8 | F32
    depth: F32
    K: F64
    T_cw: F64


Moment = Sequence[View]
"""All views of one frame, in any sizes."""


@dataclass(frozen=True, eq=False)
class Level:
    """Points at one spacing of pixels.

    Attributes:
        features: (P, C) of the points.
        xyz: (P, 3) float32 in the world.
        nearest: Index over them.
    """

    features: Tensor
    xyz: Tensor
    nearest: NearestPoints


class FeatureCloud:
    """Features of one moment where they are in the world.

    Args:
        encoder: Makes a quarter-size map (1, C, H // 4, W // 4) of an image (1, 3, H, W) in -1..1.
        moment: Its views; there may be none.
        published: Whether pixels of unknown depth become points in the camera's centre, as in the published code.
    """

    def __init__(self, encoder: nn.Module, moment: Moment, *, published: bool = False) -> None:
        # One image after the other: their activations are many times their features.
        maps = [encoder(in_unit_range(view, encoder)) for view in moment]
        self.levels: list[Level | None] = []
        for level in range(LEVELS):
            if level:
                maps = [functional.avg_pool2d(m, 2) if min(m.shape[-2:]) > 1 else m[..., :0] for m in maps]
            places = [lifted(view, STRIDE * 2**level, m.shape[-2:]) for view, m in zip(moment, maps, strict=True)]
            self.levels.append(_level(maps, [p[0] for p in places], None if published else [p[1] for p in places]))

    @property
    def empty(self) -> bool:
        """Whether no pixel has a depth."""
        return self.levels[0] is None

    def feature_at(self, xyz: Tensor) -> Tensor:
        """Features (N, C) of the points nearest to places (N, 3); the cloud must not be empty."""
        level = self.levels[0]
        assert level is not None
        return level.features[torch.from_numpy(level.nearest.query(xyz.cpu().numpy(), 1)[:, 0])]

    def around(self, xyz: Tensor, features: Tensor) -> Tensor:
        """Likeness and offsets of the nearest points of each level.

        Args:
            xyz: (N, 3) places of tracks.
            features: (N, C) of tracks.

        Returns:
            (N, 256): level by level, neighbour by neighbour, the scalar product over the root of C and the offset in world units. Levels
            without points give zeros.
        """
        places = xyz.detach().cpu().numpy()
        found = [
            torch.zeros(len(xyz), NEIGHBOURS * 4, device=xyz.device) if level is None else _around(level, places, xyz, features)
            for level in self.levels
        ]
        return torch.cat(found, dim=-1)


def in_unit_range(view: View, encoder: nn.Module) -> Tensor:
    """The image of a view as (1, 3, H, W) float in -1..1 where the encoder is."""
    device = next(encoder.parameters()).device
    return 2 * (torch.as_tensor(view.image, device=device)[None].float() / 255) - 1


def lifted(view: View, step: int, shape: Sequence[int]) -> tuple[F32, B]:
    """World points of every `step`-th pixel, and which of them have a depth.

    The depth is that of the first pixel of each square of pixels, the place its middle, as in the published code; weights trained so
    expect it.

    Args:
        view: Depth and camera.
        step: Pixels between points.
        shape: (rows, columns) of points.
    """
    rows, columns = shape
    depth = np.asarray(view.depth[::step, ::step][:rows, :columns], np.float64)
    known = np.isfinite(depth) & (depth > 0)
    x, y = np.meshgrid((np.arange(columns) + 0.5) * step - 0.5, (np.arange(rows) + 0.5) * step - 0.5)
    xy = np.stack([x, y], -1).reshape(-1, 2)
    return unprojected(xy, np.where(known, depth, 0).reshape(-1), view.K, view.T_cw), known.reshape(-1)


def unprojected(xy: NDArray, depth: NDArray, K: NDArray, T_cw: NDArray) -> F32:
    """World points (P, 3) of pixels (P, 2), centres at whole numbers, with z-depth (P,), of a camera with K (3, 3) and T_cw (3, 4)."""
    rays = np.concatenate([xy, np.ones_like(xy[:, :1])], axis=1) @ np.linalg.inv(np.asarray(K, np.float64)).T
    M = np.asarray(T_cw, np.float64)
    # The general inverse: extrinsics that were aligned to others may hold a scale.
    return ((rays * depth[:, None] - M[:3, 3]) @ np.linalg.inv(M[:3, :3]).T).astype(np.float32)


def _level(maps: list[Tensor], xyz: Sequence[F32], known: Sequence[B] | None) -> Level | None:
    features = [m[0].flatten(1).T for m in maps]  # views, then rows, then columns
    if known is not None:
        features = [f[torch.from_numpy(k).to(f.device)] for f, k in zip(features, known, strict=True)]
        xyz = [points[k] for points, k in zip(xyz, known, strict=True)]
    if not sum(map(len, xyz)):
        return None
    points = np.concatenate(xyz)
    together = torch.cat(features)
    index = NearestPoints(points) if known is not None else PublishedNearest(points)
    return Level(together, torch.from_numpy(points).to(together.device), index)


def _around(level: Level, places: NDArray, xyz: Tensor, features: Tensor) -> Tensor:
    near = torch.from_numpy(level.nearest.query(places, NEIGHBOURS)).to(xyz.device)
    channels = features.shape[-1]
    at_once = max(1, _GATHERED_AT_ONCE // (NEIGHBOURS * channels))
    likeness = [(level.features[near[i : i + at_once]] @ features[i : i + at_once, :, None])[..., 0] for i in range(0, len(near), at_once)]
    offset = level.xyz[near] - xyz[:, None]
    return torch.cat([torch.cat(likeness)[..., None] / channels**0.5, offset], dim=-1).flatten(1)
