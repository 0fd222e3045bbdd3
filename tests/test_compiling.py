"""Compiled loops follow changes in the files they call."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import toolkit
from toolkit import compiling


def test_a_change_in_a_called_file_is_noticed(tmp_path):
    (tmp_path / "inner.py").write_text("from toolkit.compiling import compiled\n@compiled()\ndef inner(x):\n    return x + 1\n")
    (tmp_path / "outer.py").write_text(
        textwrap.dedent("""
        from toolkit.compiling import compiled
        from inner import inner
        @compiled()
        def outer(x):
            return 10 * inner(x)
        """)
    )

    def answer():
        code = "import outer; print(outer.outer(1), sum(outer.outer.stats.cache_hits.values()))"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(toolkit.__file__).parent.parent)])}
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert answer() == ["20", "0"]
    assert answer() == ["20", "1"]  # kept on disk
    (tmp_path / "inner.py").write_text("from toolkit.compiling import compiled\n@compiled()\ndef inner(x):\n    return x + 2\n")
    assert answer() == ["30", "0"]


def double(x):
    return 2 * x


def test_without_a_place_to_keep_it_compiled_code_still_runs_and_says_so(monkeypatch):
    real = compiling.njit

    def nowhere(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'double': no locator available for file 'x.py'")
        return real(**options)

    monkeypatch.setattr(compiling, "njit", nowhere)
    with pytest.warns(RuntimeWarning, match="set NUMBA_CACHE_DIR to a writable folder"):
        twice = compiling.compiled()(double)
    assert twice(4) == 8


def test_other_errors_are_not_swallowed(monkeypatch):
    def broken(**options):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(compiling, "njit", broken)
    with pytest.raises(RuntimeError, match="no compiler"):
        compiling.compiled()(double)


def test_sums_in_any_order_are_in_no_function_that_another_compiled_one_calls():
    """Which copy of such a function is taken, its own or its caller's, depends on what numba found on disk."""
    loose, called = set(), {}
    for path in Path(toolkit.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            words = [ast.unparse(decorator) for decorator in function.decorator_list]
            if not any(word.startswith("compiled(") for word in words):
                continue
            if any("fastmath" in word for word in words):
                loose.add(function.name)
            inner = [call.func.id for call in ast.walk(function) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)]
            called |= dict.fromkeys(inner, path.name)
    assert len(loose) >= 1 and len(called) > 20
    assert {name: called[name] for name in loose & set(called)} == {}
