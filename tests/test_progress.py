"""Progress and cancelling."""

import threading
import time

import pytest

from toolkit.errors import Cancelled, UserError
from toolkit.progress import Progress, as_events, reporter
from toolkit.scene import Scene


def test_events_come_in_order_and_the_last_one_carries_the_scene():
    scene = Scene(method="test")

    def work(listener):
        report = reporter(listener, "tracks", "Tracking")
        for i in range(3):
            report(i + 1, 3)
        return scene

    events = list(as_events(work))
    assert [(e.stage, e.done) for e in events] == [("tracks", 0), ("tracks", 1), ("tracks", 2), ("tracks", 3), ("done", 1)]
    assert events[-1].result is scene
    assert all(e.result is None for e in events[:-1])
    assert events[2].fraction == pytest.approx(2 / 3)


def test_closing_the_generator_stops_the_work():
    stopped = threading.Event()

    def work(listener):
        report = reporter(listener, "tracks", "Tracking")
        try:
            for i in range(100_000):
                report(i, 100_000)
                time.sleep(0.001)
        except Cancelled:
            stopped.set()
            raise
        return Scene(method="test")

    events = as_events(work)
    next(events)
    events.close()
    assert stopped.is_set()


def test_a_users_error_reaches_whoever_iterates():
    def work(listener):
        raise UserError("The clip has one eye.")

    with pytest.raises(UserError, match="The clip has one eye"):
        list(as_events(work))


def test_a_fraction_is_known_only_where_a_total_is():
    assert Progress("x", 3, 0).fraction == 0
    assert Progress("x", 5, 4).fraction == 1
