"""A thinned scene keeps its measurements."""

from dataclasses import replace

import numpy as np

from toolkit.media.scene_file import load, save
from toolkit.scene import PointCloud, Scene
from toolkit.synthetic import example
from toolkit.thinning import thinned


def test_depth_keeps_its_size_and_is_what_was_measured_in_the_middle_of_each_block():
    clip = example("handheld", frames=3, size=(96, 72))
    scene = clip.truth(grid=(20, 15), every=1)
    cloud = PointCloud(np.random.default_rng(0).normal(size=(30_000, 3)).astype(np.float32), np.zeros((30_000, 3), np.uint8))
    scene = replace(scene, points=cloud)
    thin = thinned(scene)
    assert scene.depth is not None and thin.depth is not None and thin.points is not None and thin.tracks_3d is not None
    middle = scene.depth.depth[:, 2:70:5, 2::5]
    np.testing.assert_allclose(thin.depth.depth[:, 1:70:5, 4::5], middle, rtol=0.008, equal_nan=True)
    assert len(thin.points) == 7_000 and 0 < len(thin.tracks_3d) <= 600
    assert thin.video is scene.video and thin.cameras is scene.cameras


def test_a_scene_without_parts_stays_empty():
    assert thinned(Scene(method="none")).frames == 0


def test_all_views_of_a_scene_keep_the_same_tracks(tmp_path):
    scene = example("handheld", frames=3, size=(96, 72)).truth(grid=(40, 30), every=1)
    scene = replace(scene, views=(replace(scene, video=None), replace(scene, depth=None)))
    thin = thinned(scene)
    assert thin.tracks_2d is not None and scene.tracks_2d is not None and 0 < len(thin.tracks_2d) < len(scene.tracks_2d)
    for view in thin.views:
        assert view.tracks_2d is not None
        np.testing.assert_array_equal(view.tracks_2d.xy, thin.tracks_2d.xy)
    assert len(load(save(thin, tmp_path / "thin.npz")).views) == 2
