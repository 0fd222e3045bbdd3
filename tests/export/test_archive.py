"""The zip of a bundle: what the manifest names, the same bytes each time, nothing of the machine."""

import hashlib
import json
import os
import zipfile

import pytest

from toolkit.errors import UserError
from toolkit.export.archive import zip_bundle
from toolkit.export.bundle import export

NAMES = ["scene.npz", "tracks.csv", "depth", "cameras.tum", "transforms.json", "colmap", "points.ply"]


@pytest.fixture(scope="module")
def folder(room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zip") / "out"
    export(room, folder, NAMES)
    return folder


def test_it_holds_the_manifest_and_every_file_it_names_with_their_bytes(folder, tmp_path):
    (folder / "private.txt").write_text("not mine to give")
    path = zip_bundle(folder, tmp_path / "scene.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        hashes = {}
        for name, notes in manifest["files"].items():
            told = notes["sha256"]
            hashes |= {name: told} if isinstance(told, str) else {f"{name}/{part}": value for part, value in told.items()}
        assert sorted(archive.namelist()) == sorted(["manifest.json", *hashes])
        assert "colmap/sparse/0/points3D.bin" in hashes
        assert all(hashlib.sha256(archive.read(name)).hexdigest() == told for name, told in hashes.items())


def test_it_is_the_same_bytes_wherever_and_whenever_and_tells_no_path(folder, tmp_path):
    first = zip_bundle(folder, tmp_path / "a.zip")
    for file in folder.rglob("*"):
        os.utime(file, (1e9, 1e9))
    second = zip_bundle(folder, tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist() if not name.endswith(".npz"))
    for word in (str(folder.parent).encode(), str(tmp_path).encode(), os.path.expanduser("~").encode() + b"/"):
        assert word not in everything and word not in first.read_bytes()


def test_text_is_compressed(folder, tmp_path):
    with zipfile.ZipFile(zip_bundle(folder, tmp_path / "a.zip")) as archive:
        table = archive.getinfo("tracks.csv")
    assert table.compress_size < 0.5 * table.file_size


def test_a_folder_that_is_no_whole_bundle_is_refused_and_leaves_no_zip(room, tmp_path):
    with pytest.raises(UserError, match=r"holds no manifest\.json"):
        zip_bundle(tmp_path, tmp_path / "a.zip")
    written = export(room, tmp_path / "o", ["cameras.tum", "depth"])
    (tmp_path / "o" / "depth" / "000003.png").unlink()
    with pytest.raises(UserError, match=r"lacks depth/000003\.png"):
        zip_bundle(tmp_path / "o", tmp_path / "a.zip")
    manifest = json.loads(written["manifest.json"].read_text())
    manifest["files"] = {"../secret": {"sha256": "0"}}
    (tmp_path / "secret").write_text("x")
    written["manifest.json"].write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"lacks \.\./secret"):
        zip_bundle(tmp_path / "o", tmp_path / "a.zip")
    written["manifest.json"].write_text("{")
    with pytest.raises(UserError, match="can't be read"):
        zip_bundle(tmp_path / "o", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
