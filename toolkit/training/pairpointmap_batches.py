"""Batches of generated pairs: which scenes, which moments, which size; a function of the seed, the step and the progress alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from toolkit.synthetic.pointmap_rendering import PointmapPairs, pointmap_pairs
from toolkit.synthetic.pointmap_scenes import HELD_OUT, HELD_OUT_SEEDS, TRAINING, VALIDATION_SEEDS, PointmapRecipe

JUDGED_SIZE = (112, 112)
STEP = 2  # the network says what it says at half the resolution


@dataclass(frozen=True)
class PairMix:
    """What batches are made of.

    Attributes:
        recipe: Of the scenes.
        sizes: (width, height) of the pictures, each as likely.
        gap: How far apart the two moments are at most, as a share of the clip: at the beginning, and from `growing` on.
        growing: Share of the training over which it grows.
        same: Share of pairs of a frame with itself.
        told: Share of pairs whose focal length is told.
    """

    recipe: PointmapRecipe = field(default_factory=lambda: TRAINING)
    sizes: tuple[tuple[int, int], ...] = ((112, 112), (128, 96), (96, 128), (144, 80))
    gap: tuple[float, float] = (0.3, 0.9)
    growing: float = 0.3
    same: float = 0.05
    told: float = 0.5


def pair_batch(
    seed: int, step: int, progress: float, count: int, mix: PairMix, *, device: torch.device | str = "cpu"
) -> tuple[PointmapPairs, torch.Tensor]:
    """The pairs of two steps, of which the second sees them mirrored, and the focal lengths that are told (NaN where none is)."""
    rng = np.random.default_rng([seed, step])
    size = mix.sizes[rng.integers(len(mix.sizes))]
    most = mix.gap[0] + (mix.gap[1] - mix.gap[0]) * min(1.0, progress / mix.growing)
    first = rng.uniform(0, 1, count)
    gap = rng.uniform(0.02, most, count) * np.where(rng.random(count) < mix.same, 0, 1)
    other = np.where(first + gap <= 1, first + gap, first - gap)
    other = np.where((rng.random(count) < 0.5) & (first >= gap), first - gap, other)
    seeds = rng.integers(0, VALIDATION_SEEDS.start, count)
    moments = list(zip(first.tolist(), np.clip(other, 0, 1).tolist(), strict=True))
    pairs = pointmap_pairs(seeds.tolist(), moments, size=size, step=STEP, recipe=mix.recipe, device=device)
    told = torch.from_numpy(rng.random(count) < mix.told).to(pairs.focal.device)
    return pairs, torch.where(told, pairs.focal, torch.nan)


def held_out_pairs(count: int, *, validation: bool = False, size: tuple[int, int] = JUDGED_SIZE) -> list[PointmapPairs]:
    """Pairs that nothing is learned from, eight at a time; for the choice between weights, or for judging them."""
    seeds = (VALIDATION_SEEDS if validation else HELD_OUT_SEEDS)[:count]
    gaps = np.linspace(0.15, 0.85, count)
    rows = [(int(seed), (float(0.5 - 0.5 * gap), float(0.5 + 0.5 * gap))) for seed, gap in zip(seeds, gaps, strict=True)]
    return [
        pointmap_pairs([s for s, _ in rows[i : i + 8]], [m for _, m in rows[i : i + 8]], size=size, step=STEP, recipe=HELD_OUT)
        for i in range(0, count, 8)
    ]
