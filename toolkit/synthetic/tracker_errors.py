"""What a tracker makes of the true paths of points: noise, drift, guesses while it is blind, mistaken identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F64, B


@dataclass(frozen=True)
class TrackerErrors:
    """How wrong a tracker is; the defaults are typical of learned trackers on pictures about 512 px wide.

    Attributes:
        noise_px: Standard deviation of a position per axis, of a track of middling quality.
        quality: Range of the tracks' qualities: what each one's noise is multiplied by.
        drift_px: Standard deviation of what is added to the error of a track in every frame and stays.
        blind_drift_px: The same, of its guess while the point is hidden.
        lost: Share of tracks that stay where they are or go on with another point, from a random moment on.
        wild: Share of samples that are far off, on their own.
        wild_px: Standard deviation of those.
        mistaken: Share of samples whose visibility is told wrongly.
    """

    noise_px: float = 0.7
    quality: tuple[float, float] = (0.4, 1.6)
    drift_px: float = 0.08
    blind_drift_px: float = 2.1
    lost: float = 0.03
    wild: float = 0.01
    wild_px: float = 12.0
    mistaken: float = 0.02


NO_ERRORS = TrackerErrors(0.0, (1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def tracked(rng: np.random.Generator, xy: NDArray, visible: B, errors: TrackerErrors) -> tuple[F64, B]:
    """True paths as a tracker would tell them.

    Args:
        rng: Source of chance.
        xy: (N, T, 2) true pixels, finite.
        visible: (N, T) whether the point is truly seen.
        errors: How wrong it is.

    Returns:
        xy: (N, T, 2) pixels.
        visible: (N, T) as told.
    """
    points, frames = visible.shape
    out = xy + rng.normal(size=xy.shape) * errors.noise_px * rng.uniform(*errors.quality, (points, 1, 1))
    out += np.cumsum(rng.normal(size=xy.shape) * errors.drift_px, axis=1)
    guesses = out + np.cumsum(rng.normal(size=xy.shape) * errors.blind_drift_px, axis=1)
    out = np.where(visible[..., None], out, guesses)
    for i in np.flatnonzero(rng.uniform(size=points) < errors.lost):
        moment = int(rng.integers(frames // 4, max(frames // 4 + 1, 3 * frames // 4)))
        other = int(rng.integers(points))
        out[i, moment:] = out[other, moment:] if rng.uniform() < 0.5 else out[i, max(moment - 1, 0)]
    wild = rng.uniform(size=visible.shape) < errors.wild
    out[wild] += rng.normal(size=(int(wild.sum()), 2)) * errors.wild_px
    return out, visible ^ (rng.uniform(size=visible.shape) < errors.mistaken)
