"""Raw stereo footage becomes a rectified pair."""

import weakref

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toolkit.errors import Cancelled, UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.lens_mesh import LensMesh
from toolkit.geometry.poses import from_rotation, view_rotation
from toolkit.geometry.projections import Equirect, Fisheye, Pinhole
from toolkit.geometry.rig import StereoRig, default_vr180_rig, rig_from_extrinsics
from toolkit.geometry.sampling import pixel_centres, remap, sample_bilinear, to_opencv
from toolkit.scene import Cameras, StereoVideo, Video
from toolkit.stereo.rectify import Rectifier, View, eye_maps, rectify, right_cameras


@pytest.fixture(scope="module")
def published(golden):
    path = golden / "stereo4d" / "rectify.npz"
    with np.load(path) as file:
        return dict(file)


def stereo4d_rig(published, case):
    eye = Equirect((192, 192), tuple(published[f"{case}_fov_bounds"]), "centres")
    left, right = published["rectified2rig"].astype(float)
    return StereoRig(eye, eye, left, right, 0.063, "side-by-side")


@pytest.mark.parametrize("case", ["sym", "asym"])
@pytest.mark.parametrize("eye", ["left", "right"])
def test_rectified_equirect_maps_are_those_of_the_published_implementation(published, case, eye):
    rig = stereo4d_rig(published, case)
    raw, R = (rig.left, rig.R_left) if eye == "left" else (rig.right, rig.R_right)
    ours = to_opencv(raw.pixels(raw.rays(pixel_centres(raw.size)) @ R.T))
    theirs = published[f"{case}_map_xy_{eye}"].transpose(1, 2, 0)
    seen = np.isfinite(ours).all(-1)
    assert np.array_equal(seen, ((theirs >= -0.5) & (theirs <= 191.5)).all(-1))
    assert np.abs(ours - theirs)[seen].max() < 2e-3


@pytest.mark.parametrize("case", ["sym", "asym"])
@pytest.mark.parametrize(("fov_deg", "size"), [(60, 96), (90, 64)])
def test_perspective_maps_and_pictures_are_those_of_the_published_implementation(published, case, fov_deg, size):
    rig = stereo4d_rig(published, case)
    crop = Pinhole(intrinsics_from_fov(fov_deg, (size, size)), (size, size))
    to_rectified = rig.left.pixels(crop.rays(pixel_centres(crop.size)))
    theirs = published[f"{case}_crop{fov_deg}_map_xy"].transpose(1, 2, 0)
    assert np.abs(to_opencv(to_rectified) - theirs).max() < 2e-3
    for half, eye, R in ((0, "left", rig.R_left), (1, "right", rig.R_right)):
        raw = published[f"{case}_raw"][0][:, half * 192 : (half + 1) * 192]
        rectified = remap(raw, rig.left.pixels(rig.left.rays(pixel_centres((192, 192))) @ R.T))
        ours = remap(rectified, to_rectified)  # the published pictures were resampled twice
        difference = np.abs(ours.astype(int) - published[f"{case}_crop{fov_deg}_{eye}"][0])
        assert difference.max() <= 2


@pytest.mark.parametrize("case", ["sym", "asym"])
def test_the_composed_map_is_the_published_one_after_the_other(published, case):
    rig = stereo4d_rig(published, case)
    view = View(intrinsics_from_fov(60, (96, 96)), (96, 96), np.eye(3))
    crop = published[f"{case}_crop60_map_xy"].transpose(1, 2, 0) + 0.5
    for ours, eye in zip(eye_maps(rig, view), ("left", "right"), strict=True):
        theirs = sample_bilinear(published[f"{case}_map_xy_{eye}"].transpose(1, 2, 0), crop)
        assert np.abs(to_opencv(ours) - theirs).max() < 5e-3  # their map is linear between pixels, ours is not


def fisheye():
    return Fisheye(np.array([[90, 0, 151], [0, 90, 149], [0, 0, 1.0]]), (0.01, -0.003, 0, 0), (300, 300), 100)


def lens_mesh():
    lens = fisheye()
    x, y = np.meshgrid(np.linspace(50, 250, 60), np.linspace(50, 250, 60))
    corner = (np.arange(59)[:, None] * 60 + np.arange(59)).ravel()
    triangles = np.concatenate([np.stack([corner, corner + 1, corner + 60], 1), np.stack([corner + 1, corner + 61, corner + 60], 1)])
    xy = np.stack([x.ravel(), y.ravel()], 1)
    return LensMesh(lens.rays(xy), xy, triangles, lens.size)


LENSES = {
    "equirect": lambda: Equirect((320, 300), (-90, 90, -90, 90), "edges"),
    "fisheye": fisheye,
    "lens mesh": lens_mesh,
    "pinhole": lambda: Pinhole(np.array([[165, 0, 161], [0, 166, 119], [0, 0, 1.0]]), (320, 240), (-0.2, 0.05, 1e-3, -5e-4)),
}


