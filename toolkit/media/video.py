"""Frames in and out: streamed reading with real timestamps and rotation applied, H.264 writing that browsers play."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.media.decoding import Clip
from toolkit.media.encoding import Encoding, encoder
from toolkit.media.frame_choice import FrameChoice, Frames
from toolkit.media.labelling import LABELLED, check_label, label_video
from toolkit.media.spherical import Spherical
from toolkit.media.writing import replacing
from toolkit.scene import U8, Video

WRITABLE = (".mp4", ".mov", ".mkv")


def iter_video(path: str | os.PathLike[str], *, frames: Frames | None = None, max_side: int | None = None) -> Iterator[tuple[float, U8]]:
    """Frames of a video one by one, in constant memory.

    Rotation in the file's metadata is applied. Times are those stored in the file, so a variable frame rate stays what it is.

    Args:
        path: Any file that FFmpeg reads.
        frames: First n frames, a slice, or rising frame indices; all by default.
        max_side: Frames with a longer side are scaled down to it, keeping their shape.

    Yields:
        time_s: Seconds since the first frame of the file.
        frame: (H, W, 3) uint8 RGB.

    Raises:
        UserError: no such file, not a video, no picture in it, cut off, damaged, too small, or `frames` beyond its end.
    """
    with Clip(path, max_side=max_side) as clip:
        yield from clip.choose(FrameChoice.of(frames))


def read_video(path: str | os.PathLike[str], *, frames: Frames | None = None, max_side: int | None = None) -> Video:
    """A video in memory; see `iter_video` for the options and the errors.

    Returns:
        Video with (T, H, W, 3) uint8 RGB frames and the time of each in seconds since the first frame of the file.
    """
    times, images = [], []
    for time_s, frame in iter_video(path, frames=frames, max_side=max_side):
        times.append(time_s)
        images.append(frame)
    return Video(_stacked(images), np.asarray(times))


def frames_at(path: str | os.PathLike[str], timestamps_us: ArrayLike, *, max_side: int | None = None) -> Iterator[tuple[float, U8]]:
    """The frame on show at each timestamp, exactly, whatever the file's keyframes, B-frames or frame rate.

    Container times are rounded (WebM to 1 ms), so a timestamp up to 1 ms, or a quarter of a frame, before a frame's start means that frame.

    Args:
        path: Any file that FFmpeg reads.
        timestamps_us: (T,) microseconds since the first frame of the file, not falling.
        max_side: Frames with a longer side are scaled down to it.

    Yields:
        time_s: The time of the frame itself, in seconds.
        frame: (H, W, 3) uint8 RGB.

    Raises:
        UserError: as `iter_video`, and for timestamps that fall, are negative or lie beyond the end.
    """
    wanted = np.asarray(timestamps_us)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iuf" or not np.isfinite(wanted).all():
        raise UserError(f"Timestamps have shape {wanted.shape} and type {wanted.dtype}, but a list of microseconds is needed.")
    if np.any(np.diff(wanted) < 0):
        raise UserError("The timestamps fall somewhere, but they must rise from frame to frame.")
    with Clip(path, max_side=max_side) as clip:
        yield from clip.at(wanted.astype(np.float64) / 1e6)


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[U8] | U8,
    fps: float,
    *,
    stereo: Spherical | None = None,
    encoding: Encoding | None = None,
) -> Path:
    """Writes H.264 (yuv420p, BT.709, index first) that every browser plays.

    H.264 in this form needs even sides: an odd width or height gets its last column or row repeated once.
    The file appears only when it is complete.

    Args:
        path: Where to; .mp4, .mov or .mkv.
        frames: (H, W, 3) uint8 RGB images of one size, as an array or one after another.
        fps: Frames per second.
        stereo: How the picture is to be seen, such as `Spherical("side-by-side", "equirect", (-90, 90, -90, 90))` for VR180; players
            and this library then know. MP4 and MOV only.
        encoding: Quality and speed.

    Returns:
        The path written.

    Raises:
        UserError: no frame, frames of different sizes or types, an unknown suffix, a label that can't be written, or a place that
            can't be written.
    """
    target = Path(path)
    if target.suffix.lower() not in WRITABLE:
        raise UserError(f"{target.name} ends with {target.suffix or 'nothing'}, but videos are written as {', '.join(WRITABLE)}.")
    if not (np.isfinite(fps) and fps > 0):
        raise UserError(f"fps is {fps}, but a positive number of frames per second is needed.")
    if stereo is not None:
        check_label(stereo)
        if target.suffix.lower() not in LABELLED:
            raise UserError(f"{target.name} can't say how its picture is to be seen; files that can end with {', '.join(LABELLED)}.")
    images = iter(frames)
    first = next(images, None)
    if first is None:
        raise UserError(f"There are no frames to write to {target.name}.")
    _check_image(first, np.shape(first), 0)
    container = "matroska" if target.suffix.lower() == ".mkv" else target.suffix.lower()[1:]
    with replacing(target) as partial:
        with encoder(str(partial), (first.shape[1], first.shape[0]), fps, container=container, encoding=encoding or Encoding()) as output:
            for i, image in enumerate(chain([first], images)):
                _check_image(image, first.shape, i)
                output.add(image)
        if stereo is not None:
            label_video(partial, stereo)
    return target


def video_bytes(video: Video, *, lossless: bool) -> memoryview:
    """A video as the bytes of an H.264 file: exact RGB, or at the quality of `write_video`; odd sides padded as there.

    Frames are numbered, not timed: store `times_s` beside them.
    """
    memory = io.BytesIO()
    with encoder(memory, video.size, 30.0, encoding=None if lossless else Encoding()) as output:
        for image in video.frames:
            output.add(image)
    return memory.getbuffer()


def read_bytes(data: bytes | memoryview, name: str) -> U8:
    """(T, H, W, 3) uint8 RGB frames of what `video_bytes` made; `name` is for the error message."""
    try:
        with av.open(io.BytesIO(data), "r", format="mp4") as source:
            stream = source.streams.video[0]
            frames = np.empty((stream.frames, stream.height, stream.width, 3), np.uint8)
            count = 0
            for frame in source.decode(stream):
                frames[count] = frame.to_ndarray(format="rgb24")
                count += 1
            if count < len(frames):
                raise ValueError("frames are missing")
            return frames
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise UserError(f"The video inside {name} is damaged.") from error


def _stacked(images: list[U8]) -> U8:
    """One (T, H, W, 3) array; empties the list as it goes, so that memory holds the frames once, not twice."""
    images.reverse()
    frames = np.empty((len(images), *images[-1].shape), np.uint8)
    for i in range(len(frames)):
        frames[i] = images.pop()
    return frames


def _check_image(image: Any, shape: tuple[int, ...], index: int) -> None:
    """Refuses what is not an RGB image of the expected shape."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"Frame {index} is {what}, but (H, W, 3) uint8 RGB is needed.")
    if image.shape != shape:
        raise UserError(f"Frame {index} is {image.shape[1]} x {image.shape[0]}, but the first one is {shape[1]} x {shape[0]}.")
