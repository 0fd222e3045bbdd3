"""A network that learns step by step from generated scenes: its average over the steps, its time box, the state it goes on from."""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from toolkit.errors import UserError
from toolkit.training import training_state
from toolkit.training.training_state import TrainingState

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")

CARD = "README.md"
VALIDATION_REST = 20  # times as long as a validation took, before the next one


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """How any network learns.

    Attributes:
        rate: Highest learning rate, of AdamW.
        larger_rate: Share of it for networks that are not the small one.
        betas: Of AdamW.
        weight_decay: Of AdamW.
        warm_up: Steps until the rate is reached.
        last_rate: Share of the rate that is left at the end of the cosine.
        most_gradient: Norm that gradients are cut to.
        average: Of the networks of all steps, how much the past counts; what is shipped is the average.
        validations: How often the average is validated over the whole training.
        save_s: Seconds between two writings of the state.
    """

    rate: float
    larger_rate: float
    betas: tuple[float, float]
    weight_decay: float
    warm_up: int
    last_rate: float = 0.02
    most_gradient: float = 1.0
    average: float = 0.999
    validations: int = 20
    save_s: float = 60.0


class Learning(ABC, Generic[Network, Batch]):
    """A network that learns, its average over time, and the best of these so far.

    Args:
        network: As it begins.
        name: Of the network and its size.
        seed: Of everything.
        device: Where it learns.
        settings: How it learns.
        small: Whether it is the small one of its kind.
    """

    scenes = "scenes"  # what it learns from, for a person

    def __init__(self, network: Network, name: str, seed: int, device: torch.device, settings: LearningSettings, *, small: bool) -> None:
        self.device, self._settings = device, settings
        self.network = network.to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.rate = settings.rate * (1.0 if small else settings.larger_rate)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.rate, betas=settings.betas, weight_decay=settings.weight_decay
        )
        self.state = TrainingState(name, seed)
        self.halves = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu.get_capabilities().get("avx512_bf16", False)

    @abstractmethod
    def batches(self, progress: Callable[[int], float]) -> Generator[Batch]:
        """What is learned from, of this step and those that follow; `progress` tells how much of the training a step comes after."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Of the network in training, on the device; counts the scenes of the batch."""

    @abstractmethod
    def judged(self) -> tuple[float, dict[str, float]]:
        """Loss of the average on scenes that it does not learn from, and its parts."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        """What the state keeps."""
        return {"network": self.network, "average": self.average, "best": self.best}

    def go_on(self, file: Path, *, resume: bool) -> None:
        """Takes up the state in a file.

        Raises:
            UserError: if it is not to go on, or holds another training.
        """
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
        state, settings = self.state, self._settings
        began, began_cpu = time.monotonic() - state.seconds, time.process_time() - state.cpu_seconds
        if self.device_name() not in state.devices:
            state.devices.append(self.device_name())

        def progress(step: int) -> float:
            return step / steps if steps is not None else (time.monotonic() - began) / seconds

        saved, losses, validated = time.monotonic(), [], math.floor(progress(state.step) * settings.validations) if state.step else -1
        free_from = 0.0  # in a time box: validation gets a small part of it, however short it is
        try:
            with closing(self.batches(progress)) as stream:
                while (done := progress(state.step)) < 1:
                    due = math.floor(done * settings.validations)
                    if due > validated and (steps is not None or time.monotonic() > free_from):
                        validated, before = due, time.monotonic()
                        self.validate(losses, tell)
                        free_from, losses = time.monotonic() + VALIDATION_REST * (time.monotonic() - before), []
                    losses.append(self.step(next(stream), done))
                    state.seconds, state.cpu_seconds = time.monotonic() - began, time.process_time() - began_cpu
                    if time.monotonic() - saved > settings.save_s:
                        saved = time.monotonic()
                        training_state.write_state(file, state, self.networks, self.optimizer)
            state.seconds = time.monotonic() - began
            if not state.history or state.history[-1][1] < state.step:
                self.validate(losses, tell)
        finally:
            training_state.write_state(file, state, self.networks, self.optimizer)

    def step(self, batch: Batch, progress: float) -> Tensor:
        """Learns from one batch; its loss."""
        state, settings = self.state, self._settings
        for group in self.optimizer.param_groups:
            cosine = settings.last_rate + (1 - settings.last_rate) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
            group["lr"] = self.rate * min(1.0, (state.step + 1) / settings.warm_up) * cosine
        self.network.train()
        loss = self.loss(batch)
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
        return loss.detach()

    def validate(self, losses: list[Tensor], tell: Callable[[str], None]) -> None:
        """Scores the average on scenes that it does not learn from, and keeps it if it is the best so far."""
        state = self.state
        self.average.eval()
        validation, parts = self.judged()
        training = float(torch.stack(losses).nanmean()) if losses else float("nan")
        state.history.append([round(state.seconds, 1), state.step, state.scenes, training if losses else validation, validation])
        if validation < state.best:
            state.best = validation
            self.best.load_state_dict(self.average.state_dict())
        told = f" ({', '.join(f'{name} {value:.3f}' for name, value in parts.items())})" if parts else ""
        tell(
            f"{state.seconds / 60:6.1f} min, CPU {state.cpu_seconds:6.0f} s, step {state.step}, {state.scenes} {self.scenes}: "
            f"loss {training:.3f}, validation {validation:.3f}{told}"
        )

    def device_name(self) -> str:
        """What it runs on, for a person."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"


def taught(
    learning: Learning, out: Path, *, minutes: float, steps: int | None, resume: bool, tell: Callable[[str], None], weights: str
) -> Path:
    """Lets a network learn in a folder, going on with what is there, and writes the best as half floats; returns that file.

    Raises:
        UserError: a folder that can't be written to or holds another training, or no time to learn in.
    """
    if not minutes > 0 or (steps is not None and steps < 1):
        raise UserError(f"A training of {minutes:g} minutes or {steps} steps was asked for, but more than none are needed.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} is no folder that can be written to ({error.strerror}).") from error
    file = out / training_state.NAME
    if file.exists():
        learning.go_on(file, resume=resume)
        tell(f"going on after {learning.state.step} steps, {learning.state.seconds / 60:.1f} minutes")
    learning.learn(file, seconds=60 * minutes, steps=steps, tell=tell)
    state = {name: value.detach().cpu().contiguous() for name, value in learning.best.state_dict().items()}
    half = {name: value.half() if name != "shape_numbers" else value for name, value in state.items()}  # these say how it is built
    training_state.replaced(out / weights, half, {"licence": "Apache-2.0"})
    return out / weights


def write_card(out: Path, card: str) -> None:
    """What there is to know of weights, beside them."""
    partial = out / (CARD + ".partial")
    partial.write_text(card)
    partial.replace(out / CARD)


def chosen_device(name: str) -> torch.device:
    """The device of this name; "auto" is a graphics processor where torch has one.

    Raises:
        UserError: if torch has none of this name.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA says so with an assertion
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"There is no device {name!r} here ({reason}); --device auto takes what is there.") from error
