"""What recordings are found to be."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import dataclasses
import json
import shutil
import struct
import zipfile

import av
import cv2
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.projections import Equirect
from toolkit.geometry.sampling import pixel_centres, remap
from toolkit.media.inspection import inspect
from toolkit.media.layout import eyes_swapped, stereo_layout
from toolkit.media.scene_file import save
from toolkit.media.video import write_video
from toolkit.scene import Scene, Video


def texture(height, width, seed=0):
    """Blobs of all sizes in colour, which features are found on."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.float32)
    for cells in (6, 12, 24, 48, 96):
        noise = rng.normal(0, 38, (max(2, cells * height // width), cells, 3)).astype(np.float32)
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def flat_pair(height=180, width=240, seed=0):
    """Two pictures of a slanted wall that is nearer below, as a parallel rig sees it."""
    wall = texture(height, width + 60, seed)
    xy = pixel_centres((width, height))
    disparity = 2 + 16 * xy[..., 1] / height
    left = remap(wall, xy + [20, 0])
    right = remap(wall, np.stack([xy[..., 0] + 20 + disparity, xy[..., 1]], -1))
    return left, right


def sphere_pair(size=240, seed=1):
    """Two half spheres in a room of six textured walls around the rig."""
    walls = [texture(256, 256, seed * 10 + i) for i in range(6)]
    half = np.array([2.0, 1.5, 3.0])
    rays = Equirect((size, size)).rays(pixel_centres((size, size)))
    eyes = []
    for x in (-0.1, 0.1):
        start = np.array([x, 0, 0])
        with np.errstate(divide="ignore"):
            reach = (np.sign(rays) * half - start) / rays
        axis = reach.argmin(-1)
        hit = start + rays * reach.min(-1)[..., None]
        eye = np.zeros((size, size, 3), np.uint8)
        for wall in range(6):
            a = wall // 2
            here = (axis == a) & ((np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0) == bool(wall % 2))
            others = [i for i in range(3) if i != a]
            place = (hit[..., others] / half[others] + 1) * 128
            eye[here] = remap(walls[wall], place)[here]
        eyes.append(eye)
    return eyes[0], eyes[1]


def clip(path, frame, count=6):
    return write_video(path, [frame] * count, 30)


def test_one_camera_is_one_camera(tmp_path):
    source = inspect(clip(tmp_path / "a.mp4", texture(180, 320)))
    assert (source.kind, source.layout, source.projection, source.frames, source.size) == ("mono", "mono", "pinhole", 6, (320, 180))
    assert source.fps == pytest.approx(30) and source.details["duration_s"] == pytest.approx(0.2)
    assert source.warnings == ()


@pytest.mark.parametrize(("layout", "join"), [("side-by-side", np.hstack), ("top-bottom", np.vstack)])
def test_flat_stereo_is_found_in_the_pictures(tmp_path, layout, join):
    source = inspect(clip(tmp_path / "a.mp4", join(flat_pair())))
    assert (source.kind, source.layout, source.projection) == ("stereo", layout, "pinhole")
    assert source.details["swapped"] is False
    assert source.details["layout_from"] == "content"


@pytest.mark.parametrize(("layout", "join"), [("side-by-side", np.hstack), ("top-bottom", np.vstack)])
def test_half_spheres_are_found_in_the_pictures(tmp_path, layout, join):
    source = inspect(clip(tmp_path / "a.mp4", join(sphere_pair())))
    assert (source.kind, source.layout, source.projection) == ("vr180", layout, "equirect")
    assert source.details["fov_bounds_deg"] == [-90, 90, -90, 90]
    assert any("looks like VR180" in w for w in source.warnings)
    assert any("blurred" in w for w in source.warnings)  # 240 px for 180 degrees


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pair", [flat_pair, sphere_pair])
def test_swapped_eyes_are_found(pair, seed):
    left, right = pair(seed=seed)
    for frame, expected in ((np.hstack([left, right]), False), (np.hstack([right, left]), True)):
        layout, matches = stereo_layout([frame])
        assert layout == "side-by-side"
        assert eyes_swapped(matches, parallel=pair is sphere_pair) is expected


def test_squeezed_flat_stereo_is_told_from_full(tmp_path):
    squeezed = [cv2.resize(eye, (120, 180), interpolation=cv2.INTER_AREA) for eye in flat_pair()]
    assert inspect(clip(tmp_path / "half.mp4", np.hstack(squeezed))).details["squeezed"] is True
    assert "squeezed" not in inspect(clip(tmp_path / "full.mp4", np.hstack(flat_pair()))).details


def test_a_flat_room_with_a_plain_ceiling_and_planks_across_is_no_half_sphere():
    from toolkit.media.layout import looks_equirect

    rng = np.random.default_rng(0)
    size, horizon = 512, 200
    room = np.full((size, size), 180.0)
    room[120:380] = cv2.resize(rng.uniform(40, 220, (4, 160)), (size, 260), interpolation=cv2.INTER_LINEAR)  # a curtain
    nearness = np.arange(380, size) - horizon
    row = np.floor(4000 / nearness).astype(int)  # planks at equal distances on a floor seen at a slant
    room[380:] = rng.uniform(60, 190, row.max() + 1)[row][:, None]
    for y, shade in zip(range(380, size), rng.uniform(-30, 30, size), strict=False):
        ends = (np.arange(-6, 7) + 0.3 * np.sin(7 * row[y - 380])) * 0.8 * nearness[y - 380] + size / 2
        for x in ends[(ends > 0) & (ends < size - 1)].astype(int):
            room[y, x : x + 2] += shade
    eye = np.repeat(np.clip(room, 0, 255).astype(np.uint8)[..., None], 3, 2)
    assert looks_equirect([eye])[0] is not True


def test_round_pictures_in_black_are_half_spheres_or_fisheyes(tmp_path):
    pair = [texture(240, 260)[:, 6:246], texture(240, 260)[:, :240]]
    xy = pixel_centres((240, 240)) / 120 - 1
    circle, rounded = np.hypot(xy[..., 0], xy[..., 1]) < 0.97, (np.abs(xy) ** 6).sum(-1) < 0.9
    fisheye = inspect(clip(tmp_path / "circle.mp4", np.hstack([eye * circle[..., None] for eye in pair]).astype(np.uint8)))
    assert (fisheye.kind, fisheye.projection) == ("vr180", "fisheye")
    np.testing.assert_allclose(fisheye.details["fisheye_circle"], [120, 120, 0.97 * 120], atol=2)
    sphere = inspect(clip(tmp_path / "round.mp4", np.hstack([eye * rounded[..., None] for eye in pair]).astype(np.uint8)))
    assert (sphere.kind, sphere.projection) == ("vr180", "equirect")


def test_metadata_is_believed_before_the_pictures(tmp_path, encode, inject, box):
    frame = np.hstack(flat_pair())
    path = encode(tmp_path / "a.mp4", images=[frame] * 4, ticks=[0, 33, 67, 100])
    equi = box(b"equi", struct.pack(">5I", 0, 0, 0, 2**30, 2**30))
    sv3d = box(b"sv3d", box(b"proj", box(b"prhd", bytes(16)), equi))
    source = inspect(inject(path, box(b"st3d", b"\0\0\0\0\2") + sv3d))
    assert (source.kind, source.layout, source.projection) == ("vr180", "side-by-side", "equirect")
    assert (source.details["layout_from"], source.details["projection_from"]) == ("metadata", "metadata")
    assert source.details["fov_bounds_deg"] == [-90, 90, -90, 90]


def test_frame_packing_inside_the_stream_is_believed(tmp_path, encode):
    packed = encode(tmp_path / "a.mkv", images=[np.vstack(flat_pair())] * 3, ticks=[0, 33, 67], options={"x264-params": "frame-packing=4"})
    source = inspect(packed)
    assert (source.layout, source.details["layout_from"]) == ("top-bottom", "metadata")


@pytest.mark.parametrize(
    ("mode", "layout", "swapped"),
    [
        ("left_right", "side-by-side", None),
        ("right_left", "side-by-side", True),
        ("top_bottom", "top-bottom", None),
        ("bottom_top", "top-bottom", True),
        ("mono", "mono", None),
    ],
)
def test_the_stereo_mode_of_matroska_is_believed(tmp_path, mode, layout, swapped):
    with av.open(str(tmp_path / "a.mkv"), "w") as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.metadata["stereo_mode"] = 128, 64, "yuv420p", mode
        for i in range(4):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(texture(64, 128, i), format="rgb24")))
        output.mux(stream.encode())
    source = inspect(tmp_path / "a.mkv")
    assert (source.layout, source.details["layout_from"], source.details.get("swapped")) == (layout, "metadata", swapped)


def test_rotation_variable_rate_and_still_clips_are_told(tmp_path, encode):
    turned = inspect(encode(tmp_path / "a.mp4", count=5, rotation=90))
    assert (turned.size, turned.details["rotation_deg"]) == ((64, 160), 270)
    varying = inspect(encode(tmp_path / "b.mp4", ticks=[0, 10, 20, 120, 130, 240, 250, 500]))
    assert varying.details["variable_frame_rate"] is True
    assert any("single frame" in w for w in inspect(encode(tmp_path / "c.mp4", count=1)).warnings)


def test_frames_of_files_without_an_index_are_counted(tmp_path, encode):
    assert inspect(encode(tmp_path / "a.mkv", count=37)).frames == 37


def test_each_preset_has_a_cost_that_grows_with_quality_and_length(tmp_path):
    short = inspect(clip(tmp_path / "a.mp4", texture(180, 320), 4)).estimate
    long = inspect(clip(tmp_path / "b.mp4", texture(180, 320), 40)).estimate
    assert set(short) == {"draft", "normal", "fine"}
    assert short["draft"].seconds < short["normal"].seconds < short["fine"].seconds < long["fine"].seconds
    assert 0 < short["normal"].memory_mb < long["normal"].memory_mb


def pictures(folder, count, make, suffix="png"):
    folder.mkdir(parents=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:04d}.{suffix}"), make(i))
    return folder


def test_photos_are_told_from_frames(tmp_path):
    photos = inspect(pictures(tmp_path / "photos", 9, lambda i: texture(96, 128, i)))
    assert (photos.kind, photos.frames, photos.fps) == ("photos", 9, 0)
    wide = texture(96, 200)
    frames = inspect(pictures(tmp_path / "frames", 9, lambda i: wide[:, i : i + 128]))
    assert (frames.kind, frames.frames, frames.fps) == ("mono", 9, 30)
    assert "30 frames per second" in frames.warnings[0]


@pytest.mark.parametrize(
    "names", [("left", "right"), ("cam0/data", "cam1/data"), ("image_02/data", "image_03/data"), ("L", "R"), ("eye_left", "eye_right")]
)
def test_pairs_of_folders_are_found_by_name(tmp_path, names):
    left, right = flat_pair()
    for name, eye in zip(names, (left, right), strict=True):
        pictures(tmp_path / name, 3, lambda _, eye=eye: eye)
    source = inspect(tmp_path)
    assert (source.kind, source.layout, source.frames, source.size) == ("stereo", "separate", 3, (240, 180))
    assert any("no calibration" in w for w in source.warnings)


def test_pairs_of_files_are_found_by_name(tmp_path):
    for i, eye in enumerate(flat_pair()):
        cv2.imwrite(str(tmp_path / f"001{'LR'[i]}.png"), eye)
    assert (inspect(tmp_path).kind, inspect(tmp_path).frames) == ("stereo", 1)
    videos = tmp_path / "videos"
    videos.mkdir()
    for name, eye in zip(("clip_left.mp4", "clip_right.mp4"), flat_pair(), strict=True):
        clip(videos / name, eye)
    assert (inspect(videos).kind, inspect(videos).layout, inspect(videos).frames) == ("stereo", "separate", 6)


def test_several_videos_are_several_cameras(tmp_path):
    for i in range(3):
        clip(tmp_path / f"cam{i}.mp4", texture(90, 120, i), 4 + (i == 2))
    (tmp_path / "calibration.toml").write_text("")
    source = inspect(tmp_path)
    assert (source.kind, source.frames, source.details["views"]) == ("multiview", 4, 3)
    assert source.details["calibration"] == ["calibration.toml"]
    assert any("synchronised" in w for w in source.warnings)


def test_different_clips_in_one_folder_are_no_views(tmp_path):
    for i, count in enumerate((3, 6)):
        clip(tmp_path / f"{'ab'[i]}.mp4", texture(90, 120, i), count)
    with pytest.raises(UserError, match=r"2 recordings of 3 to 6 frames.*such as a\.mp4"):
        inspect(tmp_path)


def test_what_is_found_goes_into_json(tmp_path):
    source = inspect(clip(tmp_path / "a.mp4", np.hstack(sphere_pair())))
    assert json.loads(json.dumps(dataclasses.asdict(source)))["kind"] == "vr180"


def test_a_folder_or_archive_with_one_video_is_that_video(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    clip(folder / "a.mp4", np.hstack(flat_pair()))
    (folder / "readme.txt").write_text("a clip")
    assert inspect(folder).layout == "side-by-side"
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(folder / "a.mp4", "inner/a.mp4")
    source = inspect(packed)
    assert (source.layout, source.path, source.details["archive"]) == ("side-by-side", str(packed), True)


def test_our_own_scenes_are_known(tmp_path):
    scene = Scene(video=Video.from_frames(np.zeros((3, 20, 30, 3), np.uint8)), method="stereo4d")
    source = inspect(save(scene, tmp_path / "a.npz"))
    assert (source.kind, source.frames, source.size, source.details["method"]) == ("scene", 3, (30, 20), "stereo4d")


def test_annotations_are_joined_with_the_video_beside_them(tmp_path, golden):
    path = tmp_path / "synthclip01_66957.npz"
    shutil.copy(golden / "stereo4d" / "clip_in.npz", path)
    alone = inspect(path)
    assert (alone.kind, alone.frames) == ("scene", 48)
    assert any("No video lies beside" in w for w in alone.warnings)
    video = write_video(tmp_path / "synthclip01.mp4", [np.hstack(flat_pair())] * 60, 29.97)
    joined = inspect(path)
    assert (joined.kind, joined.layout, joined.projection, joined.frames) == ("vr180", "side-by-side", "equirect", 48)
    assert any("1440 rows" in w for w in joined.warnings)
    write_video(video, [np.hstack(flat_pair())] * 10, 29.97)
    with pytest.raises(UserError, match="lasts 0.33 s"):
        inspect(path)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda p: p / "none.mp4", "no file or folder"),
        (lambda p: p, "holds no video"),
        (lambda p: (p / "left").mkdir() or p, "holds no video"),
        (lambda p: np.savez(p / "a.npz", w2c=np.eye(4)) or p / "a.npz", "neither a Stereo4D annotation nor"),
        (lambda p: (p / "a.png").write_bytes(b"no picture") and p / "a.png", "not a picture"),
        (lambda p: (p / "a.jpg").write_bytes(b"") or p / "a.jpg", "is empty"),
    ],
)
def test_what_can_not_be_told_is_told(tmp_path, prepare, words):
    with pytest.raises(UserError, match=words):
        inspect(prepare(tmp_path))


