"""The benchmark names what it measured."""

from toolkit.benchmark import ROWS, measure_all


def test_a_quick_look_is_named_by_its_own_small_sizes():
    told = []
    row = measure_all(quick=True, only="rectify", tell=told.append)[0]
    assert row["name"] == "rectify and crop, one 960 x 480 frame, both eyes"
    assert told == ["measuring: " + row["name"]]
    assert row["published_cpu_s"] is None and row["times_faster"] is None, "that figure is of the full size"


def test_every_name_tells_its_sizes_and_no_two_are_alike():
    for quick in (False, True):
        names = [row.told(quick) for row in ROWS]
        assert len(set(names)) == len(ROWS)
    assert ROWS[2].told(False) == "prune, 294,912 queries x 177 frames"
    assert all(row.told(True) != row.told(False) for row in ROWS)
