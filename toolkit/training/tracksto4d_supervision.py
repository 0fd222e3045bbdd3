"""What the network learns from scenes whose truth is known: cameras, points, depths and which points move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from toolkit.models.tracksto4d import CAMERA_DEPTH
from toolkit.models.tracksto4d_scene import normalised
from toolkit.synthetic.track_scenes import TrackScene

NEAREST = 0.02 * CAMERA_DEPTH  # nearer true depths count as this: errors are divided by them


@dataclass(frozen=True)
class SupervisedWeights:
    """How much each part counts; chosen so that all are of one size early in training.

    Attributes:
        rotation: Of the sine of the half angle between cameras, doubled.
        centre: Of the distance between camera centres by the distance to the scene.
        points: Of the distance between points by their depth.
        still_points: The same, of still points' own place.
        depth: Of the difference of logarithms of depths.
        motion: Of the cross-entropy of which points move.
        focal: Of the difference of logarithms of focal lengths.
        motion_scale: Motion level that is as likely a moving point's as a still one's, in the unit of the tracks.
    """

    rotation: float = 4.0
    centre: float = 4.0
    points: float = 1.0
    still_points: float = 1.0
    depth: float = 1.0
    motion: float = 0.1
    focal: float = 4.0
    motion_scale: float = 0.03


SUPERVISED = SupervisedWeights()


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of a batch, in the network's unit and world: the middle camera is unturned at (0, 0, -15), the median depth is 15.

    Attributes:
        R: (b, N, 3, 3) world-from-camera.
        t: (b, N, 3) camera centres.
        X: (b, N, 3, P) points.
        depth: (b, N, P) in the camera.
        visible: (b, N, P) which samples count.
        moving: (b, P) which points move.
        focal: (b,) true focal length by the one that is told.
    """

    R: Tensor
    t: Tensor
    X: Tensor
    depth: Tensor
    visible: Tensor
    moving: Tensor
    focal: Tensor

    def to(self, device: torch.device | str) -> Truth:
        """The same on another device."""
        return Truth(**{name: value.to(device) for name, value in vars(self).items()})


def as_batch(scenes: Sequence[TrackScene]) -> tuple[Tensor, Truth]:
    """Scenes of the same size as what the network sees, (b, P, 3, N), and what it shall say."""
    tracks, rows = [], []
    for scene in scenes:
        uv = normalised(scene.tracks.xy, np.broadcast_to(scene.K, scene.cameras.K.shape))
        tracks.append(np.concatenate([uv, scene.tracks.visible[..., None]], axis=-1).transpose(0, 2, 1))
        R, t, X, depth = canonical(scene.cameras.T_wc, scene.xyz, scene.visible)
        focal = scene.cameras.K[0, 0, 0] / scene.K[0, 0]
        rows.append((R, t, X.transpose(1, 2, 0), depth.T, scene.visible.T, scene.moving, focal))

    def stacked(arrays: Sequence[NDArray]) -> Tensor:
        array = np.stack(arrays)
        return torch.from_numpy(array if array.dtype == bool else array.astype(np.float32))

    return stacked(tracks), Truth(*(stacked(column) for column in zip(*rows, strict=True)))


def canonical(T_wc: NDArray, xyz: NDArray, visible: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Cameras (T, 4, 4) and points (N, T, 3) in the network's unit and world: R, t, X (N, T, 3), depth (N, T)."""
    R, centres = T_wc[:, :3, :3], T_wc[:, :3, 3]
    depth = np.einsum("tj,ntj->nt", R[:, :, 2], xyz - centres)
    scale = CAMERA_DEPTH / np.median(depth[visible])
    middle = len(T_wc) // 2
    away = np.array([0.0, 0.0, -CAMERA_DEPTH])
    t, X = (scale * (points - centres[middle]) @ R[middle] + away for points in (centres, xyz))
    return R[middle].T @ R, t, X, scale * depth


def supervised_loss(found: Mapping[str, Tensor], truth: Truth, weights: SupervisedWeights = SUPERVISED) -> dict[str, Tensor]:
    """How far the network's answer is from the truth.

    The answer should come from `forward(..., detach=False)`: here the moving points may teach the cameras.

    Args:
        found: The network's answer.
        truth: Of the same clips.
        weights: Of the parts.

    Returns:
        "total" and its parts before they are weighed, named as the weights.
    """
    depth = truth.depth.clamp(min=NEAREST)
    still = truth.visible & ~truth.moving[:, None]
    parts = {
        "rotation": (0.5 * ((found["R"] - truth.R) ** 2).sum((-1, -2)) + 1e-10).sqrt().mean(),
        "centre": ((found["t"] - truth.t).norm(dim=-1) / CAMERA_DEPTH).mean(),
        "points": _mean((found["X"] - truth.X).norm(dim=2) / depth, truth.visible),
        "still_points": _mean((found["X_static"] - truth.X).norm(dim=2) / depth, still),
        "depth": _mean((found["depth"].clamp(min=NEAREST).log() - depth.log()).abs(), truth.visible),
        "motion": functional.binary_cross_entropy_with_logits((found["gamma"] / weights.motion_scale).log(), truth.moving.float()),
        "focal": (found["focal"].log() - truth.focal.log()[:, None]).abs().mean(),
    }
    total = sum(getattr(weights, name) * part for name, part in parts.items())
    assert isinstance(total, Tensor)
    return {"total": total, **parts}


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over a mask, zero where it is empty; what is outside may be anything but NaN."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
