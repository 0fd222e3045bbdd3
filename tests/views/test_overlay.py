"""The track video: what is drawn where, and in which colour."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.scene import Scene, Tracks2D, Tracks3D, Video
from toolkit.views.overlay import draw_tracks, moving_tracks


def one_track(xy, visible, *, frames, size=(64, 48), motion=None, xyz=None):
    """A scene of one track over black frames."""
    video = Video.from_frames(np.zeros((frames, size[1], size[0], 3), np.uint8), 30)
    xy, visible = np.asarray(xy, np.float32)[None], np.asarray(visible)[None]
    tracks = Tracks2D(xy, visible, visible.astype(np.float32), np.zeros((1, 3), np.float32))
    tracks_3d = None
    if motion is not None:
        tracks_3d = Tracks3D(np.asarray(xyz, np.float32)[None], visible, np.zeros((1, 3), np.uint8), np.array([motion], np.float32))
    return Scene(tracks_2d=tracks, tracks_3d=tracks_3d, video=video, method="x")


def brightness(image):
    return image.astype(int).max(-1)


def test_there_is_one_even_sized_frame_per_frame_with_a_strip_below(room):
    images = list(draw_tracks(room))
    assert len(images) == len(room.video)
    h, w = images[0].shape[:2]
    assert h > room.video.size[1] and w == room.video.size[0] and h % 2 == 0
    assert all(i.shape == images[0].shape and i.dtype == np.uint8 for i in images)


@pytest.mark.parametrize("size", [(97, 63), (33, 32), (20, 15)])
def test_odd_and_tiny_videos_give_even_frames(rooms, size):
    image = next(draw_tracks(rooms.room_scene(frames=2, size=size, tracks=50)))
    assert image.shape[0] % 2 == 0 and image.shape[1] % 2 == 0


def test_a_visible_point_is_a_disc_centred_on_its_continuous_position():
    image = next(draw_tracks(one_track([[20.0, 31.0]], [True], frames=1)))[:48]
    y, x = np.mgrid[:48, :64] + 0.5
    light = brightness(image).astype(float)
    assert np.sum(x * light) / light.sum() == pytest.approx(20.0, abs=0.05)
    assert np.sum(y * light) / light.sum() == pytest.approx(31.0, abs=0.05)


def test_a_hidden_point_is_hollow_and_fades_with_the_time_out_of_sight():
    xy = [[32.5, 24.5]] * 30
    images = [i[:400] for i in draw_tracks(one_track(xy, [True] + [False] * 29, frames=30, size=(600, 400)))]
    rings = [brightness(i).sum() for i in images]
    assert rings[1] > rings[10] > rings[29]
    assert brightness(images[0])[24, 32] > 80
    assert brightness(images[1])[24, 32] < 20 < brightness(images[1])[24, 34]


def test_a_trail_follows_the_path_fades_into_the_past_and_has_the_asked_length():
    xy = [[5.0 + 5 * t, 24.5] for t in range(11)]
    image = list(draw_tracks(one_track(xy, [True] * 11, frames=11), trail=4))[10][:48]
    line = brightness(image)[24]
    assert line[50] > line[45] > line[38] > 0
    assert line[:33].max() == 0  # older than four frames
    assert brightness(image)[:20].max() == 0 and brightness(image)[30:].max() == 0


def test_moving_points_are_warm_and_still_ones_cool():
    rest = [[30.0, 20.0]] * 5
    still = list(draw_tracks(one_track(rest, [True] * 5, frames=5, motion=0, xyz=[[0, 0, 2.0]] * 5)))[4][20, 30].astype(int)
    moving = list(draw_tracks(one_track(rest, [True] * 5, frames=5, motion=1, xyz=[[0, 0.1 * t, 2.0] for t in range(5)])))[4][
        20, 30
    ].astype(int)
    assert still[2] > still[0] and moving[0] > moving[2]


def test_stabilised_trails_of_still_points_vanish_and_plain_ones_do_not(room):
    still = replace(room, tracks_2d=room.tracks_2d.select(~moving_tracks(room)), tracks_3d=room.tracks_3d.select(~moving_tracks(room)))
    h = room.video.size[1]

    def change(**options):
        with_trail = list(draw_tracks(still, **options))[-1][:h].astype(int)
        without = list(draw_tracks(still, **{**options, "trail": 1}))[-1][:h].astype(int)
        return np.abs(with_trail - without).mean()

    assert change(stabilise=True) < 0.1 * change()


def test_a_video_without_tracks_3d_is_coloured_by_height(room):
    flat = replace(room, tracks_3d=None, cameras=None)
    for a, b in zip(draw_tracks(flat), draw_tracks(flat, colour="height"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_3d_tracks_with_cameras_are_enough(room):
    assert len(list(draw_tracks(replace(room, tracks_2d=None)))) == len(room.video)


def test_colour_by_depth_runs_with_unknown_positions(room):
    assert len(list(draw_tracks(room, colour="depth"))) == len(room.video)


def test_a_scene_with_no_visible_track_is_the_plain_dimmed_clip(room):
    hidden = replace(room.tracks_2d, visible=np.zeros_like(room.tracks_2d.visible), xy=np.full_like(room.tracks_2d.xy, np.nan))
    images = list(draw_tracks(replace(room, tracks_2d=hidden)))
    assert images[0][:64].mean() < room.video.frames[0].mean()


def test_the_same_seed_draws_the_same_pictures(room):
    for a, b in zip(draw_tracks(room, max_tracks=40, seed=3), draw_tracks(room, max_tracks=40, seed=3), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_missing_is_named_at_once(room):
    with pytest.raises(UserError, match="holds no video"):
        draw_tracks(replace(room, video=None))
    with pytest.raises(UserError, match="2D tracks are needed"):
        draw_tracks(Scene(video=room.video, method="x"))
    with pytest.raises(UserError, match="need 3D tracks and cameras"):
        draw_tracks(replace(room, cameras=None), stabilise=True)
    with pytest.raises(UserError, match="no track colour 'blue'"):
        draw_tracks(room, colour="blue")  # type: ignore[arg-type]
