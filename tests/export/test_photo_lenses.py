"""Photos with bent lenses as COLMAP and nerfstudio files of the photos themselves, judged by COLMAP and by the model itself."""

# pyright: reportOptionalMemberAccess=false
# The method fills every part that is looked at here.

import json
from typing import Any

import cv2
import numpy as np
import pycolmap
import pytest

import toolkit as tk
from tests.sfm import photo_set
from toolkit.export.formats import FORMATS
from toolkit.export.photo_lenses import nerfstudio_lens, photo_lenses
from toolkit.sfm import photo_scene
from toolkit.sfm.colmap import Lens, colmap_camera


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(scene, COLMAP's model that it was made of, files) of six photos with 12 % barrel distortion, reduced in the result."""
    place = tmp_path_factory.mktemp("photos")
    for n, picture in enumerate(photo_set.photograph(photo_set.cameras(), k1=-0.12)):
        cv2.imwrite(str(place / f"holiday_{n}.png"), picture[..., ::-1])
    kept = []
    whole = photo_scene._tracks

    def keeping(result, *args):
        kept.append(result.model)
        return whole(result, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photo_scene, "_tracks", keeping)
        scene = tk.reconstruct(place, max_features=1500, result_side=300)
    out = tmp_path_factory.mktemp("out") / "bundle"
    tk.export(scene, out, ["colmap", "transforms.json", "transforms_photos.json", "points.ply"])
    return scene, kept[0], out


def read(folder, kind) -> Any:
    model = pycolmap.Reconstruction()
    (model.read_binary if kind == "binary" else model.read_text)(folder)
    return model


@pytest.mark.parametrize("kind", ["binary", "text"])
def test_the_model_of_the_photos_is_the_one_that_was_estimated(made, kind):
    scene, estimated, out = made
    model = read(out / "colmap" / "sparse" / "0", kind)
    assert sorted(image.name for image in model.images.values()) == [f"holiday_{n}.png" for n in range(6)]
    assert model.num_cameras() == 1
    for image in model.images.values():
        other = estimated.image(image.image_id)
        assert (image.camera.model_name, image.camera.width, image.camera.height) == ("SIMPLE_RADIAL", *photo_set.SIZE)
        np.testing.assert_allclose(image.camera.params, other.camera.params, atol=1e-6)
        assert abs(image.camera.params[3]) > 0.05, "the lens is bent"
        np.testing.assert_allclose(image.cam_from_world().matrix(), other.cam_from_world().matrix(), atol=1e-9)


def test_places_in_the_photos_are_those_where_the_points_were_found(made):
    scene, estimated, out = made
    model = read(out / "colmap" / "sparse" / "0", "binary")
    assert model.num_points3D() == len(scene.tracks_3d) and model.compute_num_observations() == scene.tracks_2d.visible.sum()
    wanted = {t: [] for t in estimated.images}
    for point in estimated.points3D.values():
        for element in point.track.elements:
            wanted[element.image_id].append([*estimated.image(element.image_id).point2D(element.point2D_idx).xy, *point.xyz])
    for number, image in model.images.items():
        mine = np.array([[*p.xy, *model.point3D(p.point3D_id).xyz] for p in image.points2D if p.has_point3D()])
        assert len(mine) == len(image.points2D), "every place belongs to a point"
        theirs = np.array(wanted[number])
        nearest = np.abs(mine[:, None] - theirs[None]).max(-1).min(1)
        assert nearest.max() < 2e-3, "pixels of the photo, and the same point in the world"
    model.update_point_3d_errors()
    assert model.compute_mean_reprojection_error() == pytest.approx(scene.report["reprojection_error_px"], rel=0.02)


def test_the_model_of_the_flat_pictures_is_beside_it(made):
    scene, _, out = made
    model = read(out / "colmap" / "undistorted" / "sparse" / "0", "binary")
    assert {image.name for image in model.images.values()} == {f"{t:06d}.jpg" for t in range(6)}
    assert all(image.camera.model_name == "PINHOLE" and image.camera.width == 300 for image in model.images.values())
    told = json.loads((out / "manifest.json").read_text())["files"]["colmap"]
    assert told["undistorted"]["points"] == model.num_points3D() and "undistorted/sparse/0" in told["images"]


def test_nerfstudio_is_told_the_distortion_and_its_pictures_are_the_photos(made):
    scene, estimated, out = made
    told = json.loads((out / "transforms_photos.json").read_text())
    assert told["camera_model"] == "OPENCV" and len(told["frames"]) == 6
    for t, frame in enumerate(told["frames"]):
        assert frame["file_path"] == f"holiday_{t}.png" and (frame["w"], frame["h"]) == photo_set.SIZE
        pose = np.array(frame["transform_matrix"]) @ np.diag([1, -1, -1, 1])
        np.testing.assert_allclose(pose, scene.cameras.T_wc[t], atol=1e-12)
        camera = estimated.image(t + 1).camera
        K = np.array([[frame["fl_x"], 0, frame["cx"]], [0, frame["fl_y"], frame["cy"]], [0, 0, 1]])
        rays = np.random.default_rng(t).uniform([-0.5, -0.35, 1], [0.5, 0.35, 1], (50, 3))
        bent, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), K, np.array([frame[k] for k in ("k1", "k2", "p1", "p2")]))
        np.testing.assert_allclose(bent[:, 0], camera.img_from_cam(rays), atol=1e-3)
    flat = json.loads((out / "transforms.json").read_text())
    assert flat["w"] == 300 and "k1" not in flat["frames"][0]


@pytest.mark.parametrize(
    ("lens", "bends"),
    [
        (Lens("OPENCV", (640, 480), (500, 510, 320, 240, 0.1, -0.05, 0.002, -0.001)), cv2.projectPoints),
        (Lens("RADIAL", (640, 480), (500, 320, 240, 0.1, -0.05)), cv2.projectPoints),
        (Lens("OPENCV_FISHEYE", (640, 480), (400, 410, 320, 240, 0.05, -0.02, 0.01, 0.003)), cv2.fisheye.projectPoints),
        (Lens("SIMPLE_RADIAL_FISHEYE", (640, 480), (400, 320, 240, 0.05)), cv2.fisheye.projectPoints),
    ],
)
def test_lenses_of_many_models_bend_in_nerfstudios_words_as_in_colmaps(lens, bends):
    told = nerfstudio_lens(lens)
    assert told is not None
    fisheye = told["camera_model"] == "OPENCV_FISHEYE"
    K = np.array([[told["fl_x"], 0, told["cx"]], [0, told["fl_y"], told["cy"]], [0, 0, 1]])
    rays = np.random.default_rng(0).uniform([-0.6, -0.45, 1], [0.6, 0.45, 1], (50, 3))
    distortion = np.array([told[k] for k in (("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2"))], float)
    points = rays[:, None] if fisheye else rays
    bent, _ = bends(points, np.zeros((3, 1)), np.zeros((3, 1)), K.astype(float), distortion)
    np.testing.assert_allclose(bent.reshape(-1, 2), np.asarray(colmap_camera(lens).img_from_cam(rays)), atol=1e-6)


def test_a_lens_that_nerfstudio_lacks_is_said_to_be_so(made):
    scene = made[0]
    assert nerfstudio_lens(Lens("FOV", (640, 480), (500, 500, 320, 240, 0.9))) is None
    assert FORMATS["transforms_photos.json"].lacks(scene) == ""
    assert "photos" in FORMATS["transforms_photos.json"].lacks(tk.Scene(cameras=scene.cameras))
    assert photo_lenses(tk.Scene(cameras=scene.cameras)) is None
