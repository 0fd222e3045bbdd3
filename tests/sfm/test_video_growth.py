"""Models grown along a video: the first pair does not decide."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import numpy as np
import pytest

import toolkit as tk
from toolkit.evaluation.cameras import cameras as score


@pytest.mark.data
def test_a_walk_straight_ahead_with_a_turn_is_not_taken_for_steps_aside(data):
    place = data / "stereo4d_clips" / "dev" / "O1lraa7pP3Y_337504171"
    with np.load(place.with_suffix(".pnp_w2c.npz")) as file:
        T_cw = file["w2c"]
    known = np.isfinite(T_cw).all((1, 2))
    T_wc = np.full(T_cw.shape, np.nan)
    T_wc[known] = np.linalg.inv(T_cw[known])
    K = np.array([[443.4, 0, 256], [0, 443.4, 256], [0, 0, 1]])
    found = score(tk.reconstruct(place.with_suffix(".mp4"), K=K, moving="keep").cameras, tk.Cameras.from_poses(K, T_wc, (512, 512)))
    assert found["registered"] == 1
    assert found["ate_rot_deg"] < 0.3 and found["ate_extent"] < 0.01
