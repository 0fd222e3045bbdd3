"""Everything that people upload by mistake: one sentence each, and nothing left behind."""

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.media.inspection import inspect
from toolkit.media.opening import open_stereo
from toolkit.media.video import frames_at, iter_video, read_video, write_video

READERS = {
    "read": read_video,
    "iterate": lambda path: list(iter_video(path)),
    "seek": lambda path: list(frames_at(path, [0])),
    "inspect": inspect,
    "open": lambda path: open_stereo(path, layout="side-by-side", projection="equirect"),
}


def refused(path, words):
    """Every way in refuses the file with one sentence, and writes nothing beside it."""
    before = sorted(path.parent.rglob("*"))
    for name, read in READERS.items():
        with pytest.raises(UserError, match=words) as told:
            read(path)
        sentence = str(told.value)
        assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 250, name
    assert sorted(path.parent.rglob("*")) == before


def sound(path, container, codec):
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def test_a_missing_file(tmp_path):
    refused(tmp_path / "none.mp4", "There is no file")


def test_an_empty_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    refused(tmp_path / "a.mp4", r"a\.mp4 is empty")


@pytest.mark.parametrize(
    "content",
    [
        b"this is only text, not a video\n" * 200,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"<html><body>404 Not Found</body></html>",
        bytes(5000),
        np.random.default_rng(0).bytes(5000),
    ],
    ids=["text", "playlist", "list of files", "web page", "zeros", "noise"],
)
def test_something_else_under_the_name_of_a_video(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    refused(tmp_path / "a.mp4", r"a\.mp4 is not a video")


@pytest.mark.parametrize(
    ("name", "container", "codec"), [("a.mp4", "mp4", "aac"), ("a.wav", "wav", "pcm_s16le"), ("b.mkv", "matroska", "pcm_s16le")]
)
def test_sound_alone(tmp_path, name, container, codec):
    refused(sound(tmp_path / name, container, codec), "holds sound but no picture")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("index_first", [True, False])
def test_a_cut_off_mp4(tmp_path, encode, share, index_first, numbered):
    path = tmp_path / "a.mp4"
    write_video(path, [numbered(i) for i in range(40)], 30) if index_first else encode(path, count=40)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, r"a\.mp4 (is cut off|is not a video)")


@pytest.mark.parametrize("suffix", ["mkv", "webm", "avi"])
def test_a_cut_off_file_of_another_kind(tmp_path, encode, suffix):
    codec = {"mkv": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4"}[suffix]
    options = {"cpu-used": "8", "deadline": "realtime"} if suffix == "webm" else {}
    path = encode(tmp_path / f"a.{suffix}", count=60, codec=codec, options=options, b_frames=0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(path, rf"a\.{suffix} is cut off")


def test_an_index_without_frames(tmp_path, encode):
    path = encode(tmp_path / "a.mp4", count=2)
    data = bytearray(path.read_bytes())
    for table, entries in ((b"stsz", 8), (b"stts", 4), (b"stsc", 4), (b"stco", 4)):
        place = data.index(table) + 4 + entries
        data[place : place + 4] = bytes(4)
    path.write_bytes(data)
    refused(path, "holds no frames|is damaged|not a video")


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (8, 200), (15, 15)])
def test_a_picture_too_small_to_hold_anything(tmp_path, size):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
        for _ in range(3):
            output.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), format="rgb24").reformat(format="bgr0"))
            )
        output.mux(stream.encode())
    refused(path, rf"is {size[0]} x {size[1]} px, but at least 16 x 16")


@pytest.mark.parametrize("size", [(17, 17), (33, 64), (64, 35)])
def test_odd_sizes_are_read_as_they_are(tmp_path, size):
    path = tmp_path / "odd.mkv"
    images = [np.random.default_rng(i).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8) for i in range(3)]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
        for image in images:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")))
        output.mux(stream.encode())
    video = read_video(path)
    assert video.size == size and np.array_equal(video.frames, np.stack(images))
    assert inspect(path).size == size


def test_a_clip_of_two_frames_is_read(tmp_path, encode, number_of):
    path = encode(tmp_path / "two.mp4", count=2)
    assert [number_of(f) for f in read_video(path).frames] == [0, 1]
    assert inspect(path).frames == 2


@pytest.mark.parametrize("name", ["with space.mp4", "ünïcödé 日本.mp4", "50%d.mp4", "a:b.mp4", "-dash.mp4", "quote'\".mp4"])
def test_any_file_name_will_do(tmp_path, encode, name):
    path = encode(tmp_path / "plain.mp4", count=3).rename(tmp_path / name)
    assert len(read_video(path)) == 3
    assert inspect(path).frames == 3
    assert len(read_video(write_video(path, read_video(path).frames, 30))) == 3


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory, encode):
    """A whole clip whose bytes are then damaged."""
    return encode(tmp_path_factory.mktemp("whole") / "whole.mp4", count=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_bytes_end_in_frames_or_in_one_sentence(sound_file, data):
    content = bytearray(sound_file.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = sound_file.with_name("damaged.mp4")
    path.write_bytes(content)
    for read in (inspect, lambda p: sum(1 for _ in iter_video(p))):
        try:
            read(path)
        except UserError as told:
            assert "\n" not in str(told)
