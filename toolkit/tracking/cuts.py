"""Where a video is cut: the next frame shows other colours, at once, while those before and after hardly change."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F64, U8

SIDE = 96  # frames are compared at so many pixels along the longer side
BINS = 8  # a colour
AROUND = 6  # frames before and after that tell how much usually changes
MUCH = 0.25  # share of the colours that is another one at once ...
TIMES = 5.0  # ... and so many times what usually is


def cuts_of(frames: U8) -> list[int]:
    """Frames (T, H, W, 3) that begin something else, by the overlap of colour histograms (Swain and Ballard, IJCV 1991).

    A flash is none: there what comes after it looks like what was before.
    """
    told = [_colours(frame) for frame in frames]
    changed = np.array([_apart(a, b) for a, b in zip(told, told[1:], strict=False)])
    found = []
    for t in np.flatnonzero(changed > MUCH).tolist():
        near = np.delete(changed[max(0, t - AROUND) : t + AROUND + 1], min(t, AROUND))
        usual = float(np.median(near)) if len(near) else 0.0
        returns = t > 0 and t + 2 < len(told) and min(_apart(told[t], told[t + 2]), _apart(told[t - 1], told[t + 1])) < 0.5 * changed[t]
        if changed[t] > TIMES * usual and not returns:
            found.append(t + 1)
    return found


def _colours(frame: U8) -> F64:
    """Share of each colour, blurred over neighbours so that a little more light is no other picture."""
    shrink = min(1.0, SIDE / max(frame.shape[:2]))
    small = cv2.resize(frame, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    count = np.asarray(cv2.calcHist([small], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3), np.float64)
    for axis in range(3):
        count = count + 0.5 * (np.roll(count, 1, axis) + np.roll(count, -1, axis))
    return count / count.sum()


def _apart(a: NDArray, b: NDArray) -> float:
    return 1 - float(np.minimum(a, b).sum())
