"""The depth video: one range for the clip, unknown hatched, ticks where they belong."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.scene import DepthVideo, Scene
from toolkit.views.colours import TURBO, inverse_depth_range
from toolkit.views.depth import depth_ticks, draw_depth, hatch


def test_the_same_depth_has_the_same_colour_in_every_frame():
    depth = np.full((3, 40, 60), 2.0, np.float32)
    depth[0, :20], depth[1, :20], depth[2, :20] = 1.0, 5.0, 10.0
    images = list(draw_depth(Scene(depth=DepthVideo(depth, np.ones_like(depth)), method="x")))
    assert len({tuple(i[30, 30]) for i in images}) == 1
    assert len({tuple(i[10, 30]) for i in images}) == 3


def test_colours_are_turbo_on_inverse_depth_near_red_far_blue(room):
    near, far = inverse_depth_range(room.depth.depth)
    image = list(draw_depth(room, side_by_side=False))[4]
    z = room.depth.depth[4, 40, 50]
    level = round(255 * float(np.clip((1 / z - 1 / far) / (1 / near - 1 / far), 0, 1)))
    assert np.abs(image[40, 50].astype(int) - TURBO[level]).max() <= 12
    assert TURBO[250][0] > 120 > TURBO[250][2] and TURBO[30][2] > TURBO[30][0]


def test_unknown_pixels_are_hatched_and_no_others(room):
    image = next(draw_depth(room, side_by_side=False))[:64, :96]
    unknown = np.isnan(room.depth.depth[0])
    np.testing.assert_array_equal(image[unknown], hatch((96, 64))[unknown])
    assert np.ptp(image[~unknown].astype(int), axis=-1).min() > 5  # the hatch is grey, turbo never is


def test_the_clip_is_beside_its_depth_where_there_is_one(room):
    image = next(draw_depth(room))
    np.testing.assert_array_equal(image[:64, :96], room.video.frames[0])
    assert image.shape[1] == 192
    assert next(draw_depth(replace(room, video=None))).shape[1] == 96


def test_frames_are_not_overwritten_by_later_ones(room):
    first, *rest = draw_depth(room)
    copy = first.copy()
    assert len(rest) == 9
    np.testing.assert_array_equal(first, copy)
    assert not np.array_equal(first, rest[0])


def test_outliers_do_not_take_the_range(room):
    depth = room.depth.depth.copy()
    near, far = inverse_depth_range(depth)
    depth[:, -1, -20:] = 1000.0
    depth[:, -1, :5] = 0.001
    after = inverse_depth_range(depth)
    assert after[0] == pytest.approx(near, rel=0.05) and after[1] == pytest.approx(far, rel=0.05)


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_a_clip_without_depth_or_with_one_depth_draws(value):
    depth = np.full((2, 32, 48), value, np.float32)
    assert len(list(draw_depth(Scene(depth=DepthVideo(depth, np.ones_like(depth)), method="x")))) == 2


def test_ticks_lie_at_their_inverse_depth_and_tell_the_unit():
    ticks = depth_ticks(1.0, 10.0, "metre")
    assert ticks[0] == (0.0, "1") and ticks[-1] == (1.0, "10 m")
    for position, label in ticks:
        z = float(label.split()[0])
        assert position == pytest.approx((1 - 1 / z) / (1 - 1 / 10))
    assert "relative" in depth_ticks(1.0, 10.0, "relative")[-1][1]


def test_a_scene_without_depth_is_refused_at_once():
    with pytest.raises(UserError, match="holds no depth"):
        draw_depth(Scene(method="x"))
