"""An open stereo recording: a stream of frames that can be started again, and everything known about its cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from toolkit.geometry.rig import StereoRig
from toolkit.scene import F64, U8, Cameras, Source

Layout = Literal["side-by-side", "top-bottom", "separate"]
Frame = U8 | tuple[U8, U8]
"""Both eyes in one picture, or (left, right)."""
Stream = Callable[[], Iterator[tuple[float, Frame]]]
"""Starts a new pass over the frames: (time_s, frame)."""


class FrameStream:
    """Frames one after another that know how many they are."""

    def __init__(self, frames: Iterator[tuple[float, Frame]], count: int) -> None:
        """Takes the frames and their number."""
        self._frames, self._left = frames, count

    def __iter__(self) -> Iterator[tuple[float, Frame]]:
        """The stream itself."""
        return self

    def __next__(self) -> tuple[float, Frame]:
        """The next (time_s, frame)."""
        item = next(self._frames)
        self._left -= 1
        return item

    def __length_hint__(self) -> int:
        """How many frames are left."""
        return max(self._left, 0)


@dataclass(eq=False)
class StereoInput:
    """An open stereo recording; use it in a `with` block, which removes what an archive was unpacked to.

    Attributes:
        source: What `inspect` found.
        layout: Where the two eyes are: in each frame, or in pictures of their own.
        rig: The cameras that filmed it; None for pictures that are rectified already and of unknown field of view.
        K: (3, 3) intrinsics of pictures that are rectified already, where known, continuous pixels.
        baseline_m: Distance between the eyes in metres.
        count: Number of frames.
        size: (width, height) of one frame, or of one eye's picture where they are separate.
        times_s: (T,) time of each frame in seconds from the first of the recording.
        cameras: Poses of the left rectified eye that came with the recording; None where none did.
        orientations: (T, 3, 3) world-from-camera rotations by the camera's motion sensor; None where there is none.
        calibrated: Whether the rig was told by the recording, rather than taken for granted.
        warnings: Sentences for a person.
    """

    source: Source
    layout: Layout
    rig: StereoRig | None
    K: F64 | None
    baseline_m: float
    count: int
    size: tuple[int, int]
    times_s: F64
    _stream: Stream
    cameras: Cameras | None = None
    orientations: F64 | None = None
    calibrated: bool = False
    warnings: list[str] = field(default_factory=list)
    _held: ExitStack = field(default_factory=ExitStack)

    def frames(self) -> FrameStream:
        """A new stream of (time_s, frame) from the start: frames that `rig.split` takes, or pairs (left, right) without a rig.

        With a rig of layout "separate", and without a rig, each frame is a pair of (H, W, 3) uint8 RGB pictures.
        """
        return FrameStream(self._stream(), self.count)

    def close(self) -> None:
        """Removes temporary files."""
        self._held.close()

    def __enter__(self) -> StereoInput:
        """The input itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Removes temporary files."""
        self.close()
