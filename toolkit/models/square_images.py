"""Frames laid into padded squares, as networks that were trained on squares want them, and coordinates there and back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.sampling import from_opencv, to_opencv
from toolkit.scene import F32, U8


@dataclass(frozen=True)
class Square:
    """A frame in the middle of a black square.

    Attributes:
        size: (width, height) of the frame in pixels.
        side: Of the square, in pixels.
    """

    size: tuple[int, int]
    side: int

    @property
    def filled(self) -> tuple[int, int]:
        """(width, height) of the frame within the square."""
        longer = max(self.size)
        width, height = (max(1, round(self.side * length / longer)) for length in self.size)
        return width, height

    @property
    def corner(self) -> tuple[int, int]:
        """Column and row of the frame's top-left pixel."""
        return (self.side - self.filled[0]) // 2, (self.side - self.filled[1]) // 2

    @property
    def scale(self) -> NDArray:
        """(2,) pixels of the square per pixel of the frame, along x and y."""
        return np.asarray(self.filled, np.float64) / self.size

    def picture(self, frame: U8) -> U8:
        """(H, W, 3) frame to (3, side, side)."""
        shrinks = self.filled[0] < self.size[0]
        resized = cv2.resize(frame, self.filled, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        picture = np.zeros((3, self.side, self.side), np.uint8)
        x, y = self.corner
        picture[:, y : y + self.filled[1], x : x + self.filled[0]] = resized.transpose(2, 0, 1)
        return picture

    def into(self, xy: NDArray) -> F32:
        """Continuous pixels (..., 2) of the frame as pixels of the square, pixel centres at whole numbers."""
        return to_opencv(np.asarray(xy, np.float64) * self.scale + self.corner).astype(np.float32)

    def out_of(self, xy: NDArray) -> F32:
        """Pixels (..., 2) of the square, pixel centres at whole numbers, as continuous pixels of the frame."""
        return ((from_opencv(np.asarray(xy, np.float64)) - self.corner) / self.scale).astype(np.float32)
