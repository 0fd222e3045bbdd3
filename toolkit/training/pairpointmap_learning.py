"""A two-view network that learns step by step from generated pairs: its settings, its average over the steps, the time box."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch

from toolkit.errors import UserError
from toolkit.models.pairpointmap import PairPointmap, PairShape
from toolkit.synthetic.pointmap_rendering import PointmapPairs
from toolkit.training import training_state
from toolkit.training.pairpointmap_batches import PairMix, held_out_pairs, pair_batch
from toolkit.training.pairpointmap_losses import PairWeights, pair_losses
from toolkit.training.training_state import TrainingState

PairSize = Literal["small", "medium", "large"]
PAIR_SIZES: tuple[PairSize, ...] = get_args(PairSize)
PAIR_SHAPES: dict[PairSize, PairShape] = {
    "small": PairShape(stem=(24, 48, 80), width=160, heads=5, own=3, both=3, match=48, decode=(80, 40)),
    "medium": PairShape(width=224, heads=7, own=4, both=3),
    "large": PairShape(),
}
"""3, 7 and 13 million numbers: what a CPU core and what a graphics processor can teach within an hour."""


@dataclass(frozen=True)
class PairTrainingSettings:
    """How it learns.

    Attributes:
        rate: Highest learning rate, of AdamW; half of it for larger networks.
        betas: Of AdamW.
        weight_decay: Of AdamW.
        warm_up: Steps until the rate is reached.
        last_rate: Share of the rate that is left at the end of the cosine.
        most_gradient: Norm that gradients are cut to.
        average: Of the networks of all steps, how much the past counts; what is shipped is the average.
        pairs_cpu: Pairs of a batch on a CPU.
        pairs_gpu: The same on a graphics processor.
        weights: Of the losses.
        validations: How often the average is validated over the whole training.
        validation_pairs: Pairs that it is validated on.
        save_s: Seconds between two writings of the state.
        mix: What batches are made of.
    """

    rate: float = 8e-4
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.02
    warm_up: int = 150
    last_rate: float = 0.02
    most_gradient: float = 1.0
    average: float = 0.998
    pairs_cpu: int = 8
    pairs_gpu: int = 96
    weights: PairWeights = field(default_factory=PairWeights)
    validations: int = 20
    validation_pairs: int = 16
    save_s: float = 120.0
    mix: PairMix = field(default_factory=PairMix)


PAIR_DEFAULT = PairTrainingSettings()


class PairTraining:
    """A network that learns, its average over time, and the best of these so far.

    Args:
        size: Of the network.
        seed: Of everything.
        device: Where it learns.
        settings: How it learns.
    """

    def __init__(self, size: PairSize, seed: int, device: torch.device, settings: PairTrainingSettings) -> None:
        if size not in PAIR_SHAPES:
            raise UserError(f"There is no size {size!r}; there are: {', '.join(PAIR_SHAPES)}.")
        self.size, self.device, self.settings = size, device, settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = PairPointmap(PAIR_SHAPES[size])
        self.network = network.to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.rate = settings.rate * (1.0 if size == "small" else 0.5)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.rate, betas=settings.betas, weight_decay=settings.weight_decay
        )
        self.state = TrainingState(f"st4rtrack-{size}", seed)
        self.halves = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu.get_capabilities().get("avx512_bf16", False)
        self.made: tuple[int, PointmapPairs, torch.Tensor] | None = None
        self.pairs = settings.pairs_gpu if device.type == "cuda" else settings.pairs_cpu

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

    def learn(self, file: Path, *, seconds: float, steps: int | None, tell: Callable[[str], None]) -> None:
        """Learns until the time is over or the steps are made; the state is in the file at the end, however it comes."""
        state, settings = self.state, self.settings
        began, began_cpu = time.monotonic() - state.seconds, time.process_time() - state.cpu_seconds
        if self.device_name() not in state.devices:
            state.devices.append(self.device_name())

        def progress(step: int) -> float:
            return step / steps if steps is not None else (time.monotonic() - began) / seconds

        held = held_out_pairs(settings.validation_pairs, validation=True)
        saved, losses = time.monotonic(), []
        validated = math.floor(progress(state.step) * settings.validations) if state.step else -1
        try:
            while (done := progress(state.step)) < 1:
                due = math.floor(done * settings.validations)
                if due > validated:
                    validated = due
                    self.validate(held, losses, tell)
                    losses = []
                losses.append(self.step(done))
                state.seconds, state.cpu_seconds = time.monotonic() - began, time.process_time() - began_cpu
                if time.monotonic() - saved > settings.save_s:
                    saved = time.monotonic()
                    training_state.write_state(file, state, self.networks, self.optimizer)
            if not state.history or state.history[-1][1] < state.step:
                self.validate(held, losses, tell)
        finally:
            training_state.write_state(file, state, self.networks, self.optimizer)

    def step(self, progress: float) -> float:
        """Learns from one batch; its loss."""
        state, settings = self.state, self.settings
        for group in self.optimizer.param_groups:
            cosine = settings.last_rate + (1 - settings.last_rate) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
            group["lr"] = self.rate * min(1.0, (state.step + 1) / settings.warm_up) * cosine
        self.network.train()
        pairs, told = self.batch(progress)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.halves):
            found = self.network(pairs.images, told)
        loss = pair_losses(found, pairs, settings.weights)["total"]
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
        state.scenes += self.pairs
        return float(loss.detach())

    def batch(self, progress: float) -> tuple[PointmapPairs, torch.Tensor]:
        """The pairs of this step: making them takes as long as learning from them, so each is learned from twice, once mirrored."""
        state, number = self.state, self.state.step // 2
        if self.made is None or self.made[0] != number:
            self.made = (number, *pair_batch(state.seed, number, progress, self.pairs, self.settings.mix, device=self.device))
        _, pairs, told = self.made
        return (pairs.mirrored() if state.step % 2 else pairs), told

    def validate(self, held: list[PointmapPairs], losses: list[float], tell: Callable[[str], None]) -> None:
        """Scores the average on pairs that it does not learn from, and keeps it if it is the best so far."""
        state = self.state
        validation, parts = validation_loss(self.average.eval(), held, self.settings.weights)
        training = sum(losses) / len(losses) if losses else validation
        state.history.append([round(state.seconds, 1), state.step, state.scenes, training, validation])
        if validation < state.best:
            state.best = validation
            self.best.load_state_dict(self.average.state_dict())
        tell(
            f"{state.seconds / 60:6.1f} min, CPU {state.cpu_seconds:6.0f} s, step {state.step}, {state.scenes} pairs: "
            f"loss {training:.3f}, validation {validation:.3f} ({', '.join(f'{k} {v:.3f}' for k, v in parts.items())})"
        )

    def device_name(self) -> str:
        """What it runs on, for a person."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"


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
