"""Reading and writing video."""

from fractions import Fraction

import av
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.media.decoding import Clip
from toolkit.media.frame_choice import FrameChoice
from toolkit.media.video import frames_at, iter_video, read_video, write_video


def variable_ticks(count: int, seed: int = 0) -> list[int]:
    """Presentation times in ms whose steps vary between 11 and 140 ms."""
    return np.cumsum(np.r_[0, np.random.default_rng(seed).integers(11, 140, count - 1)]).tolist()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_frames_come_in_order_with_their_own_times_at_a_variable_rate(tmp_path, encode, suffix, number_of):
    ticks = variable_ticks(60)
    path = encode(tmp_path / f"vfr.{suffix}", ticks=ticks)
    video = read_video(path)
    assert [number_of(f) for f in video.frames] == list(range(60))
    np.testing.assert_allclose(video.times_s, np.array(ticks) / 1000, atol=1e-9)


def test_vp9_in_webm_is_read(tmp_path, encode, number_of):
    path = encode(tmp_path / "clip.webm", codec="libvpx-vp9", count=40, options={"cpu-used": "8", "deadline": "realtime"})
    assert [number_of(f) for _, f in iter_video(path)] == list(range(40))


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (5, list(range(5))),
        (slice(3, 20, 4), [3, 7, 11, 15, 19]),
        (slice(250, 255), list(range(250, 255))),
        (slice(290, None), list(range(290, 300))),
        ([0, 7, 8, 299], [0, 7, 8, 299]),
        (np.array([180, 200]), [180, 200]),
    ],
)
def test_chosen_frames_are_exactly_those(tmp_path, encode, frames, expected, number_of):
    path = encode(tmp_path / "clip.mp4", count=300, gop=48)
    assert [number_of(f) for _, f in iter_video(path, frames=frames)] == expected


@pytest.mark.parametrize("frames", [0, -1, slice(5, 5), slice(None, None, -1), [3, 2], [-1], 1.5, []])
def test_a_choice_of_no_or_falling_frames_is_refused(tmp_path, encode, frames):
    path = encode(tmp_path / "clip.mp4", count=10)
    with pytest.raises(UserError):
        list(iter_video(path, frames=frames))


@pytest.mark.parametrize("frames", [slice(10, 12), [2, 10], slice(400, 402)])
def test_frames_beyond_the_end_are_told(tmp_path, encode, frames):
    path = encode(tmp_path / "clip.mp4", count=10)
    with pytest.raises(UserError, match=r"clip\.mp4 has 10 frames, but frame \d+ was asked for"):
        list(iter_video(path, frames=frames))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize(("gop", "b_frames"), [(250, 3), (12, 7), (30, 0), (1, 0)])
def test_each_timestamp_gives_the_frame_on_show_then(tmp_path, encode, suffix, gop, b_frames, number_of):
    ticks = variable_ticks(150, seed=gop)
    path = encode(tmp_path / f"vfr.{suffix}", ticks=ticks, gop=gop, b_frames=b_frames)
    stamps = np.sort(np.random.default_rng(1).uniform(0, ticks[-1], 40))
    expected = np.searchsorted(ticks, stamps + 1.0, side="right") - 1  # up to 1 ms early is that frame
    clear = np.abs(stamps[:, None] + 1.0 - np.array(ticks)[None]).min(1) > 0.6  # where a quarter of a frame does not matter
    shown = [number_of(f) for _, f in frames_at(path, stamps * 1000)]
    assert np.array_equal(np.array(shown)[clear], expected[clear])


@pytest.mark.parametrize("start", [0, 1, 119, 120, 121, 399])
def test_exact_stamps_deep_in_a_long_clip_need_no_luck_with_keyframes(tmp_path, encode, start, number_of):
    path = encode(tmp_path / "long.mp4", count=400, gop=120, b_frames=5, options={"x264-params": "open-gop=1"})
    stamps = [round((start + i) * 1e6 / 30) for i in range(1 if start == 399 else 3)]
    found = list(frames_at(path, stamps))
    assert [number_of(f) for _, f in found] == list(range(start, start + len(stamps)))
    np.testing.assert_allclose([t for t, _ in found], np.array(stamps) / 1e6, atol=6e-4)


