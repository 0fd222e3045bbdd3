"""A two-view network that learns from generated pairs: its sizes, its settings, its batches and losses."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from toolkit.errors import UserError
from toolkit.models.pairpointmap import PairPointmap, PairShape
from toolkit.synthetic.pointmap_rendering import PointmapPairs
from toolkit.training.learning import Learning, LearningSettings
from toolkit.training.pairpointmap_batches import PairMix, held_out_pairs, pair_batch
from toolkit.training.pairpointmap_losses import PairWeights, pair_losses

PairSize = Literal["small", "medium", "large"]
PAIR_SIZES: tuple[PairSize, ...] = get_args(PairSize)
PAIR_SHAPES: dict[PairSize, PairShape] = {
    "small": PairShape(stem=(24, 48, 80), width=160, heads=5, own=3, both=3, match=48, decode=(80, 40)),
    "medium": PairShape(width=224, heads=7, own=4, both=3),
    "large": PairShape(),
}
"""3, 7 and 13 million numbers: what a CPU core and what a graphics processor can teach within an hour."""


@dataclass(frozen=True, kw_only=True)
class PairTrainingSettings(LearningSettings):
    """How it learns, beside what is the same for all networks.

    Attributes:
        pairs_cpu: Pairs of a batch on a CPU.
        pairs_gpu: The same on a graphics processor.
        weights: Of the losses.
        validation_pairs: Pairs that it is validated on.
        mix: What batches are made of.
    """

    rate: float = 8e-4
    larger_rate: float = 0.5
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.02
    warm_up: int = 150
    average: float = 0.998
    save_s: float = 120.0
    pairs_cpu: int = 8
    pairs_gpu: int = 96
    weights: PairWeights = field(default_factory=PairWeights)
    validation_pairs: int = 16
    mix: PairMix = field(default_factory=PairMix)


PAIR_DEFAULT = PairTrainingSettings()

PairBatch = tuple[PointmapPairs, torch.Tensor]  # and what is told of their focal length


class PairTraining(Learning[PairPointmap, PairBatch]):
    """A network that learns, its average over time, and the best of these so far.

    Args:
        size: Of the network.
        seed: Of everything.
        device: Where it learns.
        settings: How it learns.
    """

    scenes = "pairs"

    def __init__(self, size: PairSize, seed: int, device: torch.device, settings: PairTrainingSettings) -> None:
        if size not in PAIR_SHAPES:
            raise UserError(f"There is no size {size!r}; there are: {', '.join(PAIR_SHAPES)}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = PairPointmap(PAIR_SHAPES[size])
        super().__init__(network, f"st4rtrack-{size}", seed, device, settings, small=size == "small")
        self.settings = settings
        self.pairs = settings.pairs_gpu if device.type == "cuda" else settings.pairs_cpu
        self.held = held_out_pairs(settings.validation_pairs, validation=True)

    def batches(self, progress: Callable[[int], float]) -> Generator[PairBatch]:
        """Generated pairs: making them takes as long as learning from them, so each is learned from twice, once mirrored."""
        made, state = None, self.state
        while True:
            number = state.step // 2
            if made is None or made[0] != number:
                made = (number, *pair_batch(state.seed, number, progress(state.step), self.pairs, self.settings.mix, device=self.device))
            _, pairs, told = made
            yield (pairs.mirrored() if state.step % 2 else pairs), told

    def loss(self, batch: PairBatch) -> Tensor:
        """All that is known of pairs against what is found."""
        pairs, told = batch
        self.state.scenes += self.pairs
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.halves):
            found = self.network(pairs.images, told)
        return pair_losses(found, pairs, self.settings.weights)["total"]

    def judged(self) -> tuple[float, dict[str, float]]:
        """The same losses, of pairs whose lens is not told."""
        return validation_loss(self.average, self.held, self.settings.weights)


def validation_loss(network: PairPointmap, held: list[PointmapPairs], weights: PairWeights) -> tuple[float, dict[str, float]]:
    """Mean of the losses over pairs, and of their parts."""
    device = next(network.parameters()).device
    rows: list[dict[str, float]] = []
    with torch.no_grad():
        for pairs in held:
            there = pairs.to(device)
            found = network(there.images, torch.full_like(there.focal, torch.nan))
            rows.append({name: float(value) for name, value in pair_losses(found, there, weights).items()})
    means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    return means.pop("total"), means
