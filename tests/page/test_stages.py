"""Bars: one a stage, with a time left that is made from its pace."""

import pytest

from toolkit.page import texts
from toolkit.page.stages import Stages, line


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_the_time_left_follows_the_pace_of_the_stage(clock):
    stages = Stages(clock=clock)
    stages.take("tracks", 0, 10, "Tracking points")
    assert stages.left_s() is None, "nothing is known of its pace yet"
    clock.now += 6
    stages.take("tracks", 2, 10, "Tracking points")
    assert stages.left_s() == pytest.approx(24)
    assert "24 s left" in stages.html()


def test_a_new_stage_ends_the_one_before(clock):
    stages = Stages(clock=clock, expected_s=60)
    stages.take("rectify", 1, 4, "Reading")
    clock.now += 12
    stages.take("depth", 0, 4, "Matching")
    text = stages.html()
    assert text.count("l4-stage done") == 1 and text.count("l4-stage now") == 1
    assert "12 s" in text and 'aria-valuenow="100"' in text
    assert "about 48 s left in all" in text


def test_a_stage_never_goes_back(clock):
    stages = Stages(clock=clock)
    stages.take("files", 3, 4, "Writing")
    stages.take("files", 1, 4, "Writing")
    assert 'aria-valuenow="75"' in stages.html()


def test_before_the_first_stage_and_beyond_the_expected_time_there_is_something_to_read(clock):
    stages = Stages(clock=clock, expected_s=5)
    assert texts.STARTING in stages.html()
    clock.now += 10
    assert texts.LONGER in stages.html()


def test_what_a_clip_is_called_cannot_write_into_the_page(clock):
    stages = Stages(clock=clock)
    stages.take("a", 0, 1, "<img src=x onerror=alert(1)>")
    assert "<img" not in stages.html()
    assert "<b>" not in line("<b>")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (42.4, "42 s"), (89, "89 s"), (100, "1 min 40 s"), (700, "11 min"), (3600, "1 h"), (9000, "2.5 h")]
)
def test_times_are_told_as_people_do(seconds, words):
    assert texts.duration(seconds) == words