@pytest.mark.data
@pytest.mark.parametrize(
    ("item", "kind", "layout", "projection"),
    [
        ("google_vr180", "vr180", "top-bottom", "mesh"),
        ("stereo4d_vr180_web/input_equirect.mp4", "vr180", "side-by-side", "equirect"),
        ("stereo4d_vr180_web/9F_CaOaT9Xg-clip0-dyna_3dtrack_concated.mp4", "mono", "mono", "pinhole"),
        ("vr180_fisheye_pair", "vr180", "separate", "fisheye"),
        ("kitti_raw_0001_stereo", "stereo", "separate", "pinhole"),
        ("euroc_v101_micro", "stereo", "separate", "pinhole"),
        ("stereo_middlebury/motorcycle", "stereo", "separate", "pinhole"),
        ("mono_clips/teddy.mp4", "mono", "mono", "pinhole"),
        ("mono_clips/backpack.mp4", "mono", "mono", "pinhole"),
        ("mono_clips/paragliding-launch.mp4", "mono", "mono", "pinhole"),
        ("stereo4d_clips/dev/Y2LysD6EdLg_469002336.npz", "mono", "mono", "pinhole"),
        ("multiview_pose2sim", "multiview", "separate", "pinhole"),
        ("multiview_caliscope_charuco/4_cam_recording", "multiview", "separate", "pinhole"),
        ("panoptic_basketball", "multiview", "separate", "pinhole"),
        ("sfm_kitchen/images", "photos", "mono", "pinhole"),
        ("sfm_strecha/fountain-P11/images", "photos", "mono", "pinhole"),
        ("tracks_badja_davis/dog/frames", "mono", "mono", "pinhole"),
    ],
)
def test_real_recordings_are_what_they_are(data, item, kind, layout, projection):
    source = inspect(data / item)
    assert (source.kind, source.layout, source.projection) == (kind, layout, projection)


def test_two_pictures_in_one_folder_are_told_by_their_names(tmp_path):
    for name, picture in zip(("001L.png", "001R.png"), flat_pair(), strict=True):
        cv2.imwrite(str(tmp_path / name), picture)
    assert inspect(tmp_path).details["pair"] == ["001L.png", "001R.png"]
