"""A video in, a camera for every frame and points out: whole runs on small generated clips."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import numpy as np
import pytest

import toolkit as tk
from tests.sfm import walk_clip
from toolkit.evaluation.cameras import cameras as score
from toolkit.geometry.cameras import project


def small(video, **options):
    return tk.reconstruct(video, **{"track_points": 250, "track_side": 320, **options})


@pytest.fixture(scope="module")
def clip():
    return walk_clip.film(walk_clip.walk())


@pytest.fixture(scope="module")
def scene(clip):
    return small(clip[0], K=walk_clip.K)


def test_every_frame_gets_a_pose_close_to_the_truth(scene, clip):
    found = score(scene.cameras, clip[1])
    assert found["registered"] == 1
    assert found["ate_extent"] < 0.01
    assert found["ate_rot_deg"] < 0.3
    assert np.allclose(scene.cameras.K, walk_clip.K)


def test_the_lens_is_found_where_it_is_not_known(clip):
    scene = small(clip[0])
    found = score(scene.cameras, clip[1])
    assert found["registered"] == 1 and found["ate_extent"] < 0.02
    assert abs(scene.cameras.K[0, 0, 0] / walk_clip.K[0, 0] - 1) < 0.08


def test_points_lie_where_the_frames_show_them(scene):
    tracks = scene.tracks_2d
    assert len(tracks) > 150 and scene.video.frames.shape[1:3] == (240, 320)
    for t in range(0, scene.frames, 5):
        seen = tracks.visible[:, t]
        xy, _ = project(scene.tracks_3d.xyz[seen, t], scene.cameras.K[t], scene.cameras.T_wc[t])
        assert np.median(np.linalg.norm(xy - tracks.xy[seen, t], axis=1)) < 0.5


def test_the_same_seed_gives_the_same_scene(scene, clip):
    again = small(clip[0], K=walk_clip.K)
    assert np.array_equal(again.cameras.T_wc, scene.cameras.T_wc)
    assert again.report == scene.report


def test_known_cameras_are_kept_and_points_come_in_their_unit(clip):
    video, cameras = clip
    scene = small(video, cameras=cameras, cameras_unit="metre")
    assert np.allclose(scene.cameras.T_wc, cameras.T_wc)
    assert scene.unit == "metre" and len(scene.points) > 100
    assert not any("given" in told for told in scene.report["warnings"])


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_a_focal_length_that_the_video_contradicts_is_said_in_the_report(clip, scene, factor):
    video, cameras = clip
    assert not any("given K" in told for told in scene.report["warnings"])
    told = small(video, K=walk_clip.K * [[factor, 1, 1], [1, factor, 1], [1, 1, 1]]).report["warnings"]
    assert any("The given K does not fit the frames" in line for line in told)
    wrong = tk.Cameras(cameras.K * [[factor, 1, 1], [1, factor, 1], [1, 1, 1]], cameras.T_wc, cameras.size)
    told = small(video, cameras=wrong).report["warnings"]
    assert any("The given cameras do not fit the frames" in line for line in told)


def test_a_file_is_streamed_through_run_and_out_as_a_colmap_model(tmp_path, clip):
    import pycolmap

    tk.write_video(tmp_path / "walk.mp4", clip[0].frames, 15)
    source = tk.inspect(tmp_path / "walk.mp4")
    assert source.kind == "mono" and set(source.estimate) == {"draft", "normal", "fine"}
    told = []
    scene = tk.run(tmp_path / "walk.mp4", preset="draft", K=walk_clip.K, progress=told.append)
    assert scene.method == "vggsfm" and scene.cameras.registered.all()
    assert list(dict.fromkeys(event.stage for event in told))[:4] == ["tracks", "pairs", "cameras", "scene"]
    written = tk.export(scene, tmp_path / "out", ["colmap"])
    assert pycolmap.Reconstruction(written["colmap"] / "sparse" / "0").num_reg_images() == len(clip[0])


@pytest.mark.parametrize("K", [None, walk_clip.K], ids=["lens unknown", "lens known"])
def test_of_a_camera_that_only_turns_the_turns_are_found_and_nothing_else(tmp_path, K):
    video, cameras = walk_clip.film(walk_clip.turn())
    scene = small(video, K=K, dense=True)
    found = score(scene.cameras, cameras)
    assert found["registered"] == 1 and found["ate_rot_deg"] < (0.1 if K is not None else 1.0)
    assert np.all(scene.cameras.centres == 0)
    assert scene.points is None and scene.tracks_3d is None and scene.depth is None and len(scene.tracks_2d) > 100
    assert abs(scene.report["turn"]["largest_deg"] - 40) < (0.2 if K is not None else 2)
    told = " ".join(scene.report["warnings"])
    assert "only turns, by up to" in told and "no path can be known" in told and "give K" not in told
    if K is not None:
        assert {"scene.npz", "cameras.tum", "tracks.mp4", "tracks.csv", "scene.html"} <= set(tk.export(scene, tmp_path, "all"))


def test_a_camera_that_stands_still_is_told_so(clip):
    scene = small(tk.Video.from_frames(np.repeat(clip[0].frames[:1], 12, axis=0)), K=walk_clip.K)
    assert scene.cameras.registered.all() and np.allclose(scene.cameras.T_wc, np.eye(4), atol=1e-4)
    assert any("stands still" in told for told in scene.report["warnings"])


def test_masks_that_do_not_fit_the_frames_get_a_sentence(clip):
    frames = len(clip[0])
    for masks in (np.zeros((frames, 100, 320)), np.zeros((frames, 120, 160)), np.zeros((frames, 320))):
        with pytest.raises(tk.UserError, match="mask of frame 0 has shape"):
            small(clip[0], masks=masks)
    for count in (3, frames + 1):
        with pytest.raises(tk.UserError, match=f"{count} masks came with a video of {frames} frames"):
            small(clip[0], masks=np.zeros((count, 240, 320)))
    with pytest.raises(tk.UserError, match=r"The masks are str, but one of shape \(H, W\) for each frame is needed"):
        small(clip[0], masks="folder")


def test_a_K_of_twice_the_size_is_doubted(clip):
    told = small(clip[0], K=np.diag([2, 2, 1]) @ walk_clip.K, moving="keep").report["warnings"]
    assert any("far from the middle" in line for line in told)


def test_a_black_video_and_a_single_frame_get_a_sentence(clip):
    with pytest.raises(tk.UserError, match="dark, blurred or bare"):
        small(tk.Video.from_frames(np.zeros((5, 240, 320, 3), np.uint8)))
    with pytest.raises(tk.UserError, match="1 frame"):
        small(tk.Video.from_frames(clip[0].frames[:1]))


def test_of_a_clip_with_a_cut_the_longer_shot_is_placed_and_the_other_one_told(clip):
    video, cameras = clip
    other, _ = walk_clip.film(walk_clip.walk(6, start=(0.8, -1.2, 1.0), way=(0.3, 0, -0.5), yaw_deg=150))
    joined = tk.Video.from_frames(np.concatenate([video.frames, other.frames]))
    scene = small(joined, K=walk_clip.K)
    assert scene.cameras.registered[:24].all() and not scene.cameras.registered[24:].any()
    assert scene.report["cuts"] == [24]
    assert all(frame["reason"] for frame in scene.report["frames"][24:])
    assert any("cut" in told for told in scene.report["warnings"])
    first = tk.Cameras(scene.cameras.K[:24], scene.cameras.T_wc[:24], scene.cameras.size[:24])
    assert score(first, cameras)["ate_extent"] < 0.01


def test_a_thing_that_moves_over_a_third_of_the_picture_does_not_carry_the_cameras(clip):
    video, cameras = clip
    rng = np.random.default_rng(0)
    patch = np.repeat(np.repeat(rng.integers(0, 255, (12, 12, 3), np.uint8), 9, 0), 9, 1)
    frames = video.frames.copy()
    for t, frame in enumerate(frames):
        x = 20 + 7 * t
        frame[90:198, x : x + 108] = patch[:, : max(0, 320 - x)]
    scene = small(tk.Video.from_frames(frames), K=walk_clip.K)
    found = score(scene.cameras, cameras)
    assert found["registered"] == 1
    assert found["ate_extent"] < 0.02
