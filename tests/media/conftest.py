"""Small clips whose pictures tell their own number, made in every awkward way that cameras and downloads come up with."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

BITS = 10
BLOCK = 16


def numbered(index: int, height: int = 64) -> np.ndarray:
    """A picture that shows `index` in black and white blocks, most significant bit on the left."""
    bits = [(index >> (BITS - 1 - b)) & 1 for b in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 215 + 20, BLOCK)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, BITS * BLOCK, 3)))


def number_of(image: np.ndarray) -> int:
    """The number that a picture shows, whatever size it was scaled to."""
    centres = ((np.arange(BITS) + 0.5) * image.shape[1] / BITS).astype(int)
    bits = image[image.shape[0] // 2, centres].mean(1) > 128
    return int(sum(1 << (BITS - 1 - b) for b in range(BITS) if bits[b]))


@pytest.fixture(scope="session", name="numbered")
def _numbered() -> Callable[..., np.ndarray]:
    """`numbered(index)`: a picture that shows a number."""
    return numbered


@pytest.fixture(scope="session", name="number_of")
def _number_of() -> Callable[[np.ndarray], int]:
    """`number_of(image)`: the number that a picture shows."""
    return number_of


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """Writes numbered frames at given presentation times."""

    def write(
        path: Path,
        *,
        ticks: list[int] | None = None,
        count: int = 90,
        time_base: Fraction = Fraction(1, 1000),
        codec: str = "libx264",
        gop: int = 30,
        b_frames: int = 3,
        options: dict[str, str] | None = None,
        rotation: float | None = None,
        images: list[np.ndarray] | None = None,
        first: int = 0,
    ) -> Path:
        ticks = ticks if ticks is not None else [round(i * 1000 / 30) for i in range(count)]
        pictures = images if images is not None else [numbered(first + i) for i in range(len(ticks))]
        with av.open(str(path), "w") as output:
            stream = output.add_stream(codec, rate=30)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = time_base
            stream.time_base = time_base
            stream.options = {"g": str(gop), "bf": str(b_frames), "sc_threshold": "0", "b_strategy": "0", **(options or {})}
            if rotation is not None:
                stream.set_display_rotation(rotation)
            for tick, picture in zip(ticks, pictures, strict=True):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = tick, time_base
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
        return path

    return write


def box(kind: bytes, *payloads: bytes) -> bytes:
    """One MP4 box."""
    payload = b"".join(payloads)
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


@pytest.fixture(scope="session", name="box")
def _box() -> Callable[..., bytes]:
    """`box(kind, *payloads)`: one MP4 box."""
    return box


@pytest.fixture(scope="session")
def inject() -> Callable[..., Path]:
    """Puts boxes into the sample entry, or the track, of the picture of an MP4 file whose index comes last."""

    def put(path: Path, extra: bytes, *, into: str = "entry") -> Path:
        data = bytearray(path.read_bytes())
        at, sizes = data.index(b"moov") - 4, []
        road = [b"moov", b"trak"] + ([b"mdia", b"minf", b"stbl", b"stsd", b"avc1"] if into == "entry" else [])
        for kind in road:
            at = data.index(kind, at) - 4
            sizes.append(at)
        end = at + struct.unpack_from(">I", data, at)[0]
        for place in sizes:
            struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + len(extra))
        data[end:end] = extra
        path.write_bytes(data)
        return path

    return put
