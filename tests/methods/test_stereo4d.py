"""The method on a generated room, judged by its ground truth."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# This method fills every part of a scene, and that is tested first.

import cv2
import numpy as np
import pytest

import toolkit as tk
from toolkit.evaluation.cameras import cameras as score_cameras
from toolkit.synthetic import example
from toolkit.views.report import quality_lines

FRAMES = 12


@pytest.fixture(scope="module")
def room():
    return example("room", frames=FRAMES, size=(256, 256))


@pytest.fixture(scope="module")
def scene(room):
    return tk.run(room.stereo, grid=(48, 48), progress=lambda event: None)


def test_all_parts_of_the_scene_are_there(scene):
    assert scene.method == "stereo4d"
    assert scene.unit == "metre"
    assert scene.frames == FRAMES
    for part in (scene.cameras, scene.tracks_2d, scene.tracks_3d, scene.depth, scene.points, scene.video):
        assert part is not None
    assert scene.tracks_3d.sigma is not None


def test_depth_is_metric(scene, room):
    known = np.isfinite(scene.depth.depth) & (room.depth_m < 4) & room.seen_by_both
    error = np.abs(scene.depth.depth - room.depth_m)[known] / room.depth_m[known]
    assert known.mean() > 0.3
    assert np.median(error) < 0.015
    assert error.mean() < 0.05


def test_cameras_follow_the_true_path(scene, room):
    score = score_cameras(scene.cameras, room.cameras)
    assert score["registered"] == 1
    path = np.linalg.norm(np.diff(room.cameras.centres, axis=0), axis=1).sum()
    assert score["ate_se3"] < 0.03 * path


def test_still_points_stay_and_moving_points_are_told_apart(scene, room):
    truth = room.tracks(scene.tracks_2d.queries)
    labelled = scene.tracks_3d.motion > 0.5
    still = ~np.asarray(truth.moving)
    assert labelled[still].mean() < 0.1
    error = np.linalg.norm(scene.tracks_3d.xyz - truth.xyz_w, axis=-1)
    seen = scene.tracks_3d.visible & np.isfinite(error) & truth.visible
    distance = truth.xyz_w[..., 2]  # the camera hardly turns
    as_disparity_px = error * room.cameras.K[0, 0, 0] * room.baseline_m / distance**2
    assert np.median(as_disparity_px[seen & still[:, None]]) < 0.12


def test_the_same_input_gives_the_same_result(scene, room):
    again = tk.run(room.stereo, grid=(48, 48), progress=lambda event: None)
    np.testing.assert_array_equal(again.tracks_3d.xyz, scene.tracks_3d.xyz)
    np.testing.assert_array_equal(again.depth.depth, scene.depth.depth)
    assert again.report == scene.report


def test_points_that_were_asked_for_all_come_back(room):
    queries = [[0, 60.5, 200.5], [5, 128.0, 100.0], [FRAMES - 1, 20.0, 20.0]]
    scene = tk.run(room.stereo, queries=queries, progress=lambda event: None)
    np.testing.assert_allclose(scene.tracks_2d.queries, queries)


def test_known_cameras_are_kept_as_they_are(room):
    scene = tk.run(room.stereo, grid=(16, 16), cameras=room.cameras, progress=lambda event: None)
    np.testing.assert_array_equal(scene.cameras.T_wc, room.cameras.T_wc)


def test_the_report_is_plain_json_with_lights(scene):
    import json

    json.dumps(scene.report, allow_nan=False)
    assert {"rows of the two eyes", "pixels with depth", "length of tracks", "camera path"} <= set(scene.report["quality"])
    doubts = {"tracks that may or may not move", "apparent motion withdrawn", "depth where the picture is bare"}
    assert doubts <= set(scene.report["quality"])
    assert len(quality_lines(scene)) == len(scene.report["quality"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "stereo5d"}, "There is no method 'stereo5d'"),
        ({"preset": "fast"}, "There is no preset 'fast'"),
        ({"colour": 3}, "has no setting 'colour'"),
        ({"fov_deg": "abc"}, "fov_deg is 'abc', but a number from 1 to 170"),
        ({"fov_deg": 500}, "fov_deg is 500"),
        ({"size": 7.5}, "size is 7.5, but a whole number"),
        ({"size": 0}, "size is 0"),
        ({"baseline_m": -1}, "baseline_m is -1"),
        ({"grid": 5}, "grid is 5, but 2 numbers"),
        ({"grid": (0, 0)}, "grid is 0"),
        ({"layout": "diagonal"}, "layout is 'diagonal'"),
        ({"matcher": "foo"}, "foo"),
        ({"tracker": "foo"}, "foo"),
        ({"queries": "foo"}, "queries must be numbers"),
        ({"K": 3}, "K has shape"),
        ({"cameras": 3}, "cameras must be Cameras"),
        ({"queries": [[99, 5, 5]]}, "99"),
        ({"masks": np.zeros((1, 2, 3), bool)}, "masks have shape"),
        ({"labels": "sky"}, "labels is <U3 of shape"),
        ({"labels": np.zeros((1, 2, 3))}, "labels is float64"),
        ({"labels": np.zeros((1, 2, 3), int)}, "labels has shape"),
    ],
)
def test_a_wrong_option_is_told_in_one_sentence(room, options, sentence):
    with pytest.raises(tk.UserError, match=sentence):
        tk.run(room.stereo, progress=lambda event: None, **options)


def test_what_does_not_fit_the_frames_is_told_before_anything_is_matched(room):
    eye = room.stereo.left
    stages = []
    two = tk.Cameras.from_poses(room.stereo.K, np.tile(np.eye(4), (2, 1, 1)), eye.size)
    wrong = {"masks": np.zeros((1, 2, 3), bool), "labels": np.zeros((1, 2, 3), int), "cameras": two, "queries": [[99, 5, 5]]}
    for options in ({name: value} for name, value in wrong.items()):
        with pytest.raises(tk.UserError):
            tk.run(room.stereo, progress=lambda event: stages.append(event.stage), **options)
    assert set(stages) <= {"rectify"}


def test_one_view_is_not_enough(room):
    with pytest.raises(tk.UserError, match="mono"):
        tk.run(room.stereo.left, method="stereo4d", progress=lambda event: None)


def test_a_single_pair_gives_depth_and_points_and_says_what_it_lacks(room):
    left, right = (tk.Video(eye.frames[:1], [0.0]) for eye in (room.stereo.left, room.stereo.right))
    scene = tk.run(tk.StereoVideo(left, right, room.stereo.K, room.stereo.baseline_m), progress=lambda event: None)
    assert scene.frames == 1
    assert len(scene.points) > 1000
    np.testing.assert_array_equal(scene.cameras.T_wc[0], np.eye(4))
    assert sum("single" in warning for warning in scene.report["warnings"]) == 1, "it is told, and told once"


def test_lenses_and_scale_that_were_estimated_are_told_beside_the_figures_that_cannot_show_it(room, tmp_path):
    for name, eye in (("001L.png", room.stereo.left), ("001R.png", room.stereo.right)):
        cv2.imwrite(str(tmp_path / name), eye.frames[0][..., ::-1])
    name = "lenses and distance of the eyes"
    lights = []
    for known in ({}, {"baseline_m": 0.1}, {"baseline_m": 0.1, "fov_deg": 60.0}):
        scene = tk.run(tmp_path, "stereo4d", preset="draft", progress=lambda event: None, **known)
        lights.append(next(((line.light, line.value) for line in quality_lines(scene) if line.name == name), None))
    assert lights == [("amber", 0), ("amber", 1), None]


def test_two_frames_are_enough(room):
    left, right = (tk.Video(eye.frames[:2], [0.0, 0.1]) for eye in (room.stereo.left, room.stereo.right))
    scene = tk.run(tk.StereoVideo(left, right, room.stereo.K, room.stereo.baseline_m), grid=(32, 32), progress=lambda event: None)
    assert scene.frames == 2
    assert scene.cameras.registered.all()
    assert len(scene.tracks_3d) > 300 and scene.tracks_3d.visible.all()
    assert not any("No point could be followed" in warning for warning in scene.report["warnings"])


def test_blank_pictures_are_refused():
    blank = tk.Video.from_frames(np.zeros((3, 64, 64, 3), np.uint8))
    with pytest.raises(tk.UserError, match="blank"):
        tk.run(tk.StereoVideo(blank, blank, np.diag([60.0, 60.0, 1.0]), 0.063), preset="draft", progress=lambda event: None)


def test_a_path_that_no_track_speaks_for_gets_no_light():
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 128, 128, 3), np.uint8)
    left, right = (tk.Video.from_frames(frames, 30.0) for frames in noise)
    K = np.array([[110.0, 0, 64], [0, 110, 64], [0, 0, 1]])
    try:
        scene = tk.run(tk.StereoVideo(left, right, K, 0.063), grid=(16, 16), refine_rig=False, progress=lambda event: None)
    except tk.UserError as told:
        pytest.fail(f"noise should give a scene whose report is poor, but: {told}")
    assert len(scene.tracks_3d) == 0
    assert scene.report["quality"]["camera path"]["value"] is None
