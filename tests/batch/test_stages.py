"""Other settings redo only the stages that they touch; what is kept for that is bounded, and goes when it is told to."""

import json
import mmap
import os

import cv2
import numpy as np
import pytest

import toolkit as tk
from toolkit import disk_arrays
from toolkit.batch import clean_batch, run_batch
from toolkit.media import inspection
from toolkit.sfm.feature_store import Store
from toolkit.stage_cache import StageCache, keeping, kept_or_made, shrink
from toolkit.tracking import track_points

DRAFT = {"preset": "draft", "grid": (8, 8), "layout": "side-by-side"}


def pair(path, frames=4, side=96):
    """A wall that drifts past two eyes, four pixels nearer than infinity."""
    wall = cv2.resize(np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8), (160, 96), interpolation=cv2.INTER_CUBIC)
    eyes = [np.hstack([wall[:, 10 + t : 10 + t + side], wall[:, 14 + t : 14 + t + side]]) for t in range(frames)]
    return tk.write_video(path, np.stack(eyes), 30)


def kept(out):
    return json.loads((out / "clips" / "pair_sbs.mp4" / "clip.json").read_text())["stages_kept"]


def test_other_settings_redo_only_what_they_touch_and_give_what_they_would_give_alone(here, tmp_path, monkeypatch):
    clip, out = pair(tmp_path / "pair_sbs.mp4"), tmp_path / "out"
    looked, look = [], inspection.inspect_recording
    monkeypatch.setattr(inspection, "inspect_recording", lambda found: looked.append(found) or look(found))
    run_batch(clip, out, **DRAFT)
    assert kept(out) == [] and len(looked) == 1
    run_batch(clip, out, **DRAFT, min_confidence=0.2)
    assert kept(out) == ["disparity", "tracks"]
    with_cache = tk.load(out / "clips" / "pair_sbs.mp4" / "scene.npz")
    run_batch(clip, tmp_path / "alone", **DRAFT, min_confidence=0.2, cache_gb=0)
    alone = tk.load(tmp_path / "alone" / "clips" / "pair_sbs.mp4" / "scene.npz")
    assert with_cache.depth is not None and alone.depth is not None
    assert with_cache.tracks_3d is not None and alone.tracks_3d is not None
    np.testing.assert_array_equal(with_cache.depth.depth, alone.depth.depth)
    np.testing.assert_array_equal(with_cache.tracks_3d.xyz, alone.tracks_3d.xyz)
    assert not (tmp_path / "alone" / "stages").exists()
    run_batch(clip, out, **{**DRAFT, "grid": (6, 6)})
    assert kept(out) == ["disparity"]
    assert clean_batch(out) > 0 and not (out / "stages").exists() and (out / "clips" / "pair_sbs.mp4" / "scene.npz").exists()


def test_a_folder_without_results_is_not_cleaned(tmp_path):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "mine.txt").write_text("x")
    with pytest.raises(tk.UserError, match="holds no results of a batch"):
        clean_batch(tmp_path)
    assert (tmp_path / "stages" / "mine.txt").exists()


def test_what_was_longest_not_used_goes_first(tmp_path):
    cache = StageCache(tmp_path / "stages", 1.0, "clip")
    for number, name in enumerate("abc"):
        cache.write(name, "key", {"x": np.zeros(40_000)})  # 0.32 MB
        os.utime(tmp_path / "stages" / f"{name}-key.npz", (number, number))
    assert cache.read("a", "key") is not None  # used just now
    cache.write("d", "key", {"x": np.zeros(40_000)})
    assert {path.name[0] for path in (tmp_path / "stages").iterdir()} == {"a", "c", "d"}
    cache.write("large", "key", {"x": np.zeros(100_000)})  # more than half of all room
    assert cache.read("large", "key") is None
    assert shrink(tmp_path / "stages", 0.0) > 0.9 and not list((tmp_path / "stages").iterdir())


def test_what_can_not_be_read_is_made_again(tmp_path):
    cache = StageCache(tmp_path, 1.0, "clip")
    with keeping(cache):
        made = kept_or_made("depth", {"size": 3}, lambda: {"x": np.arange(3)})
        (path,) = tmp_path.iterdir()
        path.write_bytes(path.read_bytes()[:50])
        again = kept_or_made("depth", {"size": 3}, lambda: {"x": np.arange(3)})
        found = kept_or_made("depth", {"size": 3}, lambda: pytest.fail("made again"))
        other = kept_or_made("depth", {"size": np.arange(2)}, lambda: {"x": np.arange(4)})
    assert cache.made == ["depth"] * 3 and cache.kept == ["depth"] and len(other["x"]) == 4
    assert (made["x"] == again["x"]).all() and (made["x"] == found["x"]).all()


def test_large_arrays_of_a_stage_come_back_in_files_so_that_a_long_clip_fits_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_arrays, "LARGE_MB", 0)
    rng = np.random.default_rng(0)
    arrays = {
        "rows": rng.random((3, 5)),
        "columns": np.asfortranarray(rng.random((3, 5))),
        "none": np.array([], np.str_),
        "one": np.array(7),
    }
    cache = StageCache(tmp_path, 1.0, "clip")
    cache.write("tracks", "key", arrays)
    found = cache.read("tracks", "key")
    assert found is not None and list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert isinstance(found["rows"].base, mmap.mmap)


def test_points_that_were_followed_and_features_of_photos_are_kept_whatever_the_method(tmp_path):
    video = tk.read_video(pair(tmp_path / "pair_sbs.mp4"))
    cache = StageCache(tmp_path / "stages", 100.0, "clip")
    with keeping(cache):
        first = track_points(video, tracker="draft", grid=(8, 8))
        again = track_points(video, tracker="draft", grid=(8, 8))
        track_points(video, tracker="draft", grid=(6, 6))
        Store(None).get("features", ("photo", 1), lambda: {"x": np.arange(3)})
        found = Store(None).get("features", ("photo", 1), lambda: pytest.fail("made again"))
    np.testing.assert_array_equal(first.xy, again.xy)
    assert found["x"].tolist() == [0, 1, 2]
    assert cache.made == ["tracks", "tracks", "features"] and cache.kept == ["tracks", "features"]
