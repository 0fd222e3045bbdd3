"""What the methods for a video of one moving camera take in alike: its frames, points to start from, lens, masks, packaged weights."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import frames_are, large_full
from toolkit.errors import UserError
from toolkit.media.mono_input import opened_mono
from toolkit.methods.request import Frames, Request
from toolkit.progress import Report
from toolkit.scene import F32, F64, U8, B, Video
from toolkit.tracking.queries import checked_queries, grid_queries

USUAL_FRAMES = 300  # up to so many a grid stays as dense as it is asked for, where tracks are explained all together
LEAST_GRID = 10  # points across, with which cameras can still be found
SUPPORT_GRID = (24, 24)  # points that help to find the cameras and what moves beside those that were asked for
PACKAGED = (Path(__file__).resolve().parents[2] / "weights", Path(sysconfig.get_path("data")) / "share" / "lift4d" / "weights")
"""Where weights that come with the package lie: in a clone (links to it followed), and where it was installed from a wheel."""


def read_frames(
    recording: Path | Video, frames: Frames, *, max_side: int, max_frames: int, most_mpx: float, report: Report
) -> tuple[Video, tuple[float, float], str]:
    """The frames that are used, reduced to `max_side` and to `most_mpx` of all together; by how much, in x and y; and a sentence where
    the clip was cut.

    Raises:
        UserError: not readable, or no frames.
    """
    with opened_mono(recording, frames) as clip:
        count = len(clip) if frames is not None else min(len(clip), max_frames)
        width, height = clip.size
        scale = min(1.0, max_side / max(width, height), float(np.sqrt(most_mpx * 1e6 / (count * width * height))))
        size = (max(32, round(width * scale)), max(32, round(height * scale)))
        frames_are(size)
        out, read = large_full((count, size[1], size[0], 3), 0, np.uint8), 0
        for t, frame in zip(range(count), clip.frames(), strict=False):
            out[t] = frame if size == (width, height) else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            read = t + 1
            report(read, count)
        cut = f"The clip has {len(clip)} frames; the first {count} were used (frames=... for others)." if count < len(clip) else ""
        return Video(out[:read], clip.times_s[:read]), (size[0] / width, size[1] / height), cut


def lens_and_masks(request: Request, video: Video, shrink: tuple[float, float]) -> tuple[F64 | None, B | None]:
    """The lens that is known, of the reduced frames, and what counts nowhere.

    Raises:
        UserError: fewer masks than frames, or where frames were chosen, others than these.
    """
    K = None
    if request.K is not None:
        K = request.K.copy()
        K[:2] *= np.array(shrink)[:, None]
    if request.masks is None:
        return K, None
    # Of the clip's beginning masks may go on; of frames that were chosen nobody knows which ones the first masks are of.
    if len(request.masks) < len(video) or (request.frames is not None and len(request.masks) != len(video)):
        raise UserError(f"{len(request.masks)} masks came with {len(video)} frames; one each is needed.")
    return K, np.asarray(request.masks[: len(video)]) != 0


def thinner(grid: tuple[int, int], frames: int) -> tuple[int, int]:
    """A grid of starting points for a clip of so many frames: of a long one thinner, so that tracks times frames stay what they were.

    Points come into view as the clip goes on, so both grow with its length.
    """
    share = min(1.0, USUAL_FRAMES / frames)
    return (max(round(share * grid[0]), min(LEAST_GRID, grid[0])), max(round(share * grid[1]), min(LEAST_GRID, grid[1])))


def starts(video: Video, queries: NDArray | None, every: int, *, grid: tuple[int, int] = SUPPORT_GRID) -> tuple[int | None, F32 | None]:
    """How many points were asked for, and where all tracks start: these first, then a thinner grid that finds the cameras.

    Raises:
        UserError: points outside the video.
    """
    if queries is None:
        return None, None
    asked = checked_queries(queries, frames=len(video), size=video.size)
    return len(asked), np.concatenate([asked, grid_queries(video.size, len(video), grid=grid, every=every)])


def colours(queries: NDArray, video: Video) -> U8:
    """(N, 3) colour under each query (t, x, y)."""
    moment, x, y = np.nan_to_num(queries).T.astype(int)
    width, height = video.size
    return video.frames[np.clip(moment, 0, len(video) - 1), np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]


def weights_file(weights: Any, packaged: str) -> Path | None:
    """The file of weights that is meant; None for none.

    Args:
        weights: "auto" for those that come with the package, if any; None or "none" for none; or a path.
        packaged: Name of the file that comes with the package.

    Raises:
        UserError: no such file.
    """
    if weights is None or (isinstance(weights, str) and weights == "none"):
        return None
    if not isinstance(weights, str | os.PathLike) or not str(weights):
        raise UserError(f"The weights are {weights!r}, but auto, none or the path of a file is needed.")
    if weights == "auto":
        return next((folder / packaged for folder in PACKAGED if (folder / packaged).is_file()), None)
    file = Path(weights).expanduser()
    if not file.is_file():
        raise UserError(f"There is no file of weights {str(weights)!r}; give the path of one, or none to do without a network.")
    return file


def checked_settings(settings: Any, limits: dict[str, tuple[int, int]]) -> None:
    """Whole numbers within limits, and a grid of two of them.

    Raises:
        UserError: with the name and the value of what is not.
    """
    grid = settings.grid
    if not isinstance(grid, tuple | list) or len(grid) != 2:  # noqa: PLR2004
        raise UserError(f"The setting grid is {grid!r}, but 2 numbers are needed.")
    numbers = [("grid", value, (4, 256)) for value in grid] + [(name, getattr(settings, name), limit) for name, limit in limits.items()]
    for name, value, (least, most) in numbers:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
            raise UserError(f"The setting {name} is {value!r}, but a whole number from {least} to {most} is needed.")


def one_video(request: Request, method: str) -> Path | Video:
    """The recording of a request, if it is a video of one camera that is still to be found.

    Raises:
        UserError: known cameras, or anything else than a video.
    """
    if request.cameras is not None:
        raise UserError(f"The method {method} finds the cameras itself; known ones are for the methods stereo4d and vggsfm.")
    if not isinstance(request.recording, Path | Video):
        raise UserError(f"The method {method} takes a video of one camera, but this is a {type(request.recording).__name__}.")
    return request.recording
