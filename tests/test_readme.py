"""The README tells what there is."""

from pathlib import Path

from toolkit.export.formats import FORMATS

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_every_result_file_is_named_under_what_comes_out():
    section = README.split("## What comes out")[1].split("\n## ")[0]
    for name in (*FORMATS, "manifest.json"):
        assert f"`{name}`" in section or f"`{name}/" in section, name
