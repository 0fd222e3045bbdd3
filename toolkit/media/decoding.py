"""One open video: decoded frames in the order they are shown, found by index or by time, turned upright."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.media.completeness import missing_bytes
from toolkit.media.frame_choice import FrameChoice
from toolkit.media.side_data import TRANSPOSED, orientation, rotation_deg, turn
from toolkit.scene import F64, U8
from toolkit.wording import counted

READABLE = ",".join(
    "mov mp4 m4a 3gp 3g2 mj2 matroska webm avi mpegts mpeg mpegvideo h264 hevc ivf flv asf ogg gif mxf mp3 wav flac aac".split()
)
"""FFmpeg's names of the container formats that are opened; sound formats only to say that there is no picture."""


@dataclass(frozen=True)
class Reading:
    """How videos are read.

    Attributes:
        min_side_px: Smaller pictures hold nothing that could be followed.
        seek_after_s: Gaps shorter than this are decoded through: a seek back to the last keyframe would cost as much.
        back_off_s: How much earlier to seek again when a seek landed behind its target; doubled each time.
        reordered_frames: Packets that may lie between a frame and one shown before it; H.264 allows 16.
        rounding_s: Containers round times to this (WebM: 1 ms).
    """

    min_side_px: int = 16
    seek_after_s: float = 4.0
    back_off_s: float = 1.0
    reordered_frames: int = 32
    rounding_s: float = 1e-3


