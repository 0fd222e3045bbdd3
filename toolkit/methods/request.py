"""What a method is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from toolkit.scene import Cameras, MultiViewVideo, Source, StereoVideo, Video

Preset = Literal["draft", "normal", "fine"]
PhotoTracker = Literal["auto", "sift", "classical", "vggsfm"]
"""Where correspondences of photos come from: descriptions of points alone ("sift"), or also points followed by a tracker."""
Recording = Path | Video | StereoVideo | MultiViewVideo
Frames = int | slice | Sequence[int] | None
"""Which frames of a recording: the first n, a slice, a list of indices, or None for the method's own choice."""


@dataclass(frozen=True, eq=False)
class Request:
    """One run of one method.

    Attributes:
        recording: A file or folder, or frames in memory.
        source: What `inspect` found in the file; None for frames in memory.
        settings: The method's own settings.
        frames: Which frames of a file are used.
        queries: (N, 3) float32 (t, x, y) points to follow in pixels of the result's video; None for a grid.
        K: (3, 3) known intrinsics in pixels of the recording; None to find them.
        cameras: Known cameras of the frames that are used; None to find them.
        masks: (T, H, W) bool, True where a pixel is to be left out; None for none.
        seed: Seed of everything random.
    """

    recording: Recording
    source: Source | None
    settings: Any
    frames: Frames = None
    queries: NDArray | None = None
    K: NDArray | None = None
    cameras: Cameras | None = None
    masks: NDArray | None = None
    seed: int = 0
