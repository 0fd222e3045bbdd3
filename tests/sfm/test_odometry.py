import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from box_room import BASELINE_M, K, walk  # noqa: E402

from toolkit.errors import UserError  # noqa: E402
from toolkit.evaluation.cameras import cameras, compare_rotations  # noqa: E402
from toolkit.progress import Cancelled  # noqa: E402
from toolkit.scene import DepthVideo, Tracks2D  # noqa: E402
from toolkit.sfm.observations import choose_tracks  # noqa: E402
from toolkit.sfm.odometry import stereo_odometry  # noqa: E402


@pytest.fixture(scope="module")
def room():
    return walk()


@pytest.fixture(scope="module")
def found(room):
    return stereo_odometry(room.tracks, room.depth, K, baseline_m=BASELINE_M)


def _hidden(tracks: Tracks2D, frames) -> Tracks2D:
    visible = tracks.visible.copy()
    visible[:, frames] = False
    return Tracks2D(tracks.xy, visible, tracks.confidence, tracks.queries)


def test_a_walk_with_moving_things_is_followed_within_one_percent_of_its_metric_length(room, found):
    scores = cameras(found.cameras, room.cameras)
    assert scores["registered"] == 1
    assert scores["ate_se3_path"] < 0.01
    assert abs(scores["scale"] - 1) < 0.02
    assert scores["ate_rot_deg"] < 0.05


def test_still_tracks_are_told_from_disturbed_ones(room, found):
    assert (found.static[~room.disturbed] > 0.5).mean() > 0.95
    assert (found.static[room.disturbed] > 0.5).mean() < 0.1


def test_the_world_is_the_first_camera(found):
    np.testing.assert_allclose(found.cameras.T_wc[0], np.eye(4), atol=1e-12)


def test_the_standard_deviation_is_of_the_size_of_the_error(room, found):
    error = np.linalg.norm(found.cameras.centres - room.cameras.centres, axis=1)[1:]
    told = np.linalg.norm(found.sigma[1:, 3:], axis=1)
    assert 0.1 < np.median(error / told) < 3


def test_nearly_half_moving_or_slipping_tracks_do_not_carry_the_camera_off():
    clip = walk(moving=0.35, outliers=0.1, seed=3)
    result = stereo_odometry(clip.tracks, clip.depth, K, baseline_m=BASELINE_M)
    assert cameras(result.cameras, clip.cameras)["ate_se3_path"] < 0.01


def test_a_pan_among_points_without_depth_keeps_its_rotation():
    clip = walk(60, pan=True, half_room_m=40.0)
    result = stereo_odometry(clip.tracks, clip.depth, K, baseline_m=BASELINE_M, rotation_prior=clip.cameras.T_wc[:, :3, :3])
    turned = result.report["device_rotation"]
    assert turned["total_deg"] > 20
    assert turned["max"] < 0.2
    assert turned == compare_rotations(result.cameras, clip.cameras.T_wc[:, :3, :3])


def test_a_short_gap_is_bridged_and_told(room):
    result = stereo_odometry(_hidden(room.tracks, slice(15, 18)), room.depth, K, baseline_m=BASELINE_M)
    assert result.report["interpolated"] == [15, 16, 17]
    assert result.cameras.registered.all()
    assert np.isnan(result.sigma[15:18]).all()
    np.testing.assert_allclose(result.cameras.centres[16], room.cameras.centres[16], atol=0.03)


def test_a_long_gap_leaves_frames_without_a_pose(room):
    result = stereo_odometry(_hidden(room.tracks, slice(15, 27)), room.depth, K, baseline_m=BASELINE_M)
    assert result.report["missing"] == list(range(15, 27))
    assert any("12 of 40 frames have no camera pose" in w for w in result.report["warnings"])


def test_after_a_cut_the_longer_part_is_kept():
    a, b = walk(12, seed=1), walk(25, seed=2)

    def joined(x, y):
        return np.concatenate([x, y])

    n, m = len(a.tracks), len(b.tracks)
    visible = np.zeros((n + m, 37), bool)
    visible[:n, :12], visible[n:, 12:] = a.tracks.visible, b.tracks.visible
    xy = np.zeros((n + m, 37, 2), np.float32)
    xy[:n, :12], xy[n:, 12:] = a.tracks.xy, b.tracks.xy
    tracks = Tracks2D(xy, visible, visible.astype(np.float32), joined(a.tracks.queries, b.tracks.queries + [12, 0, 0]))
    depth = DepthVideo(joined(a.depth.depth, b.depth.depth), joined(a.depth.confidence, b.depth.confidence))
    result = stereo_odometry(tracks, depth, K, baseline_m=BASELINE_M)
    assert result.report["missing"] == list(range(12))
    assert result.report["left_out_segments"] == [[0, 11]]
    assert np.linalg.norm(result.cameras.centres[12:] - b.cameras.centres, axis=1).max() < 0.02


def test_without_any_depth_the_rotation_is_found_and_a_warning_says_what_is_not(room):
    nothing = DepthVideo(np.full_like(room.depth.depth, np.nan), np.zeros_like(room.depth.depth))
    result = stereo_odometry(room.tracks, nothing, K, baseline_m=BASELINE_M)
    assert any("No track has a depth" in w for w in result.report["warnings"])


def test_the_same_input_gives_the_same_poses(room, found):
    again = stereo_odometry(room.tracks, room.depth, K, baseline_m=BASELINE_M)
    np.testing.assert_array_equal(again.cameras.T_wc, found.cameras.T_wc)


def test_a_caller_can_stop_it(room):
    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        stereo_odometry(room.tracks, room.depth, K, report=stop)


def test_progress_rises_to_its_total(room):
    seen: list[tuple[int, int]] = []
    stereo_odometry(room.tracks, room.depth, K, report=lambda done, total: seen.append((done, total)))
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_bad_input_is_told_in_one_sentence(room):
    with pytest.raises(UserError, match="The tracks have 40 frames, the depth has 39"):
        stereo_odometry(room.tracks, DepthVideo(room.depth.depth[1:], room.depth.confidence[1:]), K)
    with pytest.raises(UserError, match="The baseline is -1"):
        stereo_odometry(room.tracks, room.depth, K, baseline_m=-1)
    with pytest.raises(UserError, match="At most 5 tracks are visible"):
        stereo_odometry(room.tracks.select(np.flatnonzero(room.tracks.visible[:, 0])[:5]), room.depth, K)
    with pytest.raises(UserError, match="positive ones"):
        stereo_odometry(room.tracks, room.depth, np.zeros((3, 3)))


def test_chosen_tracks_cover_the_image_in_every_frame(room):
    chosen = choose_tracks(room.tracks, (512, 512), alive=100)
    assert len(chosen) < len(room.tracks)
    for t in (0, 20, 39):
        xy = room.tracks.xy[chosen, t][room.tracks.visible[chosen, t]]
        cells = set(map(tuple, (xy // 128).astype(int)))
        assert len(cells) >= 14


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("frames", [1, 2])
def test_a_clip_of_one_or_two_frames_has_a_path_and_a_report_without_nan(room, frames):
    some = room.tracks.visible[:, :frames].any(1)
    t = room.tracks
    tracks = Tracks2D(t.xy[some, :frames], t.visible[some, :frames], t.confidence[some, :frames], t.queries[some])
    result = stereo_odometry(tracks, DepthVideo(room.depth.depth[:frames], room.depth.confidence[:frames]), K)
    assert result.cameras.registered.all()
    assert result.report["residual_px"] is None
    assert not any("stand still" in w for w in result.report["warnings"])
