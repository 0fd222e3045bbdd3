"""Trains TracksTo4D on generated scenes: with their truth and with the losses of the paper, for so many minutes, on what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toolkit.models.tracksto4d import TracksTo4D
from toolkit.training.learning import chosen_device, taught, write_card
from toolkit.training.model_card import model_card
from toolkit.training.track_batches import usable_cores
from toolkit.training.tracksto4d_learning import DEFAULT, Size, Training, TrainingSettings


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
    helpers = processes if processes is not None else 0 if place.type == "cpu" else max(1, usable_cores() - 1)
    learning = Training(size or ("small" if place.type == "cpu" else "large"), seed, place, settings, processes=helpers)
    weights = taught(learning, out, minutes=minutes, steps=steps, resume=resume, tell=tell, weights=f"{learning.state.model}.safetensors")
    tell("scoring on held-out scenes")
    shipped, told = TracksTo4D.from_pretrained(weights), f"{steps} steps" if steps else f"{minutes:g} minutes"
    write_card(out, model_card(shipped, weights.name, learning.state, settings.mix, judged=judged, told=told))
    return weights
