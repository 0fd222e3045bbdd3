"""The door to pycolmap: the right version or one sentence, and loaded after OpenCV."""

import subprocess
import sys
import types

import pytest

from toolkit.errors import UserError
from toolkit.sfm import colmap


def test_a_png_can_be_written_after_it_is_loaded(tmp_path):
    # With pycolmap loaded before OpenCV, writing a PNG kills the process.
    code = (
        "from toolkit.sfm.colmap import load_pycolmap; load_pycolmap(); import cv2, numpy, sys;"
        "sys.exit(0 if cv2.imwrite(sys.argv[1], numpy.zeros((8, 8), numpy.uint16)) else 1)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=False).returncode == 0


@pytest.mark.parametrize("version", ["3.13.0", "4.3.0", "5.0"])
def test_another_version_is_refused_with_what_to_install(monkeypatch, version):
    other = types.ModuleType("pycolmap")
    other.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycolmap", other)
    with pytest.raises(UserError, match=rf"pycolmap is {version}, but the toolkit is written for 4\.2: pip install 'pycolmap==4\.2\.\*'"):
        colmap.load_pycolmap()


def test_a_missing_library_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(UserError, match=r"COLMAP files need pycolmap, which can't be loaded .*: pip install"):
        colmap.load_pycolmap()
