"""Moving points between where they were placed and where a network believes them, by how sure each is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolkit.lifting.track_movers import Movers
from toolkit.scene import F64

MOST_RATIO = float(np.log(3.0))
"""Of the two depths, as a logarithm; a network that differs by more speaks of something else."""


def drawn_to_network(movers: Movers, centres: F64, R: F64, uv: F64, believed: F64, sigma: float, *, alike: float = 0.0) -> Movers:
    """Moving points drawn along their viewing rays towards a network's depths.

    How far a body is, is told by how it moves; the network adds what it learned of scenes, and how the points of a body lie to each other.
    Tracks that the network was not asked about go with the nearest one of their body. Where the two contradict each other the result is
    less sure: its variance is that of the two mixed, and of what they have in common.

    Args:
        movers: As placed.
        centres: (T, 3) camera centres.
        R: (T, 3, 3) camera-to-world rotations.
        uv: (T, M, 2) where the tracks are seen, normalised.
        believed: (T, M) depths of the network in the unit of the cameras, NaN where there are none.
        sigma: How sure the network is, as a logarithm.
        alike: Correlation of the errors of the two.
    """
    away = movers.xyz - centres[:, None]
    depth = np.einsum("tj,tmj->tm", R[:, :, 2], away)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(np.log(believed / depth), -MOST_RATIO, MOST_RATIO)
    asked = np.isfinite(ratio).any(0)
    if not asked.any():
        return movers
    usual = np.array([np.nanmedian(r) if ok else 0.0 for r, ok in zip(ratio.T, asked, strict=True)])
    ratio = np.where(np.isfinite(ratio), ratio, usual)
    middle = uv.mean(0)
    source = np.arange(len(asked))
    for body in np.unique(movers.body[~asked]):
        of = movers.body == body
        lacking, having = np.flatnonzero(of & ~asked), np.flatnonzero(of & asked)
        if len(having):
            apart = np.linalg.norm(middle[lacking, None] - middle[having], axis=-1)
            source[lacking] = having[apart.argmin(1)]
    share = movers.sigma**2 / (movers.sigma**2 + sigma**2)
    drawn = centres[:, None] + away * np.exp(share * ratio[:, source])[..., None]
    variance = ((1 - share) * movers.sigma) ** 2 + (share * sigma) ** 2 + 2 * alike * share * (1 - share) * movers.sigma * sigma
    mixed = np.sqrt(variance + share * (1 - share) * usual[source] ** 2)
    return replace(movers, xyz=drawn, sigma=np.where(asked[source], mixed, movers.sigma))
