"""Frames of one camera, from a file, a folder of frames or memory: streamed, as often as they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.errors import UserError
from toolkit.media.archive import unpacked
from toolkit.media.decoding import Clip
from toolkit.media.frame_choice import FrameChoice, Frames
from toolkit.media.recording import find_recording
from toolkit.media.sequences import read_image
from toolkit.media.worldtrack_npz import FPS
from toolkit.scene import F64, U8, Video


@dataclass(frozen=True, eq=False)
class MonoInput:
    """A clip of one camera, not yet decoded.

    Attributes:
        name: What a sentence calls it.
        size: (width, height) of its frames, upright.
        times_s: (T,) times of the chosen frames.
        frames: Starts over: gives the chosen frames one by one, (H, W, 3) uint8 RGB.
    """

    name: str
    size: tuple[int, int]
    times_s: F64
    frames: Callable[[], Iterator[U8]]

    def __len__(self) -> int:
        """Number of chosen frames."""
        return len(self.times_s)


@contextmanager
def opened_mono(place: str | os.PathLike[str] | Video, frames: Frames | None = None) -> Iterator[MonoInput]:
    """The clip of one camera at a path, or in memory.

    Args:
        place: A video, a folder or .zip of frames, or frames in memory.
        frames: Which frames are used; None for all.

    Raises:
        UserError: not readable, no frames, or `frames` beyond the end.
    """
    choice = FrameChoice.of(frames)
    if isinstance(place, Video):
        rows = choice.of_count(len(place), "The video")
        video = place
        yield MonoInput("The video", video.size, video.times_s[rows], lambda: (video.frames[i] for i in rows))
        return
    path = Path(place)
    if path.suffix.lower() == ".zip" and path.is_file():
        with unpacked(path) as folder:
            yield _on_disk(folder, path.name, choice)
    else:
        yield _on_disk(path, path.name, choice)


def _on_disk(path: Path, name: str, choice: FrameChoice) -> MonoInput:
    recording = find_recording(path)
    if recording.form == "images":
        sequence = recording.sequences[0]
        rows = choice.of_count(len(sequence), name)
        first = read_image(sequence.paths[int(rows[0])])
        size = (first.shape[1], first.shape[0])

        def pictures() -> Iterator[U8]:
            for row in rows:
                picture = read_image(sequence.paths[int(row)])
                if picture.shape != first.shape:
                    raise UserError(
                        f"{sequence.paths[int(row)].name} is {picture.shape[1]} x {picture.shape[0]} px, but the first frame is "
                        f"{size[0]} x {size[1]}; frames of one clip have one size."
                    )
                yield picture

        return MonoInput(name, size, sequence.times_s[rows], pictures)
    if recording.form == "benchmark clip":
        from toolkit.media.worldtrack_npz import decoded, load_worldtrack_npz

        found = load_worldtrack_npz(recording.files[0])
        rows = choice.of_count(len(found.pictures), name)
        first = decoded(found.pictures[0], name, 0)
        times = np.arange(len(found.pictures)) / FPS
        size = (first.shape[1], first.shape[0])
        return MonoInput(name, size, times[rows], lambda: (decoded(found.pictures[i], name, int(i)) for i in rows))
    if recording.form == "bundle":
        from toolkit.media.recording import raw_video

        video = raw_video(recording.files[0], None)
        if video is None:
            raise UserError(f"No video lies beside {name}.")
        file = video
    elif recording.form == "video":
        file = recording.files[0]
    else:
        raise UserError(f"{name} holds no clip of one camera, but a recording of the form {recording.form!r}.")
    with Clip(file) as clip:
        size, times = (clip.size[0], clip.size[1]), clip.times_s(choice.stop)
    times = times[choice.of_count(len(times), name)]

    def stream() -> Iterator[U8]:
        with Clip(file) as clip:
            # A file may hold fewer frames than its packets promise.
            for _, frame in zip(range(len(times)), clip.choose(choice), strict=False):
                yield frame[1]

    return MonoInput(name, size, np.asarray(times, np.float64), stream)
