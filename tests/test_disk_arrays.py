"""Large arrays in unnamed files: same numbers, little memory, nothing left."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import numpy as np
import pytest

from toolkit import disk_arrays
from toolkit.disk_arrays import LARGE_MB, large_copy, large_empty, large_full, some_frames

_MANY = LARGE_MB << 20


def test_a_small_array_stays_in_memory() -> None:
    assert large_empty((3, 4), np.float32).base is None


def test_a_large_array_is_a_file_without_a_name(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = large_empty((_MANY,), np.uint8)
    assert array.base is not None and array.flags.writeable and not list(tmp_path.iterdir())


def test_what_was_written_comes_back_when_its_pages_were_given_back() -> None:
    values = np.random.default_rng(0).integers(0, 255, (4, _MANY // 2), np.uint8)
    array = large_copy(values)
    disk_arrays._keeper.give_back()
    np.testing.assert_array_equal(array, values)
    array[1] = 7
    disk_arrays._keeper.give_back()
    assert (array[1] == 7).all() and (large_full((_MANY,), 3, np.uint8) == 3).all()


@pytest.mark.parametrize("why", ["no folder", "no room"])
def test_where_no_file_can_be_had_it_is_memory(why, tmp_path, monkeypatch) -> None:
    if why == "no folder":
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    else:
        monkeypatch.setattr(disk_arrays.shutil, "disk_usage", lambda folder: _Disk())
    assert large_empty((_MANY,), np.uint8).base is None


class _Disk:
    free = _MANY


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells the peak of memory in another way")
def test_a_process_that_fills_and_reads_much_more_stays_small() -> None:
    code = """
import numpy as np
from toolkit import disk_arrays
from toolkit.disk_arrays import large_empty, stay_small
from toolkit.memory import peak_mb
disk_arrays._keeper.most_mb = 96  # so that a quarter of the room is enough for the test
np.ones((1 << 20)).sum()
before = peak_mb()
array = large_empty((400, 1 << 20), np.uint8)
for t in range(400):
    array[t] = t % 251
    stay_small()
total = 0
for t in range(400):
    total += int(array[t].sum())
    stay_small()
print(peak_mb() - before, total == sum(t % 251 for t in range(400)) << 20)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out[1] == "True" and float(out[0]) < 200


def test_some_frames_of_some_tracks_are_those() -> None:
    array = large_full((LARGE_MB << 10, 40, 3), 0, np.float64)
    array[:, :, 1] = np.arange(40)
    rows = np.array([5, 2, LARGE_MB << 9])
    np.testing.assert_array_equal(some_frames(array, rows, slice(3, 7)), array[rows, 3:7])


def test_of_small_frames_less_stays_in_memory_and_never_more_than_of_large_ones(monkeypatch) -> None:
    monkeypatch.setattr(disk_arrays._keeper, "most_mb", 0.0)
    most = []
    for side in (64, 192, 256, 512, 2000):
        disk_arrays.frames_are((side, side))
        most.append(disk_arrays._keeper.most_mb)
    assert most == sorted(most) and most[0] >= 100 and most[1] < 200 and most[3] == most[4]


def test_what_somebody_asks_for_while_pages_go_back_is_not_taken_for_code(monkeypatch) -> None:
    keeper, shared = disk_arrays._Keeper(), iter([100.0, 900.0, 300.0, 700.0, 300.0])
    monkeypatch.setattr(disk_arrays, "_shared_mb", lambda: next(shared))
    array = large_empty((_MANY,), np.uint8)
    room = array.base
    assert room is not None
    keeper._rooms.add(room)  # type: ignore[arg-type]
    keeper._process, keeper._least_mb = 0, float("inf")
    given: list[bool] = []
    monkeypatch.setattr(keeper, "give_back", lambda: given.append(True))
    for _ in range(3):
        keeper.stay_small()
    assert len(given) == 2
