"""Stereo recordings opened as a stream with their rig."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

import operator
import shutil
import zipfile

import cv2
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.projections import Equirect, Fisheye, Pinhole
from toolkit.media.opening import open_stereo
from toolkit.media.video import read_video, write_video

WIDTH, HEIGHT = 160, 64


@pytest.fixture
def double(numbered):
    """A frame whose left half shows one number and whose right half another."""

    def make(left, right, axis=1):
        return np.concatenate([numbered(left), numbered(right)], axis=axis)

    return make


@pytest.fixture
def stereo_clip(tmp_path, double):
    """Twelve frames side by side: frame i shows i on the left and 500 + i on the right."""
    return write_video(tmp_path / "sbs.mp4", [double(i, 500 + i) for i in range(12)], 30)


def shown(opened, number_of):
    """[(left number, right number)] of all frames, split as the rig says."""
    pairs = []
    for _, frame in opened.frames():
        left, right = opened.rig.split(frame) if opened.rig is not None else frame
        pairs.append((number_of(left), number_of(right)))
    return pairs


def test_a_half_sphere_video_is_opened_with_its_equirect_rig(stereo_clip, number_of):
    bounds = (-80.0, 80.0, -45.0, 45.0)
    with open_stereo(stereo_clip, layout="side-by-side", projection="equirect", fov_bounds_deg=bounds, baseline_m=0.065) as opened:
        assert isinstance(opened.rig.left, Equirect) and opened.rig.left.fov_bounds_deg == bounds
        assert (opened.rig.left.size, opened.rig.baseline_m, opened.count) == ((WIDTH, HEIGHT), 0.065, 12)
        assert shown(opened, number_of) == [(i, 500 + i) for i in range(12)]
        assert shown(opened, number_of) == [(i, 500 + i) for i in range(12)]  # a second pass starts again
        stream = opened.frames()
        assert operator.length_hint(stream) == 12
        next(stream)
        assert operator.length_hint(stream) == 11


def test_flat_stereo_gives_pairs_without_a_rig(stereo_clip, number_of):
    with open_stereo(stereo_clip, layout="side-by-side", projection="pinhole") as opened:
        assert opened.rig is None and opened.layout == "separate" and opened.K is None
        assert shown(opened, number_of) == [(i, 500 + i) for i in range(12)]
        assert any("baseline" in w for w in opened.warnings)


@pytest.mark.parametrize("projection", ["pinhole", "equirect"])
def test_swapped_eyes_are_swapped_back(stereo_clip, number_of, projection):
    with open_stereo(stereo_clip, layout="side-by-side", projection=projection, swap=True, frames=2) as opened:
        assert shown(opened, number_of) == [(500, 0), (501, 1)]


def test_top_bottom_videos_are_split(tmp_path, double, number_of):
    path = write_video(tmp_path / "tb.mp4", [double(i, 300 + i, axis=0) for i in range(4)], 30)
    with open_stereo(path, layout="top-bottom", projection="equirect") as opened:
        assert opened.rig.left.size == (WIDTH, HEIGHT)
        assert shown(opened, number_of) == [(i, 300 + i) for i in range(4)]


@pytest.mark.parametrize(("frames", "expected"), [(3, [0, 1, 2]), (slice(2, 9, 3), [2, 5, 8]), ([0, 7, 11], [0, 7, 11])])
def test_chosen_frames_keep_their_times(stereo_clip, number_of, frames, expected):
    with open_stereo(stereo_clip, layout="side-by-side", projection="equirect", frames=frames) as opened:
        assert [left for left, _ in shown(opened, number_of)] == expected
        np.testing.assert_allclose(opened.times_s, np.array(expected) / 30, atol=1e-4)
        np.testing.assert_allclose([t for t, _ in opened.frames()], opened.times_s)


def test_a_fisheye_video_gets_an_equidistant_guess(tmp_path, double):
    path = write_video(tmp_path / "f.mp4", [double(1, 2)] * 2, 30)
    with open_stereo(path, layout="side-by-side", projection="fisheye") as opened:
        assert isinstance(opened.rig.left, Fisheye) and not opened.calibrated
        rim = opened.rig.left.rays(np.array([[80.0, 1e-6]]))[0]
        np.testing.assert_allclose(rim, [0, -1, 0], atol=1e-6)


def image_pair(folder, names, count, numbered, first_name=0):
    for offset, name in zip((0, 500), names, strict=True):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(folder / name / f"{first_name + i:06d}.png"), numbered(offset + i))
    return folder


def test_a_rectified_pair_with_calibration_has_intrinsics_and_baseline(tmp_path, numbered, number_of):
    folder = image_pair(tmp_path, ("image_00", "image_01"), 3, numbered)
    P = "1.0e+02 0 80 {} 0 1.0e+02 32 0 0 0 1 0"
    (folder / "calib_cam_to_cam.txt").write_text(
        f"S_rect_00: {WIDTH} {HEIGHT}\nS_rect_01: {WIDTH} {HEIGHT}\nP_rect_00: {P.format(0)}\nP_rect_01: {P.format(-54)}\n"
    )
    (folder / "timestamps.txt").write_text("2011-09-26 13:02:25.967790592\n2011-09-26 13:02:26.070920448\n2011-09-26 13:02:27.000000000\n")
    with open_stereo(folder) as opened:
        np.testing.assert_allclose(opened.K, [[100, 0, 80.5], [0, 100, 32.5], [0, 0, 1]])
        assert isinstance(opened.rig.left, Pinhole) and opened.rig.layout == "separate" and opened.calibrated
        assert opened.baseline_m == pytest.approx(0.54)
        np.testing.assert_allclose(opened.times_s, [0, 0.103129856, 1.032209408], atol=1e-6)
        assert shown(opened, number_of) == [(0, 500), (1, 501), (2, 502)]
    with open_stereo(folder, baseline_m=0.1) as opened:
        assert opened.rig.baseline_m == 0.1


def test_pictures_missing_on_one_side_are_left_out(tmp_path, numbered, number_of):
    folder = image_pair(tmp_path, ("left", "right"), 4, numbered)
    (folder / "right" / "000001.png").unlink()
    with open_stereo(folder) as opened:
        assert shown(opened, number_of) == [(0, 500), (2, 502), (3, 503)]
        assert opened.count == 3


@pytest.mark.parametrize("eye", ["left", "right"])
def test_a_picture_of_another_size_in_a_sequence_is_refused(tmp_path, numbered, eye):
    folder = image_pair(tmp_path, ("left", "right"), 5, numbered)
    cv2.imwrite(str(folder / eye / "000003.png"), numbered(3)[:-8])
    with open_stereo(folder) as opened, pytest.raises(UserError, match=f"{eye}/000003.png is {WIDTH} x {HEIGHT - 8} px"):
        list(opened.frames())


def test_two_videos_are_read_side_by_side(tmp_path, numbered, number_of):
    write_video(tmp_path / "a_left.mp4", [numbered(i) for i in range(5)], 30)
    write_video(tmp_path / "a_right.mp4", [numbered(500 + i) for i in range(4)], 30)
    with open_stereo(tmp_path) as opened:
        assert shown(opened, number_of) == [(i, 500 + i) for i in range(4)]
        assert opened.count == 4
    with open_stereo(tmp_path, swap=True, frames=1) as opened:
        assert shown(opened, number_of) == [(500, 0)]


def test_an_archive_is_unpacked_while_it_is_open(tmp_path, stereo_clip, number_of, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(stereo_clip, "sbs.mp4")
    with open_stereo(tmp_path / "a.zip", layout="side-by-side", projection="equirect", frames=2) as opened:
        assert shown(opened, number_of) == [(0, 500), (1, 501)]
    assert list(place.iterdir()) == []
    with pytest.raises(UserError):
        open_stereo(tmp_path / "a.zip", layout="side-by-side", projection="equirect", frames=slice(50, 60))
    assert list(place.iterdir()) == []


def test_an_annotation_brings_its_frames_rotations_and_cameras(tmp_path, golden, double, number_of):
    path = tmp_path / "synthclip01_66957.npz"
    shutil.copy(golden / "stereo4d" / "clip_in.npz", path)
    write_video(tmp_path / "synthclip01.mp4", [double(i, 500 + i) for i in range(60)], 29.97)
    with np.load(path) as file:
        with open_stereo(path, frames=slice(1, 48, 20)) as opened:
            # The stamps are 67 ms + i / 29.97 s: frame i of the clip is frame i + 2 of the video.
            assert shown(opened, number_of) == [(3, 503), (23, 523), (43, 543)]
            assert (opened.rig.left.bounds_on, opened.rig.layout, opened.baseline_m) == ("centres", "side-by-side", 0.063)
            np.testing.assert_allclose(opened.rig.R_left, file["rectified2rig"][0], atol=1e-6)
            np.testing.assert_allclose(opened.rig.R_right, file["rectified2rig"][1], atol=1e-6)
            np.testing.assert_allclose(opened.cameras.T_wc[:, :3], file["camera2world"][1:48:20], atol=1e-7)
            assert opened.calibrated and len(opened.cameras) == opened.count == 3


def test_an_annotation_without_its_video_says_which_name_it_needs(tmp_path, golden):
    shutil.copy(golden / "stereo4d" / "clip_in.npz", tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"synthclip01\.mp4 or a\.mp4"):
        open_stereo(tmp_path / "a.npz")


def test_one_view_is_refused_with_a_way_out(tmp_path, numbered):
    path = write_video(tmp_path / "mono.mp4", [numbered(i) for i in range(3)], 30)
    with pytest.raises(UserError, match="one view .*two eyes are needed.*layout has to be set to side-by-side"):
        open_stereo(path)


@pytest.mark.parametrize("frames", [slice(12, 20), [3, 12]])
def test_frames_beyond_the_end_are_told_before_any_work(stereo_clip, frames):
    with pytest.raises(UserError, match="12 frames"):
        open_stereo(stereo_clip, layout="side-by-side", projection="equirect", frames=frames)


@pytest.mark.data
def test_a_real_vr180_clip_opens_with_lenses_and_orientations(data):
    with open_stereo(data / "google_vr180") as opened:
        assert (opened.count, opened.size, opened.layout) == (149, (1072, 1504), "top-bottom")
        assert type(opened.rig.left).__name__ == "LensMesh" and opened.rig.left.size == (1072, 752)
        assert opened.orientations.shape == (149, 3, 3)


@pytest.mark.data
def test_real_pairs_open_with_their_calibration(data):
    with open_stereo(data / "euroc_v101_micro") as opened:
        assert (opened.count, opened.size, opened.calibrated) == (11, (752, 480), True)
        assert sum(1 for _ in opened.frames()) == 11
    with open_stereo(data / "kitti_raw_0001_stereo", frames=2) as opened:
        assert opened.K[0, 0] == pytest.approx(721.5377) and opened.count == 2
    clip = data / "stereo4d_vr180_web" / "input_equirect.mp4"
    with open_stereo(clip, frames=[0, 198]) as opened:
        assert np.array_equal(list(opened.frames())[1][1], read_video(clip, frames=[198]).frames[0])
