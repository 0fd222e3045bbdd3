"""What the compact two-view network learns from generated pairs: pointmaps, how sure they are, motion, matches, cameras."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from toolkit.models.pairpointmap_parts import Answer
from toolkit.synthetic.pointmap_rendering import PointmapPairs

NEAREST = 0.05  # errors are shares of the distance, of no less than this
MOVED = 0.01  # a point that goes less far, as a share of its distance, stands still


@dataclass(frozen=True)
class PairWeights:
    """How much each part counts.

    Attributes:
        tracked: Of where the reference's surface is at the other's moment, as the negative logarithm of a Laplace density.
        recon: Of what the other frame shows, the same.
        depth: Of the logarithms of both depths.
        edges: Of their differences between neighbours.
        motion: Of the motion itself, where something moves.
        gate: Of what moves, a cross-entropy.
        visible: Of what is seen in the other frame, the same.
        match: Of which cell each cell is found in, the same.
        turn: Of the camera's rotation matrix.
        way: Of its place.
        focal: Of the logarithm of the focal length.
    """

    tracked: float = 0.5
    recon: float = 0.5
    depth: float = 2.0
    edges: float = 1.0
    motion: float = 2.0
    gate: float = 0.3
    visible: float = 0.3
    match: float = 0.15
    turn: float = 2.0
    way: float = 3.0
    focal: float = 0.5


def pair_losses(found: Answer, truth: PointmapPairs, weights: PairWeights) -> dict[str, Tensor]:
    """How far the answer is from the truth.

    Returns:
        "total" and its parts before they are weighed, named as the weights.
    """
    moved = truth.tracked - truth.base
    far = truth.base.norm(dim=-1).clamp(min=NEAREST)
    moves = moved.norm(dim=-1) > MOVED * far
    z1, zj = truth.base[..., 2].clamp(min=NEAREST).log(), truth.depth.clamp(min=NEAREST).log()
    p1, pj = found.base[..., 2].clamp(min=1e-3).log(), found.depth.log()
    parts = {
        "tracked": _laplace(found.tracked, truth.tracked, found.log_sigma[0]),
        "recon": _laplace(found.recon, truth.recon, found.log_sigma[1]),
        "depth": (p1 - z1).abs().mean() + (pj - zj).abs().mean(),
        "edges": _edges(p1 - z1) + _edges(pj - zj),
        "motion": (((found.flow - moved).norm(dim=-1) / far) * moves).sum() / moves.sum().clamp(min=100),
        "gate": functional.binary_cross_entropy_with_logits(found.gate, moves.float()),
        "visible": functional.binary_cross_entropy_with_logits(found.visible, truth.seen.float()),
        "match": _match(found, truth),
        "turn": (found.R - truth.T_1j[:, :3, :3]).abs().sum((1, 2)).mean(),
        "way": (found.t - truth.T_1j[:, :3, 3]).norm(dim=1).mean(),
        "focal": (found.log_focal - truth.focal.log()).abs().mean(),
    }
    total = sum(getattr(weights, name) * part for name, part in parts.items())
    assert isinstance(total, Tensor)
    return {"total": total, **parts}


def _laplace(found: Tensor, truth: Tensor, log_sigma: Tensor) -> Tensor:
    error = (found - truth).norm(dim=-1) / truth.norm(dim=-1).clamp(min=NEAREST)
    return (error.clamp(max=5) / log_sigma.exp() + log_sigma).mean()


def _edges(error: Tensor) -> Tensor:
    """Mean difference of an error (B, H, W) between neighbours, near and a little farther."""
    steps = [(error[:, :, k:] - error[:, :, :-k]).abs().mean() + (error[:, k:] - error[:, :-k]).abs().mean() for k in (1, 4)]
    return torch.stack(steps).sum()


def _match(found: Answer, truth: PointmapPairs) -> Tensor:
    """Cross-entropy of the cell in which the middle of each cell is seen."""
    cell = 4  # pixels of the truth, which is told at half the resolution, in one that is matched
    at, seen = (values[:, cell // 2 :: cell, cell // 2 :: cell] for values in (truth.at, truth.seen))
    rows, columns = seen.shape[1:]
    scale = torch.tensor([columns, rows], device=at.device)
    there = (at.nan_to_num() * scale).floor().long()
    target = (there[..., 1].clamp(0, rows - 1) * columns + there[..., 0].clamp(0, columns - 1)).flatten(1)
    chosen = found.match.log_forward.gather(2, target[..., None])[..., 0]
    weight = seen.flatten(1).float()
    return -(chosen * weight).sum() / weight.sum().clamp(min=1)
