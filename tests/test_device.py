"""A graphics processor is asked for where the platform lends one, and nowhere else."""

import sys

from toolkit.device import gpu


def test_elsewhere_a_function_stays_as_it_is(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)

    def work(x):
        return x + 1

    assert gpu(30)(work) is work
    assert "spaces" not in sys.modules


def test_on_such_a_space_the_platform_marks_it(monkeypatch):
    class Spaces:
        @staticmethod
        def GPU(duration):
            return lambda function: ("marked", duration, function)

    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setitem(sys.modules, "spaces", Spaces)
    assert gpu(30)(len) == ("marked", 30, len)
