"""What a track's gathered variance says about its error: sigma in pixels and the chance that a sample is right."""

from __future__ import annotations

import numpy as np

from toolkit.scene import F32
from toolkit.tracking.merge import TrackState


def sigma_of(state: TrackState) -> F32:
    """(N, T) float32 standard deviation per axis, in working pixels; NaN where never reached."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.where(state.variance >= 0, state.variance, np.nan)).astype(np.float32)


def confidence_of(state: TrackState) -> F32:
    """(N, T) float32 chance that a sample is seen and right."""
    chance = 1.0 / (1.0 + np.exp(3.0 * (np.sqrt(np.maximum(state.variance, 0)) - 2.0)))
    return np.where(state.found > 0, chance, 0.0).astype(np.float32)
