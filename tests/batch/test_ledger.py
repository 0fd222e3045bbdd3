"""The ledger holds whole lines alone, whatever happens while one is written."""

import errno
import os

import pytest

import toolkit as tk
from toolkit.batch import ledger as ledger_module
from toolkit.batch import read_ledger
from toolkit.batch.ledger import LEDGER, DiskFull, Ledger


def test_half_a_line_is_cut_off_when_the_next_one_is_written(tmp_path):
    (tmp_path / LEDGER).write_bytes(b'{"clip": "a", "state": "finished"}\n{"clip": "b", "sta')
    assert [line["clip"] for line in read_ledger(tmp_path)] == ["a"]
    with Ledger.held(tmp_path) as ledger:
        ledger.add({"clip": "c", "state": "refused"})
    assert [line["clip"] for line in read_ledger(tmp_path)] == ["a", "c"]
    (tmp_path / LEDGER).write_bytes(b"x" * 200_000)  # nothing but a half
    with Ledger.held(tmp_path):
        assert (tmp_path / LEDGER).read_bytes() == b""


def test_a_line_that_finds_no_room_leaves_the_ledger_as_it_was(tmp_path, monkeypatch):
    write = os.write

    def half(handle, data):
        write(handle, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with Ledger.held(tmp_path) as ledger:
        ledger.add({"clip": "a"})
        monkeypatch.setattr(ledger_module.os, "write", half)
        with pytest.raises(DiskFull, match="is full; what is finished is kept"):
            ledger.add({"clip": "b"})
    assert (tmp_path / LEDGER).read_bytes() == b'{"clip": "a"}\n'


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / LEDGER).write_bytes(b'{"clip": "a"}\nnonsense\n')
    with pytest.raises(tk.UserError, match=r"Line 2 of .* is damaged"):
        list(read_ledger(tmp_path))
    (tmp_path / LEDGER).write_bytes(b"[1]\n")
    with pytest.raises(tk.UserError, match="Line 1 of .* is not one of a batch"):
        list(read_ledger(tmp_path))
    with pytest.raises(tk.UserError, match="There is no batch in"):
        list(read_ledger(tmp_path / "none"))
