"""One H.264 file in the making: the same pictures give the same bytes, on any machine and however busy it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from toolkit.scene import U8

# x264's vectorised macroblock tree reads past the end of its tables: what lies there in memory decides a quantiser now and then.
# The plain loops do not, and give the same on every processor. One thread, as its number is written into the file.
_REPRODUCIBLE = "cpu-independent=1"
# A colour sample is the mean of its four pixels, where the default would blur it over sixteen; rounded alike on every processor.
_EXACT = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


@dataclass(frozen=True)
class Encoding:
    """How `write_video` compresses.

    Attributes:
        crf: x264's quality, 0 (lossless) .. 51; 18 is hard to tell from the original, 11 keeps what stereo matching sees.
        preset: x264's speed; "veryfast" needs half the time of "medium" for a file a tenth larger.
        frame_rate_limit: Largest denominator of the frame rate that MP4 writers agree on.
    """

    crf: int = 18
    preset: str = "veryfast"
    frame_rate_limit: int = 65535


class Encoder:
    """Takes the pictures of one file, one after another; made by `encoder`."""

    def __init__(self, output: Any, stream: Any, *, lossless: bool) -> None:
        """For an output container and its only stream, both set up."""
        self._output, self._stream, self._lossless = output, stream, lossless
        self._reformatter = VideoReformatter()

    def add(self, image: U8) -> None:
        """Adds an (h, w, 3) uint8 RGB picture; an odd side gets its last column or row repeated once."""
        width, height = self._stream.width, self._stream.height
        if image.shape[:2] != (height, width):
            image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="edge")
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        if not self._lossless:
            picture = self._reformatter.reformat(
                picture,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=_EXACT,
                threads=1,
            )
        self._output.mux(self._stream.encode(picture))


@contextmanager
def encoder(
    place: str | BinaryIO, size: tuple[int, int], fps: float, *, container: str = "mp4", encoding: Encoding | None = None
) -> Iterator[Encoder]:
    """An H.264 file that is complete when the block ends.

    Args:
        place: Path or file to write to.
        size: (width, height) of the pictures; H.264 in this form needs even sides, odd ones are padded by one.
        fps: Frames per second.
        container: FFmpeg's name of the format: "mp4", "mov" or "matroska". In files of the first two the index comes first.
        encoding: Quality and speed, as yuv420p and BT.709, which every browser plays; None for exact RGB.
    """
    lossless, settings = encoding is None, encoding or Encoding()
    options = {"fflags": "+bitexact"}  # no random identifiers, which Matroska has
    if isinstance(place, str) and container != "matroska":
        options["movflags"] = "+faststart"
    with av.open(place, "w", format=container, options=options) as output:
        rate = Fraction(fps).limit_denominator(settings.frame_rate_limit)
        stream: Any = output.add_stream("libx264rgb" if lossless else "libx264", rate=rate)
        stream.width, stream.height = size[0] + size[0] % 2, size[1] + size[1] % 2
        stream.codec_context.thread_count = 1
        if lossless:
            stream.pix_fmt = "rgb24"
            stream.options = {"qp": "0", "preset": "ultrafast", "x264-params": _REPRODUCIBLE}
        else:
            stream.pix_fmt = "yuv420p"
            stream.codec_context.colorspace = 1  # BT.709, so that players don't guess from the size
            stream.codec_context.color_range = 1  # limited
            stream.codec_context.color_primaries = 1
            stream.codec_context.color_trc = 1
            stream.options = {"crf": str(settings.crf), "preset": settings.preset, "x264-params": _REPRODUCIBLE}
        yield Encoder(output, stream, lossless=lossless)
        output.mux(stream.encode())
