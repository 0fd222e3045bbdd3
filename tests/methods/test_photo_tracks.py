"""Points followed through photos as a second source of correspondences."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import numpy as np
import pytest

import toolkit as tk
from tests.sfm import photo_set
from toolkit.evaluation.cameras import cameras as score


@pytest.fixture(scope="module")
def truth():
    return photo_set.cameras(6, step=0.2, turn_deg=2)


@pytest.fixture(scope="module")
def pictures(truth):
    return photo_set.photograph(truth)


def test_the_classical_tracker_places_photos_in_order_together_with_sift(tmp_path, pictures, truth):
    options = {"tracker": "classical", "max_features": 300, "cache": str(tmp_path)}
    told = []
    scene = tk.reconstruct(pictures, K=photo_set.K, progress=told.append, **options)
    assert "tracks" in {event.stage for event in told}
    found = score(scene.cameras, truth)
    assert found["registered"] == 1 and found["ate_extent"] < 0.005
    alone = tk.reconstruct(pictures, K=photo_set.K, max_features=300)
    assert scene.report["points"] > 1.5 * alone.report["points"]
    again = tk.reconstruct(pictures, K=photo_set.K, **options)
    assert again.report["reused_from_cache"] > scene.report["reused_from_cache"]
    assert np.array_equal(again.cameras.T_wc, scene.cameras.T_wc)


def test_masked_parts_give_no_followed_points(pictures, truth):
    masks = np.zeros((6, 320, 480), bool)
    masks[:, :, :160] = True
    scene = tk.reconstruct(pictures, cameras=truth, masks=masks, tracker="classical", max_features=300)
    assert scene.tracks_2d.xy[scene.tracks_2d.visible][:, 0].min() > 155


def test_what_a_tracker_of_photos_needs_is_told_first(pictures):
    told = []
    with pytest.raises(tk.UserError, match="one size, but"):
        tk.reconstruct([*pictures, pictures[0][:200]], tracker="classical", progress=told.append)
    with pytest.raises(tk.UserError, match="no tracker 'lk' for photos; there are: auto, sift, classical, vggsfm"):
        tk.reconstruct(pictures, tracker="lk")
    assert not told
