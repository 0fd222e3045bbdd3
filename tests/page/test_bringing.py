"""What a clip is told before it is run."""

from toolkit.page import texts
from toolkit.page.bringing import too_long


def cost(seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "memory_mb": 500.0}


def test_a_clip_that_no_preset_can_finish_in_time_is_told_so_before_it_is_run():
    told = too_long({"draft": cost(15_000), "normal": cost(16_000)})
    assert told == [texts.TOO_LONG_AHEAD.format(quickest="4.2 h", limit="30 min")]


def test_a_clip_that_a_preset_can_finish_gets_no_such_note():
    assert too_long({"draft": cost(1_700), "fine": cost(4_000)}) == []
    assert too_long({}) == []
