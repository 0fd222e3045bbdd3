"""Trains TracksTo4D on generated scenes: with their truth and with the losses of the paper, for so many minutes, on what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from toolkit.errors import UserError
from toolkit.models.tracksto4d import TracksTo4D
from toolkit.training import training_state
from toolkit.training.model_card import model_card
from toolkit.training.track_batches import usable_cores
from toolkit.training.tracksto4d_learning import DEFAULT, Size, Training, TrainingSettings

CARD = "README.md"


def train_tracksto4d(
    out: Path,
    *,
    minutes: float = 60.0,
    steps: int | None = None,
    size: Size | None = None,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    processes: int | None = None,
    settings: TrainingSettings = DEFAULT,
    judged: int = 24,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Trains a network and writes its weights and a card that says how good it is.

    On a CPU, `steps` and a seed give the same weights each time, however often the training was interrupted.

    Args:
        out: Folder for the state, the weights and the card; made if needed.
        minutes: Time that the training takes, interruptions not counted; scores on held-out scenes come on top of it.
        steps: So many batches instead.
        size: Of the network; by default "small" on a CPU and "large" on a graphics processor.
        device: "auto", "cpu", "cuda" or another name that torch knows.
        seed: Of everything.
        resume: Goes on with the training in the folder, if there is one.
        processes: How many make scenes beside the one that learns; by default none on a CPU, else one for each core but one.
        settings: How it learns.
        judged: Held-out scenes of each size that the weights are scored on in the end.
        tell: Called with a line now and then; what it raises ends the training, whose state is kept.

    Returns:
        The file of weights.

    Raises:
        UserError: a folder with a training that is not to go on or is another one, or a device that is not there.
    """
    out, place = Path(out), chosen_device(device)
    if not minutes > 0 or (steps is not None and steps < 1):
        raise UserError(f"A training of {minutes:g} minutes or {steps} steps was asked for, but more than none are needed.")
    training = Training(size or ("small" if place.type == "cpu" else "large"), seed, place, settings)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} is no folder that can be written to ({error.strerror}).") from error
    file = out / training_state.NAME
    if file.exists():
        training.go_on(file, resume=resume)
        tell(f"going on after {training.state.step} steps, {training.state.seconds / 60:.1f} minutes")
    helpers = processes if processes is not None else 0 if place.type == "cpu" else max(1, usable_cores() - 1)
    training.learn(file, seconds=60 * minutes, steps=steps, processes=helpers, tell=tell)
    weights = out / f"tracksto4d-{training.size}.safetensors"
    half = {name: value.detach().half().cpu().contiguous() for name, value in training.best.state_dict().items()}
    training_state.replaced(weights, half, {"licence": "Apache-2.0"})
    tell("scoring on held-out scenes")
    shipped = TracksTo4D.from_pretrained(weights)
    card = out / (CARD + ".partial")
    card.write_text(
        model_card(
            shipped, weights.name, training.state, settings.mix, judged=judged, told=f"{steps} steps" if steps else f"{minutes:g} minutes"
        )
    )
    card.replace(out / CARD)
    return weights


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
