"""Videos say how they are to be seen, and stay readable."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.media.boxes import children
from toolkit.media.container import read_container
from toolkit.media.decoding import Clip
from toolkit.media.inspection import inspect
from toolkit.media.labelling import label_boxes, label_video
from toolkit.media.side_data import told_by_frame
from toolkit.media.spherical import MeshData, Spherical, read_st3d, read_sv3d
from toolkit.media.video import Encoding, read_video, write_video

HALF_SPHERE = (-90.0, 90.0, -90.0, 90.0)
VR180 = Spherical("side-by-side", "equirect", HALF_SPHERE)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("layout", ["side-by-side", "top-bottom"])
def test_a_vr180_file_says_what_it_is(tmp_path, numbered, layout, suffix):
    path = write_video(tmp_path / f"a{suffix}", [numbered(i) for i in range(5)], 30, stereo=Spherical(layout, "equirect", HALF_SPHERE))
    told = read_container(path).spherical
    assert (told.stereo_layout, told.projection, told.fov_bounds_deg, told.notes) == (layout, "equirect", HALF_SPHERE, ())
    source = inspect(path)
    assert (source.kind, source.layout, source.projection) == ("vr180", layout, "equirect")
    assert source.details["layout_from"] == source.details["projection_from"] == "metadata"


def test_the_decoder_of_players_reads_the_same(tmp_path, numbered):
    bounds = (-80.0, 75.0, -60.0, 65.0)
    path = write_video(tmp_path / "a.mp4", [numbered(0)] * 3, 30, stereo=Spherical("top-bottom", "equirect", bounds))
    with Clip(path) as clip:
        told = told_by_frame(clip.first_frame, Spherical())
    assert (told.stereo_layout, told.projection) == ("top-bottom", "equirect")
    assert told.fov_bounds_deg == pytest.approx(bounds, abs=1e-6)


@pytest.mark.parametrize("index_first", [True, False])
def test_pictures_and_sound_are_where_they_were(tmp_path, numbered, number_of, index_first):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"} if index_first else {}) as output:
        picture, sound = output.add_stream("libx264", rate=30), output.add_stream("aac", rate=48000)
        picture.height, picture.width = numbered(0).shape[:2]
        picture.pix_fmt = "yuv420p"
        for i in range(40):
            output.mux(picture.encode(av.VideoFrame.from_ndarray(numbered(i), format="rgb24")))
            samples = np.sin(np.arange(1600) * 0.05 + i)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 1600 * i, Fraction(1, 48000)
            output.mux(sound.encode(frame))
        output.mux(picture.encode())
        output.mux(sound.encode())
    before = _packets(path)
    label_video(path, VR180)
    assert _packets(path) == before and len({stream for stream, _ in before}) == 2
    assert [number_of(frame) for frame in read_video(path).frames] == list(range(40))
    assert read_container(path).spherical.fov_bounds_deg == HALF_SPHERE
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def _packets(path):
    with av.open(str(path)) as file:
        return [(packet.stream_index, bytes(packet)) for packet in file.demux() if packet.size]


@given(st.floats(-180, 179), st.floats(0.5, 360), st.floats(-90, 89), st.floats(0.5, 180), *[st.floats(-180, 180)] * 3, st.booleans())
def test_what_is_written_is_read_back(left, width, top, height, yaw, pitch, roll, swapped):
    bounds = (left, min(180.0, left + width), top, min(90.0, top + height))
    told = Spherical()
    data = label_boxes(Spherical("side-by-side", "equirect", bounds, pose_deg=(yaw, pitch, roll), swapped=swapped))
    for box in children(data):
        told = {b"st3d": read_st3d, b"sv3d": read_sv3d}[box.kind](data[box.start : box.end], told)
    assert told.fov_bounds_deg == pytest.approx(bounds, abs=1e-6) and told.pose_deg == pytest.approx((yaw, pitch, roll), abs=1e-4)
    assert (told.stereo_layout, told.swapped, told.notes) == ("side-by-side", swapped, ())


def test_a_flat_pair_says_its_layout_only(tmp_path, numbered):
    path = write_video(tmp_path / "a.mp4", [numbered(1)] * 2, 30, stereo=Spherical("side-by-side", "rectilinear"))
    told = read_container(path).spherical
    assert (told.stereo_layout, told.projection) == ("side-by-side", None)


@pytest.mark.parametrize(
    ("name", "label", "words"),
    [
        ("a.mkv", VR180, r"a\.mkv can't say .* \.mp4, \.mov"),
        ("a.mp4", Spherical("side-by-side", "mesh", meshes=(MeshData(np.zeros((3, 5)), np.zeros((1, 3), np.int64)),)), "'mesh'"),
        ("a.mp4", Spherical("side-by-side", "equirect", (-90.0, 90.0, -90.1, 90.0)), "no part of a sphere"),
        ("a.mp4", Spherical("top-bottom", "equirect", swapped=True), "Swapped eyes"),
    ],
)
def test_a_label_that_can_not_be_written_is_told_before_the_encoding(tmp_path, numbered, name, label, words):
    def frames():
        yield numbered(0)
        raise AssertionError("encoded")

    with pytest.raises(UserError, match=words):
        write_video(tmp_path / name, frames(), 30, stereo=label)
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_an_index_can_not_be_labelled(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"words" * 9)
    with pytest.raises(UserError, match="no index"):
        label_video(tmp_path / "a.mp4", VR180)


def test_a_better_quality_costs_more_and_keeps_more(tmp_path):
    rng = np.random.default_rng(0)
    frames = [np.repeat(rng.integers(0, 255, (64, 64, 1), np.uint8), 3, axis=2) for _ in range(3)]
    error, size = [], []
    for crf in (30, 18, 11):
        path = write_video(tmp_path / f"{crf}.mp4", frames, 30, encoding=Encoding(crf=crf))
        size.append(path.stat().st_size)
        error.append(np.abs(read_video(path).frames[0].mean(2) - frames[0].mean(2)).mean())
    assert size == sorted(size) and error == sorted(error, reverse=True)
