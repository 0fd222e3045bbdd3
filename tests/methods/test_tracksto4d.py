"""2D tracks in, cameras and moving points out; and what bad tracks get."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false, reportCallIssue=false
# The method fills every part that is looked at here.

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import toolkit as tk
from toolkit.errors import Cancelled, UserError
from toolkit.evaluation.moving_points import moving_points
from toolkit.methods import registry
from toolkit.methods.quality import measure
from toolkit.methods.tracksto4d import TracksTo4DSettings
from toolkit.models.tracksto4d import TracksTo4D
from toolkit.models.tracksto4d_shape import NetworkShape
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene


def scored(scene, found):
    return moving_points(
        found.cameras,
        found.tracks_3d.xyz,
        scene.cameras,
        scene.xyz,
        scene.visible,
        motion=found.tracks_3d.motion,
        moving=scene.moving,
        distance=scene.distance,
    )


@pytest.fixture(scope="module")
def scene():
    return track_scene(4003, 20, 100, recipe=HELD_OUT)


@pytest.fixture(scope="module")
def found(scene):
    return tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=None)


def frames_of(tracks, which):
    return tk.Tracks2D(tracks.xy[:, which], tracks.visible[:, which], tracks.confidence[:, which], tracks.queries)


def told(found):
    return " ".join(found.report["warnings"])


def test_cameras_and_moving_points_are_found():
    """Six scenes none of which anything was set on; single ones may fail."""
    rows = []
    for seed in range(20, 26):
        scene = track_scene(seed, 16, 60, recipe=HELD_OUT)
        scores = scored(scene, tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=None))
        rows.append([scores[name] for name in ("ate_distance", "AbsRel", "AbsRel_moving", "motion_auc")])
    path, depth, moving, motion = np.median(rows, axis=0)
    assert path < 0.006
    assert depth < 0.2
    assert moving < 0.4, "a flat guess is at 0.8"
    assert motion > 0.9


def test_the_scene_is_in_the_first_cameras_frame_and_keeps_every_track(scene, found):
    assert found.unit == "relative" and found.method == "tracksto4d"
    np.testing.assert_allclose(found.cameras.T_wc[0], np.eye(4), atol=1e-9)
    assert len(found.tracks_3d) == len(found.tracks_2d) == len(scene.tracks)
    assert found.tracks_3d.sigma is not None and np.isfinite(found.tracks_3d.sigma).mean() > 0.8
    assert 0 < len(found.points) <= len(scene.tracks)
    still = found.tracks_3d.motion < 0.5
    assert np.ptp(found.tracks_3d.xyz[still], axis=1).max() == 0, "what stands still has one place"


def test_sigma_tells_how_far_off_still_points_are(scene, found):
    still = (found.tracks_3d.motion < 0.5) & ~scene.moving & (found.tracks_3d.sigma[:, 0] < 1)
    centre = found.cameras.centres
    true = np.linalg.norm(scene.xyz[still, 0] - scene.cameras.centres[10], axis=-1)
    far = np.linalg.norm(found.tracks_3d.xyz[still, 0] - centre[10], axis=-1)
    error = abs(far * np.median(true / far) - true) / np.median(true / far)
    ratio = error / found.tracks_3d.sigma[still, 0]
    assert 0.1 < np.median(ratio) < 2.5


def test_the_same_tracks_and_seed_give_the_same_scene(scene, found):
    again = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=None)
    np.testing.assert_array_equal(again.tracks_3d.xyz, found.tracks_3d.xyz)
    np.testing.assert_array_equal(again.cameras.T_wc, found.cameras.T_wc)
    assert again.report == found.report


def test_an_unknown_focal_length_is_found_and_its_error_told(scene):
    found = tk.reconstruct_tracks(scene.tracks, None, size=scene.size, weights=None)
    focal = found.report["focal"]
    assert focal["source"] == "found"
    off = abs(np.log(focal["px"] / scene.cameras.K[0, 0, 0]))
    assert off < 0.1 and off < 3 * focal["sigma_percent"] / 100


@pytest.mark.parametrize("given", [True, False])
def test_of_a_camera_that_only_turns_no_depth_is_told(given):
    scene = track_scene(4001, 20, 80, recipe=replace(HELD_OUT, motions=("turn",)))
    found = tk.reconstruct_tracks(scene.tracks, scene.K if given else None, size=scene.size, weights=None)
    assert "only turns" in told(found) and "no depth can be known" in told(found)
    still = (found.tracks_3d.motion < 0.5) & np.isfinite(found.tracks_3d.xyz).all((1, 2))
    np.testing.assert_allclose(np.linalg.norm(found.tracks_3d.xyz[still], axis=-1), 1, atol=1e-5, err_msg="one guessed distance")
    assert np.nanmin(found.tracks_3d.sigma[still]) >= 0.49 and len(found.points) == 0
    assert found.cameras.registered.all() and not found.cameras.centres.any()
    if not given:
        assert found.report["focal"]["source"] == "guessed" and "focal length can't be told" in told(found)


def test_of_a_camera_that_stands_no_depth_is_told(scene):
    rng = np.random.default_rng(0)
    xy = scene.tracks.xy[:, :1] + rng.normal(0, 0.3, scene.tracks.xy.shape).astype(np.float32)
    tracks = tk.Tracks2D(xy, np.ones_like(scene.tracks.visible), scene.tracks.confidence, scene.tracks.queries)
    found = tk.reconstruct_tracks(tracks, scene.K, size=scene.size, weights=None)
    assert "stands still" in told(found) and "one guessed distance" in told(found)
    assert np.nanmin(found.tracks_3d.sigma) >= 0.49 and len(found.points) == 0


def test_where_everything_moves_no_camera_is_made_up(scene):
    rng = np.random.default_rng(1)
    xy = np.cumsum(rng.normal(0, 6, scene.tracks.xy.shape), 1) + rng.uniform(0, 1, (100, 1, 2)) * scene.size
    tracks = replace(scene.tracks, xy=xy.astype(np.float32), visible=np.ones_like(scene.tracks.visible))
    found = tk.reconstruct_tracks(tracks, scene.K, size=scene.size, weights=None)
    assert not found.cameras.registered.any() and "No camera could be found" in told(found)
    assert np.isnan(found.tracks_3d.xyz).all()


def test_three_frames_are_explained_with_what_is_unsure(scene):
    found = tk.reconstruct_tracks(frames_of(scene.tracks, slice(0, 3)), scene.K, size=scene.size, weights=None)
    assert found.frames == 3 and found.report["quality"]["parallax"]["value"] < 1.5
    assert "parallax" in told(found)


def test_tracks_of_three_frames_each_are_explained_and_what_they_leave_open_is_told(scene):
    first = np.random.default_rng(1).integers(0, 18, (100, 1))
    short = scene.tracks.visible & (np.arange(20) >= first) & (np.arange(20) < first + 3)
    for weights in (None, "auto"):
        found = tk.reconstruct_tracks(replace(scene.tracks, visible=short), scene.K, size=scene.size, weights=weights)
        assert "How deep the scene is can hardly be told" in told(found)
        assert found.report["quality"]["depth of what stands still"]["value"] > 50


def test_a_long_clip_with_a_part_that_no_track_goes_through_is_refused_in_a_sentence():
    scene = track_scene(4002, 140, 60, recipe=HELD_OUT)
    visible = scene.tracks.visible & ((np.arange(140) < 20) | (np.arange(140) > 110))
    with pytest.raises(tk.UserError, match=r"Only \d+ tracks? can be followed through a part of the clip"):
        xy = scene.tracks.xy + 8 * np.arange(140)[:, None].astype(np.float32) % 200  # fast enough that all frames are used
        tk.reconstruct_tracks(replace(scene.tracks, xy=xy, visible=visible), scene.K, size=scene.size, weights=None)


def test_a_short_way_of_the_camera_is_no_turn():
    """What moves and an orbit that keeps things in the middle leave a pixel of parallax."""
    scene = track_scene(9_700_010, 50, 100, recipe=HELD_OUT)
    found = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size)
    assert "little parallax" in told(found) and "only turns" not in told(found)
    assert scored(scene, found)["ate_distance"] < 0.01 and scored(scene, found)["AbsRel_static"] < 0.1


def test_coordinates_that_are_not_finite_are_left_out(scene):
    xy = scene.tracks.xy.copy()
    xy[::3, ::2], xy[1::3, 5] = np.nan, np.inf
    found = tk.reconstruct_tracks(replace(scene.tracks, xy=xy), scene.K, size=scene.size, weights=None)
    assert scored(scene, found)["ate_distance"] < 0.02
    assert "not finite" in told(found)


def test_a_frame_without_tracks_has_no_camera(scene):
    visible = scene.tracks.visible & (np.arange(20) != 10)
    found = tk.reconstruct_tracks(replace(scene.tracks, visible=visible), scene.K, size=scene.size, weights=None)
    assert np.flatnonzero(~found.cameras.registered).tolist() == [10]
    assert "Frame 10 has no camera" in told(found)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: (s.tracks.select(np.arange(7)), s.K, s.size), "7 tracks came, but at least 8"),
        (lambda s: (frames_of(s.tracks, slice(0, 2)), s.K, s.size), "2 frames, but at least 3"),
        (lambda s: (s.tracks, np.array([[5.0, 0, 256], [0, 5, 192], [0, 0, 1]]), s.size), "focal lengths 5 and 5"),
        (lambda s: (s.tracks, np.array([[20.0, 0, 256], [0, 20, 192], [0, 0, 1]]), s.size), "would span 171 degrees"),
        (lambda s: (s.tracks, np.array([[1e6, 0, 256], [0, 1e6, 192], [0, 0, 1]]), s.size), "would span 0.0293 degrees"),
        (lambda s: (replace(s.tracks, xy=s.tracks.xy + 9999), s.K, s.size), "Only 0 of 100 tracks are seen inside"),
        (lambda s: (replace(s.tracks, xy=np.full_like(s.tracks.xy, np.nan)), s.K, s.size), "Only 0 of 100 tracks"),
        (lambda s: (s.tracks, s.K, None), "The size is None"),
        (lambda s: (s.tracks, np.eye(4), s.size), r"K has shape \(4, 4\)"),
        (lambda s: (s.tracks.xy, s.K, s.size), "Tracks2D are needed"),
    ],
)
def test_bad_tracks_get_one_sentence(scene, change, sentence):
    tracks, K, size = change(scene)
    with pytest.raises(tk.UserError, match=sentence):
        tk.reconstruct_tracks(tracks, K, size=size, weights=None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a small network that was never trained: its cameras stand still."""
    torch.manual_seed(0)
    network = TracksTo4D(NetworkShape(width=32, pairs=1, heads=2, inner=32, hidden=64, bases=4, frequencies=6, kernel=9, focal=True))
    network.start_at_canonical_pose()
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, file)
    return file


