"""Work side by side, results in order."""

import threading
import time

import pytest

from toolkit.parallel import in_order, workers


@pytest.fixture(params=["1", "3"])
def threads(request, monkeypatch):
    monkeypatch.setenv("LIFT4D_THREADS", request.param)
    return int(request.param)


def test_results_come_in_order(threads):
    assert workers() == threads
    assert list(in_order(lambda i: (time.sleep(0.002 * (i % 3)), i)[1], range(20))) == list(range(20))


def test_only_a_few_items_are_taken_at_a_time(threads):
    taken = []

    def items():
        for i in range(50):
            taken.append(i)
            yield i

    results = in_order(lambda i: i, items())
    next(results)
    assert len(taken) <= threads + 1
    results.close()


def test_an_exception_arrives_and_nothing_more_is_started(threads):
    started = []
    lock = threading.Lock()

    def work(i):
        with lock:
            started.append(i)
        if i == 2:
            raise ValueError("two")
        return i

    with pytest.raises(ValueError, match="two"):
        list(in_order(work, range(100)))
    assert len(started) <= 3 + threads + 1
