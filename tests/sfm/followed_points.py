"""Points followed past a camera on an arc, with the true cameras: places are exact, or off by noise whose size is told."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false, reportCallIssue=false
# Lists and wider numbers are given on purpose: the nouns convert them.

import numpy as np
from scipy.spatial.transform import Rotation

from tests.sfm import photo_set
from toolkit.geometry.cameras import project
from toolkit.scene import Cameras, Tracks2D


def followed(frames=12, points=500, *, life=12, noise_px=(0.3, 0.3), outliers=0.0, step=0.2, turn_deg=2.0, seed=0):
    """Tracks2D with `sigma_px` drawn between the two noises, each seen for `life` frames; and the cameras."""
    rng = np.random.default_rng(seed)
    T_wc = np.tile(np.eye(4), (frames, 1, 1))
    for n in range(frames):
        s = n - (frames - 1) / 2
        T_wc[n, :3, 3] = [step * s, 0.1 * np.sin(n), -0.02 * step * s * s]
        T_wc[n, :3, :3] = Rotation.from_euler("YX", [-turn_deg * s, np.sin(0.7 * n)], degrees=True).as_matrix()
    truth = Cameras.from_poses(photo_set.K, T_wc, photo_set.SIZE)
    asked, depth = rng.integers(0, frames, points), rng.uniform(4, 9, points)
    place = (rng.uniform([0, 0], photo_set.SIZE, (points, 2)) - photo_set.K[:2, 2]) / photo_set.FOCAL_PX
    local = np.column_stack([place, np.ones(points)]) * depth[:, None]
    xyz = np.einsum("nij,nj->ni", T_wc[asked, :3, :3], local) + T_wc[asked, :3, 3]
    both = [project(xyz, truth.K[t], truth.T_wc[t]) for t in range(frames)]
    xy, z = np.stack([b[0] for b in both], 1), np.stack([b[1] for b in both], 1)
    near = abs(np.arange(frames) - asked[:, None]) <= life // 2
    visible = near & (z > 0) & np.all((xy > 0) & (xy < photo_set.SIZE), axis=2)
    sigma = np.exp(rng.uniform(*np.log(noise_px), visible.shape))
    xy += rng.normal(size=xy.shape) * sigma[..., None]
    wrong = rng.random(visible.shape) < outliers
    xy[wrong] += 40 * rng.normal(size=(int(wrong.sum()), 2))
    queries = np.column_stack([asked, xy[np.arange(points), asked]])
    return Tracks2D(xy, visible, visible.astype(np.float32), queries, sigma), truth