def test_fine_tuning_explains_the_tracks_better_and_tells_what_it_changed(scene, weights):
    events = []
    options = {"size": scene.size, "weights": weights, "progress": events.append}
    found = tk.reconstruct_tracks(scene.tracks, scene.K, finetune_steps=30, **options)
    told = found.report["finetuning"]
    assert told["loss_after"]["total"] < told["loss_before"]["total"] - 0.01
    assert told["loss_after"]["static"] < told["loss_before"]["static"]
    assert 0 < told["kept_after_step"] <= 30 and told["windows"] == 1 and told["seconds"] > 0
    assert min(told[k] for k in ("cameras_turned_deg", "cameras_moved_percent_of_distance", "depths_changed_percent")) >= 0
    assert told["cameras_moved_percent_of_distance"] > 0
    assert {(e.done, e.total) for e in events if e.stage == "network"} >= {(31, 31)}
    assert "finetuning" not in tk.reconstruct_tracks(scene.tracks, scene.K, **options).report


def test_fine_tuning_can_be_cancelled(scene, weights):
    def stop(event):
        if event.stage == "network" and event.done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=weights, finetune_steps=1000, progress=stop)


@pytest.mark.parametrize(("steps", "why"), [(20, "no network to fine-tune"), (-1, "from 0 to 5000"), (2.5, "2.5"), (True, "True")])
def test_fine_tuning_without_a_network_or_of_no_number_of_steps_is_refused(scene, steps, why):
    with pytest.raises(tk.UserError, match=why):
        tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=None, finetune_steps=steps)
    with pytest.raises(tk.UserError, match=why):
        TracksTo4DSettings(weights="none", finetune_steps=steps)


