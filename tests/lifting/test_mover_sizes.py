"""What moves, placed by bodies of several sizes, is as near to the truth, on its rays, and less sure where the sizes disagree."""

import numpy as np
import pytest
from test_track_movers import errors, given

from toolkit.lifting.mover_sizes import place_by_sizes
from toolkit.lifting.track_movers import MoverOptions, place_movers
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene

SIZES = (0.7, 1.4)


def both(seed):
    scene = track_scene(seed, 24, 120, recipe=HELD_OUT)
    uv, seen, around = given(scene)
    movers = (uv[:, scene.moving], seen[:, scene.moving], around, MoverOptions())
    return scene, around, movers, place_movers(*movers), place_by_sizes(*movers, SIZES)


def test_several_sizes_are_nearer_to_the_truth_than_one_on_average():
    rows = []
    for seed in range(42, 62):
        scene, _, _, one, several = both(seed)
        rows.append([np.mean(errors(scene, one)), np.mean(errors(scene, several))])
    one, several = np.mean(rows, axis=0)
    assert several < one


def test_points_stay_on_their_rays_and_no_surer_than_one_size_says():
    _, around, (uv, seen, *_), one, several = both(44)
    own = np.einsum("tij,tmi->tmj", around.R, several.xyz - around.centres[:, None])
    known = seen & np.isfinite(own).all(-1)
    np.testing.assert_allclose((own[..., :2] / own[..., 2:])[known], uv[known], atol=1e-9)
    assert (several.sigma >= one.sigma).all() and (several.body == one.body).all()


@pytest.mark.parametrize("sizes", [(), (1.0,)])
def test_no_other_size_changes_nothing(sizes):
    _, _, movers, one, _ = both(45)
    np.testing.assert_allclose(place_by_sizes(*movers, sizes).xyz, one.xyz)
