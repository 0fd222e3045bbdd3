"""What st4rtrack takes in: frames of one camera, points to start from, and the weights of its network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.media.mono_input import opened_mono
from toolkit.methods.request import Frames
from toolkit.methods.tracksto4d_intake import PACKAGED
from toolkit.progress import Report
from toolkit.scene import F32, Video
from toolkit.tracking.queries import checked_queries, grid_queries

if TYPE_CHECKING:
    from toolkit.models.pairpointmap import PairPointmap

PAIR_WEIGHTS = "st4rtrack.safetensors"
SUPPORT_GRID = (24, 24)  # points that help to find the cameras and what moves beside those that were asked for
MOST_MPX = 60.0  # of all frames of the result together: depth and its confidence are held for each


def read_frames(
    recording: Path | Video, frames: Frames, *, max_side: int, max_frames: int, report: Report
) -> tuple[Video, tuple[float, float], str]:
    """The frames that are used, reduced; by how much, in x and y; and a sentence where the clip was cut.

    Raises:
        UserError: not readable, or no frames.
    """
    with opened_mono(recording, frames) as clip:
        count = len(clip) if frames is not None else min(len(clip), max_frames)
        width, height = clip.size
        scale = min(1.0, max_side / max(width, height), float(np.sqrt(MOST_MPX * 1e6 / (count * width * height))))
        size = (max(32, round(width * scale)), max(32, round(height * scale)))
        out, read = np.zeros((count, size[1], size[0], 3), np.uint8), 0
        for t, frame in zip(range(count), clip.frames(), strict=False):
            out[t] = frame if size == (width, height) else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            read = t + 1
            report(read, count)
        cut = f"The clip has {len(clip)} frames; the first {count} were used (frames=... for others)." if count < len(clip) else ""
        return Video(out[:read], clip.times_s[:read]), (size[0] / width, size[1] / height), cut


def starts(video: Video, queries: NDArray | None, every: int) -> tuple[int | None, F32 | None]:
    """How many points were asked for, and where all tracks start: these first, then a thinner grid that finds the cameras.

    Raises:
        UserError: points outside the video.
    """
    if queries is None:
        return None, None
    asked = checked_queries(queries, frames=len(video), size=video.size)
    return len(asked), np.concatenate([asked, grid_queries(video.size, len(video), grid=SUPPORT_GRID, every=every)])


def checked_pair_weights(weights: Any) -> Path | None:
    """The file of weights that is meant; None for none.

    Raises:
        UserError: no such file.
    """
    if weights is None or (isinstance(weights, str) and weights == "none"):
        return None
    if not isinstance(weights, str | os.PathLike) or not str(weights):
        raise UserError(f"The weights are {weights!r}, but auto, none or the path of a file is needed.")
    if weights == "auto":
        return next((folder / PAIR_WEIGHTS for folder in PACKAGED if (folder / PAIR_WEIGHTS).is_file()), None)
    file = Path(weights).expanduser()
    if not file.is_file():
        raise UserError(f"There is no file of weights {str(weights)!r}; give the path of one, or none to do without a network.")
    return file


def read_pair_network(file: Path) -> PairPointmap:
    """The network of a file.

    Raises:
        UserError: not a file of such weights.
    """
    from toolkit.models.pairpointmap import PairPointmap

    return PairPointmap.from_pretrained(file).eval()
