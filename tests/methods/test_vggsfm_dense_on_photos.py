"""Dense depth of real photos with laser-measured cameras."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import json

import numpy as np
import pytest

import toolkit as tk
from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import sample_nearest

PHOTOS = range(3, 8)


@pytest.fixture(scope="module")
def scene(data):
    folder = data / "sfm_strecha" / "fountain-P11"
    known = json.loads((folder / "cameras_quarter_res.json").read_text())
    names = sorted(known)
    T_wc = np.tile(np.eye(4), (len(names), 1, 1))
    for t, name in enumerate(names):
        T_wc[t, :3, :3] = np.array(known[name]["R_w2c"]).T
        T_wc[t, :3, 3] = known[name]["C_world"]
    K = np.array(known[names[0]]["K"]) + [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]  # the file counts from the centre of the first pixel
    cameras = tk.Cameras.from_poses(K, T_wc[list(PHOTOS)], (768, 512))
    photos = sorted((folder / "images").iterdir())
    return tk.reconstruct([photos[t] for t in PHOTOS], cameras=cameras, dense=True, dense_side=400, max_features=3000)


@pytest.mark.data
def test_the_depth_of_a_fountain_is_dense_and_goes_through_its_triangulated_points(scene):
    assert scene.unit == "relative" and np.isfinite(scene.depth.depth).mean() > 0.65
    errors = []
    for t in range(len(scene.video)):
        seen = scene.tracks_3d.visible[:, t] & (scene.tracks_3d.visible.sum(1) > 2)
        xy, z = project(scene.tracks_3d.xyz[seen, t].astype(np.float64), scene.cameras.K[t], scene.cameras.T_wc[t])
        errors.append(np.abs(sample_nearest(scene.depth.depth[t], xy) / z - 1))
    error = np.concatenate(errors)
    assert np.isfinite(error).mean() > 0.8
    assert np.nanmedian(error) < 0.003 and np.nanquantile(error, 0.9) < 0.03


@pytest.mark.data
def test_the_maps_of_two_photos_tell_of_one_surface(scene):
    depth, T = scene.depth.depth, scene.cameras.T_wc
    row, column = np.mgrid[5:505:6, 5:760:6].reshape(2, -1)
    K, z = scene.cameras.K[2], depth[2, row, column].astype(np.float64)
    rays = np.stack([(column + 0.5 - K[0, 2]) / K[0, 0], (row + 0.5 - K[1, 2]) / K[1, 1], np.ones(len(row))], 1)
    xy, expected = project((rays * z[:, None]) @ T[2, :3, :3].T + T[2, :3, 3], scene.cameras.K[3], T[3])
    inside = np.isfinite(xy).all(1) & (xy > 0).all(1) & (xy < (768, 512)).all(1)
    there = sample_nearest(depth[3], xy[inside])
    apart = np.abs(there / expected[inside] - 1)
    assert np.nanmedian(apart) < 0.003 and np.nanmean(apart < 0.02) > 0.85
