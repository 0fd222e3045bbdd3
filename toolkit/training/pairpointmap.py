"""Trains the compact two-view network of st4rtrack on generated pairs, for so many minutes, on what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toolkit.errors import UserError
from toolkit.models.pairpointmap import PairPointmap
from toolkit.training import training_state
from toolkit.training.pairpointmap_card import pair_card
from toolkit.training.pairpointmap_learning import PAIR_DEFAULT, PairSize, PairTraining, PairTrainingSettings
from toolkit.training.tracksto4d import CARD, chosen_device


def train_pairpointmap(
    out: Path,
    *,
    minutes: float = 60.0,
    steps: int | None = None,
    size: PairSize | None = None,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    settings: PairTrainingSettings = PAIR_DEFAULT,
    judged: int = 24,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Trains a network and writes its weights and a card that says how good it is.

    On a CPU, `steps` and a seed give the same weights each time, however often the training was interrupted.

    Args:
        out: Folder for the state, the weights and the card; made if needed.
        minutes: Time that the training takes, interruptions not counted; scores on held-out pairs come on top of it.
        steps: So many batches instead.
        size: Of the network; by default "small" on a CPU and "large" on a graphics processor.
        device: "auto", "cpu", "cuda" or another name that torch knows.
        seed: Of everything.
        resume: Goes on with the training in the folder, if there is one.
        settings: How it learns.
        judged: Held-out pairs that the weights are scored on in the end.
        tell: Called with a line now and then; what it raises ends the training, whose state is kept.

    Returns:
        The file of weights.

    Raises:
        UserError: a folder with a training that is not to go on or is another one, or a device that is not there.
    """
    out, place = Path(out), chosen_device(device)
    if not minutes > 0 or (steps is not None and steps < 1):
        raise UserError(f"A training of {minutes:g} minutes or {steps} steps was asked for, but more than none are needed.")
    training = PairTraining(size or ("small" if place.type == "cpu" else "large"), seed, place, settings)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} is no folder that can be written to ({error.strerror}).") from error
    file = out / training_state.NAME
    if file.exists():
        training.go_on(file, resume=resume)
        tell(f"going on after {training.state.step} steps, {training.state.seconds / 60:.1f} minutes")
    training.learn(file, seconds=60 * minutes, steps=steps, tell=tell)
    weights = out / f"st4rtrack-{training.size}.safetensors"
    state = {name: value.detach().cpu().contiguous() for name, value in training.best.state_dict().items()}
    half = {name: value if name == "shape_numbers" else value.half() for name, value in state.items()}
    training_state.replaced(weights, half, {"licence": "Apache-2.0"})
    tell("scoring on held-out pairs")
    card = out / (CARD + ".partial")
    told = f"{steps} steps" if steps else f"{minutes:g} minutes"
    card.write_text(pair_card(PairPointmap.from_pretrained(weights), weights.name, training.state, settings.mix, judged=judged, told=told))
    card.replace(out / CARD)
    return weights
