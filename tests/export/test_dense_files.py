"""Depth maps as COLMAP reads them."""

import json
from dataclasses import replace

import cv2  # noqa: F401  (before pycolmap)
import numpy as np
import pycolmap
import pytest

import toolkit as tk
from toolkit.export import dense_files
from toolkit.export.dense_files import read_array, write_depth_maps


def test_colmap_reads_the_depth_of_the_scene(room, tmp_path):
    tk.export(room, tmp_path / "out", ["colmap", "images"])
    folder = tmp_path / "out" / "colmap" / "dense" / "stereo" / "depth_maps"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{t:06d}.jpg.geometric.bin" for t in range(len(room.video))]
    for t, name in enumerate(names):
        theirs = pycolmap.DepthMap()
        theirs.read(folder / name)
        truth = np.nan_to_num(room.depth.depth[t])
        np.testing.assert_array_equal(np.asarray(theirs.to_array()).reshape(truth.shape), truth)
        np.testing.assert_array_equal(read_array(folder / name), room.depth.depth[t])
        assert (tmp_path / "out" / "images" / name.removesuffix(".geometric.bin")).is_file()
    notes = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert '"step_px": 1' in json.dumps(notes)


def test_large_and_many_maps_are_thinned(room, tmp_path, monkeypatch):
    monkeypatch.setattr(dense_files, "MAX_SIDE", 40)
    monkeypatch.setattr(dense_files, "MAX_BYTES", 4 * 32 * 22 * 3)
    notes = write_depth_maps(room, tmp_path, lambda: None)
    paths = sorted((tmp_path / "dense" / "stereo" / "depth_maps").iterdir())
    assert notes["depth"]["frames"] == len(paths) == 3
    np.testing.assert_array_equal(read_array(paths[0]), room.depth.depth[0, 1::3, 1::3])


@pytest.mark.parametrize("part", ["depth", "cameras"])
def test_a_scene_without_depth_or_cameras_writes_none(room, tmp_path, part):
    assert write_depth_maps(replace(room, **{part: None}), tmp_path, lambda: None) == {}
    assert not list(tmp_path.iterdir())
