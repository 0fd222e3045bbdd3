"""Photos in, cameras and points out: whole runs on small generated photos."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import json
import zipfile

import cv2
import numpy as np
import pytest

import toolkit as tk
from tests.sfm import photo_set
from toolkit.evaluation.cameras import cameras as score


def few_points(photos, **options):
    """Points enough for small pictures, in a tenth of the time."""
    return tk.reconstruct(photos, **{"max_features": 1500, **options})


@pytest.fixture(scope="module")
def truth():
    return photo_set.cameras()


@pytest.fixture(scope="module")
def pictures(truth):
    return photo_set.photograph(truth)


@pytest.fixture(scope="module")
def scene(pictures):
    return few_points(pictures)


def _folder(place, pictures, suffix=".png"):
    place.mkdir(parents=True, exist_ok=True)
    for n, picture in enumerate(pictures):
        cv2.imwrite(str(place / f"view{n}{suffix}"), picture[..., ::-1])
    return place


def test_all_photos_are_placed_close_to_the_truth_without_knowing_the_lens(scene, truth):
    found = score(scene.cameras, truth)
    assert found["registered"] == 1
    assert found["ate_extent"] < 0.01
    assert found["ate_rot_deg"] < 0.5
    assert abs(scene.cameras.K[0, 0, 0] / photo_set.FOCAL_PX - 1) < 0.03


def test_the_points_lie_where_the_photos_show_them(scene):
    from toolkit.geometry.cameras import project

    tracks = scene.tracks_2d
    for t in range(scene.frames):
        seen = tracks.visible[:, t]
        xy, _ = project(scene.tracks_3d.xyz[seen, t], scene.cameras.K[t], scene.cameras.T_wc[t])
        assert np.median(np.linalg.norm(xy - tracks.xy[seen, t], axis=1)) < 0.6


def test_a_known_lens_stays_as_it_is_and_helps(pictures, truth):
    scene = few_points(pictures, K=photo_set.K)
    assert np.allclose(scene.cameras.K, photo_set.K)
    assert score(scene.cameras, truth)["ate_extent"] < 0.004


def test_known_cameras_are_kept_and_points_come_in_their_unit(pictures, truth):
    scene = few_points(pictures, cameras=truth, cameras_unit="metre")
    assert np.allclose(scene.cameras.T_wc, truth.T_wc, atol=1e-9)
    assert scene.unit == "metre"
    xyz = scene.points.xyz
    off = np.minimum.reduce([abs(xyz[:, 2] - 6), abs(xyz[:, 1] - 1.5), abs(xyz[:, 0] - 3)])
    assert np.median(off) < 0.02


def test_the_same_seed_gives_the_same_scene(pictures, scene):
    again = few_points(pictures)
    assert np.array_equal(again.cameras.T_wc, scene.cameras.T_wc)
    assert np.array_equal(again.tracks_3d.xyz, scene.tracks_3d.xyz)
    assert again.report == scene.report


def test_a_zip_of_photos_goes_through_run_and_out_as_a_colmap_model(tmp_path, pictures):
    import pycolmap

    folder = _folder(tmp_path / "in", pictures[:4])
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    told = []
    scene = tk.run(tmp_path / "photos.zip", method="vggsfm", preset="draft", progress=told.append)
    assert list(dict.fromkeys(event.stage for event in told)) == ["features", "pairs", "cameras", "scene", "depth"]
    written = tk.export(scene, tmp_path / "out", ["colmap", "points.ply", "transforms.json", "scene.npz"])
    model = pycolmap.Reconstruction(written["colmap"] / "sparse" / "0")
    assert model.num_reg_images() == 4
    assert model.compute_mean_reprojection_error() < 1
    assert len(json.loads(written["transforms.json"].read_text())["frames"]) == 4
    assert [photo["name"] for photo in scene.report["photos"]] == [f"view{n}.png" for n in range(4)]


def test_a_second_run_goes_on_from_what_the_first_has_kept(tmp_path, pictures):
    class Stop(tk.Cancelled):
        pass

    def stop_at_the_pairs(event):
        if event.stage == "pairs" and event.done > 3:
            raise Stop

    with pytest.raises(Stop):
        few_points(pictures, cache=str(tmp_path), progress=stop_at_the_pairs)
    kept = len(list(tmp_path.glob("features-*.npz")))
    assert kept == len(pictures)
    scene = few_points(pictures, cache=str(tmp_path))
    assert scene.report["reused_from_cache"] >= kept + 3
    assert not list(tmp_path.glob("*.partial"))


def test_photos_of_different_sizes_are_placed_with_lenses_of_their_own(truth):
    seen = photo_set.cameras()
    seen.size[::2] = [360, 240]
    seen.K[::2, :2] *= 0.75
    scene = few_points(photo_set.photograph(seen))
    assert scene.cameras.registered.all()
    assert len(scene.report["lenses"]) == 2
    assert score(scene.cameras, truth)["ate_extent"] < 0.02


def test_photos_of_another_place_are_left_out_with_the_reason(pictures):
    others = photo_set.photograph(photo_set.cameras(3), seed=5)
    scene = few_points([*pictures, *others])
    assert scene.cameras.registered.tolist() == [True] * 6 + [False] * 3
    assert all("scene" in p["reason"] or "no other photo" in p["reason"] for p in scene.report["photos"][6:])


@pytest.mark.parametrize("known", [False, True])
def test_a_camera_that_only_turned_is_refused_with_the_reason(known):
    turned = photo_set.photograph(photo_set.cameras(step=0.0))
    with pytest.raises(tk.UserError, match="turn|sideways"):
        few_points(turned, K=photo_set.K if known else None)


def test_one_photo_and_copies_of_one_photo_are_refused(pictures):
    with pytest.raises(tk.UserError, match="at least two"):
        few_points(pictures[:1])
    with pytest.raises(tk.UserError, match="copies"):
        few_points([pictures[0], pictures[0]])


def test_black_photos_are_refused_as_having_nothing_to_hold_on_to():
    with pytest.raises(tk.UserError, match="hold on to"):
        few_points([np.full((240, 320, 3), n, np.uint8) for n in range(3)])


def test_masked_parts_give_no_points_by_either_convention(pictures, truth):
    masks = np.zeros((6, 320, 480), bool)
    masks[:, :, :160] = True
    for given, convention in ((masks, "nonzero-ignored"), (~masks, "zero-ignored")):
        scene = few_points(pictures, cameras=truth, masks=given, mask_convention=convention)
        assert scene.tracks_2d.xy[scene.tracks_2d.visible][:, 0].min() > 155
    with pytest.raises(tk.UserError, match="mask"):
        few_points(pictures, masks=masks[:, :100])


def test_wrong_numbers_of_masks_cameras_and_lenses_are_told(pictures, truth):
    with pytest.raises(tk.UserError, match="2 masks"):
        few_points(pictures, masks=np.zeros((2, 320, 480)))
    with pytest.raises(tk.UserError, match="6 known cameras"):
        few_points(pictures[:4], cameras=truth)
    with pytest.raises(tk.UserError, match="K has shape"):
        few_points(pictures, K=np.eye(4))
    with pytest.raises(tk.UserError, match="camera model"):
        few_points(pictures, camera_model="PINHOLES")
    with pytest.raises(tk.UserError, match="cameras must be Cameras"):
        few_points(pictures, cameras=truth.T_wc)


@pytest.mark.parametrize(
    "changed", [np.linalg.inv, lambda T_wc: T_wc @ np.diag([1, -1, -1, 1.0]), lambda T_wc: T_wc[::-1]], ids=["inverse", "OpenGL", "order"]
)
def test_known_cameras_of_another_convention_are_refused(pictures, truth, changed):
    with pytest.raises(tk.UserError, match="contradict the photos"):
        few_points(pictures, cameras=tk.Cameras(truth.K, changed(truth.T_wc), truth.size))


def test_one_known_camera_that_is_wrong_is_doubted_by_name(pictures, truth):
    T_wc = truth.T_wc.copy()
    T_wc[2, :3, 3] += [0.0, 1.0, 0.5]
    told = [w for w in few_points(pictures, cameras=tk.Cameras(truth.K, T_wc, truth.size)).report["warnings"] if "given camera" in w]
    assert len(told) == 1 and "000002.jpg" in told[0]
    assert not any("given camera" in w for w in few_points(pictures, cameras=truth).report["warnings"])


def test_a_photo_of_another_place_with_a_known_camera_has_no_pose_either(pictures, truth):
    other = photo_set.photograph(photo_set.cameras(1), seed=9)
    cameras = tk.Cameras(*(np.concatenate([part, part[:1]]) for part in (truth.K, truth.T_wc, truth.size)))
    scene = few_points([*pictures, *other], cameras=cameras)
    assert scene.cameras.registered.tolist() == [photo["registered"] for photo in scene.report["photos"]] == [True] * 6 + [False]


@pytest.mark.parametrize("K", [photo_set.K.T, photo_set.K + [[0, 40, 0], [0, 0, 0], [0, 0, 0]], "lens", [[1, 2], [3]]])
def test_a_K_that_is_none_is_refused(pictures, K):
    with pytest.raises(tk.UserError, match="K (is|has a skew)"):
        few_points(pictures, K=K)


def test_a_photo_that_was_cut_out_of_a_larger_one_is_placed_by_a_centre_of_its_own(pictures, truth):
    cut = [*pictures[:3], np.ascontiguousarray(pictures[3][:, :330]), *pictures[4:]]
    scene = few_points(cut)
    assert score(scene.cameras, truth)["ate_extent"] < 0.012 and score(scene.cameras, truth)["ate_rot_deg"] < 0.3
    assert abs(scene.report["lenses"][1]["params"][1] - photo_set.K[0, 2]) < 6
    assert any("cut out of a larger one" in told for told in scene.report["warnings"])
    assert not any("cut out" in told for told in few_points(pictures).report["warnings"])


@pytest.mark.parametrize("given", [5, None, {"a.jpg": 1}, [1, 2]])
def test_what_is_neither_photos_nor_a_video_is_refused(given):
    with pytest.raises(tk.UserError, match="this is|Photo 0 is"):
        tk.reconstruct(given)


@pytest.mark.parametrize("wrong", [{"seed": "a"}, {"seed": -1}, {"seed": None}, {"preset": "best"}, {"cameras_unit": "mile"}])
def test_a_seed_a_preset_and_a_unit_that_are_none_are_refused(pictures, wrong):
    with pytest.raises(tk.UserError, match="seed|preset|unit"):
        few_points(pictures, **wrong)


@pytest.mark.parametrize("masks", [np.zeros((6, 320, 480, 3)), np.zeros((6, 480)), np.zeros((6, 0, 0)), [None] * 6, 6, "folder", "sixsix"])
def test_masks_that_are_none_are_refused(pictures, masks):
    with pytest.raises(tk.UserError, match=r"mask.* shape \(H, W\)"):
        few_points(pictures, masks=masks)


def test_a_lens_of_each_photo_may_come_with_copies(pictures, truth):
    scene = few_points([*pictures, pictures[0]], K=np.tile(photo_set.K, (7, 1, 1)))
    assert scene.cameras.registered.sum() == 6 and score(scene.cameras, truth)["ate_extent"] < 0.01


def test_a_K_for_smaller_photos_is_doubted(pictures):
    told = few_points(pictures, K=np.diag([0.4, 0.4, 1]) @ photo_set.K).report["warnings"]
    assert any("far from the middle" in line for line in told)


def test_two_photos_alone_make_a_model(pictures, truth):
    scene = few_points([pictures[1], pictures[4]], K=photo_set.K)
    two = tk.Cameras(truth.K[[1, 4]], truth.T_wc[[1, 4]], truth.size[[1, 4]])
    assert scene.cameras.registered.all() and score(scene.cameras, two)["auc_5"] > 0.8


def test_two_photos_and_one_of_another_place_make_a_model_of_two(pictures):
    other = photo_set.photograph(photo_set.cameras(1), seed=9)
    scene = few_points([pictures[1], pictures[4], *other], K=photo_set.K)
    assert scene.cameras.registered.tolist() == [True, True, False]


def test_a_cache_that_cannot_be_made_is_told(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(tk.UserError, match="cache"):
        few_points(pictures, cache=str(tmp_path / "file" / "below"))
