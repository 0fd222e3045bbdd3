"""Compiled loops on an installation that cannot be written to."""

import pytest

from toolkit.stereo import compiled as module


def double(x):
    return 2 * x


def test_without_a_place_to_keep_it_compiled_code_still_runs_and_says_so(monkeypatch):
    real = module.njit

    def nowhere(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'double': no locator available for file 'x.py'")
        return real(**options)

    monkeypatch.setattr(module, "njit", nowhere)
    with pytest.warns(RuntimeWarning, match="set NUMBA_CACHE_DIR to a writable folder"):
        twice = module.compiled()(double)
    assert twice(4) == 8


def test_other_errors_are_not_swallowed(monkeypatch):
    def broken(**options):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(module, "njit", broken)
    with pytest.raises(RuntimeError, match="no compiler"):
        module.compiled()(double)
