"""What TracksTo4D learns from: how well its answer explains the tracks, without any 3D truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from toolkit.models.tracksto4d import CAMERA_DEPTH

Answer = Mapping[str, Tensor]
"""What the network answers, see `TracksTo4D.forward`."""


@dataclass(frozen=True)
class UnsupervisedWeights:
    """How much each part of the loss counts; the defaults are the published ones, found in the published code alone.

    Attributes:
        reprojection: Of the distance between tracks and moving points' projections, in the unit of the tracks.
        static: Of the negative log-likelihood of tracks if all points were still, under a Cauchy distribution of their own width.
        negative_depth: Of the depths behind the camera, a sum, not a mean.
        sparsity: Of the moving bases of points, by how much the points move.
        epsilon: Under the root of the distance, so that it has a gradient at zero; squared units of the tracks.
    """

    reprojection: float = 50.0
    static: float = 1.0
    negative_depth: float = 1.0
    sparsity: float = 1e-3
    epsilon: float = 1e-10


PUBLISHED = UnsupervisedWeights()


def unsupervised_loss(
    found: Answer, tracks: Tensor, weights: UnsupervisedWeights = PUBLISHED, *, limit: float | None = None
) -> dict[str, Tensor]:
    """The loss of the paper (section 3.3), of a batch, and its parts before they are weighed.

    Hidden samples don't count. The static part has no lower bound: it falls on as points are explained better, so negative values
    are good.

    Args:
        found: The network's answer.
        tracks: (b, P, 3, N) what it saw.
        weights: Of the parts.
        limit: The total is cut off here, and a batch that is explained worse teaches nothing; published after the third epoch is 100.

    Returns:
        "total", "reprojection", "static", "negative_depth", "sparsity": scalars.
    """
    seen = tracks[:, :, 2].transpose(1, 2) > 0.5  # noqa: PLR2004  (0 or 1); (b, N, P)
    xy = torch.where(seen[:, :, None], tracks[:, :, :2].permute(0, 3, 2, 1), 0)  # (b, N, 2, P); what is hidden may be NaN
    strayed = ((found["uv"] - xy) ** 2).sum(2)[seen]
    strayed_still = ((found["uv_static"] - xy) ** 2).sum(2)[seen]
    gamma = found["gamma"][:, None].expand(seen.shape)[seen]
    moving_bases = found["B"][..., 1:]
    parts = {
        "reprojection": (strayed + weights.epsilon).sqrt().mean(),
        "static": (gamma + strayed_still / gamma).log().mean(),
        "negative_depth": -found["depth"][seen].clamp(max=0).sum(),
        "sparsity": (moving_bases / found["gamma"].detach()[..., None, None]).abs().mean(),
    }
    total = sum(getattr(weights, name) * part for name, part in parts.items())
    assert isinstance(total, Tensor)
    return {"total": total if limit is None else total.clamp(max=limit), **parts}


def canonical_pose_loss(found: Answer) -> Tensor:
    """How far all cameras are from one that looks at the world's origin from `CAMERA_DEPTH`: the published first phase of training.

    It ends when this falls below 1e-4; `TracksTo4D.start_at_canonical_pose` makes it needless.
    """
    at = torch.tensor([0.0, 0.0, -CAMERA_DEPTH], device=found["t"].device)
    apart = ((found["t"] - at) ** 2).sum(1).mean()  # summed over frames, as published
    turned = ((found["R"] - torch.eye(3, device=found["R"].device)) ** 2).mean()
    return (apart + 100 * turned) / 100
