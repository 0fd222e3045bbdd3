"""Settings as lines of text, for any method."""

from dataclasses import asdict

import pytest

from toolkit.errors import UserError
from toolkit.methods.registry import methods
from toolkit.page.settings import checked_frames, checked_settings, explain_settings, parse_settings, trackers_here
from toolkit.tracking.vggsfm import WEIGHTS


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


@pytest.mark.parametrize("value", ["{1, 2}", "1j", "b'x'", "{}", "{'a': 1}", "...", "[[1j]]", "9" * 5000, "'" + "x" * 5000 + "'"])
def test_a_value_of_no_known_form_is_refused_in_one_short_sentence(value):
    with pytest.raises(UserError, match="fov_deg") as raised:
        parse_settings(f"fov_deg = {value}", "stereo4d")
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    "settings", [[], ["fov_deg"], "fov_deg = 80", 3, {"preset": "fine"}, {"queries": []}, {"method": "x"}, {"fov_deg": {}}]
)
def test_what_a_program_sends_instead_of_settings_is_refused(settings):
    with pytest.raises(UserError):
        checked_settings(settings)


def test_a_size_that_would_hold_the_place_for_minutes_is_refused():
    with pytest.raises(UserError, match="size is 4096, but at most 1,024"):
        parse_settings("size = 4096", "stereo4d")


@pytest.mark.parametrize(
    ("text", "method", "told"),
    [
        ("grid = (1024, 1024)", "stereo4d", r"grid is \(1024, 1024\), but at most 16,384 points"),
        ("max_frames = 100000", "stereo4d", "max_frames is 100000, but at most 600 frames"),
        ("max_side = 20000", "vggsfm", "max_side is 20000, but at most 3,200 pixels"),
        ("max_features = 100000", "vggsfm", "max_features is 100000, but at most 16,000 points"),
    ],
)
def test_counts_that_would_hold_the_place_are_refused_with_what_is_possible(text, method, told):
    with pytest.raises(UserError, match=f"{told}.* on this page; use the shell for more"):
        parse_settings(text, method)


@pytest.mark.parametrize("place", ["/tmp/x", "cache", "../x"])
def test_no_folder_of_the_server_can_be_named(place):
    with pytest.raises(UserError, match="'cache' names a place on the machine"):
        parse_settings(f"cache = {place}", "vggsfm")
    assert "`cache`" not in explain_settings("vggsfm")


def test_what_the_methods_take_by_themselves_is_taken_when_it_is_written_out():
    for info in methods().values():
        for preset in ("draft", "normal", "fine"):
            checked_settings({name: value for name, value in asdict(info.settings.preset(preset)).items() if value is not None})


def test_the_number_of_frames_is_bounded():
    assert checked_frames(None) is checked_frames(0) is None and checked_frames(600.0) == 600
    with pytest.raises(UserError, match="100,000 frames were asked for, but at most 600 frames are computed on this page"):
        checked_frames(100_000)


def test_only_trackers_that_can_run_here_are_offered_and_taken(monkeypatch, tmp_path):
    monkeypatch.delenv(WEIGHTS, raising=False)
    assert trackers_here() == ["auto", "normal", "fine", "draft"]
    assert "Here: auto, normal, fine, draft." in explain_settings("stereo4d")
    with pytest.raises(UserError, match="'vggsfm' needs weights .* choose one of auto, normal"):
        parse_settings("tracker = vggsfm", "stereo4d")
    pytest.importorskip("torch")
    (tmp_path / "weights.bin").write_bytes(b"x")
    monkeypatch.setenv(WEIGHTS, str(tmp_path / "weights.bin"))
    assert parse_settings("tracker = vggsfm", "stereo4d") == {"tracker": "vggsfm"}