def test_stamps_of_a_data_set_made_from_frame_numbers_find_their_frames_in_webm(tmp_path, encode, number_of):
    # Stereo4D's stamps are number / 29.97 in microseconds, a WebM file's times are rounded to milliseconds.
    ticks = [round(i * 1001 / 30) for i in range(240)]
    path = encode(tmp_path / "clip.webm", ticks=ticks, codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"})
    stamps = [int(i / 29.97 * 1e6) for i in range(150, 240)]
    assert [number_of(f) for _, f in frames_at(path, stamps)] == list(range(150, 240))


def test_repeated_and_sparse_stamps_are_served(tmp_path, encode, number_of):
    path = encode(tmp_path / "clip.mp4", count=400, gop=100)
    stamps = [0, 0, 33_400, 9_000_000, 9_000_000, 13_000_000]
    assert [number_of(f) for _, f in frames_at(path, stamps)] == [0, 0, 1, 270, 270, 390]


@pytest.mark.parametrize(
    ("stamps", "words"),
    [([5_000_000], "ends at"), ([-20_000], "starts at 0"), ([40_000, 0], "fall"), (["a"], "list of microseconds"), ([[0]], "list of")],
)
def test_stamps_outside_the_clip_or_out_of_order_are_told(tmp_path, encode, stamps, words):
    path = encode(tmp_path / "clip.mp4", count=30)
    with pytest.raises(UserError, match=words):
        list(frames_at(path, stamps))


def test_a_clip_whose_first_frame_is_late_starts_at_zero(tmp_path, encode, number_of):
    path = encode(tmp_path / "late.mkv", ticks=[700 + 40 * i for i in range(30)])
    video = read_video(path)
    assert video.times_s[0] == 0
    assert [number_of(f) for _, f in frames_at(path, [0, 400_000])] == [0, 10]


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_in_the_metadata_is_applied(tmp_path, encode, angle, turns):
    picture = np.full((64, 96, 3), 40, np.uint8)
    picture[:20, :30] = (220, 30, 30)
    path = encode(tmp_path / "turned.mp4", count=2, images=[picture] * 2, rotation=angle)
    shown = read_video(path, frames=1).frames[0]
    # FFmpeg counts angles counter-clockwise, as numpy's rot90 does.
    assert np.abs(shown.astype(int) - np.rot90(picture, turns)).mean() < 6
    assert read_video(path, max_side=48).size == ((32, 48) if turns % 2 else (48, 32))


def test_large_frames_are_scaled_down_and_small_ones_left(tmp_path, encode, number_of):
    path = encode(tmp_path / "clip.mp4", count=4)
    small = read_video(path, max_side=80)
    assert small.size == (80, 32)
    assert [number_of(f) for f in small.frames] == [0, 1, 2, 3]
    assert read_video(path, max_side=999).size == (160, 64)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_what_is_written_is_read_again(tmp_path, suffix, number_of, numbered):
    frames = [numbered(i) for i in range(12)]
    path = write_video(tmp_path / f"out{suffix}", iter(frames), 12.5)
    video = read_video(path)
    assert [number_of(f) for f in video.frames] == list(range(12))
    np.testing.assert_allclose(video.times_s, np.arange(12) / 12.5, atol=1e-3)
    assert np.abs(video.frames.astype(int) - np.stack(frames)).mean() < 3


def test_what_is_written_plays_in_browsers(tmp_path, numbered):
    path = write_video(tmp_path / "out.mp4", [numbered(i) for i in range(3)], 30)
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", Fraction(30))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # the index comes first, so that playing starts before all is there


def test_colours_survive_writing(tmp_path):
    ramp = np.zeros((64, 96, 3), np.uint8)
    for i, colour in enumerate([(200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 128, 128)]):
        ramp[:, i * 24 : (i + 1) * 24] = colour
    shown = read_video(write_video(tmp_path / "out.mp4", [ramp] * 3, 30)).frames[1]
    for i in range(4):
        assert np.abs(shown[32, i * 24 + 12].astype(int) - ramp[32, i * 24 + 12]).max() <= 4


def test_odd_sizes_get_one_more_column_and_row(tmp_path):
    video = read_video(write_video(tmp_path / "odd.mp4", np.full((3, 51, 65, 3), 99, np.uint8), 30))
    assert video.size == (66, 52)
    assert np.abs(video.frames.astype(int) - 99).max() <= 3


@pytest.mark.parametrize(
    ("frames", "fps", "name", "words"),
    [
        ([], 30, "a.mp4", "no frames"),
        ([np.zeros((32, 32), np.uint8)], 30, "a.mp4", "uint8 RGB"),
        ([np.zeros((32, 32, 3), np.float32)], 30, "a.mp4", "uint8 RGB"),
        ([np.zeros((32, 32, 3), np.uint8), np.zeros((32, 34, 3), np.uint8)], 30, "a.mp4", "34 x 32"),
        ([np.zeros((32, 32, 3), np.uint8)], 0, "a.mp4", "fps is 0"),
        ([np.zeros((32, 32, 3), np.uint8)], 30, "a.txt", "ends with .txt"),
        ([np.zeros((32, 32, 3), np.uint8)], 30, "missing/a.mp4", "does not exist"),
    ],
)
def test_what_can_not_be_written_is_told_and_leaves_nothing(tmp_path, frames, fps, name, words):
    with pytest.raises(UserError, match=words):
        write_video(tmp_path / name, iter(frames), fps)
    assert list(tmp_path.iterdir()) == []


def test_a_stop_in_the_middle_leaves_the_old_file_and_no_other(tmp_path, numbered):
    path = write_video(tmp_path / "out.mp4", [numbered(1)] * 3, 30)
    before = path.read_bytes()

    def stopping():
        yield numbered(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(path, stopping(), 30)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert path.read_bytes() == before


def test_times_of_the_first_frames_are_those_of_all(tmp_path, encode):
    ticks = variable_ticks(120)
    with Clip(encode(tmp_path / "clip.mp4", ticks=ticks, b_frames=8, gop=60)) as clip:
        np.testing.assert_allclose(clip.times_s(), np.array(ticks) / 1000, atol=1e-9)
        np.testing.assert_array_equal(clip.times_s(50), clip.times_s()[:50])
        assert [round(t, 6) for t, _ in clip.choose(FrameChoice.of([3, 100]))] == [ticks[3] / 1000, ticks[100] / 1000]
        np.testing.assert_allclose(clip.times_s(), np.array(ticks) / 1000, atol=1e-9)  # a pass over the frames changes nothing
