"""A square with several things that pass before each other, where outlines tell nothing: how much changes tells who is late."""

from pathlib import Path

import numpy as np
import pytest

import toolkit
from toolkit.media.rig_input import opened_rig
from toolkit.methods.mvtracker_intake import sighted
from toolkit.multiview.calibration_check import Sighted, check_rig
from toolkit.multiview.synchrony_change import changes_alike, lags_of_changes

EXAMPLE = Path(toolkit.__file__).parent / "examples" / "square_four_cameras.zip"
LATE = 4


@pytest.fixture(scope="module")
def views() -> list[Sighted]:
    with opened_rig(EXAMPLE) as rig:
        return sighted(rig)


def begun(views: list[Sighted], early: list[int]) -> list[Sighted]:
    """The views, each without so many of its first frames."""
    count = len(views[0].frames) - max(early)
    return [Sighted(v.name, v.frames[n : n + count], v.K, v.T_wc) for v, n in zip(views, early, strict=True)]


def found(views: list[Sighted]) -> dict[int, int]:
    return lags_of_changes(changes_alike([v.frames for v in views], [v.K for v in views], [v.T_wc for v in views]), len(views))


def test_clips_of_one_moment_are_not_called_late(views: list[Sighted]) -> None:
    assert found(views) == {}


@pytest.mark.parametrize("late", [0, 1, 3])
def test_a_clip_without_its_first_frames_is_told_up_to_a_frame(views: list[Sighted], late: int) -> None:
    lags = found(begun(views, [LATE if v == late else 0 for v in range(4)]))
    for v in range(4):
        assert abs(lags[v] - LATE * ((late == 0) - (v == late))) <= 1


def test_inspect_tells_the_late_clip_and_what_shifts_it(views: list[Sighted]) -> None:
    checked = check_rig(begun(views, [0, 0, LATE, 0]))
    assert abs(checked.lag_frames["camera_2"] + LATE) <= 1
    assert any(told.startswith("camera_2 seems") and "synchronise=true" in told for told in checked.late)


def test_clips_that_are_short_or_show_no_change_tell_nothing(views: list[Sighted]) -> None:
    assert found([Sighted(v.name, v.frames[:6], v.K, v.T_wc) for v in views]) == {}
    assert found([Sighted(v.name, np.zeros_like(v.frames), v.K, v.T_wc) for v in views]) == {}
