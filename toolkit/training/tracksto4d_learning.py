"""A TracksTo4D network that learns from generated scenes: its sizes, its settings, its batches and losses."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from toolkit.errors import UserError
from toolkit.models.tracksto4d import TracksTo4D
from toolkit.models.tracksto4d_shape import NetworkShape
from toolkit.training.learning import Learning, LearningSettings
from toolkit.training.track_batches import Batch, BatchMix, BatchPlan, batches, planned
from toolkit.training.tracksto4d_losses import UnsupervisedWeights, unsupervised_loss
from toolkit.training.tracksto4d_scores import JUDGED_SIZES, validation_batches, validation_loss
from toolkit.training.tracksto4d_supervision import SUPERVISED, SupervisedWeights, supervised_loss

Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
SHAPES: dict[Size, NetworkShape] = {
    "small": NetworkShape(width=96, pairs=3, heads=4, inner=96, hidden=288, frequencies=8, kernel=9, focal=True),
    "medium": NetworkShape(width=128, pairs=3, heads=8, inner=256, hidden=512, frequencies=8, kernel=9, focal=True),
    "large": NetworkShape(width=192, pairs=3, heads=6, inner=192, hidden=768, frequencies=8, kernel=9, focal=True),
}
"""0.6, 1.7 and 2.7 million numbers: what a CPU core, and what a graphics processor can teach within an hour."""
VALIDATION_SIZES = JUDGED_SIZES  # other scenes of the same sizes
MEMORY_PER_TOKEN = 96 * 1024  # bytes that one token of the large network takes while it learns


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(LearningSettings):
    """How it learns, beside what is the same for all networks.

    The second moment of AdamW forgets faster than usual, since a training may have a few thousand steps alone.

    Attributes:
        tokens_cpu: Points times frames of a batch on a CPU: two or three small clips.
        tokens_gpu: The same on a graphics processor, where it has the memory.
        supervised: Weights of the supervised losses.
        unsupervised: Weights of the paper's losses; reprojection counts less than published, since the truth teaches it too.
        unsupervised_share: How much these count beside the supervised ones: their gradient is several times as large, most of it for
            the last pixel of reprojection, which an adjustment finds better, and would drown what is learned of depth.
        validation_scenes: Scenes of each of the judged sizes that it is validated on.
        mix: What batches are made of.
    """

    rate: float = 1e-3
    larger_rate: float = 0.75
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warm_up: int = 200
    tokens_cpu: int = 2048
    tokens_gpu: int = 1 << 18
    supervised: SupervisedWeights = SUPERVISED
    unsupervised: UnsupervisedWeights = field(default_factory=lambda: UnsupervisedWeights(reprojection=5.0))
    unsupervised_share: float = 0.05
    validation_scenes: int = 6
    mix: BatchMix = field(default_factory=BatchMix)


DEFAULT = TrainingSettings()


class Training(Learning[TracksTo4D, Batch]):
    """A network that learns, its average over time, and the best of these so far.

    Args:
        size: Of the network.
        seed: Of everything.
        device: Where it learns.
        settings: How it learns.
        processes: How many make scenes beside the one that learns.
    """

    def __init__(self, size: Size, seed: int, device: torch.device, settings: TrainingSettings, *, processes: int = 0) -> None:
        if size not in SHAPES:
            raise UserError(f"There is no size {size!r}; there are: {', '.join(SHAPES)}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = TracksTo4D(SHAPES[size])
        network.start_at_canonical_pose()
        super().__init__(network, f"tracksto4d-{size}", seed, device, settings, small=size == "small")
        self.settings, self.processes = settings, processes
        self.held = validation_batches(settings.validation_scenes, VALIDATION_SIZES)
        self.tokens = settings.tokens_cpu
        if device.type == "cuda":
            memory = torch.cuda.get_device_properties(device).total_memory
            self.tokens = min(settings.tokens_gpu, int(0.5 * memory) // MEMORY_PER_TOKEN)

    def batches(self, progress: Callable[[int], float]) -> Generator[Batch]:
        """Generated clips, made beside the learning where there are processes for it."""

        def plan(step: int) -> BatchPlan:
            return planned(self.state.seed, step, progress(step), self.tokens, self.settings.mix)

        return batches(plan, self.state.step, processes=self.processes)

    def loss(self, batch: Batch) -> Tensor:
        """The supervised losses and a share of the paper's."""
        state, settings = self.state, self.settings
        tracks, truth = batch[0].to(self.device), batch[1].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.halves):
            found = self.network(tracks, detach=False)
        behind = settings.unsupervised.negative_depth / len(tracks)  # it is a sum, the others are means
        unsupervised = UnsupervisedWeights(**vars(settings.unsupervised) | {"negative_depth": behind})
        state.scenes += len(tracks)
        state.tokens += len(tracks) * tracks.shape[1] * tracks.shape[3]
        loss = supervised_loss(found, truth, settings.supervised)["total"]
        return loss + settings.unsupervised_share * unsupervised_loss(found, tracks, unsupervised)["total"]

    def judged(self) -> tuple[float, dict[str, float]]:
        """The supervised losses alone, mean over scenes of the judged sizes."""
        return validation_loss(self.average, self.held), {}
