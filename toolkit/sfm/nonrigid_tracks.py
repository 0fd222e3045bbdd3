"""Tracks made ready for the search of deforming shapes: gaps filled, and noise smoothed as far as the tracks show that there is some."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct, idct

from toolkit.scene import F64, B

WEIGHTS = np.geomspace(1e-6, 1e6, 121)  # of the bending of a path against its distance from the samples, that are tried


def complete(xy: F64, seen: B, *, rank: int, rounds: int) -> F64:
    """(T, 2, N) points, those that were not seen guessed: straight over time first, then as a matrix of low rank has them.

    Args:
        xy: (T, 2, N) points; not read where not seen.
        seen: (T, N) at least once each.
        rank: Of the (2T, N) matrix of points about the centroid of their frame.
        rounds: Of guessing and taking the low rank again.
    """
    if seen.all():
        return xy
    frames, _, points = xy.shape
    at = np.arange(frames)
    filled = xy.copy()
    for n in np.flatnonzero(~seen.all(0)):
        for axis in range(2):
            filled[:, axis, n] = np.interp(at, at[seen[:, n]], xy[seen[:, n], axis, n])
    for _ in range(rounds):
        centre = filled.mean(2, keepdims=True)
        U, s, Vt = np.linalg.svd((filled - centre).reshape(2 * frames, points), full_matrices=False)
        low = ((U[:, :rank] * s[:rank]) @ Vt[:rank]).reshape(xy.shape) + centre
        filled = np.where(seen[:, None], xy, low)
    return filled


def smooth_paths(xy: F64) -> tuple[F64, float]:
    """Paths without their noise, and the noise: smoothing splines with one weight for all, by generalised cross-validation.

    The weight is what predicts samples that are left out best (Craven and Wahba 1979), over a cosine transform (Garcia, Computational
    Statistics and Data Analysis 2010). Paths without noise are left as they are.

    Args:
        xy: (T, 2, N) complete paths.

    Returns:
        (T, 2, N) smoothed paths, and the standard deviation of what was taken for noise, in their unit.
    """
    frames = len(xy)
    # The cosine transform takes a path to be level at its ends; a straight line taken out leaves little to bend there.
    at = np.linspace(0, 1, frames)[:, None, None]
    line = xy[0] + at * (xy[-1] - xy[0])
    wave = np.asarray(dct((xy - line).reshape(frames, -1), axis=0, norm="ortho"))
    energy = (wave**2).sum(1)
    bending = (2 - 2 * np.cos(np.pi * np.arange(frames) / frames)) ** 2
    taken = 1 - 1 / (1 + WEIGHTS[:, None] * bending)  # (weights, T) share of each wave that is taken out
    misfit = taken**2 @ energy
    best = int(np.argmin(misfit / taken.mean(1) ** 2))
    smooth = np.asarray(idct(wave * (1 - taken[best])[:, None], axis=0, norm="ortho")).reshape(xy.shape) + line
    return smooth, float(np.sqrt(misfit[best] / (taken[best].sum() * xy[0].size)))
