"""One place a point and frame, of what its own views say and of what the rigid thing that it belongs to says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.multiview.bodies import Body
from toolkit.scene import F64, B


@dataclass(frozen=True)
class FusionOptions:
    """How both are weighed.

    Attributes:
        outlier_sigmas: A point's own place that is farther from where its body puts it is a slip.
        least_sigma_share: A body is never more rigid than this share of its size.
    """

    outlier_sigmas: float = 4.0
    least_sigma_share: float = 0.003


def fuse(xyz_w: NDArray, sigma: NDArray, bodies: list[Body], options: FusionOptions | None = None) -> tuple[F64, F64, B]:
    """Places of N points in T frames.

    How far a point's own places usually are from where its body puts them is how much the body is trusted for that point: skin over a
    bone is trusted less than a corner of a board.

    Args:
        xyz_w: (N, T, 3) own places, NaN where none.
        sigma: (N, T) their standard deviation per axis.
        bodies: Rigid things.
        options: How both are weighed.

    Returns:
        (N, T, 3) places, (N, T) sigmas, and (N, T) where the point's own place was believed.
    """
    options = options or FusionOptions()
    xyz, out = xyz_w.astype(np.float64).copy(), sigma.astype(np.float64).copy()
    believed = np.isfinite(xyz[..., 0])
    for body in bodies:
        size = float(np.linalg.norm(body.shape - body.shape.mean(0), axis=1).max())
        posed = np.isfinite(body.T_wb[:, 0, 0])
        for n, place in zip(body.members, body.shape, strict=True):
            said = np.full((len(posed), 3), np.nan)
            said[posed] = body.T_wb[posed, :3, :3] @ place + body.T_wb[posed, :3, 3]
            apart = np.linalg.norm(xyz_w[n] - said, axis=-1) / np.sqrt(3)
            usual = 1.4826 * np.nanmedian(apart) if np.isfinite(apart).sum() >= 4 else 0.1 * size
            trust = max(usual, options.least_sigma_share * size)
            own = np.isfinite(apart)
            slip = own & (apart > options.outlier_sigmas * np.hypot(trust, np.nan_to_num(sigma[n])))
            share = np.where(own & ~slip, trust**2 / (trust**2 + np.nan_to_num(sigma[n], nan=1.0) ** 2), 0.0)
            mixed = said + share[:, None] * np.nan_to_num(xyz_w[n] - said)
            xyz[n, posed] = mixed[posed]
            both = 1 / np.sqrt(1 / trust**2 + np.where(share > 0, 1 / np.nan_to_num(sigma[n], nan=1.0) ** 2, 0.0))
            out[n, posed] = both[posed]
            believed[n] &= ~slip
    return xyz, out, believed
