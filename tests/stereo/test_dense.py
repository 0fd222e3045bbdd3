"""Dense depth from pictures whose cameras are known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.sfm.photo_set import photograph
from tests.stereo import corner
from toolkit.errors import Cancelled, UserError
from toolkit.scene import Cameras, Video
from toolkit.stereo.dense import dense_depth


@pytest.fixture(scope="module")
def seen():
    return corner.cameras(5)


@pytest.fixture(scope="module")
def truth(seen):
    return np.stack([corner.depth_of(seen, t) for t in range(len(seen))])


@pytest.fixture(scope="module")
def scene(seen):
    noise = np.random.default_rng(0)
    pictures = [
        np.clip(p * g + noise.normal(0, 2, p.shape), 0, 255).astype(np.uint8)
        for p, g in zip(photograph(seen), (1, 0.95, 1, 1.06, 0.9), strict=True)
    ]
    return corner.scene_of(seen, pictures)


@pytest.fixture(scope="module")
def found(scene):
    return dense_depth(scene)


def test_most_pixels_get_a_depth_that_is_right_to_half_a_percent(found, truth):
    known = np.isfinite(found.depth)
    error = np.abs(found.depth / truth - 1)[known]
    assert known.mean() > 0.85
    assert np.median(error) < 0.005 and error.mean() < 0.01
    assert found.depth.shape == truth.shape and found.unit == "metre"
    assert (found.confidence[~known] == 0).all() and (found.confidence[known] > 0).all()


def test_confidence_ranks_errors(found, truth):
    known = np.isfinite(found.depth)
    error, sure = np.abs(found.depth / truth - 1)[known], found.confidence[known]
    order = np.argsort(-sure)
    assert error[order[: len(order) // 2]].mean() < 0.6 * error[order[len(order) // 2 :]].mean()


def test_what_has_no_texture_stays_unknown(seen, truth):
    pictures = photograph(seen)
    for picture, z in zip(pictures, truth, strict=True):
        picture[np.abs(z - truth.max()) < 0.6] = 128  # the far wall is bare
    found = dense_depth(corner.scene_of(seen, pictures))
    bare = np.abs(truth - truth.max()) < 0.4
    wrong = np.isfinite(found.depth) & (np.abs(found.depth / truth - 1) > 0.1)
    assert wrong[bare].mean() < 0.1


def test_masked_pixels_are_unknown_and_mislead_no_other_view(scene, truth):
    frames = scene.video.frames.copy()
    masks = np.zeros(frames.shape[:3], bool)
    for t in range(len(frames)):
        column = 20 + 40 * t  # something that moves in front
        frames[t, 60:110, column : column + 30] = np.random.default_rng(t).integers(0, 255, (50, 30, 3))
        masks[t, 58:112, column - 2 : column + 32] = True
    found = dense_depth(replace(scene, video=Video.from_frames(frames, 2.0)), ignored=masks)
    assert np.isnan(found.depth[masks]).all()
    error = np.abs(found.depth / truth - 1)[np.isfinite(found.depth)]
    assert error.mean() < 0.015


def test_frames_without_a_pose_have_no_depth(scene, seen):
    T_wc = seen.T_wc.copy()
    T_wc[1] = np.nan
    found = dense_depth(replace(scene, cameras=Cameras(seen.K, T_wc, seen.size)))
    assert np.isnan(found.depth[1]).all() and np.isfinite(found.depth[2]).any()


def test_frames_between_the_matched_ones_take_over_their_depth(scene, truth):
    found = dense_depth(scene, views=[0, 2, 4])
    error = np.abs(found.depth[3] / truth[3] - 1)
    assert np.isfinite(found.depth[3]).mean() > 0.7
    assert np.nanmedian(error) < 0.01


def test_the_black_of_a_canvas_larger_than_a_photo_is_unknown(scene):
    frames = scene.video.frames.copy()
    frames[2, 100:] = 0
    found = dense_depth(replace(scene, video=Video.from_frames(frames, 2.0)))
    assert np.isnan(found.depth[2, 100:]).all() and np.isfinite(found.depth[2, :90]).mean() > 0.6


def test_depth_has_the_size_of_the_video_whatever_the_size_it_was_matched_at(scene, seen, truth):
    double = np.stack([cv2.resize(f, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for f in scene.video.frames])
    K = np.diag([2.0, 2.0, 1.0]) @ seen.K
    large = replace(scene, video=Video.from_frames(double, 2.0), cameras=Cameras(K, seen.T_wc, 2 * seen.size))
    from toolkit.stereo.dense import DenseSettings

    found = dense_depth(large, settings=DenseSettings(side=224))
    assert found.depth.shape == double.shape[:3]
    assert np.nanmedian(np.abs(found.depth[:, ::2, ::2] / truth - 1)) < 0.01


def test_it_can_be_stopped(scene):
    def stop(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        dense_depth(scene, report=stop)


def test_a_scene_that_lacks_something_is_told(scene):
    with pytest.raises(UserError, match="needs a scene with video, cameras and points"):
        dense_depth(replace(scene, video=None))
    T_wc = np.full((5, 4, 4), np.nan)
    with pytest.raises(UserError, match="two frames with a pose, but 0"):
        dense_depth(replace(scene, cameras=Cameras(scene.cameras.K, T_wc, scene.cameras.size)))
