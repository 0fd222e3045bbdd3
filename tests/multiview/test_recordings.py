"""Real rigs: a chessboard filmed by four cameras, beside each view on its own."""

import numpy as np
import pytest

from toolkit.media.rig_input import opened_rig
from toolkit.media.rig_reading import read_rig
from toolkit.multiview.baselines import each_view_alone
from toolkit.multiview.tracking import grey_views, track_views

pytestmark = pytest.mark.data


def shares(xyz, truth, after) -> tuple[float, float, float]:
    counted = np.isfinite(truth[..., 0]) & (np.arange(truth.shape[1]) > after[:, None])
    error = np.linalg.norm(xyz - truth, axis=-1)[counted]
    near = np.where(np.isfinite(error), error, np.inf)
    return 100 * float((near < 0.005).mean()), 100 * float((near < 0.01).mean()), 1000 * float(np.nanmean(error))


def test_corners_of_a_board_are_followed_to_the_end_and_better_than_by_each_view_alone(data):
    place = data / "multiview_caliscope_charuco" / "4_cam_recording"
    truth = np.load(place / "board_tracks_gt.npz")
    world = truth["points3d_triangulated_m"].transpose(1, 0, 2)
    first = np.isfinite(world[..., 0]).argmax(1)
    queries = np.column_stack([first, world[np.arange(len(world)), first]]).astype(np.float32)
    with opened_rig(place) as rig:
        clip = read_rig(rig)
    images = grey_views(clip)
    found = track_views(clip, queries, images=images).tracks_3d
    rigid = truth["points3d_rigidfit_m"].transpose(1, 0, 2)
    ours = shares(found.xyz, rigid, first)
    alone = shares(each_view_alone(clip, queries, images=images), rigid, first)
    assert ours[0] >= 95 and ours[1] >= 97 and ours[2] <= 3
    assert np.isfinite(found.xyz[:, -1]).all()
    assert ours[0] > alone[0] + 10
