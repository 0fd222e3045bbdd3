"""Goes on training a TracksTo4D network on the tracks of one video, with the paper's losses: nothing is known but the tracks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toolkit.models.tracksto4d import TracksTo4D
from toolkit.progress import Report, silent
from toolkit.training.tracksto4d_losses import UnsupervisedWeights, unsupervised_loss


@dataclass(frozen=True)
class FinetuningSettings:
    """How a network learns from one video; the defaults are the published ones.

    Attributes:
        rate: Of Adam.
        weights: Of the parts of the loss; its total is not cut off, as in the published fine-tuning.
        most_gradient: Norm that gradients are cut to; far above the usual one, it only keeps one step from spoiling everything.
    """

    rate: float = 1e-4
    weights: UnsupervisedWeights = field(default_factory=UnsupervisedWeights)
    most_gradient: float = 1e3


@dataclass(frozen=True, eq=False)
class Finetuned:
    """What came of it.

    Attributes:
        network: With the weights whose loss was the lowest: those of the beginning where no step was any good.
        before: The loss and its parts at first, means over the clips.
        after: The same of the weights that were kept.
        kept: After how many steps these were.
    """

    network: TracksTo4D
    before: dict[str, float]
    after: dict[str, float]
    kept: int


def fine_tuned(
    network: TracksTo4D, clips: Sequence[Tensor], *, steps: int, settings: FinetuningSettings | None = None, report: Report = silent
) -> Finetuned:
    """The network after so many steps of Adam on these clips, each step on all of them; the given one stays as it is.

    Memory is that of learning from the largest clip: they are gone through one by one.

    Args:
        network: Any, parity or not.
        clips: Of (1, P, 3, N) what the network sees of each window of the video.
        steps: How many.
        settings: How.
        report: Called per clip of each step; it may raise `Cancelled`.
    """
    settings = settings or FinetuningSettings()
    learner = copy.deepcopy(network).eval().requires_grad_(True)
    optimizer = torch.optim.Adam(learner.parameters(), lr=settings.rate)
    best, before, after, kept = network, {}, {}, 0
    total = (steps + 1) * len(clips)
    for step in range(steps + 1):
        optimizer.zero_grad(set_to_none=True)
        told: dict[str, float] = {}
        for n, clip in enumerate(clips):
            # The last round only judges the last step.
            with torch.set_grad_enabled(step < steps):
                parts = unsupervised_loss(learner(clip), clip, settings.weights)
                if step < steps:
                    (parts["total"] / len(clips)).backward()
            for name, value in parts.items():
                told[name] = told.get(name, 0.0) + float(value.detach()) / len(clips)
            report(step * len(clips) + n + 1, total)
        if step == 0:
            before = after = told
        elif told["total"] < after["total"]:  # never with NaN
            after, kept, best = told, step, copy.deepcopy(learner)
        if step < steps:
            norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), settings.most_gradient)
            if not torch.isfinite(norm):
                break
            optimizer.step()
    return Finetuned(best, before, after, kept)
