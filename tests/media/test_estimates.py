"""What a run will cost is told in wall seconds and megabytes."""

import pytest

from toolkit.media.estimates import Costs, estimate


def test_two_eyes_cost_the_same_in_one_video_and_in_two():
    one, two = estimate("stereo", 50, (2000, 500)), estimate("stereo", 50, (1000, 500), views=2)
    for preset, cost in one.items():
        assert cost.seconds == pytest.approx(two[preset].seconds, rel=0.01)


def test_a_pair_of_large_pictures_is_reduced_and_a_sphere_is_cut():
    small, large = (estimate("stereo", 50, (2 * s, s))["normal"].seconds for s in (700, 1400))
    assert small < large < 1.25 * small
    half, full = (estimate("vr180", 50, (2 * s, s))["normal"] for s in (1600, 3200))
    costs = Costs()
    decoding_s = 50 * costs.decode_s_per_mpx * 2 * (3.2**2 - 1.6**2) / costs.cores_used
    assert full.seconds - half.seconds == pytest.approx(decoding_s, abs=0.2) and full.memory_mb > half.memory_mb


def test_no_more_frames_count_than_are_used():
    assert estimate("vr180", 10_000, (3200, 1600)) == estimate("vr180", 200, (3200, 1600)) == estimate("vr180", 0, (3200, 1600))


@pytest.mark.parametrize(("photos", "size", "cpu_s"), [(11, (768, 512), 18 + 27), (25, (1558, 1039), 80 + 62)])
def test_photos_cost_what_was_measured_as_every_pair_is_matched_and_each_gets_a_depth(photos, size, cpu_s):
    told = estimate("photos", photos, size)["normal"].seconds * Costs().cores_used
    assert cpu_s / 1.35 < told < cpu_s * 1.35


@pytest.mark.parametrize(("frames", "size", "cpu_s"), [(34, (512, 512), 35), (40, (640, 480), 31), (87, (368, 480), 52)])
def test_a_video_of_one_camera_costs_what_was_measured(frames, size, cpu_s):
    told = estimate("mono", frames, size)
    assert cpu_s / 1.5 < told["normal"].seconds * Costs().cores_used < cpu_s * 1.5
    assert told["draft"].seconds < told["normal"].seconds < told["fine"].seconds


@pytest.mark.parametrize(
    ("frames", "size", "preset", "cpu_s", "mb"),
    [
        (48, (720, 408), "normal", 19, 740),
        (80, (854, 480), "normal", 48, 898),
        (141, (368, 480), "draft", 42, 977),
        (87, (368, 480), "fine", 42, 1117),
    ],
)
def test_a_video_in_which_things_move_costs_what_was_measured(frames, size, preset, cpu_s, mb):
    told = estimate("mono", frames, size, method="tracksto4d")
    assert cpu_s / 1.5 < told[preset].seconds * Costs().cores_used < cpu_s * 1.5
    assert mb / 1.5 < told[preset].memory_mb < mb * 1.5
    assert told["draft"].seconds < told["normal"].seconds < told["fine"].seconds


def test_of_a_long_video_in_which_things_move_the_first_frames_are_used():
    told = [estimate("mono", frames, (1920, 1080), method="tracksto4d") for frames in (200, 5000)]
    assert told[0] == told[1]


def test_memory_of_a_video_hardly_grows_with_its_length():
    short, long = (estimate("mono", frames, (640, 480))["normal"].memory_mb for frames in (300, 1000))
    assert short < long < 1.1 * short


def test_memory_of_st4rtrack_does_not_grow_with_the_length_of_a_clip_and_is_what_was_measured():
    measured = {100: 862, 200: 873, 400: 838, 1000: 893}
    for frames, mb in measured.items():
        assert abs(estimate("mono", frames, (256, 256), method="st4rtrack")["draft"].memory_mb / mb - 1) < 0.1
