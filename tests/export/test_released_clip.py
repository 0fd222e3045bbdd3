"""Conventions of the camera files, checked on a released recording whose poses were found from its tracks."""

import json

import numpy as np
import pytest

from toolkit.export.camera_files import write_transforms, write_tum
from toolkit.scene import Cameras, Scene, Video


@pytest.mark.data
@pytest.mark.parametrize("clip", ["O1lraa7pP3Y_337504171", "JREOLefcmOM_38405072"])
def test_released_points_fall_on_their_released_pixels_through_our_files(data, tmp_path, clip):
    folder = data / "stereo4d_clips" / "dev"
    with np.load(folder / f"{clip}.npz") as told, np.load(folder / f"{clip}.pnp_w2c.npz") as found:
        xyz, seen3, xy = told["pts3d"].astype(np.float64), told["vis3d"], told["tracks2d"].astype(np.float64).transpose(1, 0, 2)
        seen = told["vis2d"] if told["vis2d"].shape == seen3.shape else told["vis2d"].T
        w2c, K, (w, h) = found["w2c"], found["K"], told["dim"]
    known = np.isfinite(w2c).all((1, 2))
    T_wc = np.full_like(w2c, np.nan)
    T_wc[known] = np.linalg.inv(w2c[known])
    video = Video.from_frames(np.zeros((len(T_wc), 2, 2, 3), np.uint8), 30)
    scene = Scene(cameras=Cameras.from_poses(K, T_wc, (int(w), int(h))), video=video, method="stereo4d")
    write_transforms(scene, tmp_path / "transforms.json")
    write_tum(scene, tmp_path / "cameras.tum")
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    rows = np.loadtxt(tmp_path / "cameras.tum")
    assert len(frames) == len(rows) == known.sum()

    errors = []
    for frame, row, t in zip(frames, rows, np.flatnonzero(known), strict=True):
        good = seen[:, t] & seen3[:, t] & np.isfinite(xyz[:, t]).all(1)
        world = np.c_[xyz[good, t], np.ones(good.sum())]
        x, y, z, _ = np.linalg.inv(np.array(frame["transform_matrix"])) @ world.T
        ours = np.stack([frame["cx"] + frame["fl_x"] * x / -z, frame["cy"] - frame["fl_y"] * y / -z], 1)
        errors.append(np.linalg.norm(ours - xy[good, t], axis=1))
        np.testing.assert_allclose(row[1:4], np.array(frame["transform_matrix"])[:3, 3], atol=1e-8)
    # The released arrays are float16: a quarter of a pixel at 512.
    assert np.median(np.concatenate(errors)) < 0.3
