"""Pictures and geometry of generated films agree with each other."""

import cv2
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.sampling import pixel_centres, remap
from toolkit.progress import Cancelled
from toolkit.scene import Cameras
from toolkit.synthetic import equirect_rays, example, look, look_pinhole, pinhole_rays, render_pinhole, render_vr180
from toolkit.synthetic.motions import pose
from toolkit.synthetic.places import room, street

SIZE = (160, 128)
K = intrinsics_from_fov(60, SIZE)
T_STREET, T_ROOM = pose((0.2, -1.6, -1.0)), pose((0, -1.35, -1.6), yaw_deg=6, pitch_deg=-8)


def difference(a, b):
    return np.abs(a.astype(int) - b).max(-1)


@pytest.fixture(scope="module")
def pair():
    return example("room", frames=2, size=SIZE)


@pytest.mark.parametrize(("place", "T_wc"), [(street, T_STREET), (room, T_ROOM)])
def test_a_picture_meets_what_single_rays_meet(place, T_wc):
    world = place(0)
    view = look_pinhole(world, K, SIZE, T_wc, 0.4, paint=False)
    hit = world.cast(T_wc[:3, 3], pinhole_rays(K, SIZE) @ T_wc[:3, :3].T, 0.4)
    np.testing.assert_array_equal(view.object_id, hit.object_id)
    np.testing.assert_allclose(view.distance, hit.distance, rtol=1e-12)


def test_the_right_eye_moved_by_the_disparity_is_the_left_eye(pair):
    left, right = pair.stereo.left.frames[0], pair.stereo.right.frames[0]
    shift = np.stack([pair.disparity_px[0], np.zeros(SIZE[::-1])], -1)
    seen = pair.seen_by_both[0]
    ids = pair.object_ids[0].astype(np.uint8)
    inner = seen & (cv2.erode(ids, np.ones((5, 5))) == cv2.dilate(ids, np.ones((5, 5))))

    def error(wrong_px):
        return difference(remap(right, pixel_centres(SIZE) - shift - [wrong_px, 0], interpolation="bicubic"), left)[inner]

    assert seen.mean() > 0.9
    assert np.median(error(0)) <= 1 and np.percentile(error(0), 90) <= 6
    # The pictures agree best where the disparity is right, to a twentieth of a pixel.
    offsets = np.array([-0.2, -0.1, 0, 0.1, 0.2])
    curve = np.polyfit(offsets, [np.square(error(o)).mean() for o in offsets], 2)
    assert curve[0] > 0 and abs(-0.5 * curve[1] / curve[0]) < 0.05


def test_disparity_is_focal_length_times_baseline_over_depth(pair):
    np.testing.assert_allclose(pair.disparity_px * pair.depth_m, pair.stereo.K[0, 0] * 0.1, rtol=1e-5)


def test_vr180_cut_to_a_pinhole_view_is_the_pinhole_picture():
    world, w, h = street(0), 900, 900
    video = render_vr180(world, T_STREET[None], [0.4], eye_size=(w, h))
    assert video.size == (2 * w, h)
    rays = pinhole_rays(K, SIZE)
    lon, lat = np.arctan2(rays[..., 0], rays[..., 2]), np.arcsin(rays[..., 1] / np.linalg.norm(rays, axis=-1))
    # Stereo4D's bounds lie on pixel centres: -90 degrees is the centre of column 0, +90 that of column w - 1.
    xy = np.stack([(lon / np.pi + 0.5) * (w - 1), (lat / np.pi + 0.5) * (h - 1)], -1) + 0.5
    for eye, T in ((video.frames[0, :, :w], T_STREET), (video.frames[0, :, w:], T_STREET + np.eye(4, k=3) * 0.063)):
        cut = remap(np.ascontiguousarray(eye), xy)
        error = difference(cut, look_pinhole(world, K, SIZE, T, 0.4).rgb)
        assert np.median(error) <= 4 and np.percentile(error, 90) <= 16
        shifted = difference(remap(np.ascontiguousarray(eye), xy + [1.0, 0.0]), look_pinhole(world, K, SIZE, T, 0.4).rgb)
        assert shifted.mean() > 1.3 * error.mean()


def test_top_bottom_holds_the_eyes_of_side_by_side():
    world, eye = room(0), (48, 40)
    beside = render_vr180(world, T_ROOM[None], [0.0], eye_size=eye).frames[0]
    above = render_vr180(world, T_ROOM[None], [0.0], layout="top-bottom", eye_size=eye).frames[0]
    np.testing.assert_array_equal(above, np.concatenate([beside[:, :48], beside[:, 48:]]))
    with pytest.raises(UserError, match='layout is "diagonal"'):
        render_vr180(world, T_ROOM[None], [0.0], layout="diagonal")  # type: ignore[arg-type]


