"""Ctrl-C in the shell: exit code 130 and one sentence, whatever it strikes."""

import os
import signal
import subprocess
import sys
import time

import pytest

import toolkit as tk
from toolkit import cli, interrupt


def stop_in(monkeypatch, fault):
    """A run that is interrupted while it works."""

    def run(*arguments, **options):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            if fault is not None:
                raise fault from None
            raise

    monkeypatch.setattr(tk, "run", run)


@pytest.mark.parametrize("fault", [None, RuntimeError("module could not be imported"), ImportError("interrupted"), SystemError()])
def test_ctrl_c_is_told_in_one_sentence_also_where_a_library_made_another_error_of_it(monkeypatch, capsys, tmp_path, fault):
    stop_in(monkeypatch, fault)
    before = signal.getsignal(signal.SIGINT)
    assert cli.main(["run", "a.mp4", "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "Cancelled; nothing was written.\n"
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is before


def test_a_fault_without_ctrl_c_keeps_its_traceback(monkeypatch, tmp_path):
    def run(*arguments, **options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(tk, "run", run)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["run", "a.mp4", "--out", str(tmp_path / "out")])


def test_a_shell_that_has_ctrl_c_ignored_keeps_that():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt.listening():
            os.kill(os.getpid(), signal.SIGINT)
        assert not interrupt.was_struck()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("module", ["toolkit.scene", "toolkit.views.page_display", "toolkit.cli"])
def test_ctrl_c_while_the_program_still_loads_is_told_in_one_sentence(module, tmp_path):
    program = f"""
import os, runpy, signal, sys

class Struck:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Struck())
sys.argv = ["-m", "inspect", "a.mp4"]  # as the interpreter has it while `python -m toolkit` imports the package
import toolkit
runpy.run_module("toolkit", run_name="__main__", alter_sys=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "Cancelled; nothing was written.\n"
