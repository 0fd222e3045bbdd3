"""A TracksTo4D network that learns step by step: its settings, its average over the steps, and the time box that ends it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from toolkit.errors import UserError
from toolkit.models.tracksto4d import TracksTo4D
from toolkit.models.tracksto4d_shape import NetworkShape
from toolkit.training import training_state
from toolkit.training.track_batches import Batch, BatchMix, BatchPlan, batches, planned
from toolkit.training.tracksto4d_losses import UnsupervisedWeights, unsupervised_loss
from toolkit.training.tracksto4d_scores import JUDGED_SIZES, validation_batches, validation_loss
from toolkit.training.tracksto4d_supervision import SUPERVISED, SupervisedWeights, Truth, supervised_loss
from toolkit.training.training_state import TrainingState

Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
SHAPES: dict[Size, NetworkShape] = {
    "small": NetworkShape(width=96, pairs=3, heads=4, inner=96, hidden=288, frequencies=8, kernel=9, focal=True),
    "medium": NetworkShape(width=128, pairs=3, heads=8, inner=256, hidden=512, frequencies=8, kernel=9, focal=True),
    "large": NetworkShape(width=192, pairs=3, heads=6, inner=192, hidden=768, frequencies=8, kernel=9, focal=True),
}
"""0.6, 1.7 and 2.7 million numbers: what a CPU core, and what a graphics processor can teach within an hour."""
VALIDATION_SIZES = JUDGED_SIZES  # other scenes of the same sizes
VALIDATION_REST = 20  # times as long as a validation took, before the next one
MEMORY_PER_TOKEN = 96 * 1024  # bytes that one token of the large network takes while it learns


@dataclass(frozen=True)
class TrainingSettings:
    """How it learns.

    Attributes:
        rate: Highest learning rate, of AdamW; three quarters of it for larger networks.
        betas: Of AdamW; its second moment forgets faster than usual, since a training may have a few thousand steps alone.
        weight_decay: Of AdamW.
        warm_up: Steps until the rate is reached.
        last_rate: Share of the rate that is left at the end of the cosine.
        most_gradient: Norm that gradients are cut to.
        average: Of the networks of all steps, how much the past counts; what is shipped is the average.
        tokens_cpu: Points times frames of a batch on a CPU: two or three small clips.
        tokens_gpu: The same on a graphics processor, where it has the memory.
        supervised: Weights of the supervised losses.
        unsupervised: Weights of the paper's losses; reprojection counts less than published, since the truth teaches it too.
        unsupervised_share: How much these count beside the supervised ones: their gradient is several times as large, most of it for
            the last pixel of reprojection, which an adjustment finds better, and would drown what is learned of depth.
        validations: How often the average is validated over the whole training.
        validation_scenes: Scenes of each of the judged sizes that it is validated on.
        save_s: Seconds between two writings of the state.
        mix: What batches are made of.
    """

    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warm_up: int = 200
    last_rate: float = 0.02
    most_gradient: float = 1.0
    average: float = 0.999
    tokens_cpu: int = 2048
    tokens_gpu: int = 1 << 18
    supervised: SupervisedWeights = SUPERVISED
    unsupervised: UnsupervisedWeights = field(default_factory=lambda: UnsupervisedWeights(reprojection=5.0))
    unsupervised_share: float = 0.05
    validations: int = 20
    validation_scenes: int = 6
    save_s: float = 60.0
    mix: BatchMix = field(default_factory=BatchMix)


DEFAULT = TrainingSettings()


class Training:
    """A network that learns, its average over time, and the best of these so far.

    Args:
        size: Of the network.
        seed: Of everything.
        device: Where it learns.
        settings: How it learns.
    """

    def __init__(self, size: Size, seed: int, device: torch.device, settings: TrainingSettings) -> None:
        if size not in SHAPES:
            raise UserError(f"There is no size {size!r}; there are: {', '.join(SHAPES)}.")
        self.size, self.device, self.settings = size, device, settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = TracksTo4D(SHAPES[size])
        network.start_at_canonical_pose()
        self.network = network.to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.rate, betas=settings.betas, weight_decay=settings.weight_decay
        )
        self.rate = settings.rate * (1.0 if size == "small" else 0.75)
        self.state = TrainingState(f"tracksto4d-{size}", seed)
        self.halves = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu.get_capabilities().get("avx512_bf16", False)
        self.tokens = settings.tokens_cpu
        if device.type == "cuda":
            memory = torch.cuda.get_device_properties(device).total_memory
            self.tokens = min(settings.tokens_gpu, int(0.5 * memory) // MEMORY_PER_TOKEN)

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        """What the state keeps."""
        return {"network": self.network, "average": self.average, "best": self.best}

    def go_on(self, file: Path, *, resume: bool) -> None:
        """Takes up the state in a file."""
        about = training_state.read_about(file)
        if not resume:
            raise UserError(f"{file.parent} holds a training of {about.step} steps; --resume goes on with it, another --out begins anew.")
        if (about.model, about.seed) != (self.state.model, self.state.seed):
            raise UserError(
                f"{file.parent} holds a training of {about.model} with seed {about.seed}, not of {self.state.model} with seed "
                f"{self.state.seed}; give these, or another --out."
            )
        self.state = training_state.read_state(file, self.networks, self.optimizer)

    def learn(self, file: Path, *, seconds: float, steps: int | None, processes: int, tell: Callable[[str], None]) -> None:
        """Learns until the time is over or the steps are made; the state is in the file at the end, however it comes."""
        state, settings = self.state, self.settings
        began, began_cpu = time.monotonic() - state.seconds, time.process_time() - state.cpu_seconds
        if self.device_name() not in state.devices:
            state.devices.append(self.device_name())

        def progress(step: int) -> float:
            return step / steps if steps is not None else (time.monotonic() - began) / seconds

        def plan(step: int) -> BatchPlan:
            return planned(state.seed, step, progress(step), self.tokens, settings.mix)

        held = validation_batches(settings.validation_scenes, VALIDATION_SIZES)
        saved, losses, validated = time.monotonic(), [], math.floor(progress(state.step) * settings.validations) if state.step else -1
        free_from = 0.0  # in a time box: validation gets a small part of it, however short it is
        try:
            with closing(batches(plan, state.step, processes=processes)) as stream:
                while (done := progress(state.step)) < 1:
                    due = math.floor(done * settings.validations)
                    if due > validated and (steps is not None or time.monotonic() > free_from):
                        validated, before = due, time.monotonic()
                        self.validate(held, losses, tell)
                        free_from, losses = time.monotonic() + VALIDATION_REST * (time.monotonic() - before), []
                    tracks, truth = next(stream)
                    losses.append(self.step(tracks, truth, done))
                    state.seconds, state.cpu_seconds = time.monotonic() - began, time.process_time() - began_cpu
                    if time.monotonic() - saved > settings.save_s:
                        saved = time.monotonic()
                        training_state.write_state(file, state, self.networks, self.optimizer)
            if not state.history or state.history[-1][1] < state.step:
                self.validate(held, losses, tell)
        finally:
            training_state.write_state(file, state, self.networks, self.optimizer)

    def step(self, tracks: Tensor, truth: Truth, progress: float) -> Tensor:
        """Learns from one batch; its loss."""
        state, settings = self.state, self.settings
        for group in self.optimizer.param_groups:
            cosine = settings.last_rate + (1 - settings.last_rate) * 0.5 * (1 + math.cos(math.pi * progress))
            group["lr"] = self.rate * min(1.0, (state.step + 1) / settings.warm_up) * cosine
        self.network.train()
        tracks, truth = tracks.to(self.device), truth.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.halves):
            found = self.network(tracks, detach=False)
        behind = settings.unsupervised.negative_depth / len(tracks)  # it is a sum, the others are means
        unsupervised = UnsupervisedWeights(**vars(settings.unsupervised) | {"negative_depth": behind})
        loss = supervised_loss(found, truth, settings.supervised)["total"]
        loss = loss + settings.unsupervised_share * unsupervised_loss(found, tracks, unsupervised)["total"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.most_gradient)
        if torch.isfinite(norm):
            self.optimizer.step()
            kept = min(settings.average, (1 + state.step) / (10 + state.step))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - kept)  # pyright: ignore[reportPrivateImportUsage]
        else:
            state.skipped += 1
        state.step += 1
        state.scenes += len(tracks)
        state.tokens += len(tracks) * tracks.shape[1] * tracks.shape[3]
        return loss.detach()

    def validate(self, held: Sequence[Batch], losses: list[Tensor], tell: Callable[[str], None]) -> None:
        """Scores the average on scenes that it does not learn from, and keeps it if it is the best so far."""
        state = self.state
        validation = validation_loss(self.average.eval(), held)
        training = float(torch.stack(losses).nanmean()) if losses else float("nan")
        state.history.append([round(state.seconds, 1), state.step, state.scenes, training if losses else validation, validation])
        if validation < state.best:
            state.best = validation
            self.best.load_state_dict(self.average.state_dict())
        tell(
            f"{state.seconds / 60:6.1f} min, CPU {state.cpu_seconds:6.0f} s, step {state.step}, {state.scenes} scenes: "
            f"loss {training:.3f}, validation {validation:.3f}"
        )

    def device_name(self) -> str:
        """What it runs on, for a person."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
