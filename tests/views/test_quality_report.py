"""The quality report: lights from limits, worst first, nothing invented."""

import html
import math
import re

import pytest

from toolkit.scene import Scene
from toolkit.views.report import quality_lines, quality_markdown


def line(value, *, green=1.0, amber=2.0, higher_is_better=False, advice="Try fine."):
    entry = {"value": value, "unit": "px", "green": green, "amber": amber, "higher_is_better": higher_is_better, "advice": advice}
    return quality_lines(Scene(method="x", report={"quality": {"it": entry}}))[0]


@pytest.mark.parametrize(("value", "light"), [(0.5, "green"), (1.0, "green"), (1.5, "amber"), (2.0, "amber"), (2.1, "red")])
def test_lower_is_better(value, light):
    assert line(value).light == light


@pytest.mark.parametrize(("value", "light"), [(95, "green"), (90, "green"), (85, "amber"), (80, "amber"), (10, "red")])
def test_higher_is_better(value, light):
    assert line(value, green=90, amber=80, higher_is_better=True).light == light


@pytest.mark.parametrize("value", [None, float("nan"), "many", True])
def test_what_was_not_measured_has_no_light(value):
    found = line(value)
    assert found.light == "unknown" and math.isnan(found.value) and str(found) == "[unknown] it: not measured."


def test_a_bare_number_is_told_without_a_verdict():
    assert str(quality_lines(Scene(method="x", report={"quality": {"tracks": 12}}))[0]) == "[unknown] tracks: 12."


def test_the_worst_comes_first_and_green_needs_no_advice():
    def entry(value):
        return {"value": value, "unit": "cm", "green": 1, "amber": 2, "higher_is_better": False, "advice": "Do it."}

    scene = Scene(method="x", report={"quality": {"a": entry(0.123456), "b": entry(9), "c": entry(1.5)}})
    assert "\n".join(map(str, quality_lines(scene))) == "[poor] b: 9 cm. Do it.\n[fair] c: 1.5 cm. Do it.\n[good] a: 0.123 cm."
    rows = quality_markdown(scene).splitlines()
    assert len(rows) == 5 and rows[2].endswith("| b | 9 cm | Do it. |") and rows[4].endswith("| a | 0.123 cm |  |")


def test_the_page_shows_a_verdict_that_needs_neither_colour_nor_a_symbol_font():
    entry = {"value": 3, "unit": "px", "green": 1, "amber": 2, "higher_is_better": False, "advice": ""}
    table = quality_markdown(Scene(method="x", report={"quality": {"it": entry, "count": 4}}))
    assert table.isascii()
    cells = [re.sub("<[^>]*>", "", row.split("|")[1]).strip() for row in table.splitlines()[2:]]
    assert cells == ["poor", "unknown"] and "background-color:#d1383d" in table


def test_what_a_shared_scene_says_is_text_and_neither_html_nor_a_picture():
    evil = "![t](http://evil.example/x.png) <img src=x> <b>www.evil.example</b> | [a](b) `c` **d** &lt;"
    entry = {"value": 3, "unit": evil, "green": 1, "amber": 2, "higher_is_better": False, "advice": evil}
    table = quality_markdown(Scene(method="x", report={"quality": {evil: entry}}))
    row = table.splitlines()[2]
    assert row.count("|") == 5 and row.count("<") == 4, "the cells of the table and its own dot"
    assert not any(active in table for active in ("![", "](", "://", "www.", "<img", "<b>", "`", "**"))
    assert html.unescape(row).count(evil) == 3, "it is read as it was written"


def test_a_scene_without_measurements_says_so():
    assert quality_lines(Scene(method="x")) == []
    assert quality_markdown(Scene(method="x")) == "Nothing was measured for this scene."


def test_large_figures_are_written_out():
    assert "1,120 px" in str(line(1120)) and "0.00213 px" in str(line(0.00213))
