"""The shell's `train`: networks of ours learn from generated scenes, on a CPU or a graphics processor alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from toolkit.errors import UserError

Network = Literal["tracksto4d", "st4rtrack"]


def train_command(
    network: Annotated[Network, typer.Argument(help="What is trained.")],
    out: Annotated[Path, typer.Option(help="Folder for the state, the weights and the card that tells how good they are.")],
    minutes: Annotated[float, typer.Option(help="Time that it takes.", min=0.01)] = 60.0,
    steps: Annotated[int | None, typer.Option(help="So many steps instead of minutes.", min=1)] = None,
    size: Annotated[str, typer.Option(help="small, medium or large; auto for small on a CPU, large on a graphics processor.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or another name that torch knows.")] = "auto",
    seed: Annotated[int, typer.Option(help="Same seed and steps on a CPU, same weights.", min=0)] = 0,
    judged: Annotated[int, typer.Option(help="Held-out scenes of each size that the card tells scores of.", min=1, max=24)] = 24,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in the folder, if there is one.")] = False,
) -> None:
    """Trains a network on generated scenes; a run that was killed goes on with --resume."""
    try:
        from toolkit.training.pairpointmap import train_pairpointmap
        from toolkit.training.tracksto4d import train_tracksto4d
        from toolkit.training.tracksto4d_learning import SIZES, Size
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError("Training needs torch, which is not installed; pip install torch.") from error
    known: dict[str, Size] = {name: name for name in SIZES}
    if size not in (*known, "auto"):
        raise UserError(f"There is no size {size!r}; there are: auto, {', '.join(known)}.")
    train = train_tracksto4d if network == "tracksto4d" else train_pairpointmap
    written = train(
        out, minutes=minutes, steps=steps, size=known.get(size), device=device, seed=seed, resume=resume, judged=judged,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    print(f"wrote {written}")
    print(f"wrote {written.with_name('README.md')}")
