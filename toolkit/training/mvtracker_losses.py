"""What MVTracker (Rajič et al., ICCV 2025) is taught: places after every iteration, and whether any view sees the point."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

DISCOUNT = 0.8  # of an iteration against the next
HEIGHT_WEIGHT = 128 / 64.9  # of errors in z; left from an earlier network that divided depth 0.1 .. 65 into 128 bins
VISIBILITY_WEIGHT = 0.1
LEAST_COUNT = 1e-6  # keeps the mean of nothing at zero


def mvtracker_loss(places: Tensor, visibility: Tensor, *, unit: float = 1.0) -> Tensor:
    """Both losses in the published proportion.

    Args:
        places: Of `place_loss`.
        visibility: Of `visibility_loss`.
        unit: Of the network's world, in that of the data set: the inverse of its normalisation's scale.
    """
    return unit * places + VISIBILITY_WEIGHT * visibility


def place_loss(predictions: Sequence[Sequence[Tensor]], truth: Sequence[Tensor], valid: Sequence[Tensor]) -> Tensor:
    """Mean over windows of the errors of all iterations, the later ones counting more.

    Args:
        predictions: Per window and iteration (..., 3) places.
        truth: Per window (..., 3) places.
        valid: Per window (...) 1 where a sample counts: from its track's query on, hidden or not.
    """
    windows = []
    for steps, wanted, counts in zip(predictions, truth, valid, strict=True):
        weight = torch.tensor([1.0, 1.0, HEIGHT_WEIGHT], dtype=wanted.dtype, device=wanted.device)
        errors = [_mean(((found - wanted).abs() * weight).mean(-1), counts) for found in steps]
        windows.append(sum(DISCOUNT ** (len(steps) - 1 - i) * error for i, error in enumerate(errors)) / len(steps))
    return torch.stack([torch.as_tensor(w) for w in windows]).mean()


def visibility_loss(logits: Sequence[Tensor], truth: Sequence[Tensor], valid: Sequence[Tensor]) -> Tensor:
    """Sum over windows of the logistic losses, those of seen and of hidden samples having the same weight in each.

    Args:
        logits: Per window (...).
        truth: Per window (...) 1 where any view sees the point.
        valid: Per window (...) 1 where a sample counts.
    """
    windows = []
    for found, seen, counts in zip(logits, truth, valid, strict=True):
        loss = functional.binary_cross_entropy_with_logits(found, seen, reduction="none")
        windows.append(_mean(loss, counts * seen) + _mean(loss, counts * (1 - seen)))
    return torch.stack(windows).sum()


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / (weight.sum() + LEAST_COUNT)
