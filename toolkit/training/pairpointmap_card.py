"""The text beside trained weights of the two-view network: what they learned from, and how good they are beside three trivial answers."""

from __future__ import annotations

import time

from toolkit.models.checkpoints import count_of
from toolkit.models.pairpointmap import PairPointmap
from toolkit.synthetic.pointmap_scenes import HELD_OUT_SEEDS, VALIDATION_SEEDS
from toolkit.training.pairpointmap_batches import PairMix, held_out_pairs
from toolkit.training.pairpointmap_scores import (
    HIGHER_IS_BETTER,
    PAIR_COLUMNS,
    UNIT_M,
    by_network,
    constant_depth,
    pair_scores,
    true_depth_without_motion,
    without_motion,
)  # fmt: skip
from toolkit.training.training_state import TrainingState

_CARD = """# {file}

Weights of the compact two-view network of the method st4rtrack, after St4RTrack (Feng et al., ICCV 2025), own design and own training:
a reference frame and another one in, two pointmaps at the other's moment in the reference's camera out, with how sure each is, what is
seen and what moves. {parameters:.2f} million numbers, float16, Apache-2.0. `PairPointmap.from_pretrained("{file}")` loads them.

## What they learned from
Generated pairs alone, no recording of anybody: `toolkit.synthetic.pointmap_scenes`, {pairs:,} of them in {steps:,} steps, pictures of
{sizes} px, seeds below {validation:,}; the focal length was told for {told_share:.0%} of them. Balls, boxes, rooms and figures that swing
their limbs, in textures of noise, stripes and checks.

Time box {told}; {minutes:.1f} minutes were used, {cpu:.1f} CPU-minutes, on {devices}. AdamW, cosine, seed {seed}; the average over the
steps with the lowest loss on validation pairs (seeds from {validation:,}), {best:.3f}.{skipped}

| minutes | steps | pairs | training loss | validation loss |
|---|---|---|---|---|
{history}

## How good they are
Means over {judged} held-out generated pairs, seeds from {first_seed:,}, textures that were never shown, 15 to 85 % of a clip
apart; the focal length is not told. Looked at once, after training. The mean distance of each scene counts as {unit:g} m; APD is the
share of points within 0.1, 0.3, 0.5 and 1 m after median scale (WorldTrack's protocol), EPE their mean distance, "moving" the part
that moves.

{table}

"Constant depth" is one depth for every pixel, nothing moves. "Own geometry, no motion" is these weights on each frame paired with
itself. "True depth, no motion" is given what picture 1 shows and lets it stand. {verdict}
{cpu_pair:.2f} CPU-seconds a pair of {side} x {side} px on one thread.

## What they are not
No substitute for geometry: generated balls and boxes teach little about people, streets and rooms. The method st4rtrack takes cameras
and points from tracks and asks these weights only where tracks say little, weighted by the error that is measured on the very clip. The
unit of length is arbitrary.
"""


def pair_card(network: PairPointmap, file: str, state: TrainingState, mix: PairMix, *, judged: int, told: str) -> str:
    """Markdown about weights, scored now.

    Args:
        network: With the weights as they are in the file.
        file: Its name.
        state: Of the training at its end.
        mix: What it learned from.
        judged: Held-out pairs.
        told: The time box, for a person.
    """
    held = held_out_pairs(judged)
    answers = {
        "constant depth": constant_depth,
        "own geometry, no motion": without_motion(network),
        "true depth, no motion": true_depth_without_motion,
        "these weights": by_network(network),
    }
    scores = {name: pair_scores(answerer, held) for name, answerer in answers.items()}
    rows = ["| answer | " + " | ".join(PAIR_COLUMNS.values()) + " |", "|" + "---|" * (1 + len(PAIR_COLUMNS))]
    for name, row in scores.items():
        rows.append(f"| {name} | " + " | ".join(f"{row[c]:.3g}" if row[c] == row[c] else "" for c in PAIR_COLUMNS) + " |")
    ours = scores["these weights"]
    worse = [
        f"{title} ({name})"
        for column, title in PAIR_COLUMNS.items()
        for name in ("constant depth", "own geometry, no motion")
        if not (ours[column] - scores[name][column]) * (1 if column in HIGHER_IS_BETTER else -1) > 0
    ]
    verdict = (
        "These weights are better than the first two in every column." if not worse else f"No better than trivial: {', '.join(worse)}."
    )
    history = [f"| {s / 60:.1f} | {n:.0f} | {p:.0f} | {a:.3f} | {b:.3f} |" for s, n, p, a, b in _thinned(state.history)]
    return _CARD.format(
        file=file, parameters=count_of(network) / 1e6, pairs=state.scenes, steps=state.step, told=told, minutes=state.seconds / 60,
        cpu=state.cpu_seconds / 60, devices=" and ".join(state.devices), seed=state.seed, best=state.best,
        validation=VALIDATION_SEEDS.start,
        sizes=", ".join(f"{w} x {h}" for w, h in mix.sizes), told_share=mix.told, history="\n".join(history), judged=judged,
        skipped=f" {state.skipped} steps were skipped: their gradient was not finite." if state.skipped else "",
        first_seed=HELD_OUT_SEEDS.start, unit=UNIT_M, table="\n".join(rows), verdict=verdict, cpu_pair=cpu_per_pair(network), side=256,
    )  # fmt: skip


def cpu_per_pair(network: PairPointmap, side: int = 256) -> float:
    """CPU-seconds of one pair of square pictures, the best of three."""
    import torch

    images, times = torch.rand(1, 2, 3, side, side), []
    for _ in range(3):
        began = time.process_time()
        with torch.inference_mode():
            network(images, torch.full((1,), torch.nan))
        times.append(time.process_time() - began)
    return min(times)


def _thinned(history: list[list[float]], most: int = 8) -> list[list[float]]:
    """A few of the rows, evenly, the first and the last among them."""
    if len(history) <= most:
        return history
    return [history[round(i * (len(history) - 1) / (most - 1))] for i in range(most)]