def test_motion_levels_part_what_moves_from_a_trackers_usual_pixel(found):
    level = found.tracks_3d.motion
    assert np.median(level[level < 0.5]) < 0.3 and np.median(level[level > 0.5]) > 0.7
    assert "the tracker is off by" in found.report["motion_level"]


def test_weights_that_are_not_there_are_told(scene):
    with pytest.raises(tk.UserError, match="no file of weights 'nowhere.safetensors'"):
        tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights="nowhere.safetensors")


def test_a_depth_map_tells_how_far_moving_things_are():
    scene = track_scene(4001, 16, 90, recipe=HELD_OUT)
    plain = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=None)
    z = np.einsum("tj,ntj->nt", scene.cameras.T_wc[:, :3, 2], scene.xyz - scene.cameras.centres)
    maps = np.full((16, scene.size[1], scene.size[0]), np.nan, np.float32)
    for t in range(16):
        for (x, y), depth in zip(scene.tracks.xy[:, t], z[:, t], strict=True):
            if 0 <= x < scene.size[0] and 0 <= y < scene.size[1]:
                maps[t, max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3] = 7 * depth
    depth = tk.DepthVideo(maps, np.ones_like(maps), "relative")
    helped = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=None, depth=depth)
    assert scored(scene, helped)["AbsRel_moving"] < 0.15
    assert scored(scene, helped)["AbsRel_moving"] < scored(scene, plain)["AbsRel_moving"]


