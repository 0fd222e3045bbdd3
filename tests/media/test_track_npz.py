"""Files of 2D tracks in TracksTo4D's schema: what is read and what is refused."""

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.media.track_npz import load_track_npz


@pytest.fixture
def arrays(golden):
    with np.load(golden / "tracksto4d" / "toy_sequence.npz") as file:
        return dict(file)


def test_a_published_file_is_read_track_by_track(arrays, golden):
    file = load_track_npz(golden / "tracksto4d" / "toy_sequence.npz")
    assert np.array_equal(file.xy[7, 3], arrays["pred_tracks"][0, 3, 7]) and file.xy.shape == (150, 30, 2)
    assert np.array_equal(file.visible, arrays["pred_visibility"][0].T) and np.array_equal(file.started_at, arrays["started_at"][0, 0])
    assert file.K is not None and np.array_equal(file.K, arrays["Ks_all"])
    assert file.T_wc is not None and np.abs(np.linalg.inv(file.T_wc)[:, :3] - arrays["Ms_all"]).max() < 1e-12
    assert file.depth is not None and file.moving is not None and file.moving.dtype == bool


def test_what_is_optional_may_be_missing(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", **{k: arrays[k] for k in ("pred_tracks", "pred_visibility", "started_at")})
    file = load_track_npz(tmp_path / "a.npz")
    assert file.K is file.T_wc is file.depth is file.moving is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pred_tracks": None}, "a.npz lacks pred_tracks, so it holds no tracks of TracksTo4D"),
        ({"pred_tracks": np.zeros((2, 30, 150, 2), np.float32)}, r"'pred_tracks' in a.npz has shape \(2, 30, 150, 2\), but \(1, T, N, 2\)"),
        ({"Ms_all": np.zeros((30, 4, 4))}, r"'Ms_all' in a.npz is float64 of shape \(30, 4, 4\), but numbers of shape \(30, 3, 4\)"),
        ({"pred_visibility": np.zeros((1, 29, 150), bool)}, r"'pred_visibility' in a.npz is bool of shape \(1, 29, 150\)"),
    ],
)
def test_other_files_are_refused(arrays, tmp_path, change, sentence):
    np.savez(tmp_path / "a.npz", **{k: v for k, v in (arrays | change).items() if v is not None})
    with pytest.raises(UserError, match=sentence):
        load_track_npz(tmp_path / "a.npz")
