"""Which frames of a recording are meant: the first n, a slice, or a list of indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.scene import I64
from toolkit.wording import counted

Frames = int | slice | Sequence[int] | NDArray[np.integer]
"""What callers may pass: the first n frames, a slice, or rising indices."""


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of a video: from `start`, every `step`-th, before `stop`; or the given `indices`."""

    start: int = 0
    stop: int | None = None
    step: int = 1
    indices: frozenset[int] | None = None

    @staticmethod
    def of(frames: Frames | None) -> FrameChoice:
        """From what a caller may pass: n, a slice, rising indices or None for all.

        Raises:
            UserError: nothing chosen, negative numbers, or indices that don't rise.
        """
        if frames is None:
            return FrameChoice()
        if isinstance(frames, slice):
            start, stop, step = frames.start or 0, frames.stop, 1 if frames.step is None else frames.step
            whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in (start, 0 if stop is None else stop, step))
            if not whole or start < 0 or (stop is not None and stop <= start) or step < 1:
                raise UserError(f"frames is {frames}, but a slice of at least one frame that counts forward from the start is needed.")
            return FrameChoice(start, stop, step)
        try:
            array = np.asarray(frames)
        except ValueError:  # lists of several lengths
            array = np.asarray(None)
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size == 0:
            raise UserError(f"frames is {frames!r}, but a number of frames, a slice or a list of frame indices is needed.")
        if array.ndim == 0:
            if array < 1:
                raise UserError(f"frames is {array}, but at least one frame is needed.")
            return FrameChoice(stop=int(array))
        if array[0] < 0 or np.any(np.diff(array) <= 0):
            raise UserError("The frame indices must not be negative and must rise.")
        return FrameChoice(int(array[0]), int(array[-1]) + 1, indices=frozenset(int(i) for i in array))

    def __contains__(self, index: int) -> bool:
        """Whether frame `index` is chosen."""
        if self.indices is not None:
            return index in self.indices
        return index >= self.start and (self.stop is None or index < self.stop) and (index - self.start) % self.step == 0

    def nth(self, place: int) -> int:
        """Index in the recording of the chosen frame at `place`, counted from 0."""
        return self.start + place * self.step if self.indices is None else sorted(self.indices)[place]

    def of_count(self, count: int, name: str) -> I64:
        """The chosen indices of a recording of `count` frames.

        Raises:
            UserError: it has too few; `name` is what the message calls it.
        """
        if self.indices is not None:
            chosen = np.array(sorted(self.indices), np.int64)
        else:
            chosen = np.arange(self.start, count if self.stop is None else min(self.stop, count), self.step, dtype=np.int64)
        if len(chosen) == 0 or chosen[-1] >= count:
            self.refuse(count, name)
        return chosen

    def refuse(self, count: int, name: str) -> None:
        """Tells that a recording of `count` frames has too few."""
        wanted = self.start if self.indices is None else max(self.indices)
        raise UserError(f"{name} has {counted(count, 'frame')}, but frame {wanted} was asked for (the first is frame 0).")
