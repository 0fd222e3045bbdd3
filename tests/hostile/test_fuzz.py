"""Spoilt recordings of every kind do no harm; the long version is `python -m toolkit benchmark --soak`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.soak.corpus import write_corpus
from toolkit.soak.mutations import arrays, bits, boxes, cut, doubled, members, mutations, numbers, sizes, words
from toolkit.soak.trial import verdicts

CASES = 40
ALL = [arrays, bits, boxes, cut, doubled, members, numbers, sizes, words]


@pytest.mark.parametrize("seed", [2025])
def test_spoilt_recordings_do_no_harm(seed):
    found = list(verdicts(CASES, seed))
    assert len(found) == CASES and [v for v in found if not v.good] == []
    assert {v.outcome for v in found} == {"opened", "refused"}, "some still open"
    assert max(v.peak_mb for v in found) < 2000 and max(v.cpu_s for v in found) < 20


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(ALL), st.integers(0, 2**32 - 1))
def test_every_way_to_spoil_takes_any_bytes_and_does_the_same_again(data, way, seed):
    spoilt = way(data, np.random.default_rng(seed))
    assert isinstance(spoilt, bytes)
    assert way(data, np.random.default_rng(seed)) == spoilt


def test_every_kind_of_recording_is_spoilt_in_its_own_ways(tmp_path):
    sound = write_corpus(tmp_path)
    assert {path.suffix for path in sound} >= {"", ".mp4", ".npz", ".zip", ".png", ".jpg"} and len(sound) > 20
    for path in sound:
        for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
            way = mutations(file.suffix)[0]
            data = file.read_bytes()
            assert any(way(data, np.random.default_rng(seed)) != data for seed in range(8)), (file.name, way.__name__)
