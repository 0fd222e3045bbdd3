"""The same pictures give the same bytes."""

import hashlib
import os
import subprocess
import sys

import av
import numpy as np
import pytest

from toolkit.media.encoding import Encoding
from toolkit.media.video import write_video

SMALL = """
import hashlib, sys
from pathlib import Path
import numpy as np
from toolkit.media.encoding import Encoding
from toolkit.media.video import read_video, video_bytes, write_video
from toolkit.scene import Video

cells = np.random.default_rng(0).integers(0, 255, (14, 20, 40, 3)).astype(np.uint8)
for width, height in ((96, 64), (94, 66), (98, 70), (97, 51), (270, 150)):
    blocks = np.repeat(np.repeat(cells, 8, 1), 8, 2)[:, :height, :width]
    frames = np.ascontiguousarray(blocks // 4 + blocks[:1] // 2)
    for name, preset in (("a.mp4", "veryfast"), ("b.mp4", "slow"), ("c.mkv", "veryfast")):
        path = write_video(Path(sys.argv[1]) / name, frames, 30, encoding=Encoding(preset=preset))
        print(width, height, name, hashlib.sha256(path.read_bytes()).hexdigest())
    video = Video(frames, np.arange(len(frames)) / 30)
    print(hashlib.sha256(video_bytes(video, lossless=True)).hexdigest())
    print(hashlib.sha256(read_video(path, max_side=61).frames.tobytes()).hexdigest())
"""


def test_bytes_do_not_depend_on_what_lies_in_unused_memory(tmp_path):
    # x264's fast paths read beyond their tables; glibc fills fresh memory with this byte, other systems ignore it.
    told = []
    for byte in ("0", "85"):
        environment = {**os.environ, "MALLOC_PERTURB_": byte}
        told.append(
            subprocess.run([sys.executable, "-c", SMALL, tmp_path], env=environment, capture_output=True, text=True, check=True).stdout
        )
    assert told[0].count("\n") == 25
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_a_file_written_again_is_the_same_file(tmp_path, numbered, name):
    frames = [numbered(i) for i in range(8)]
    first, second = (hashlib.sha256(write_video(tmp_path / name, frames, 29.97).read_bytes()).hexdigest() for _ in range(2))
    assert first == second


def test_colours_are_those_of_an_exact_conversion(tmp_path):
    # BT.709, limited range, by the book; a colour sample is the mean of its four pixels.
    image = np.random.default_rng(1).integers(0, 255, (32, 48, 3)).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    path = write_video(tmp_path / "a.mp4", [image], 30, encoding=Encoding(crf=0))
    with av.open(str(path)) as clip:
        y, u, v = (np.asarray(p, np.float64) for p in _planes(next(clip.decode(video=0))))
    r, g, b = np.moveaxis(image.astype(float), -1, 0)
    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
    assert np.abs(y - (16 + 219 / 255 * luma)).max() < 0.6
    small = (slice(None, None, 2), slice(None, None, 2))
    assert np.abs(u - (128 + 224 / 255 * (b - luma) / 1.8556)[small]).max() < 0.6
    assert np.abs(v - (128 + 224 / 255 * (r - luma) / 1.5748)[small]).max() < 0.6


def _planes(frame):
    for plane in frame.planes:
        yield np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
