"""Camera poses from pointmaps, many at once, with gradients: Levenberg-Marquardt without them, then one Gauss-Newton step with them.

The implicit-function view of PnP as in EPro-PnP (Chen et al., CVPR 2022), whose last step carries the gradient from the pose to the points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEAREST = 0.01  # z is taken for no less
DAMPING = 1e-5  # of the step that carries the gradient
TINY = 1e-12


@dataclass(frozen=True)
class PnpOptions:
    """How poses are found.

    Attributes:
        steps: Of Levenberg-Marquardt at most.
        margin_px: Projections farther outside the picture than this are held at its border and pull no more.
        huber_share: The Huber threshold, as a share of how far the pixels are spread, times the mean weight.
        tolerance: Relative gain of a step below which it ends.
    """

    steps: int = 30
    margin_px: float = 10.0
    huber_share: float = 0.1
    tolerance: float = 1e-9


def solve_pnp(
    x3d: Tensor, x2d: Tensor, weight: Tensor, K: Tensor, size: tuple[int, int], start: Tensor, options: PnpOptions | None = None
) -> Tensor:
    """Poses that project points to their pixels; gradients flow to points, pixels and weights.

    Args:
        x3d: (B, N, 3) points.
        x2d: (B, N, 2) pixels, in the convention of K.
        weight: (B, N, 2) how sure each coordinate is; 0 for not at all.
        K: (B, 3, 3) intrinsics.
        size: (width, height) of the picture.
        start: (B, 7) poses to start from: translation, then quaternion (w, x, y, z), camera from world.
        options: How.

    Returns:
        (B, 7) poses in the same form.
    """
    use = options or PnpOptions()
    low = torch.tensor([-use.margin_px, -use.margin_px], dtype=x3d.dtype, device=x3d.device)
    high = torch.tensor([size[0] - 1 + use.margin_px, size[1] - 1 + use.margin_px], dtype=x3d.dtype, device=x3d.device)
    with torch.no_grad():
        delta = huber_delta(x2d, weight, use.huber_share)
        pose = _minimised(start.detach(), x3d, x2d, weight, K, low, high, delta, use)
    return gauss_newton_step(pose, x3d, x2d, weight, K, low, high, delta)


def huber_delta(x2d: Tensor, weight: Tensor, share: float) -> Tensor:
    """(B,) threshold from which residuals count linearly."""
    return weight.mean((-2, -1)) * x2d.var(-2).sum(-1).sqrt() * share


def gauss_newton_step(
    pose: Tensor, x3d: Tensor, x2d: Tensor, weight: Tensor, K: Tensor, low: Tensor, high: Tensor, delta: Tensor
) -> Tensor:
    """One step from poses (B, 7); at their best it goes nowhere, but its gradient is that of the poses."""
    r, J = _residuals(pose, x3d, x2d, weight, K, low, high, delta)
    normal = J.transpose(1, 2) @ J + DAMPING * torch.eye(6, dtype=J.dtype, device=J.device)
    step = -torch.linalg.solve(normal, (J.transpose(1, 2) @ r[..., None])[..., 0])
    return moved(pose, step)


def moved(pose: Tensor, step: Tensor) -> Tensor:
    """Poses (B, 7) after a step (B, 6) of translation and half a rotation vector, seen from the camera."""
    w, x, y, z = pose[:, 3:].unbind(-1)
    T = torch.stack([-x, -y, -z, w, z, -y, -z, w, x, y, -x, w], -1).reshape(-1, 4, 3)
    quaternion = pose[:, 3:] + (T @ step[:, 3:, None])[..., 0]
    return torch.cat([pose[:, :3] + step[:, :3], torch.nn.functional.normalize(quaternion, dim=-1)], -1)


def rotation_of(quaternion: Tensor) -> Tensor:
    """(B, 3, 3) rotations of unit quaternions (B, 4), w first."""
    w, x, y, z = quaternion.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*quaternion.shape[:-1], 3, 3)


def _residuals(
    pose: Tensor, x3d: Tensor, x2d: Tensor, weight: Tensor, K: Tensor, low: Tensor, high: Tensor, delta: Tensor
) -> tuple[Tensor, Tensor]:
    """(B, 2 N) weighted residuals, and (B, 2 N, 6) their derivatives; those beyond the Huber threshold count as its square root does."""
    turned = x3d @ rotation_of(pose[:, 3:]).transpose(1, 2)
    local = turned + pose[:, None, :3]
    z = local[..., 2].clamp(min=NEAREST)
    ahead = local[..., 2] >= NEAREST
    focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], -1)[:, None]
    free = local[..., :2] / z[..., None] * focal + K[:, None, :2, 2]
    inside = (free >= low) & (free <= high)
    r = (torch.minimum(torch.maximum(free, low), high) - x2d) * weight
    zero = torch.zeros_like(z)
    by_z = torch.where(ahead, -1 / z**2, zero)
    du = torch.stack([1 / z, zero, local[..., 0] * by_z], -1) * focal[..., :1]
    dv = torch.stack([zero, 1 / z, local[..., 1] * by_z], -1) * focal[..., 1:]
    D = torch.stack([du, dv], 2)  # (B, N, 2, 3)
    x, y, w = turned.unbind(-1)
    cross = 2 * torch.stack([zero, w, -y, -w, zero, x, y, -x, zero], -1).reshape(*z.shape, 3, 3)  # d(turned) by half a rotation vector
    J = torch.cat([D, D @ cross], -1) * (weight * inside)[..., None]
    length = (r.square().sum(-1) + TINY).sqrt()
    soft = (delta[:, None] / length).clamp(max=1).sqrt()[..., None]
    return (r * soft).flatten(1), (J * soft[..., None]).flatten(1, 2)


def _cost(pose: Tensor, x3d: Tensor, x2d: Tensor, weight: Tensor, K: Tensor, low: Tensor, high: Tensor, delta: Tensor) -> Tensor:
    turned = x3d @ rotation_of(pose[:, 3:]).transpose(1, 2) + pose[:, None, :3]
    focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], -1)[:, None]
    free = turned[..., :2] / turned[..., 2:].clamp(min=NEAREST) * focal + K[:, None, :2, 2]
    length = ((torch.minimum(torch.maximum(free, low), high) - x2d) * weight).norm(dim=-1)
    d = delta[:, None]
    return torch.where(length > d, d * (length - 0.5 * d), 0.5 * length**2).sum(-1)


def _minimised(
    pose: Tensor, x3d: Tensor, x2d: Tensor, weight: Tensor, K: Tensor, low: Tensor, high: Tensor, delta: Tensor, use: PnpOptions
) -> Tensor:
    given = (x3d.detach(), x2d.detach(), weight.detach(), K, low, high, delta)
    cost = _cost(pose, *given)
    damping = torch.full_like(cost, 1e-3)
    for _ in range(use.steps):
        r, J = _residuals(pose, *given)
        normal = J.transpose(1, 2) @ J
        diagonal = torch.diag_embed(normal.diagonal(dim1=1, dim2=2) + 1e-9)
        step = -torch.linalg.solve(normal + damping[:, None, None] * diagonal, (J.transpose(1, 2) @ r[..., None])[..., 0])
        trial = moved(pose, step)
        new = _cost(trial, *given)
        better = new < cost
        gain = ((cost - new) / cost.clamp(min=TINY))[better]
        pose = torch.where(better[:, None], trial, pose)
        cost = torch.where(better, new, cost)
        damping = torch.where(better, damping * 0.3, damping * 5).clamp(1e-9, 1e9)
        if bool(better.all()) and float(gain.max()) < use.tolerance:
            break
    return pose
