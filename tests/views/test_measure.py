"""Measuring by clicks, against a room whose geometry is known."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.cameras import unproject
from toolkit.scene import Cameras, Scene
from toolkit.views.measure import distance, track_speed


def true_distance(room, t, a, b):
    """From the exact depth of the two pixels that the clicks fall on."""
    K, T_wc = room.cameras.K[t], room.cameras.T_wc[t]
    z = np.array([room.depth.depth[t, int(p[1]), int(p[0])] for p in (a, b)])
    x, y = unproject(np.array([a, b]), z, K, T_wc)
    return float(np.linalg.norm(x - y))


@pytest.mark.parametrize(
    ("t", "a", "b"), [(0, (30.5, 50.5), (60.5, 50.5)), (4, (20.5, 20.5), (80.5, 30.5)), (9, (70.5, 10.5), (71.5, 60.5))]
)
def test_the_distance_between_two_pixels_is_that_of_what_they_show(room, t, a, b):
    found = distance(room, t, a, b)
    assert found.value == pytest.approx(true_distance(room, t, a, b), rel=0.01)
    assert found.unit == "metre" and " m apart (± " in found.sentence and found.confidence == 1


def test_its_error_is_that_of_the_depths_where_depth_counts_and_of_the_click_across(room):
    def scatter(a, b):
        """Of the distance when disparities are off by a fifth of a pixel and clicks by one pixel in 512."""
        rng, t, K = np.random.default_rng(0), 3, room.cameras.K[3]
        z = np.array([room.depth.depth[t, int(p[1]), int(p[0])] for p in (a, b)])
        many = []
        for _ in range(4000):
            inverse = 1 / z + rng.normal(0, 0.2 / (K[0, 0] * 0.063), 2)
            xy = np.array([a, b]) + rng.normal(0, 96 / 512, (2, 2))
            x, y = unproject(xy, 1 / inverse, K, np.eye(4))
            many.append(np.linalg.norm(x - y))
        return np.std(many)

    near = replace(room, depth=replace(room.depth, depth=0.2 * room.depth.depth))
    for a, b in (((20.5, 40.5), (76.5, 40.5)), ((48.5, 20.5), (48.5, 60.5))):
        room = near
        assert distance(near, 3, a, b).sigma == pytest.approx(scatter(a, b), rel=0.35)


def test_a_baseline_that_the_report_tells_sets_the_error(room):
    wide = replace(room, report={"source": {"baseline_m": 0.63}})
    a, b = (48.5, 20.5), (48.5, 60.5)
    assert distance(wide, 3, a, b).sigma < 0.2 * distance(room, 3, a, b).sigma


def test_a_relative_scene_is_said_to_be_one(room):
    relative = replace(room, unit="relative", depth=replace(room.depth, unit="relative"))
    found = distance(relative, 0, (30, 50), (60, 50))
    assert found.unit == "relative" and "relative: the scale of this scene is not known" in found.sentence and " m " not in found.sentence


def test_a_click_beside_known_depth_takes_the_nearest_and_one_far_from_any_is_told_where(room):
    edge = room.video.size[0] // 6
    found = distance(room, 2, (edge - 0.4, 6.5), (60, 50))
    assert found.xy[0, 0] == edge + 0.5
    with pytest.raises(UserError, match=r"The depth at \(7, 6\) of frame 2 is not known .*; the nearest place where it is: \("):
        distance(room, 2, (7, 6), (60, 50))


def test_unsure_depth_is_told(room):
    unsure = replace(room, depth=replace(room.depth, confidence=np.full_like(room.depth.confidence, 0.5)))
    far = replace(room, depth=replace(room.depth, depth=8 * room.depth.depth))
    assert (
        "One of the two depths may be wrong"
        in distance(replace(unsure, report={"source": {"baseline_m": 2}}), 0, (30, 50), (60, 50)).sentence
    )
    assert "Too unsure to rely on" in distance(far, 0, (48, 30), (48, 34)).sentence


def test_the_same_spot_twice_is_no_distance(room):
    found = distance(room, 0, (60, 50), (60, 50))
    assert found.value == 0 and found.sigma > 0


@pytest.mark.parametrize("xy", [(-1, 5), (97, 5), (5, 65), (np.nan, 5), (5,), (1, 2, 3)])
def test_points_outside_the_picture_are_refused(room, xy):
    with pytest.raises(UserError, match="lies outside the picture, which is 96 x 64 pixels"):
        distance(room, 0, (50, 50), xy)
    with pytest.raises(UserError, match="lies outside the picture"):
        track_speed(room, 0, xy)


def test_what_is_missing_is_named(room):
    with pytest.raises(UserError, match="has no depth, so distances"):
        distance(replace(room, depth=None), 0, (50, 50), (60, 50))
    with pytest.raises(UserError, match="has no 3D tracks"):
        track_speed(replace(room, tracks_3d=None), 0, (50, 50))
    with pytest.raises(UserError, match="Frame 10 does not exist; the scene has 10 frames"):
        distance(room, 10, (50, 50), (60, 50))
    with pytest.raises(UserError, match="Frame -1 does not exist"):
        track_speed(room, -1, (50, 50))
    empty = np.full_like(room.depth.depth, np.nan)
    with pytest.raises(UserError, match="No depth is known anywhere in frame 0"):
        distance(replace(room, depth=replace(room.depth, depth=empty)), 0, (50, 50), (60, 50))


def test_a_frame_without_a_pose_can_be_measured_in(room):
    lost = replace(room, cameras=Cameras(room.cameras.K, np.full_like(room.cameras.T_wc, np.nan), room.cameras.size))
    assert distance(lost, 4, (20, 40), (80, 30)).value == pytest.approx(distance(room, 4, (20, 40), (80, 30)).value, rel=1e-5)


def with_sigma(room, sigma):
    return replace(room, tracks_3d=replace(room.tracks_3d, sigma=np.full(room.tracks_3d.visible.shape, sigma, np.float32)))


def clicked(room, *, moving):
    """A track that is seen throughout a window around frame 5, and where it is then."""
    long = room.tracks_3d.visible[:, 1:].all(1) & ((room.tracks_3d.motion > 0.5) == moving)
    i = int(np.flatnonzero(long)[0])
    return i, room.tracks_2d.xy[i, 5]


def test_the_speed_of_a_clicked_track_is_that_of_the_ball(rooms, room):
    scene = with_sigma(room, 0.01)
    i, xy = clicked(scene, moving=True)
    found = track_speed(scene, 5, xy)
    share = np.linspace(0, 1, 10)
    centres = rooms.ball_centre(share)
    # The ends of the widest window within half a second that the ten frames at 25 a second allow.
    known = np.flatnonzero(np.isfinite(scene.tracks_3d.xyz[found.track]).all(-1))
    truth = np.linalg.norm(centres[known[-1]] - centres[known[0]]) / (scene.video.times_s[known[-1]] - scene.video.times_s[known[0]])
    assert found.moving and found.speed == pytest.approx(truth, rel=0.1) and found.unit == "m/s"
    assert found.sigma == pytest.approx(0.01 * np.sqrt(2) / (known[-1] - known[0]) * 25, rel=0.01)
    assert "km/h" in found.sentence and "(± " in found.sentence
    np.testing.assert_allclose(found.xy, scene.tracks_2d.xy[found.track, 5])
    assert np.linalg.norm(found.xy - xy) < 1e-6 or found.track != i


def test_a_still_point_stands_still_and_an_unsure_speed_is_no_number_to_trust(room):
    _, xy = clicked(room, moving=False)
    assert track_speed(room, 5, xy).sentence == "This point stands still in the world."
    _, xy = clicked(room, moving=True)
    assert "too slowly for its distance" in track_speed(with_sigma(room, 9), 5, xy).sentence
    alone = track_speed(room, 5, xy)
    assert np.isnan(alone.sigma) and "±" not in alone.sentence


def test_a_click_on_no_track_names_the_nearest(room):
    only = Scene(
        tracks_2d=room.tracks_2d.select([0]), tracks_3d=room.tracks_3d.select([0]), cameras=room.cameras, video=room.video, method="x"
    )
    t = int(only.tracks_2d.visible[0].argmax())  # type: ignore[union-attr]
    at = only.tracks_2d.xy[0, t]  # type: ignore[union-attr]
    far = (96 - at[0], 64 - at[1])
    with pytest.raises(UserError, match=r"There is no track near \(.*; the nearest one is at \("):
        track_speed(only, t, far)
    none = replace(only, tracks_2d=room.tracks_2d.select(np.zeros(0, int)), tracks_3d=room.tracks_3d.select(np.zeros(0, int)))
    with pytest.raises(UserError, match=r"There is no track near \(50, 50\) in frame 3\."):
        track_speed(none, 3, (50, 50))
