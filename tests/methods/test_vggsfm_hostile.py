"""Photos that no model can be made of, or only of a part: a sentence, or a model that says which photos are in it."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

import toolkit as tk
from tests.sfm import photo_set
from toolkit.evaluation.cameras import cameras as score
from toolkit.sfm import photo_model
from toolkit.sfm.colmap import rigid


def few_points(photos, **options):
    """Points enough for small pictures, in a tenth of the time."""
    return tk.reconstruct(photos, **{"max_features": 800, "tracker": "sift", **options})


@pytest.fixture(scope="module")
def truth():
    return photo_set.cameras(4, step=0.6, turn_deg=5)


@pytest.fixture(scope="module")
def pictures(truth):
    return photo_set.photograph(truth)


def test_two_exposures_from_one_place_are_refused_as_telling_no_depth(pictures):
    noise = np.random.default_rng(0).integers(0, 3, pictures[0].shape, dtype=np.uint8)
    with pytest.raises(tk.UserError, match="turn|sideways|angles"):
        few_points([pictures[0], np.minimum(pictures[0], 250) + noise])


def test_three_photos_without_overlap_are_refused():
    apart = [photo_set.photograph(photo_set.cameras(1), seed=seed)[0] for seed in range(3)]
    with pytest.raises(tk.UserError, match="No two of the 3 photos show the same"):
        few_points(apart)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_focal_length_that_is_twice_off_is_said_in_the_report(pictures, factor):
    K = photo_set.K * [[factor, 1, 1], [1, factor, 1], [1, 1, 1]]
    told = " ".join(few_points(pictures, K=K).report["warnings"])
    assert f"its focal length is {factor * photo_set.FOCAL_PX:.0f} px" in told and "check K" in told
    right = few_points(pictures, K=photo_set.K).report["warnings"]
    assert not any("given K" in line for line in right)


def test_what_the_global_mapper_gives_is_checked_and_no_photo_is_kept_without_support(pictures, truth, monkeypatch):
    monkeypatch.setattr(photo_model, "incremental", lambda *args: [])
    monkeypatch.setattr(photo_model, "_mostly_flat", lambda found: False)
    others = photo_set.photograph(photo_set.cameras(2), seed=5)
    black = np.zeros_like(pictures[0])
    scene = few_points([*pictures, *others, black], K=photo_set.K)
    assert scene.report["mapper"] == "global"
    for photo in scene.report["photos"]:
        assert photo["points"] >= 12 if photo["registered"] else photo["reason"]
    assert scene.cameras.registered[:4].all() and not scene.cameras.registered[4:].any()
    four = tk.Cameras(scene.cameras.K[:4], scene.cameras.T_wc[:4], scene.cameras.size[:4])
    assert score(four, truth)["ate_extent"] < 0.01


def test_a_photo_that_a_mapper_put_anywhere_is_placed_anew_or_left_out(pictures, truth, monkeypatch):
    real = photo_model.incremental

    def lying(*args):
        model = real(*args)[0]
        image = model.image(4)
        image.frame.set_cam_from_world(image.camera_id, rigid(np.eye(4)))
        for k in range(len(image.points2D)):
            if image.points2D[k].has_point3D():
                model.delete_observation(4, k)
        return [model]

    monkeypatch.setattr(photo_model, "incremental", lying)
    scene = few_points(pictures, K=photo_set.K)
    kept = scene.cameras.registered
    assert kept[:3].all()
    if kept[3]:
        assert score(scene.cameras, truth)["ate_extent"] < 0.01
    else:
        assert scene.report["photos"][3]["reason"]


def test_photos_that_were_placed_after_all_are_not_said_to_make_a_model_of_their_own(pictures, monkeypatch):
    real = photo_model._map

    def apart(*args):
        model, _, mapper = real(*args)
        return model, [[0, 1]], mapper

    monkeypatch.setattr(photo_model, "_map", apart)
    scene = few_points(pictures, K=photo_set.K)
    assert scene.cameras.registered.all() and not any("of their own" in told for told in scene.report["warnings"])


def test_photos_of_twenty_megapixels_take_bounded_memory(pictures, tmp_path):
    for n, picture in enumerate(pictures[:3]):
        large = cv2.resize(picture, (5400, 3600), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(tmp_path / f"{n}.jpg"), large[..., ::-1])
    code = (
        "import re, toolkit as tk\n"
        f"scene = tk.reconstruct({str(tmp_path)!r}, max_side=800, max_features=800, tracker='sift', result_side=800)\n"
        "assert scene.cameras.registered.all(), scene.report\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)"  # ru_maxrss counts the parent's, too
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print("peak MB", done.stdout)
    assert int(done.stdout.splitlines()[-1]) < 1000


def test_a_run_that_was_killed_goes_on_from_what_it_has_kept(pictures, tmp_path):
    for n, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"{n}.png"), picture[..., ::-1])
    cache = tmp_path / "cache"
    code = (
        "import time, toolkit as tk\n"
        "def slow(event):\n"
        "    if event.stage == 'pairs': time.sleep(60)\n"
        f"tk.reconstruct({str(tmp_path)!r}, max_features=800, tracker='sift', cache={str(cache)!r}, progress=slow)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 300
    while len(list(cache.glob("features-*.npz"))) < 4 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    scene = few_points(str(tmp_path), cache=str(cache))
    assert scene.report["reused_from_cache"] >= 4
    assert scene.cameras.registered.all()


@pytest.mark.parametrize("path", ["", "  "])
def test_an_empty_path_is_not_taken_for_the_current_folder(path):
    with pytest.raises(tk.UserError, match="The path is empty"):
        tk.reconstruct(path)
