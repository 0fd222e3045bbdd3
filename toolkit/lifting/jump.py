"""Lasting jumps of a track's depth from one sample to the next: the sign of a track that slid from one surface to another."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled
from toolkit.lifting._observe import rows_at_once
from toolkit.lifting.label import NoiseOptions, see
from toolkit.lifting.motion import check_frames
from toolkit.scene import F32, Cameras, Tracks3D

_SIDE = 3  # samples on either side whose medians are compared: one or two wrong depths are no jump
_LONGEST_GAP = 3  # frames; over a longer one the point may have come nearer by itself
_CHUNK = 1024


def largest_jump(tracks_3d: Tracks3D, cameras: Cameras, *, least_sigmas: float = 6.0) -> F32:
    """The largest lasting change of inverse depth within a few frames, as a share of the larger of the two.

    Args:
        tracks_3d: N tracks of T frames, as lifted.
        cameras: T cameras.
        least_sigmas: Changes within as many standard deviations count as 0.

    Returns:
        (N,) float32, 0..1; 0 for tracks too short to tell.
    """
    check_frames(tracks_3d, cameras)
    share = np.zeros(len(tracks_3d), np.float32)
    step = rows_at_once(_CHUNK, len(cameras))
    for start in range(0, len(share), step):
        rows = np.arange(start, min(start + step, len(share)))
        seen = see(tracks_3d, cameras, None, NoiseOptions(), rows)
        _largest_jump(seen.seen[..., 2], seen.sigma, seen.known, least_sigmas, share[start : start + len(rows)])
    return share


@compiled()
def _largest_jump(inverse, sigma, known, least_sigmas, share):
    """Fills (N,) `share` from (N, T) inverse depths and their errors."""
    N, T = known.shape
    samples = np.empty(T, np.int64)
    for n in range(N):
        count = 0
        for t in range(T):
            if known[n, t]:
                samples[count] = t
                count += 1
        for i in range(_SIDE, count - _SIDE + 1):
            before, after = samples[i - _SIDE : i], samples[i : i + _SIDE]
            if after[-1] - before[0] > 2 * _SIDE - 1 + _LONGEST_GAP:
                continue
            a, b = np.median(inverse[n][before]), np.median(inverse[n][after])
            error = np.sqrt(np.median(sigma[n][before]) ** 2 + np.median(sigma[n][after]) ** 2)
            if abs(a - b) > least_sigmas * error:
                share[n] = max(share[n], abs(a - b) / max(a, b))
