"""Generated tracks as the adjustment sees them, and the error of the cameras that come out."""

import numpy as np

from toolkit.evaluation.cameras import cameras
from toolkit.scene import Cameras
from toolkit.sfm.bundle import Beliefs
from toolkit.sfm.track_observed import Observed


def observed(scene):
    K, xy = scene.K, np.nan_to_num(scene.tracks.xy).swapaxes(0, 1).astype(float)
    uv = (xy - K[:2, 2]) / K[0, 0]
    return Observed(np.ascontiguousarray(uv), np.ascontiguousarray(scene.tracks.visible.T.astype(float)), 1 / K[0, 0], Beliefs())


def error(found, scene):
    """Of the camera path after a similarity, as a share of the scene's distance."""
    T_wc = np.tile(np.eye(4), (len(found.state.R), 1, 1))
    T_wc[:, :3, :3], T_wc[:, :3, 3] = found.state.R, found.state.c
    return cameras(Cameras.from_poses(scene.K, T_wc, scene.size), scene.cameras)["ate"] / scene.distance
