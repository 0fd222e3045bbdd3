"""Everything that people bring by mistake or on purpose: one sentence or a result, within seconds, and nothing is left of it."""

import io
import time
import zipfile
from fractions import Fraction

import av
import numpy as np
import pytest
from gradio_client import handle_file

import toolkit as tk
from toolkit.scene import Cameras, Scene, Tracks3D, Video
from toolkit.synthetic import example

SECONDS = 5.0
SLACK = 4.0
"""Other processes share the cores of whoever runs the tests; alone, all of them take under two seconds."""


def noise(count: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, size[1], size[0], 3), np.uint8)


def text(path):
    path.write_text("not a video " * 500)


def empty(path):
    path.touch()


def no_frames(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        out.start_encoding()


def sound(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())


def truncated(path):
    tk.write_video(path, noise(20, (128, 96)), 30)
    path.write_bytes(path.read_bytes()[:-2000])


def one_pixel(path):
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1, 1, "bgr0"
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((1, 1, 3), np.uint8), format="rgb24").reformat(format="bgr0")))
        out.mux(stream.encode())


def huge(path):
    """Ten minutes of 8K: one picture, told 600 times."""
    picture = np.full((4320, 7680, 3), 90, np.uint8)
    picture[1000:1400, 2000:2400] = 200
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=1, options={"preset": "ultrafast", "crf": "45"})
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuv420p"
        data = bytes((stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")) + stream.encode())[0])
        for i in range(600):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts, packet.is_keyframe = stream, Fraction(1), i, i, True
            out.mux(packet)


def phone(path):
    """Variable frame rate and turned by a quarter."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 160, 96, "yuv420p", Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.set_display_rotation(90)
        for i, image in enumerate(noise(12, (160, 96))):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i * 33 + (i % 3) * 9, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def odd(path):
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 131, 77, "bgr0"
        for image in noise(4, (131, 77)):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")))
        out.mux(stream.encode())


def zipped(entries):
    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)

    return write


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.mp4", "w") as member:
        for _ in range(200):
            member.write(bytes(1 << 20))


def pickled(path):
    class Trap:
        def __reduce__(self):
            return (open, (str(path.with_name("trap-was-sprung")), "w"))

    arrays = {"track_coordinates": np.array([Trap()], object), "camera2world": np.zeros((1, 3, 4)), "fov_bounds": np.zeros(4)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", data.getvalue())


def nan_poses(path):
    frames = 4
    cameras = Cameras.from_poses(np.diag([400.0, 400, 1]), np.tile(np.eye(4), (frames, 1, 1)), (512, 512))
    tracks = Tracks3D(np.ones((3, frames, 3), np.float32), np.ones((3, frames), bool), np.zeros((3, 3), np.uint8), np.zeros(3, np.float32))
    video = Video.from_frames(np.zeros((frames, 512, 512, 3), np.uint8))
    tk.save_dataset_npz(Scene(cameras=cameras, tracks_3d=tracks, video=video, method="test"), path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["camera2world"] = np.full_like(arrays["camera2world"], np.nan)
    np.savez(path, **arrays)


REFUSED = {
    "a text file": ("a.mp4", text, "not a video"),
    "an empty file": ("a.mp4", empty, "is empty"),
    "no frames": ("a.mp4", no_frames, "no frames|not a video|damaged|no picture"),
    "sound alone": ("a.mp4", sound, "sound but no picture"),
    "a cut-off file": ("a.mp4", truncated, "cut off|not a video"),
    "one pixel": ("a.mkv", one_pixel, "1 x 1 px"),
    "a way out": ("a.zip", zipped({"../../evil.mp4": b"x"}), "leads out of the archive"),
    "a bomb": ("a.zip", bomb, "more than is trusted"),
    "texts in a zip": ("a.zip", zipped({"a.txt": b"hello", "b.md": b"hello"}), "holds no video"),
    "no zip": ("a.zip", text, "not a zip archive"),
    "a pickle": ("a.npz", pickled, "pickle|object"),
    "poses that are no numbers": ("a.npz", nan_poses, "finite|NaN"),
}
USED = {
    "ten minutes of 8K": ("a.mp4", huge, {"kind": "mono", "size": [7680, 4320]}),
    "a turned phone clip": ("a.mp4", phone, {"kind": "mono", "size": [96, 160]}),
    "odd sizes": ("a.mkv", odd, {"size": [131, 77]}),
}


def timed(call):
    began = time.monotonic()
    try:
        return call()
    finally:
        assert time.monotonic() - began < SECONDS * SLACK


@pytest.fixture(scope="module")
def visitor(served):
    """Whoever comes after each of them: a visitor that stays."""
    return served.client()


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_used_gets_one_sentence(served, visitor, tmp_path, wait_for, what):
    name, make, words = REFUSED[what]
    path = tmp_path / name
    make(path)
    before = set(served.files())
    for call in (
        lambda: visitor.predict([handle_file(path)], api_name="/inspect"),
        lambda: visitor.submit([handle_file(path)], "auto", "draft", [], {}, api_name="/run").result(timeout=60),
    ):
        with pytest.raises(Exception, match=words) as raised:
            timed(call)
        told = str(raised.value)
        assert "\n" not in told.strip() and "Traceback" not in told and "incident" not in told
        assert str(served.studio.scratch.root) not in told, "the folders of the server are nobody's business"
    wait_for(lambda: set(served.files()) <= before, 0.5, "nothing is left on disk, at once and not with the next sweep")
    assert not (tmp_path / "trap-was-sprung").exists()


@pytest.mark.parametrize("what", USED)
def test_what_is_unusual_is_looked_at(served, visitor, tmp_path, wait_for, what):
    name, make, expected = USED[what]
    path = tmp_path / name
    make(path)
    before = set(served.files())
    told = timed(lambda: visitor.predict([handle_file(path)], api_name="/inspect"))
    assert {key: told[key] for key in expected} == expected
    wait_for(lambda: set(served.files()) <= before, 20, "nothing is left on disk")


def test_swapped_eyes_are_told(visitor, tmp_path):
    frames = example("street", frames=2, eye_size=(320, 320), bounds_on="edges").video.frames
    swapped = np.concatenate([frames[:, :, 320:], frames[:, :, :320]], axis=2)
    path = tk.write_video(tmp_path / "swapped.mp4", swapped, 30)
    told = timed(lambda: visitor.predict([handle_file(path)], api_name="/inspect"))
    assert any("swapped" in warning for warning in told["warnings"])


def test_the_next_visitor_is_served_as_ever(served, clip):
    told = timed(lambda: served.client().predict([handle_file(clip)], api_name="/inspect"))
    assert told["kind"] == "vr180"