@pytest.mark.parametrize(("bounds_on", "first", "step"), [("centres", -90, 180 / 9), ("edges", -81, 18)])
def test_bounds_lie_on_pixel_centres_or_on_edges(bounds_on, first, step):
    rays = equirect_rays((10, 10), bounds_on=bounds_on)
    lon = np.rad2deg(np.arctan2(rays[4, :, 0], rays[4, :, 2]))
    np.testing.assert_allclose(lon, first + step * np.arange(10), atol=1e-9)
    np.testing.assert_allclose(np.rad2deg(np.arcsin(rays[:, 4, 1])), first + step * np.arange(10), atol=1e-9)


def test_a_misaligned_rig_turns_the_pictures_of_its_lenses():
    world, size, turn = room(0), (120, 100), np.stack([pose(yaw_deg=4, pitch_deg=-2, roll_deg=3)[:3, :3], pose(yaw_deg=-3)[:3, :3]])
    video = render_vr180(world, T_ROOM[None], [0.0], eye_size=size, rectified2rig=turn)
    # A lens that turns rays by M is a camera turned by its inverse.
    T = T_ROOM.copy()
    T[:3, :3] = T_ROOM[:3, :3] @ turn[0].T
    turned = render_vr180(world, T[None], [0.0], eye_size=size)
    np.testing.assert_array_equal(video.frames[0, :, :120], turned.frames[0, :, :120])
    with pytest.raises(UserError, match=r"rectified2rig has shape \(3, 3\)"):
        render_vr180(world, T_ROOM[None], [0.0], eye_size=size, rectified2rig=np.eye(3))


def test_the_same_input_gives_the_same_bytes_and_another_seed_another_place():
    a, b, c = (example("street", frames=2, size=(48, 48), eye_size=(64, 64), seed=s) for s in (0, 0, 1))
    assert a.video.frames.tobytes() == b.video.frames.tobytes()
    assert a.depth_m.tobytes() == b.depth_m.tobytes()
    assert difference(a.video.frames, c.video.frames).mean() > 10


def test_a_world_looks_the_same_from_its_own_axes_and_from_the_camera():
    world = street(0)
    own = look_pinhole(world, K, SIZE, T_STREET, 0.4)
    camera = look_pinhole(world.seen_from(T_STREET), K, SIZE, np.eye(4), 0.4)
    np.testing.assert_allclose(own.distance, camera.distance, rtol=1e-9)
    assert np.percentile(difference(own.rgb, camera.rgb), 99.5) <= 1


def test_moving_pixels_belong_to_moving_objects(pair):
    names = pair.world.object_names
    shown = {names[i] for i in np.unique(pair.object_ids[pair.moving])}
    assert shown <= {"ball", "red ball", "balloon", "cat", "toy train"} and len(shown) >= 3
    assert not {"room", "sofa", "rug"} & shown


def test_the_sky_has_no_depth_and_id_zero():
    clip = example("handheld", frames=1, size=SIZE)
    assert np.isnan(clip.depth_m[clip.object_ids == 0]).all() and (clip.object_ids == 0).any()
    assert np.isfinite(clip.depth_m[clip.object_ids > 0]).all()
    np.testing.assert_array_equal(clip.cameras.T_wc[0], np.eye(4))


def test_any_camera_is_a_grid_of_rays():
    world = room(0)
    flipped = pinhole_rays(K, SIZE)[:, ::-1]
    view = look(world, flipped, T_ROOM, 0.0, pixel=1 / K[0, 0])
    straight = look_pinhole(world, K, SIZE, T_ROOM, 0.0)
    np.testing.assert_array_equal(view.object_id, straight.object_id[:, ::-1])
    assert np.percentile(difference(view.rgb, straight.rgb[:, ::-1]), 99) <= 1


def test_a_film_can_be_stopped_and_refuses_mismatched_times():
    cameras = Cameras.from_poses(K, np.stack([T_ROOM] * 3), SIZE)

    def stop(done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        render_pinhole(room(0), cameras, [0.0, 0.1, 0.2], report=stop)
    with pytest.raises(UserError, match=r"times_s has shape \(2,\)"):
        render_pinhole(room(0), cameras, [0.0, 0.1])