class Clip:
    """A video file that is open for reading; use it in a `with` block.

    Attributes:
        path: The file.
        size: (width, height) of the frames given out: upright, scaled to `max_side`.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_side: int | None = None, settings: Reading | None = None) -> None:
        """Opens a file and decodes its first frame.

        Raises:
            UserError: no such file, not a video, no picture in it, cut off, or too small.
        """
        self.path = Path(path)
        self._settings = settings or Reading()
        if max_side is not None and max_side < self._settings.min_side_px:
            raise UserError(f"max_side is {max_side}, but at least {self._settings.min_side_px} px are needed.")
        self._container = _open(self.path)
        self._retired: list[InputContainer] = []
        try:
            self._stream = _picture_stream(self._container, self.path)
            self._stream.thread_type = "AUTO"  # type: ignore[assignment]
            first = next(self._decode(), None)
            if first is None:
                raise UserError(f"{self.path.name} holds no frames.")
            if min(first.width, first.height) < self._settings.min_side_px:
                raise UserError(f"{self.path.name} is {first.width} x {first.height} px, but at least 16 x 16 are needed.")
            self.first_frame = first
            self._origin = int(first.pts or 0)
            self._orient = orientation(first)
            scale = 1.0 if max_side is None else min(1.0, max_side / max(first.width, first.height))
            self._scaled = (max(2, round(first.width * scale)), max(2, round(first.height * scale)))
            self.size = self._scaled[::-1] if self._orient & TRANSPOSED else self._scaled
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Clip:
        """The clip itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the file."""
        self._close()

    @property
    def stream(self) -> VideoStream:
        """PyAV's stream, for what else is to be asked; not to be touched after the `with` block."""
        return self._stream

    @property
    def rotation_deg(self) -> int:
        """How far the stored picture was turned, clockwise, to stand upright: 0, 90, 180 or 270."""
        return rotation_deg(self._orient)

    def times_s(self, first: int | None = None) -> F64:
        """(T,) time of every frame, or of the `first` ones, in seconds since the first, read from the packets without decoding."""
        try:
            with _open(self.path) as fresh:
                packets = fresh.demux(_picture_stream(fresh, self.path))
                # Packets before the first frame that comes out are not shown (open GOP, edit list).
                shown = (p.pts for p in packets if p.pts is not None and p.pts >= self._origin and p.size and not p.is_discard)
                found = list(shown if first is None else islice(shown, first + self._settings.reordered_frames))
        except av.error.FFmpegError as error:
            raise UserError(f"{self.path.name} is damaged: {error.strerror}.") from error
        return self._seconds(np.unique(np.asarray(found, np.int64)))[:first]

    def choose(self, choice: FrameChoice) -> Iterator[tuple[float, U8]]:
        """The chosen frames, in order, with their times.

        Raises:
            UserError: the file ends before them, or is damaged.
        """
        index = 0
        start_s = self._skippable(choice.start)
        if start_s is None:
            self._rewind()
            frames = self._decode()
        else:
            index, frames = choice.start, self._decode_from(start_s)
        given = 0
        for frame in frames:
            if index in choice:
                given += 1
                yield self._time(frame), self._image(frame)
            index += 1
            if choice.stop is not None and index >= choice.stop:
                break
        if given == 0 or (choice.indices is not None and given < len(choice.indices)):
            choice.refuse(index, self.path.name)

    def at(self, seconds: F64) -> Iterator[tuple[float, U8]]:
        """For each time, in rising order, the frame on show then.

        Raises:
            UserError: a time lies outside the clip, or the file is damaged.
        """
        shown: VideoFrame | None = None
        upcoming: VideoFrame | None = None
        frames: Iterator[VideoFrame] = iter(())
        image: tuple[float, U8] | None = None
        for wanted in seconds:
            if wanted < -self._settings.rounding_s:
                raise UserError(f"A timestamp is {wanted:.6f} s, but {self.path.name} starts at 0.")
            if shown is None or wanted - self._time(shown) > self._settings.seek_after_s:
                if shown is None or upcoming is None or wanted - self._time(upcoming) > self._settings.seek_after_s:
                    frames = self._decode_from(wanted)
                    shown, upcoming, image = next(frames, None), next(frames, None), None
            while upcoming is not None and shown is not None and wanted + self._slack(shown, upcoming) >= self._time(upcoming):
                shown, upcoming, image = upcoming, next(frames, None), None
            if shown is None or (upcoming is None and wanted > self._end(shown)):
                end = "" if shown is None else f" at {self._end(shown):.3f} s"
                raise UserError(f"A frame at {wanted:.3f} s was asked for, but {self.path.name} ends{end}; is it the right video?")
            if image is None:
                image = self._time(shown), self._image(shown)
            yield image

    def glimpses(self, seconds: Sequence[float]) -> list[U8]:
        """A frame near each time, whichever is cheapest to decode: the keyframe before it. Not exact; for a look only."""
        images = []
        for wanted in seconds:
            if wanted > 0 and not self._seek(wanted):
                break
            frame = next(self._decode(), None)
            if frame is not None:
                images.append(self._image(frame))
        return images

    def _slack(self, shown: VideoFrame, upcoming: VideoFrame) -> float:
        """How much before its start a frame may be asked for: the container's rounding, never over a quarter of a frame."""
        return min(self._settings.rounding_s, 0.25 * (self._time(upcoming) - self._time(shown)))

    def _end(self, frame: VideoFrame) -> float:
        """When a frame without successor leaves the screen."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        lasts = float(frame.duration * self._stream.time_base) if frame.duration and self._stream.time_base else 0.0
        return self._time(frame) + max(lasts, float(1 / rate) if rate else 0.0) + self._settings.rounding_s

    def _skippable(self, start: int) -> float | None:
        """The time of frame `start` where seeking to it saves work, else None."""
        rate = float(self._stream.average_rate or 0) or 30.0
        if start / rate <= self._settings.seek_after_s:
            return None
        times = self.times_s()
        if start >= len(times):
            raise UserError(f"{self.path.name} has {counted(len(times), 'frame')}, but frame {start} was asked for (the first is frame 0).")
        return float(times[start])

    def _decode_from(self, start_s: float) -> Iterator[VideoFrame]:
        """Frames from the one on show at `start_s` on.

        Demuxers seek by decoding time and land on a keyframe that may be shown after the target: then seek earlier, at last to the start.
        """
        back = 0.0
        while start_s - back > 0:
            if not self._seek(start_s - back):
                break
            frames = self._decode()
            first = next(frames, None)
            if first is not None and first.key_frame and self._time(first) <= start_s:
                return self._from(first, frames, start_s)
            back = max(2 * back, self._settings.back_off_s)
        self._rewind()
        frames = self._decode()
        first = next(frames, None)
        return iter(()) if first is None else self._from(first, frames, start_s)

    def _from(self, first: VideoFrame, rest: Iterator[VideoFrame], start_s: float) -> Iterator[VideoFrame]:
        """Skips frames that have left the screen by `start_s`."""
        shown = first
        for frame in rest:
            if start_s + self._slack(shown, frame) < self._time(frame):
                yield shown
                yield frame
                yield from rest
                return
            shown = frame
        yield shown

    def _seek(self, seconds: float) -> bool:
        """Goes to the keyframe before a time, as the demuxer sees it; False where it can't."""
        base = self._stream.time_base
        if base is None:
            return False
        try:
            self._container.seek(int(seconds / base) + self._origin, stream=self._stream, backward=True)
        except av.error.FFmpegError:
            return False
        return True

    def _rewind(self) -> None:
        # Opening again is the one way back to the start that no demuxer gets wrong. The old handle stays open until the end,
        # as PyAV's streams reach into freed memory once their container is closed.
        self._retired.append(self._container)
        self._container = _open(self.path)
        self._stream = _picture_stream(self._container, self.path)
        self._stream.thread_type = "AUTO"  # type: ignore[assignment]

    def _close(self) -> None:
        for container in (*self._retired, self._container):
            container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        """Decoded frames in the order of display; a repeated or falling timestamp is dropped, as players do."""
        last = None
        try:
            for frame in self._container.decode(self._stream):
                if frame.pts is None:
                    frame.pts = 0 if last is None else last + 1
                if last is not None and frame.pts <= last:
                    continue
                last = frame.pts
                yield frame
        except av.error.FFmpegError as error:
            where = "" if last is None or not hasattr(self, "_origin") else f" after {float(self._seconds(np.asarray(last))):.2f} s"
            raise UserError(
                f"{self.path.name} is damaged{where} and can't be decoded ({error.strerror}); copy or convert it again."
            ) from error

    def _seconds(self, pts: NDArray) -> F64:
        return (pts - self._origin) * float(self._stream.time_base or 1)

    def _time(self, frame: VideoFrame) -> float:
        return float((int(frame.pts or 0) - self._origin) * (self._stream.time_base or 1))

    def _image(self, frame: VideoFrame) -> U8:
        image = frame.to_ndarray(format="rgb24", width=self._scaled[0], height=self._scaled[1], interpolation="AREA")
        return turn(np.asarray(image, np.uint8), self._orient)


def _open(path: Path) -> InputContainer:
    """The file, or one sentence that says why not."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, but a video file is needed.")
    if not path.exists():
        raise UserError(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise UserError(f"{path.name} is empty (0 bytes).")
    missing = missing_bytes(path)
    if missing:
        raise UserError(f"{path.name} is cut off: {missing}; copy or download it again.")
    try:
        # Playlists and text formats would let a file name other files or addresses to open.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": READABLE})
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} is not a video that can be read; MP4, MOV, MKV, WebM and AVI can.") from error


def _picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first moving picture; cover art does not count."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    what = "sound but no picture" if container.streams.audio else "no picture"
    raise UserError(f"{path.name} holds {what}, but a video is needed.")
