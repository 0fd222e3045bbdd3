"""Optical flow of a frame to the frames around it that it is compared with, and where that flow is not found back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, U8, B
from toolkit.sfm.moving_evidence import flow_between, missed_way_back

_FAR = 1000.0  # missing the way back by more makes no difference

Flow = tuple[NDArray, NDArray]
"""(h, w, 2) flow to another frame and (h, w) how far it misses the way back, in half precision."""


@dataclass(eq=False)
class FlowFrame:
    """A reduced frame on its way through. Half precision holds a hundredth of a pixel, and a thousandth of what evidence says.

    Attributes:
        place: Its number in the video.
        picture: (h, w, 3).
        grey: (h, w).
        blank: (h, w) where it shows nothing; None for nowhere.
        earlier: Flow to the frame a gap before.
        later: The same to the frame a gap after.
        earlier_close: The same to the closer frame before, until it has said its own.
        later_close: The same to the closer one after.
        earlier_far: The same to the farther frame before, of smaller frames, until it has said its own.
        later_far: The same to the farther one after.
        own: What it says by itself.
        before: What the frames before say.
    """

    place: int
    picture: U8
    grey: U8
    blank: B | None = None
    earlier: Flow | None = None
    later: Flow | None = None
    earlier_close: Flow | None = None
    later_close: Flow | None = None
    earlier_far: Flow | None = None
    later_far: Flow | None = None
    own: NDArray | None = None
    before: NDArray | None = None

    def smaller(self, shrink: int) -> tuple[U8, B | None]:
        """Its grey levels, and where it shows nothing, so many times smaller."""
        if shrink == 1:
            return self.grey, self.blank
        size = max(1, self.grey.shape[1] // shrink), max(1, self.grey.shape[0] // shrink)
        grey = np.asarray(cv2.resize(self.grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        blank = None if self.blank is None else cv2.resize(self.blank.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        return grey, None if blank is None else np.asarray(blank, bool)


def both_ways(first: FlowFrame, second: FlowFrame, shrink: int = 1) -> tuple[Flow, Flow]:
    """Flow from one frame to another and back, on frames so many times smaller."""
    (one, one_blank), (two, two_blank) = first.smaller(shrink), second.smaller(shrink)
    there, back = flow_between(one, two), flow_between(two, one)
    return _kept(there, back, two_blank), _kept(back, there, one_blank)


def _kept(there: F32, back: F32, blank: B | None) -> tuple[NDArray, NDArray]:
    missed = np.minimum(missed_way_back(there, back), _FAR)
    if blank is not None:
        height, width = missed.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        missed[cv2.remap(blank.astype(np.uint8), x + there[..., 0], y + there[..., 1], cv2.INTER_NEAREST) > 0] = _FAR
    return there.astype(np.float16), missed.astype(np.float16)
