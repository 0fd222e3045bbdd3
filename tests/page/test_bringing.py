"""What a clip is told before it is run."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.page import texts
from toolkit.page.bringing import Bringing, too_long
from toolkit.page.desk import costs
from toolkit.page.scratch import Scratch


def cost(seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "memory_mb": 500.0}


def test_a_clip_that_no_preset_can_finish_in_time_is_told_so_before_it_is_run():
    told = too_long({"draft": cost(15_000), "normal": cost(16_000)})
    assert told == [texts.TOO_LONG_AHEAD.format(quickest="4.2 h", limit="30 min")]


def test_a_clip_that_a_preset_can_finish_gets_no_such_note():
    assert too_long({"draft": cost(1_700), "fine": cost(4_000)}) == []
    assert too_long({}) == []


def found(frames: int, kind: str = "vr180") -> dict[str, Any]:
    """What is known of a clip that one method takes, each frame of which costs a second."""
    told = {preset: cost(frames) for preset in ("draft", "normal", "fine")}
    sure = {"kind": kind, "frames": frames, "size": [3840, 1920], "views": 1, "summary": "a clip", "warnings": [], "has_result": False}
    return {**sure, "methods": ["stereo4d"], "estimate": told, "estimates": {"stereo4d": told}}


def test_fewer_frames_cost_less_and_more_than_the_method_takes_by_itself_cost_more():
    clip = found(400)
    seconds = [costs(clip, "stereo4d", asked)["normal"]["seconds"] for asked in (10, 50, 200, 400, 1000)]
    assert seconds[0] < seconds[1] < seconds[2] < seconds[3] == seconds[4]
    assert costs(clip, "stereo4d", None) == clip["estimate"]


@pytest.fixture
def bringing(tmp_path):
    scratch = Scratch(tmp_path)
    visitor = scratch.visitor("somebody")
    desk: Any = SimpleNamespace(visitor=lambda request: visitor, changes=lambda **changes: changes)
    yield Bringing(desk), visitor
    scratch.close()


def test_the_presets_and_the_card_follow_the_number_of_frames_that_is_asked_for(bringing):
    page, visitor = bringing
    request: Any = None
    assert page.limit(30, None, request) == {}, "there is no clip yet"
    visitor.kept["found"] = found(149)
    few, many = page.limit(10, "stereo4d", request), page.limit(0, "stereo4d", request)
    assert few["preset"]["choices"] != many["preset"]["choices"]
    assert "149 s" not in str(few["preset"]["choices"]) and "2 min" in str(many["preset"]["choices"])
    assert "the first 10 are used" in few["found"] and "are used" not in many["found"]


@pytest.mark.parametrize(("has_result", "seen"), [(False, True), (True, "hidden")])
def test_a_finished_scene_offers_no_controls_of_a_run(bringing, has_result, seen):
    page, visitor = bringing
    clip = {**found(10, kind="scene"), "layout": "mono", "has_result": has_result, "methods": [] if has_result else ["stereo4d"]}

    async def look(*_):
        return clip

    page.desk.options, page.desk.ready, page.desk.studio = (lambda *_: {}), (lambda _: ""), SimpleNamespace(look=look)
    shown = asyncio.run(anext(page.looked_at(visitor, "found", "", method=None)))
    assert [shown[part]["visible"] for part in ("picking", "advanced", "method", "preset")] == [seen, seen, not has_result, not has_result]
