"""Compiled code on disk follows its sources."""

from toolkit.synthetic import compiling, raycast, textures


def test_what_is_kept_on_disk_depends_on_every_file_it_is_made_of(tmp_path, monkeypatch):
    stamp = compiling._STAMP
    for name in compiling._SOURCES:
        (tmp_path / name).write_bytes((compiling.Path(compiling.__file__).parent / name).read_bytes())
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
    assert compiling._fingerprint() == stamp
    (tmp_path / "textures.py").write_text("changed")
    assert compiling._fingerprint() != stamp
    for function in (raycast.paint_image, textures.albedo):
        assert stamp in function._cache._cache_file._source_stamp
