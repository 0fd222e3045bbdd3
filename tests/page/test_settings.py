"""Settings as lines of text, for any method."""

import pytest

from toolkit.errors import UserError
from toolkit.methods.registry import methods
from toolkit.page.settings import explain_settings, parse_settings


def test_lines_become_settings():
    text = "fov_deg = 80\ngrid=(32, 32)\n\nmatcher = fine\nrefine_rig = False\nlayout='side-by-side'"
    assert parse_settings(text, "stereo4d") == {
        "fov_deg": 80,
        "grid": (32, 32),
        "matcher": "fine",
        "refine_rig": False,
        "layout": "side-by-side",
    }


@pytest.mark.parametrize(
    ("text", "words"), [("fov_deg 80", "no setting; write it like"), ("= 3", "no setting"), ("fov = 3", "has no setting 'fov'")]
)
def test_a_line_that_is_no_setting_is_named(text, words):
    with pytest.raises(UserError, match=words):
        parse_settings(text, "stereo4d")


def test_nothing_is_evaluated():
    value = "__import__('os').system('true')"
    assert parse_settings(f"fov_deg = {value}", "stereo4d") == {"fov_deg": value}


def test_every_method_explains_its_settings():
    for name in methods():
        table = explain_settings(name)
        assert table.startswith("| setting | default | meaning |") and table.count("\n") > 2
    assert "| `fov_deg` |  | Horizontal field of view" in explain_settings("stereo4d")
