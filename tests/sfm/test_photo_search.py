"""Photos in which few described points were found get more by patches along epipolar lines."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import toolkit as tk
from tests.sfm import photo_set
from toolkit.evaluation.cameras import cameras as score


def test_photos_with_few_points_get_more_and_their_cameras_are_several_times_nearer():
    truth = photo_set.cameras(5, step=0.6, turn_deg=5)
    pictures = photo_set.photograph(truth)
    alone, searched = (tk.reconstruct(pictures, K=photo_set.K, max_features=120, tracker=tracker) for tracker in ("sift", "auto"))
    errors = [score(scene.cameras, truth)["ate_extent"] for scene in (alone, searched)]
    print("ATE over the extent, described points alone", errors[0], "with patches", errors[1])
    assert searched.report["points"] > 5 * alone.report["points"]
    assert errors[1] < 0.2 * errors[0]