@pytest.mark.parametrize("lens", LENSES)
def test_both_eyes_show_the_sky_where_it_is_through_any_lens(lens, paint_sky):
    eye = LENSES[lens]()
    turns = [Rotation.from_rotvec(v).as_matrix() for v in ([0.02, -0.03, 0.01], [-0.01, 0.02, 0.03])]
    rig = StereoRig(eye, eye, turns[0], turns[1], 0.063, "separate")
    rectifier = Rectifier(rig, fov_deg=50, size=(80, 60), yaw_deg=5, pitch_deg=8)
    pictures = rectifier(tuple(paint_sky(eye, R) for R in turns))
    expected = paint_sky(Pinhole(rectifier.K, (80, 60)), view_rotation(0, 8).T)
    for picture, valid in zip(pictures, rectifier.valid, strict=True):
        assert valid.all()
        assert np.abs(picture.astype(int) - expected.astype(int)).max() <= 4


@pytest.mark.parametrize("yaw_deg", [-20, 0, 35])
@pytest.mark.parametrize("pitch_deg", [-25, 0, 10])
def test_rows_agree_and_disparity_is_focal_times_baseline_over_depth_in_every_direction(yaw_deg, pitch_deg):
    rectifier = Rectifier(default_vr180_rig((400, 200), "side-by-side"), fov_deg=40, size=128, yaw_deg=yaw_deg, pitch_deg=pitch_deg)
    K, R = rectifier.K, rectifier.view.R
    points = rectifier.view.rays()[::16, ::16].reshape(-1, 3) * np.linspace(1, 5, 64)[:, None]
    left, right = points @ R, (points - [rectifier.baseline_m, 0, 0]) @ R
    shift = left @ K.T / left[:, 2:] - right @ K.T / right[:, 2:]
    np.testing.assert_allclose(shift[:, 1], 0, atol=1e-9)
    np.testing.assert_allclose(shift[:, 0], K[0, 0] * rectifier.baseline_m / left[:, 2])


def test_a_view_aside_looks_from_yaw_minus_to_yaw_plus_half_the_field():
    rectifier = Rectifier(default_vr180_rig((400, 200), "side-by-side"), fov_deg=40, size=100, yaw_deg=30)
    edges = Pinhole(rectifier.K, (100, 100)).rays(np.array([[0, 50.0], [100, 50]]))
    np.testing.assert_allclose(np.rad2deg(np.arctan2(edges[:, 0], edges[:, 2])), [10, 50])


def test_pixels_no_lens_saw_are_black_and_marked():
    rectifier = Rectifier(default_vr180_rig((400, 200), "side-by-side", (-45, 45, -20, 20)), fov_deg=60, size=64)
    left, _ = rectifier(np.full((200, 400, 3), 255, np.uint8))
    assert 0.2 < rectifier.valid[0].mean() < 0.9
    assert np.all(left[~rectifier.valid[0]] == 0) and np.all(left[rectifier.valid[0]] == 255)


def test_without_a_field_of_view_the_widest_one_that_both_eyes_fill_is_taken():
    eye = LENSES["pinhole"]()
    T = from_rotation(Rotation.from_rotvec([0.01, -0.02, 0.03]).as_matrix(), np.array([0.11, 0.002, -0.001]))
    rectifier = Rectifier(rig_from_extrinsics(eye, eye, T), fov_deg=None, size=None)
    assert rectifier.view.size == (320, 240)
    assert all(v.all() for v in rectifier.valid)
    wider = Rectifier(rectifier.rig, fov_deg=1.02 * np.rad2deg(2 * np.arctan(160 / rectifier.K[0, 0])), size=(320, 240))
    assert not all(v.all() for v in wider.valid)


def test_an_already_rectified_pair_passes_unchanged():
    eye = Pinhole.from_opencv([[721.5377, 0, 609.5593], [0, 721.5377, 172.854], [0, 0, 1]], (124, 37))
    rig = StereoRig(eye, eye, np.eye(3), np.eye(3), 0.537, "separate")
    frame = np.random.default_rng(0).integers(0, 255, (2, 37, 124, 3), np.uint8)
    rectifier = Rectifier(rig, fov_deg=None, size=None)
    np.testing.assert_array_equal(rectifier((frame[0], frame[1])), frame)
    np.testing.assert_allclose(rectifier.K, eye.K)


def test_without_calibration_a_pair_is_cropped_and_resized():
    frames = np.random.default_rng(0).integers(0, 255, (2, 60, 160, 3), np.uint8)
    video = Video.from_frames(cv2.blur(frames[0], (9, 9))[None]), Video.from_frames(cv2.blur(frames[1], (9, 9))[None])
    stereo = rectify(video, fov_deg=70, size=(60, 60))
    np.testing.assert_array_equal(stereo.left.frames[0], video[0].frames[0][:, 50:110])
    np.testing.assert_allclose(stereo.K, intrinsics_from_fov(70, (160, 60)) - [[0, 0, 50], [0, 0, 0], [0, 0, 0]])
    assert stereo.baseline_m == 0.063


