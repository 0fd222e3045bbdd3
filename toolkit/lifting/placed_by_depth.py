"""Points whose tracks tell no place, such as those that were lost at once, placed by the dense depth of their own frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolkit.disk_arrays import large_copy, large_full
from toolkit.geometry.cameras import unproject
from toolkit.geometry.sampling import sample_nearest
from toolkit.lifting.depth_between import sigma_of_confidence
from toolkit.scene import Scene

MOST_SIGMA = 1.0  # of the depth: beyond that it is unknown whatever the number


def placed_by_depth(scene: Scene) -> Scene:
    """The scene with a place at all moments for every track that had none at any: where its first pixel is, standing still.

    Args:
        scene: With cameras, depth of all frames, and tracks; a frame without a camera or depth places none.
    """
    assert scene.cameras is not None and scene.depth is not None and scene.tracks_2d is not None and scene.tracks_3d is not None
    tracks, queries = scene.tracks_3d, scene.tracks_2d.queries
    lost = np.flatnonzero(~np.isfinite(tracks.xyz).all(-1).any(-1) & np.isfinite(queries).all(1))
    if not len(lost):
        return scene
    xyz = large_copy(tracks.xyz)
    sigma = large_full(xyz.shape[:2], np.nan, np.float32) if tracks.sigma is None else large_copy(tracks.sigma)
    frames = np.clip(queries[lost, 0].astype(int), 0, len(scene.depth) - 1)
    for t in np.unique(frames[scene.cameras.registered[frames]]):
        rows = lost[frames == t]
        xy = queries[rows, 1:].astype(np.float64)
        depth = sample_nearest(scene.depth.depth[t], xy).astype(np.float64)
        off = np.minimum(sigma_of_confidence(sample_nearest(scene.depth.confidence[t], xy)), MOST_SIGMA)
        known = np.isfinite(depth) & (depth > 0)
        place = unproject(xy[known], depth[known], scene.cameras.K[t], scene.cameras.T_wc[t])
        xyz[rows[known]] = place[:, None]
        sigma[rows[known]] = (off * depth)[known, None]
    return replace(scene, tracks_3d=replace(tracks, xyz=xyz, sigma=sigma))
