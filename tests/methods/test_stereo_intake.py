"""What a stereo method refuses on the way in."""

# pyright: reportArgumentType=false, reportOptionalMemberAccess=false
# Options go in by name, and the example is known to have two eyes.

import cv2
import numpy as np
import pytest

import toolkit as tk
from toolkit.synthetic import example

LENS = np.array([[80.0, 0, 48], [0, 80, 48], [0, 0, 1]])


@pytest.fixture(scope="module")
def pair():
    return example("room", frames=2, size=(96, 96)).stereo


def test_cameras_of_another_size_and_masks_of_everything_are_refused_before_anything_is_matched(pair):
    small = tk.Cameras.from_poses(pair.K, np.tile(np.eye(4), (2, 1, 1)), (95, 96))
    other = tk.Cameras.from_poses(pair.K * [[2], [2], [1]], np.tile(np.eye(4), (2, 1, 1)), (96, 96))
    nowhere = tk.Cameras.from_poses(pair.K, np.full((2, 4, 4), np.nan), (96, 96))
    stages = []
    for options, words in (
        ({"cameras": other}, "The cameras have a focal length of .* px .* give them its K"),
        ({"cameras": nowhere}, "None of the cameras has a pose"),
        ({"cameras": small}, "The cameras are for 95 x 96 px, but the rectified left eye has 96 x 96"),
        ({"masks": np.ones((2, 96, 96), bool)}, "masks are True everywhere"),
    ):
        with pytest.raises(tk.UserError, match=words):
            tk.run(pair, progress=lambda event: stages.append(event.stage), **options)
    assert set(stages) <= {"rectify"}


@pytest.mark.parametrize(("frames", "times"), [(1, [0]), (slice(1, None), [1]), ([1], [1])])
def test_frames_are_chosen_of_a_pair_in_memory_as_of_a_file(pair, frames, times):
    scene = tk.run(pair, preset="draft", frames=frames, progress=lambda event: None)
    np.testing.assert_array_equal(scene.video.times_s, pair.left.times_s[times])
    np.testing.assert_array_equal(scene.video.frames, pair.left.frames[times])


@pytest.mark.parametrize("frames", [0, -1, "a", [5], slice(7, 9)])
def test_frames_that_a_pair_in_memory_does_not_have_are_refused(pair, frames):
    with pytest.raises(tk.UserError, match="frame"):
        tk.run(pair, preset="draft", frames=frames, progress=lambda event: None)


@pytest.mark.parametrize("option", [{"fov_deg": 30.0}, {"baseline_m": 1.0}, {"size": 64}, {"swap_eyes": True}, {"K": LENS}])
def test_what_only_raw_pictures_need_is_refused_of_a_rectified_pair(pair, option):
    with pytest.raises(tk.UserError, match=f"so {next(iter(option))} can't be set for it"):
        tk.run(pair, preset="draft", progress=lambda event: None, **option)


def test_a_lens_that_is_given_beside_a_known_one_is_said_to_have_no_effect(pair, tmp_path):
    for side, eye in (("left", pair.left), ("right", pair.right)):
        (tmp_path / side).mkdir()
        for t, frame in enumerate(eye.frames):
            cv2.imwrite(str(tmp_path / side / f"{t}.png"), frame[..., ::-1])
    K = pair.K
    rows = f"{K[0, 0]} 0 {K[0, 2] - 0.5}; 0 {K[1, 1]} {K[1, 2] - 0.5}; 0 0 1"
    (tmp_path / "calib.txt").write_text(f"cam0=[{rows}]\ncam1=[{rows}]\ndoffs=0\nbaseline={1000 * pair.baseline_m}\n")
    scene = tk.run(tmp_path, preset="draft", K=K * [[2], [2], [1]], fov_deg=20, progress=lambda event: None)
    np.testing.assert_allclose(scene.cameras.K[0], K, atol=0.1)
    assert any("K and fov_deg had no effect" in warning for warning in scene.report["warnings"])
