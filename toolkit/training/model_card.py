"""The text beside trained weights: what they learned from, and how good they are beside saying nothing at all."""

from __future__ import annotations

from itertools import islice

import numpy as np

from toolkit.models.checkpoints import count_of
from toolkit.models.tracksto4d import TracksTo4D
from toolkit.synthetic.track_scenes import HELD_OUT_SEEDS, VALIDATION_SEEDS, heldout_scenes
from toolkit.training.track_batches import BatchMix
from toolkit.training.tracksto4d_scores import COLUMNS, JUDGED_SIZES, by_network, scores, trivial
from toolkit.training.training_state import TrainingState

HIGHER_IS_BETTER = ("motion_auc",)
_CARD = """# {file}

Weights of the network of TracksTo4D (Kasten, Lu and Maron, "Fast Encoder-Based 3D from Casual Videos via Point Track Processing",
NeurIPS 2024), own implementation and own training: 2D tracks of one video in, cameras, moving points and a motion level per point out.
{parameters:.2f} million numbers, float16, Apache-2.0. `TracksTo4D.from_pretrained("{file}")` loads them.

## What they learned from
Generated scenes alone, no recording of anybody: `toolkit.synthetic.track_scene`, {scenes:,} of them in {steps:,} steps
({tokens:.3g} million track samples), {frames[0]} to {frames[1]} frames and {points[0]} to {points[1]} points, small ones more often,
seeds below {validation:,}; the focal length told is wrong by {focal_error:.0%} (standard deviation); clips are mirrored, reversed
and rolled. The losses are those against the truth (cameras, points, depth, what moves, focal length) and, with a small weight, those of
the paper.

Time box {told}; {minutes:.1f} minutes were used, {cpu:.1f} CPU-minutes of the process that learns, on {devices}. AdamW, cosine, seed
{seed}; the average over the steps with the lowest loss on validation scenes (seeds from {validation:,}), {best:.3f}.{skipped}

| minutes | steps | scenes | training loss | validation loss |
|---|---|---|---|---|
{history}

## How good they are
Means over {judged} held-out generated scenes of each size, seeds from {first_seed:,}, looked at once, after training. "Trivial" is a
camera that stands still and one depth for all points. ATE/D: error of the camera path after Sim(3) alignment, by the distance to the
scene. AbsRel: relative error of depth with the scale of each frame. Motion AUC: chance that a point that moves is told from one that
does not.

{table}

{verdict}

## What they are not
A start for an adjustment to the tracks, not an answer: bundle adjustment makes cameras several times better. The scenes judged here
come from the generator that taught; tracks of real videos were not tried here, and errors on them must be expected to be larger. The
unit of length is arbitrary. Without parallax depth is a guess.
"""


def model_card(network: TracksTo4D, file: str, state: TrainingState, mix: BatchMix, *, judged: int, told: str) -> str:
    """Markdown about weights, scored now.

    Args:
        network: With the weights as they are in the file.
        file: Its name.
        state: Of the training at its end.
        mix: What it learned from.
        judged: Held-out scenes of each size.
        told: The time box, for a person.
    """
    rows: list[str] = []
    worse: list[str] = []
    for frames, points in JUDGED_SIZES:
        scenes = list(islice(heldout_scenes(frames, points), judged))
        size, base, ours = f"{frames} × {points}", scores(trivial, scenes), scores(by_network(network), scenes)
        for name, row in (("trivial", base), ("these weights", ours)):
            rows.append(f"| {size} | {name} | " + " | ".join(f"{row[column]:.3f}" for column in COLUMNS) + " |")
        for column, title in COLUMNS.items():
            gain = ours[column] - base[column] if column in HIGHER_IS_BETTER else base[column] - ours[column]
            if not gain > 0:
                worse.append(f"{title} at {size}")
    heading = ["| frames × points | answer | " + " | ".join(COLUMNS.values()) + " |", "|" + "---|" * (2 + len(COLUMNS))]
    history = [f"| {s / 60:.1f} | {n:.0f} | {scenes:.0f} | {a:.3f} | {b:.3f} |" for s, n, scenes, a, b in _thinned(state.history)]
    return _CARD.format(
        file=file, parameters=count_of(network) / 1e6, scenes=state.scenes, steps=state.step, tokens=state.tokens / 1e6, told=told,
        minutes=state.seconds / 60, cpu=state.cpu_seconds / 60, devices=" and ".join(state.devices), seed=state.seed, best=state.best,
        skipped=f" {state.skipped} steps were skipped: their gradient was not finite." if state.skipped else "",
        frames=mix.frames, points=mix.points, focal_error=mix.recipe.focal_error, validation=VALIDATION_SEEDS.start,
        history="\n".join(history), judged=judged, first_seed=HELD_OUT_SEEDS.start, table="\n".join(heading + rows),
        verdict=f"No better than trivial: {', '.join(worse)}." if worse else "Better than trivial in every column.",
    )  # fmt: skip


def _thinned(history: list[list[float]], most: int = 8) -> list[list[float]]:
    """A few of the rows, evenly, the first and the last among them."""
    if len(history) <= most:
        return history
    return [history[i] for i in np.linspace(0, len(history) - 1, most).round().astype(int)]
