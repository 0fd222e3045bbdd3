"""Each crash that spoilt recordings brought to light, with the least that shows it."""

import io
import struct
import zipfile
import zlib

import cv2
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.media.archive import unpacked
from toolkit.media.calibration import read_euroc
from toolkit.media.npz import NpzReader
from toolkit.media.photos import opened_photos
from toolkit.media.rig_formats import read_rig_file
from toolkit.media.sequences import read_image
from toolkit.media.worldtrack_npz import is_worldtrack, load_worldtrack_npz
from toolkit.multiview.lifting import focus_of
from toolkit.run import inspect
from toolkit.scene import Cameras


def test_views_that_look_side_by_side_have_something_before_them():
    K = np.array([[57.6, 0, 32], [0, 57.6, 32], [0, 0, 1]])
    views = []
    for x in (0.0, 0.1, 0.2):
        T_wc = np.eye(4)
        T_wc[0, 3] = x
        views.append(Cameras.from_poses(K, T_wc[None], (64, 64)))
    np.testing.assert_allclose(focus_of(tuple(views), 0), [0.1, 0, 1.0], atol=1e-9)


def png(path, width, height):
    """A few bytes that claim to be a picture of that size."""
    done, data = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))
    assert done
    spoilt = bytearray(data.tobytes())
    struct.pack_into(">II", spoilt, 16, width, height)
    struct.pack_into(">I", spoilt, 29, zlib.crc32(spoilt[12:29]))
    path.write_bytes(spoilt)
    return path


@pytest.mark.parametrize(("width", "height"), [(100_000, 1 << 20), (20_000, 15_000), (14_000, 13_000)])
def test_a_small_file_that_claims_a_huge_picture_is_not_opened(tmp_path, width, height):
    for read in (read_image, lambda path: opened_photos(path).__enter__()):
        with pytest.raises(UserError, match="million"):
            read(png(tmp_path / "a.png", width, height))


def test_a_header_that_no_reader_of_pictures_believes_is_told(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n2147483647 2147483647\n255\n" + bytes(100))
    with pytest.raises(UserError, match=r"a\.pgm"):
        read_image(tmp_path / "a.pgm")


def zipped(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 10)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.png", "a.png"], "'a.png', a name that can't be unpacked or that is there twice"),
        (["a.png", "a.png/b.png"], "a name that can't be unpacked"),
        (["x" * 300 + ".png"], "'x{60}|'x+', a name that can't be unpacked"),
    ],
)
def test_names_in_an_archive_that_no_disk_takes_are_told(tmp_path, names, words):
    with pytest.raises(UserError, match=words), unpacked(zipped(tmp_path / "a.zip", names)):
        pass


def test_an_archive_with_a_file_of_no_name_is_read_without_it(tmp_path):
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    central = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
    (tmp_path / "a.zip").write_bytes(local + central + end)
    with pytest.raises(UserError, match="holds no videos"), unpacked(tmp_path / "a.zip"):
        pass


def test_an_archive_whose_places_lie_before_its_start_is_damaged(tmp_path):
    path = zipped(tmp_path / "a.zip", ["a.png"])
    path.write_bytes(path.read_bytes()[12:])
    with pytest.raises(UserError, match="damaged"), unpacked(path):
        pass


def npz(path, header: bytes):
    """An .npz with one array of which only the header is told."""
    text = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64))
    return path


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'shape': ((",
        b"(" * 3000,
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, -1)}",
        b"{'descr': 3}",
        b"\xff\xfe",
        b"",
    ],
)
def test_a_header_of_an_array_that_is_no_header_is_told(tmp_path, header):
    with pytest.raises(UserError, match="is not a numpy array|claims|cut off"), NpzReader(npz(tmp_path / "a.npz", header)) as file:
        file.array("a")


def test_an_npz_of_a_zip_version_that_never_was_is_told(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 6, 134)
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(UserError, match="is not an .npz file"):
        NpzReader(tmp_path / "a.npz")


DEEP = 20_000
LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yml", "- " * DEEP),
        ("a.yml", "extrinsics: " + "[" * DEEP),
        ("a.yml", LAUGHS + "extrinsics: {cam0: *j}\n"),
        ("a.json", "[" * DEEP),
        ("a.json", '{"cameras": ' * DEEP),
        ("a.toml", "a = " + "[" * DEEP),
        ("a.toml", "a = " + "x" * (5 << 20)),
        ("a.yml", "a: b\n" * (1 << 18)),
    ],
)
def test_brackets_without_end_aliases_of_aliases_and_endless_texts_are_no_calibration(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    try:
        found = read_rig_file(tmp_path / name)
    except UserError as told:
        assert len(str(told)) < 400
    else:
        assert found is None
    for eye in ("cam0", "cam1"):
        (tmp_path / eye).mkdir()
        (tmp_path / eye / "sensor.yaml").write_text(text)
    with pytest.raises(UserError):
        read_euroc(tmp_path / "cam0" / "sensor.yaml", tmp_path / "cam1" / "sensor.yaml")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_what_a_camera_wrote_beside_a_photo_may_be_nonsense(tmp_path):
    from PIL import Image

    image = Image.new("RGB", (16, 16))
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + b"\xff\xff" * 400
    data = io.BytesIO()
    image.save(data, "JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(data.getvalue())
    with opened_photos(tmp_path / "a.jpg") as photos:
        assert photos[0].size == (16, 16) and photos[0].focal_px is None


def test_a_zip_file_that_asks_for_a_newer_program_is_no_recording(tmp_path):
    path = tmp_path / "clip.npz"
    np.savez(path, a=np.zeros(3))
    spoilt = bytearray(path.read_bytes())
    spoilt[spoilt.index(b"PK\x01\x02") + 6] = 173  # the version that is needed to unpack it: 17.3
    path.write_bytes(spoilt)
    assert not is_worldtrack(path)
    with pytest.raises(UserError, match="is not an .npz file"):
        load_worldtrack_npz(path)
    with pytest.raises(UserError):
        inspect(path)


def test_a_part_of_a_picture_that_claims_more_than_the_file_takes_no_memory(tmp_path, monkeypatch):
    path = png(tmp_path / "a.png", 4, 4)
    spoilt = bytearray(path.read_bytes())
    struct.pack_into(">I", spoilt, 33, 2**31 - 1)  # the length of what follows the header
    path.write_bytes(spoilt)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it would take two gigabytes"))
    with pytest.raises(UserError, match=r"a\.png is cut off or damaged: a part of it claims 2,147,483,647 bytes"):
        read_image(path)
