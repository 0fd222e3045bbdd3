"""Models grown along a video: the first pair does not decide."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

from dataclasses import replace

import numpy as np
import pytest

import toolkit as tk
from toolkit.evaluation.cameras import cameras as score
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.features import Features
from toolkit.sfm.mapping import Correspondences, database
from toolkit.sfm.two_view import TwoView, TwoViewOptions
from toolkit.sfm.video_growth import GrowthOptions, _Growth, grow


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


def _walk(frames=7, points=160):
    """A database of exact points seen by cameras that walk aside."""
    rng = np.random.default_rng(0)
    xyz = rng.uniform([-2, -1.5, 4], [2, 1.5, 8], (points, 3))
    camera = load_pycolmap().Camera.create_from_model_name(1, "PINHOLE", 500, 640, 480)
    camera.has_prior_focal_length = True
    seen = [(500 * (xyz[:, :2] - [0.25 * t, 0]) / xyz[:, 2:] + [320, 240]).astype(np.float32) for t in range(frames)]
    features = [Features(xy, np.ones(points, np.float32), np.empty((0, 128), np.uint8)) for xy in seen]
    same = np.repeat(np.arange(points, dtype=np.uint32)[:, None], 2, axis=1)
    pairs = {(i, j): TwoView(same, "full", np.full((3, 3), np.nan)) for i in range(frames) for j in range(i + 1, frames)}
    return Correspondences([f"{t}" for t in range(frames)], [camera] * frames, features, pairs)


def test_a_model_that_is_begun_anew_counts_no_match_twice():
    colmap, found, options = load_pycolmap(), _walk(), GrowthOptions(fixed_lens=True)
    with database(found, TwoViewOptions(), 0, trusted=True) as db, colmap.Database.open(db) as opened:
        growth = _Growth(
            colmap.DatabaseCache.create(opened, colmap.DatabaseCacheOptions()), range(7), options, 0, lambda n: None, -1, set()
        )
        for _ in range(2):
            assert growth._begin()
            growth._restart()
            growth._tried.clear()
        model = growth.model()
    assert model.num_reg_images() == 7 and model.num_points3D() == 160


def test_a_frame_that_shares_nothing_with_any_other_is_left_out():
    found = _walk()
    lonely = replace(found, pairs={pair: seen for pair, seen in found.pairs.items() if 3 not in pair})
    with database(lonely, TwoViewOptions(), 0, trusted=True) as db:
        model, _ = grow(db, list(range(7)), [range(7)], GrowthOptions(fixed_lens=True), 0)
    assert model.num_reg_images() == 6 and not model.exists_image(4)
