"""One open video: decoded frames in the order they are shown, found by index or by time, turned upright."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.media.container import missing_bytes
from toolkit.scene import F64, U8


@dataclass(frozen=True)
class Reading:
    """How videos are read.

    Attributes:
        min_side_px: Smaller pictures hold nothing that could be followed.
        seek_after_s: Gaps shorter than this are decoded through: a seek back to the last keyframe would cost as much.
        back_off_s: How much earlier to seek again when a seek landed behind its target; doubled each time.
        rounding_s: Containers round times to this (WebM: 1 ms).
    """

    min_side_px: int = 16
    seek_after_s: float = 4.0
    back_off_s: float = 1.0
    rounding_s: float = 1e-3


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of a video: from `start`, every `step`-th, before `stop`; or the given `indices`."""

    start: int = 0
    stop: int | None = None
    step: int = 1
    indices: frozenset[int] | None = None

    @staticmethod
    def of(frames: int | slice | Sequence[int] | NDArray | None) -> FrameChoice:
        """From what a caller may pass: n, a slice, rising indices or None for all.

        Raises:
            UserError: nothing chosen, negative numbers, or indices that don't rise.
        """
        if frames is None:
            return FrameChoice()
        if isinstance(frames, slice):
            start, stop, step = frames.start or 0, frames.stop, 1 if frames.step is None else frames.step
            if start < 0 or (stop is not None and stop <= start) or step < 1:
                raise UserError(f"frames is {frames}, but a slice of at least one frame that counts forward from the start is needed.")
            return FrameChoice(start, stop, step)
        array = np.asarray(frames)
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
        try:
            self._stream = _picture_stream(self._container, self.path)
            self._stream.thread_type = "AUTO"  # type: ignore[assignment]
            first = next(self._decode(), None)
            if first is None:
                raise UserError(f"{self.path.name} holds no frames.")
            if min(first.width, first.height) < self._settings.min_side_px:
                raise UserError(f"{self.path.name} is {first.width} x {first.height} px, but at least 16 x 16 are needed.")
            self.first_frame = first
            self._origin = first.pts
            self._orient = _orientation(first)
            scale = 1.0 if max_side is None else min(1.0, max_side / max(first.width, first.height))
            self._scaled = (max(2, round(first.width * scale)), max(2, round(first.height * scale)))
            self.size = self._scaled[::-1] if self._orient & _TRANSPOSED else self._scaled
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Clip:
        """The clip itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the file."""
        self._container.close()

    @property
    def stream(self) -> av.VideoStream:
        """PyAV's stream, for what else is to be asked."""
        return self._stream

    @property
    def rotation_deg(self) -> int:
        """How far the stored picture was turned, clockwise, to stand upright: 0, 90, 180 or 270."""
        return {0: 0, _FLIP_X | _FLIP_Y: 180, _TRANSPOSED | _FLIP_X: 90, _TRANSPOSED | _FLIP_Y: 270}.get(self._orient, 0)

    def times_s(self) -> F64:
        """(T,) time of every frame in seconds since the first, read from the packets without decoding."""
        self._rewind()
        stamps = [p.pts for p in self._packets() if p.pts is not None and p.size and not p.is_discard]
        stamps = np.sort(np.unique(np.asarray(stamps, np.int64)))
        # Packets before the first frame that comes out are not shown (open GOP, edit list).
        return self._seconds(stamps[stamps >= self._origin])

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
            wanted = choice.start if given == 0 or choice.indices is None else max(choice.indices)
            raise UserError(f"{self.path.name} has {index} frames, but frame {wanted} was asked for (the first is frame 0).")

    def at(self, seconds: F64) -> Iterator[tuple[float, U8]]:
        """For each time, in rising order, the frame on show then.

        Raises:
            UserError: a time lies outside the clip, or the file is damaged.
        """
        shown: av.VideoFrame | None = None
        upcoming: av.VideoFrame | None = None
        frames: Iterator[av.VideoFrame] = iter(())
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
        images, base = [], self._stream.time_base
        for wanted in seconds:
            if base is not None and wanted > 0:
                self._container.seek(int(wanted / base) + self._origin, stream=self._stream, backward=True)
            frame = next(self._decode(), None)
            if frame is not None:
                images.append(self._image(frame))
        return images

    def _slack(self, shown: av.VideoFrame, upcoming: av.VideoFrame) -> float:
        """How much before its start a frame may be asked for: the container's rounding, never over a quarter of a frame."""
        return min(self._settings.rounding_s, 0.25 * (self._time(upcoming) - self._time(shown)))

    def _end(self, frame: av.VideoFrame) -> float:
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
            raise UserError(f"{self.path.name} has {len(times)} frames, but frame {start} was asked for (the first is frame 0).")
        return float(times[start])

    def _decode_from(self, start_s: float) -> Iterator[av.VideoFrame]:
        """Frames from the one on show at `start_s` on.

        Demuxers seek by decoding time and land on a keyframe that may be shown after the target: then seek earlier, at last to the start.
        """
        base = self._stream.time_base
        back = 0.0
        while base is not None and start_s - back > 0:
            self._container.seek(int((start_s - back) / base) + self._origin, stream=self._stream, backward=True)
            frames = self._decode()
            first = next(frames, None)
            if first is not None and first.key_frame and self._time(first) <= start_s:
                return self._from(first, frames, start_s)
            back = max(2 * back, self._settings.back_off_s)
        self._rewind()
        frames = self._decode()
        first = next(frames, None)
        return iter(()) if first is None else self._from(first, frames, start_s)

    def _from(self, first: av.VideoFrame, rest: Iterator[av.VideoFrame], start_s: float) -> Iterator[av.VideoFrame]:
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

    def _rewind(self) -> None:
        # Opening again is the one way back to the start that no demuxer gets wrong.
        self._container.close()
        self._container = _open(self.path)
        self._stream = _picture_stream(self._container, self.path)
        self._stream.thread_type = "AUTO"  # type: ignore[assignment]

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError as error:
            raise UserError(f"{self.path.name} is damaged: {error.strerror}.") from error

    def _decode(self) -> Iterator[av.VideoFrame]:
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
            raise UserError(f"{self.path.name} is damaged{where} and can't be decoded ({error.strerror}); copy or convert it again.") from error

    def _seconds(self, pts: NDArray) -> F64:
        return (pts - self._origin) * float(self._stream.time_base or 1)

    def _time(self, frame: av.VideoFrame) -> float:
        return float((frame.pts - self._origin) * (self._stream.time_base or 1))

    def _image(self, frame: av.VideoFrame) -> U8:
        image = frame.to_ndarray(format="rgb24", width=self._scaled[0], height=self._scaled[1], interpolation="AREA")
        return _turn(image, self._orient)


