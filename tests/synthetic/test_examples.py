"""Examples can be made by name and stored with their truth."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.synthetic import example, write_example


def test_an_unknown_example_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r'no example "ocean"; there are street, room, handheld'):
        example("ocean")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="0 frames"):
        example("room", frames=0)


def test_a_stored_example_is_a_video_and_plain_arrays(tmp_path):
    written = []
    paths = write_example(
        tmp_path / "new",
        "street",
        writer=lambda path, frames, fps: written.append((path, frames.shape, fps)),
        frames=2,
        size=(64, 64),
        eye_size=(64, 64),
        grid=(4, 4),
    )
    assert written == [(paths["video"], (2, 64, 128, 3), 30.0)]
    with np.load(paths["truth"]) as truth:
        assert truth["T_wc"].shape == (2, 4, 4) and truth["tracks_xyz_w"].shape == (16, 2, 3)
        assert truth["depth_mm"].dtype == np.uint16 and truth["baseline_m"] == 0.063
        assert "walker" in truth["object_names"]
    assert [p.name for p in sorted((tmp_path / "new").iterdir())] == ["street.truth.npz"]


def test_the_library_writes_the_video_itself(tmp_path):
    pytest.importorskip("av")
    paths = write_example(tmp_path, "room", frames=2, size=(64, 64), grid=(2, 2))
    assert paths["video"].stat().st_size > 1000
