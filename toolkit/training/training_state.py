"""All that a training needs to go on after it was killed, in one file that is replaced at once or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from toolkit.errors import UserError

NAME = "training.safetensors"
_ABOUT = "lift4d_training"


@dataclass
class TrainingState:
    """Where a training stands. Chance is a function of the seed and the step, so there is no more of it to keep.

    Attributes:
        model: What is trained: name of the network and its size.
        seed: Of everything.
        step: Batches learned from.
        scenes: Clips in them.
        tokens: Points times frames in them.
        skipped: Batches whose gradient was not finite.
        seconds: Time used, without what lies between two runs.
        cpu_seconds: Of the processor, of the process that learns.
        devices: What it ran on.
        best: Lowest validation loss so far.
        history: (seconds, step, scenes, training loss, validation loss) now and then.
    """

    model: str
    seed: int
    step: int = 0
    scenes: int = 0
    tokens: int = 0
    skipped: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    devices: list[str] = field(default_factory=list)
    best: float = float("inf")
    history: list[list[float]] = field(default_factory=list)


def write_state(path: Path, state: TrainingState, networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Writes the state, networks by name and AdamW's moments."""
    tensors = {f"{part}/{name}": value for part, network in networks.items() for name, value in network.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{i}/{name}": value for name, value in moments.items()}
    about = asdict(state) | {"best": None if state.best == float("inf") else state.best}
    replaced(path, {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, {_ABOUT: json.dumps(about)})


def read_state(path: Path, networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> TrainingState:
    """Fills networks and optimiser from a file of `write_state`.

    Raises:
        UserError: if it is none, or not of these networks.
    """
    about = read_about(path)
    tensors: dict[str, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  (it is no dictionary)
            part, _, rest = name.partition("/")
            tensors.setdefault(part, {})[rest] = file.get_tensor(name)
    try:
        for part, network in networks.items():
            network.load_state_dict(tensors[part])
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{path} is not the state of a training of this network: {str(error).splitlines()[0]}.") from error
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.get("optimizer", {}).items():
        i, _, kind = name.partition("/")
        moments.setdefault(int(i), {})[kind] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return about


def read_about(path: Path) -> TrainingState:
    """What a file of `write_state` says of the training, without its numbers.

    Raises:
        UserError: if it is none.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_ABOUT])
    except (SafetensorError, OSError, KeyError) as error:
        raise UserError(f"{path} is not the state of a training, or is damaged; remove it to begin anew.") from error
    return TrainingState(**about | {"best": float("inf") if about["best"] is None else about["best"]})


def replaced(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a .safetensors file beside its place and moves it there."""
    beside = path.with_name(path.name + ".partial")
    save_file(tensors, beside, metadata)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)