READABLE = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,ivf,flv,asf,ogg,gif,mxf,image2,png_pipe,jpeg_pipe,mp3,wav,flac,aac"
"""FFmpeg's names of the container formats that are opened; sound formats only to say that there is no picture."""

_TRANSPOSED, _FLIP_X, _FLIP_Y = 1, 2, 4


def _orientation(frame: av.VideoFrame) -> int:
    """What turns the stored picture upright, from the display matrix: transposed first, then flipped."""
    for data in frame.side_data:
        if data.type == SideDataType.DISPLAYMATRIX:
            a, b, _, c, d = struct.unpack_from("<5i", bytes(data))
            # A stored pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift.
            if abs(b) + abs(c) > abs(a) + abs(d):
                return _TRANSPOSED | (_FLIP_X if c < 0 else 0) | (_FLIP_Y if b < 0 else 0)
            return (_FLIP_X if a < 0 else 0) | (_FLIP_Y if d < 0 else 0)
    return 0


def _turn(image: U8, orientation: int) -> U8:
    """The picture upright."""
    if orientation & _TRANSPOSED:
        image = image.transpose(1, 0, 2)
    if orientation & _FLIP_X:
        image = image[:, ::-1]
    if orientation & _FLIP_Y:
        image = image[::-1]
    return np.ascontiguousarray(image)


def _open(path: Path) -> av.container.InputContainer:
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


def _picture_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first moving picture; cover art does not count."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    what = "sound but no picture" if container.streams.audio else "no picture"
    raise UserError(f"{path.name} holds {what}, but a video is needed.")
