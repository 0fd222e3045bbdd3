"""Zip archives."""

import stat
import zipfile
from pathlib import Path

import pytest

from toolkit.errors import UserError
from toolkit.media.archive import ArchiveLimits, unpacked


def pack(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def leftovers(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


def test_media_and_calibration_are_unpacked_and_removed_again(tmp_path, own_temporary_folder):
    path = pack(
        tmp_path / "a.zip",
        {
            "clip/left/0.png": b"1",
            "clip/right/0.PNG": b"2",
            "clip/calib.txt": b"3",
            "clip/run.sh": b"4",
            "__MACOSX/0.png": b"5",
            ".x.png": b"6",
        },
    )
    with unpacked(path) as folder:
        assert leftovers(folder) == ["clip/calib.txt", "clip/left/0.png", "clip/right/0.PNG"]
        assert (folder / "clip/right/0.PNG").read_bytes() == b"2"
    assert list(own_temporary_folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../up.png", "a/../../up.png", "/abs.png", "C:/abs.png", "a\\..\\..\\up.png"])
def test_paths_that_lead_out_are_refused(tmp_path, own_temporary_folder, name):
    with pytest.raises(UserError, match="leads out"), unpacked(pack(tmp_path / "a.zip", {"good.png": b"1", name: b"2"})):
        pass
    assert leftovers(tmp_path) == ["a.zip"] and list(own_temporary_folder.iterdir()) == []


def test_links_are_refused(tmp_path, own_temporary_folder):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="link"), unpacked(tmp_path / "a.zip"):
        pass
    assert list(own_temporary_folder.iterdir()) == []


def test_bombs_are_refused_before_and_while_unpacking(tmp_path, own_temporary_folder):
    bomb = pack(tmp_path / "bomb.zip", {"a.png": bytes(60 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="unpacks to 63 MB"), unpacked(bomb):
        pass
    many = pack(tmp_path / "many.zip", {f"{i}.png": b"" for i in range(5)})
    with pytest.raises(UserError, match="holds 5 files"), unpacked(many, ArchiveLimits(files=4)):
        pass
    large = pack(tmp_path / "large.zip", {"a.png": bytes(1000)})
    with pytest.raises(UserError, match="more than is trusted"), unpacked(large, ArchiveLimits(bytes=999)):
        pass
    assert list(own_temporary_folder.iterdir()) == []


def test_an_archive_that_lies_about_a_size_is_refused(tmp_path, own_temporary_folder):
    path = pack(tmp_path / "a.zip", {"a.png": bytes(100_000)}, zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    size = (100_000).to_bytes(4, "little")
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(UserError), unpacked(path):
        pass
    assert list(own_temporary_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a zip"), (b"PK\3\4 broken", "not a zip"), (None, "holds no videos")],
    ids=["empty", "broken", "nothing in it"],
)
def test_broken_and_empty_archives_are_told(tmp_path, own_temporary_folder, content, words):
    path = tmp_path / "a.zip"
    path.write_bytes(content) if content is not None else pack(path, {"notes.doc": b"1"})
    with pytest.raises(UserError, match=words), unpacked(path):
        pass
    assert list(own_temporary_folder.iterdir()) == []