def test_a_rectified_pair_given_again_keeps_its_own_camera():
    stereo = StereoVideo(*[Video.from_frames(np.zeros((2, 20, 40, 3), np.uint8))] * 2, K=intrinsics_from_fov(50, (40, 20)), baseline_m=0.2)
    again = rectify(stereo, size=(20, 10))
    np.testing.assert_allclose(again.K[0, 0], stereo.K[0, 0] / 2)
    assert again.baseline_m == 0.2


def test_frames_that_hold_both_eyes_are_rectified_with_their_times():
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 80, 3), np.uint8)
    video = Video(frames, np.array([0.0, 0.1, 0.4]))
    rig = default_vr180_rig((80, 40), "side-by-side")
    calls = []
    stereo = rectify(video, rig, size=16, report=lambda done, total: calls.append((done, total)))
    np.testing.assert_array_equal(stereo.left.times_s, video.times_s)
    assert calls == [(1, 3), (2, 3), (3, 3)]
    expected = [Rectifier(rig, size=16)(frame) for frame in frames]
    np.testing.assert_array_equal(stereo.left.frames, [left for left, _ in expected])
    np.testing.assert_array_equal(stereo.right.frames, [right for _, right in expected])
    np.testing.assert_allclose(stereo.K, intrinsics_from_fov(60, (16, 16)))


def test_a_stream_is_never_held_in_memory():
    alive, most = [], []

    def stream():
        for t in range(20):
            frame = np.zeros((40, 80, 3), np.uint8)
            alive.append(weakref.ref(frame))
            most.append(sum(ref() is not None for ref in alive))
            yield t / 30, frame

    stereo = rectify(stream(), default_vr180_rig((80, 40), "side-by-side"), size=8)
    assert len(stereo) == 20
    assert max(most) <= 3


def test_a_stream_of_separate_eyes_brings_pairs():
    eye = Pinhole(intrinsics_from_fov(60, (40, 40)), (40, 40))
    rig = StereoRig(eye, eye, np.eye(3), np.eye(3), 0.1, "separate")
    stream = ((t / 10, (np.full((40, 40, 3), t, np.uint8), np.full((40, 40, 3), t + 100, np.uint8))) for t in range(3))
    stereo = rectify(stream, rig, size=8)
    np.testing.assert_array_equal(stereo.left.frames[:, 4, 4, 0], [0, 1, 2])
    np.testing.assert_array_equal(stereo.right.frames[:, 4, 4, 0], [100, 101, 102])


def test_a_reduced_copy_of_the_footage_gives_the_same_view(paint_sky):
    rig = default_vr180_rig((800, 400), "side-by-side")
    eye = paint_sky(rig.left)
    frame = np.concatenate([eye, eye], 1)
    rectifier = Rectifier(rig, size=64)
    full, _ = rectifier(frame)
    half, _ = rectifier(np.asarray(cv2.resize(frame, (400, 200), interpolation=cv2.INTER_AREA), np.uint8))
    assert np.abs(full.astype(int) - half.astype(int)).max() <= 4


def test_cancelling_stops_at_the_next_frame():
    def report(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        rectify(Video.from_frames(np.zeros((3, 40, 80, 3), np.uint8)), default_vr180_rig((80, 40), "side-by-side"), size=8, report=report)


def test_the_right_camera_sits_at_plus_x_of_the_left_one():
    T_wc = from_rotation(Rotation.from_rotvec([0, np.pi / 2, 0]).as_matrix(), np.array([1.0, 2, 3]))[None]
    right = right_cameras(Cameras.from_poses(np.eye(3), T_wc, (4, 4)), 0.1)
    np.testing.assert_allclose(right.centres, [[1, 2, 2.9]])
    np.testing.assert_allclose(right.T_wc[:, :3, :3], T_wc[:, :3, :3])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda rig, video: rectify(iter([]), rig), "no frames"),
        (lambda rig, video: rectify(video, rig, fov_deg=175), "no perspective image"),
        (lambda rig, video: rectify(video, rig, yaw_deg=80), "no perspective image"),
        (lambda rig, video: rectify(video, rig, fov_deg=0), "between 0 and 180"),
        (lambda rig, video: rectify(video, default_vr180_rig((80, 40), "side-by-side", (10, 40, -9, 9)), fov_deg=None), "look elsewhere"),
        (lambda rig, video: rectify(video, rig, fov_deg=None, yaw_deg=90), "look elsewhere"),
        (lambda rig, video: rectify(video, rig, size=0), "0 x 0"),
        (lambda rig, video: rectify((video, Video.from_frames(np.zeros((1, 40, 80, 3), np.uint8))), rig), "as many of each"),
        (lambda rig, video: rectify((video, video), rig), "a pair of images came"),
        (lambda rig, video: rectify(Video.from_frames(np.zeros((1, 1, 1, 3), np.uint8)), rig), "no two halves"),
    ],
)
def test_what_cannot_be_rectified_is_refused_in_a_sentence(call, words):
    video = Video.from_frames(np.zeros((2, 40, 80, 3), np.uint8))
    with pytest.raises(UserError, match=words):
        call(default_vr180_rig((80, 40), "side-by-side"), video)
