"""Smoothing over time: of positions, where long hops leave a small jitter, and of visibility. Compiled inner loops."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled

SIGMA_FRAMES = 1.0  # more than this blurs real motion
_REACH = 4
_kernel = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / SIGMA_FRAMES) ** 2)
_KERNEL = (_kernel / _kernel.sum()).astype(np.float32)


@compiled()
def smooth_tracks(xy, start):
    """A Gaussian over time, in place, on both sides of each query; the query itself stays where it was asked for.

    Beyond the query and the ends of the clip tracks continue as their own point reflection, so that neither is pulled inwards.

    Args:
        xy: (N, T, 2) float32 positions.
        start: (N,) int64 query frames.
    """
    count, frames = xy.shape[0], xy.shape[1]
    line = np.empty((frames, 2), np.float32)
    for n in range(count):
        line[:] = xy[n]
        for side in range(2):
            first, last = (start[n], frames - 1) if side else (0, start[n])
            length = last - first + 1
            if length <= _REACH:
                continue
            for t in range(first, last + 1):
                if t == start[n]:
                    continue
                for c in range(2):
                    total = np.float32(0.0)
                    for k in range(-_REACH, _REACH + 1):
                        s = t + k
                        if s < first:
                            value = 2 * line[first, c] - line[2 * first - s, c]
                        elif s > last:
                            value = 2 * line[last, c] - line[2 * last - s, c]
                        else:
                            value = line[s, c]
                        total += _KERNEL[k + _REACH] * value
                    xy[n, t, c] = total


@compiled()
def majority_over_time(seen, start, window):
    """What most frames within `window` around each frame say, in place; ties keep what was said, the query frame is seen.

    Args:
        seen: (N, T) bool.
        start: (N,) int64 query frames.
        window: Odd number of frames.
    """
    count, frames = seen.shape
    reach = window // 2
    before = np.empty(frames, np.bool_)
    for n in range(count):
        before[:] = seen[n]
        votes, total = 0, 0
        for t in range(min(reach, frames)):
            votes, total = votes + before[t], total + 1
        for t in range(frames):
            if t + reach < frames:
                votes, total = votes + before[t + reach], total + 1
            if t - reach - 1 >= 0:
                votes, total = votes - before[t - reach - 1], total - 1
            if 2 * votes != total:
                seen[n, t] = 2 * votes > total
        seen[n, start[n]] = True
