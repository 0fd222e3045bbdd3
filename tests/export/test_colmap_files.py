"""The COLMAP model, read back by COLMAP's own library and judged in its own conventions."""

import filecmp
from dataclasses import replace
from typing import Any

import cv2  # noqa: F401  (before pycolmap)
import numpy as np
import pycolmap
import pytest

from toolkit.export import colmap_files
from toolkit.export.colmap_files import write_colmap
from toolkit.export.picture_files import write_images
from toolkit.geometry.sampling import sample_bilinear
from toolkit.scene import Cameras, Scene
from toolkit.views.overlay import moving_tracks


@pytest.fixture(scope="module")
def written(room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("colmap")
    notes = write_colmap(room, folder)
    return folder / "sparse" / "0", notes


def read(folder, kind="binary") -> Any:
    model = pycolmap.Reconstruction()
    (model.read_binary if kind == "binary" else model.read_text)(folder)
    return model


def observations(model: Any):
    """(point xyz, image, xy) of every observation."""
    for point in model.points3D.values():
        for element in point.track.elements:
            image = model.image(element.image_id)
            yield point, image, image.points2D[element.point2D_idx]


def test_binary_and_text_hold_the_same_model(written):
    folder, notes = written
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{part}.{kind}" for part in ("cameras", "images", "points3D", "rigs", "frames") for kind in ("bin", "txt")
    )
    for kind in ("binary", "text"):
        model = read(folder, kind)
        assert model.num_points3D() == notes["points"] and model.compute_num_observations() == notes["observations"] > 500


def test_cameras_are_where_the_scene_has_them(written, room):
    for kind in ("binary", "text"):
        model = read(written[0], kind)
        assert model.num_reg_images() == len(room.cameras) and model.num_cameras() == 1
        for image in model.images.values():
            t = image.image_id - 1
            assert image.name == f"{t:06d}.jpg"
            np.testing.assert_allclose(image.cam_from_world().matrix(), room.cameras.T_cw[t, :3], atol=1e-12)
            np.testing.assert_allclose(image.projection_center(), room.cameras.centres[t], atol=1e-12)
            np.testing.assert_allclose(image.camera.calibration_matrix(), room.cameras.K[t], atol=1e-12)
            assert (image.camera.width, image.camera.height) == room.video.size


def test_points_project_by_colmap_itself_onto_their_observations(written):
    model = read(written[0])
    for point, image, seen in observations(model):
        assert seen.point3D_id in model.points3D
        np.testing.assert_allclose(image.project_point(point.xyz), seen.xy, atol=2e-3)
    assert written[1]["reprojection_error_px"] < 1e-3


def test_observations_are_samples_of_still_tracks_that_were_seen(written, room):
    still = ~moving_tracks(room)
    for point, image, seen in observations(read(written[0])):
        t = image.image_id - 1
        track = np.flatnonzero((np.abs(room.tracks_2d.xy[:, t] - seen.xy) < 1e-6).all(1))
        assert len(track) and room.tracks_2d.visible[track[0], t] and still[track[0]]
        np.testing.assert_allclose(point.xyz, room.tracks_3d.xyz[track[0], t], atol=1e-5)
        np.testing.assert_array_equal(point.color, room.tracks_3d.rgb[track[0]])


def test_colmap_finds_the_colours_of_the_pictures_at_the_observations_not_half_a_pixel_off(written, room, tmp_path):
    write_images(room.video, tmp_path / "images", lambda: None)
    model = read(written[0])
    model.extract_colors_for_all_images(str(tmp_path / "images"))

    def error(shift):
        sums = {}
        for point, image, seen in observations(model):
            value = sample_bilinear(room.video.frames[image.image_id - 1], seen.xy + shift)
            if np.isfinite(value).all():
                sums.setdefault(tuple(point.color), []).append(value)
        return np.median([np.abs(np.mean(v, axis=0) - c).mean() for c, v in sums.items()])

    # JPEG alone makes a few levels of difference in this texture.
    assert error(0.0) < 0.6 * min(error(0.5), error(-0.5))


def test_frames_without_a_pose_are_no_images(room, tmp_path):
    T_wc = room.cameras.T_wc.copy()
    T_wc[[0, 4]] = np.nan
    write_colmap(replace(room, cameras=replace(room.cameras, T_wc=T_wc)), tmp_path / "c")
    model = read(tmp_path / "c" / "sparse" / "0")
    assert sorted(model.images) == [2, 3, 4, 6, 7, 8, 9, 10]


def test_frames_of_other_lenses_and_sizes_get_cameras_of_their_own(room, tmp_path):
    K, size = room.cameras.K.copy(), room.cameras.size.copy()
    K[5:, 0, 0] *= 1.1
    size[9] = (100, 70)
    write_colmap(replace(room, cameras=Cameras(K, room.cameras.T_wc, size)), tmp_path / "c")
    model = read(tmp_path / "c" / "sparse" / "0")
    assert model.num_cameras() == 3
    assert model.image(7).camera.focal_length_x == pytest.approx(1.1 * model.image(1).camera.focal_length_x)
    assert model.image(10).camera.width == 100


def test_what_disagrees_with_its_point_is_no_observation(room, tmp_path):
    xy = room.tracks_2d.xy.copy()
    xy[:, 3] += 9
    write_colmap(replace(room, tracks_2d=replace(room.tracks_2d, xy=xy)), tmp_path / "c")
    assert all(image.image_id != 4 for _, image, _ in observations(read(tmp_path / "c" / "sparse" / "0")))


def test_a_long_clip_is_thinned_to_a_few_views_a_point_and_the_limit(rooms, tmp_path, monkeypatch):
    scene = rooms.room_scene(frames=40, size=(96, 64), tracks=400)
    write_colmap(scene, tmp_path / "c")
    tracks = [p.track.length() for p in read(tmp_path / "c" / "sparse" / "0").points3D.values()]
    assert 2 <= min(tracks) and max(tracks) == 12
    monkeypatch.setattr(colmap_files, "MAX_OBSERVATIONS", 600)
    notes = write_colmap(scene, tmp_path / "d")
    assert 20 < notes["points"] <= 50 and notes["observations"] <= 600


def test_a_scene_without_tracks_gives_its_cloud(room, tmp_path):
    notes = write_colmap(Scene(cameras=room.cameras, points=room.points, method="x", unit="relative"), tmp_path / "c")
    model = read(tmp_path / "c" / "sparse" / "0")
    assert model.num_points3D() == len(room.points) and notes["observations"] == 0 and notes["reprojection_error_px"] is None
    mine = np.array([p.xyz for _, p in sorted(model.points3D.items())])
    np.testing.assert_array_equal(mine, room.points.xyz)


def test_cameras_alone_are_a_model_of_no_points(room, tmp_path):
    write_colmap(Scene(cameras=room.cameras, method="x"), tmp_path / "c")
    model = read(tmp_path / "c" / "sparse" / "0")
    assert model.num_points3D() == 0 and model.num_images() == 10


def test_the_same_scene_gives_the_same_bytes(room, written, tmp_path):
    write_colmap(room, tmp_path)
    names = [p.name for p in written[0].iterdir()]
    assert filecmp.cmpfiles(written[0], tmp_path / "sparse" / "0", names, shallow=False) == (names, [], [])
