"""Real people and animals in motion, from released tracks, measured again with the errors of a VR180 camera."""

import numpy as np
import pytest
from points_in_motion import BASELINE_M, SIZE, wander

from toolkit.geometry.cameras import intrinsics_from_fov, project, unproject
from toolkit.geometry.poses import invert
from toolkit.lifting import optimize_tracks
from toolkit.scene import Cameras, Tracks3D

CLIPS = ("0JBKLg6LXOM_88488488", "O1lraa7pP3Y_337504171")  # those with points 2 to 5 m away


@pytest.mark.data
@pytest.mark.parametrize("clip", CLIPS)
def test_depth_errors_of_real_motion_shrink_below_a_half(data, clip):
    file = np.load(data / "stereo4d_clips" / "dev" / f"{clip}.npz")
    T_cw = np.load(data / "stereo4d_clips" / "dev" / f"{clip}.pnp_w2c.npz")["w2c"]
    T_wc = np.where(np.isfinite(T_cw).all((1, 2), keepdims=True), invert(T_cw), np.nan)
    cameras = Cameras.from_poses(intrinsics_from_fov(60, SIZE), T_wc, SIZE)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(file["pts3d"]))[:200]
    xyz, seen = file["pts3d"][rows].astype(np.float64), file["vis3d"][rows]
    xy, depth = project(xyz, cameras.K, cameras.T_wc)
    scale = cameras.K[0, 0, 0] * BASELINE_M
    disparity_px = scale / depth + rng.normal(0, 0.2, depth.shape) + 0.1 * wander(rng, depth.shape, 6)
    disparity_px = np.where(rng.random(depth.shape) < 0.02, rng.uniform(1.5, 20, depth.shape), disparity_px)
    seen = seen & np.isfinite(depth) & (disparity_px > 1.4)
    z = np.where(seen, scale / np.maximum(disparity_px, 1), np.nan)
    measured = unproject(xy + rng.normal(0, 0.3, xy.shape), z, cameras.K, cameras.T_wc)
    sigma = (z**2 / scale * 0.22).astype(np.float32)
    grey, still = np.full((len(rows), 3), 128, np.uint8), np.zeros(len(rows), np.float32)
    out = optimize_tracks(Tracks3D(measured.astype(np.float32), seen, grey, still, sigma), cameras)
    near = seen & (depth > 2) & (depth < 5)
    before, after = (np.median(np.linalg.norm(p - xyz, axis=-1)[near]) for p in (measured, out.xyz))
    assert (out.motion > 0.5).all()  # the released tracks are those of moving things alone
    assert after < 0.5 * before