def test_long_clips_are_explained_from_frames_some_way_apart():
    scene = track_scene(4002, 90, 150, recipe=HELD_OUT)
    found = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size, weights=None)
    windows = found.report["windows"]
    assert windows[0]["stride"] > 1 and windows[0]["frames"][0] < 4 and windows[-1]["frames"][1] > 85 and found.cameras.registered.all()
    assert scored(scene, found)["ate_distance"] < 0.01


def test_the_method_runs_on_a_video_and_keeps_points_that_were_asked_for():
    rng = np.random.default_rng(0)
    width, height = 192, 144
    texture = rng.integers(0, 255, (height + 40, width + 60, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    frames = np.stack([texture[2 * t : 2 * t + height, 3 * t : 3 * t + width] for t in range(8)])
    queries = [[0, 60, 50], [0, 100, 80], [2, 90, 60]]
    found = tk.run(tk.Video.from_frames(frames), "tracksto4d", preset="draft", queries=queries, weights="none", progress=lambda e: None)
    assert len(found.tracks_3d) == len(found.tracks_2d) == 3 and found.video is not None
    assert "no depth can be known" in told(found), "a sliding picture is a camera that turns"
    assert set(found.report["quality"]["parallax"]) == set(measure(1, "px", green=1, amber=1, higher_is_better=True, advice=""))


def test_things_that_move_are_a_reason_to_choose_it():
    info = registry.methods()["tracksto4d"]
    assert "mono" in info.inputs and "move" in info.sentence
    assert registry.choose("auto", "mono").name == "vggsfm"


def test_short_tracks_of_a_mover_are_not_shown_far_beyond_everything():
    """Some of them stray little from a still point a hundred times as far away."""
    scene = track_scene(9_600_005, 50, 100, recipe=HELD_OUT)
    found = tk.reconstruct_tracks(scene.tracks, scene.K, size=scene.size)
    assert scored(scene, found)["AbsRel_moving"] < 0.5


@pytest.mark.parametrize("factor", [0.33, 2.0])
def test_a_K_for_pictures_of_another_size_is_doubted(scene, factor):
    other = scene.K.copy()
    other[:2] *= factor
    assert "far from the middle of a picture" in told(tk.reconstruct_tracks(scene.tracks, other, size=scene.size, weights=None))


def test_a_K_for_this_size_is_not_doubted(found):
    assert "far from the middle" not in told(found)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (lambda t, w, h: {"K": "wide"}, "K is 'wide', but"),
        (lambda t, w, h: {"K": [[1, 2], [3]]}, r"K is '\[\[1, 2\], \[3\]\]', but"),
        (lambda t, w, h: {"masks": np.zeros((t, h), bool)}, r"masks have shape \(20, .*\), but \(frames, height, width\)"),
        (lambda t, w, h: {"masks": "all"}, r"masks have shape \(\), but"),
        (lambda t, w, h: {"video": np.zeros((t, h, w, 3), np.uint8)}, "The video is a ndarray, but a Video is needed"),
        (lambda t, w, h: {"video": tk.Video.from_frames(np.zeros((t, 8, 12, 3), np.uint8))}, "The video has frames of 12 x 8 px"),
        (lambda t, w, h: {"depth": np.ones((t, h, w))}, "The depth is a ndarray, but a DepthVideo is needed"),
        (lambda t, w, h: {"depth": tk.DepthVideo(*np.ones((2, t, 8, 12)), "relative")}, "The depth has frames of 12 x 8 px"),
    ],
)
def test_what_is_not_of_these_tracks_is_told_in_a_sentence(scene, given, sentence):
    options = {"K": scene.K, **given(scene.tracks.xy.shape[1], *scene.size)}
    with pytest.raises(UserError, match=sentence):
        tk.reconstruct_tracks(scene.tracks, size=scene.size, weights=None, **options)


def test_masks_of_the_whole_clip_are_refused_where_some_of_its_frames_were_chosen(tmp_path):
    texture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    tk.write_video(tmp_path / "clip.mp4", [texture] * 12, 30.0)
    masks = np.zeros((12, 64, 96), bool)
    with pytest.raises(UserError, match="12 masks came with 4 frames; one each is needed"):
        tk.run(
            tmp_path / "clip.mp4", "tracksto4d", preset="draft", frames=slice(4, 8), masks=masks, weights="none", progress=lambda e: None
        )
