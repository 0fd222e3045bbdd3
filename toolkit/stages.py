"""Stages of the methods that have no verb of their own: for pipelines built from parts. Names here stay, as those of `toolkit` do."""

from toolkit.geometry.alignment import align_similarity
from toolkit.geometry.rig import default_vr180_rig
from toolkit.lifting.pointmaps import pointmaps
from toolkit.sfm.nonrigid import nonrigid_shapes
from toolkit.sfm.odometry import stereo_odometry
from toolkit.sfm.pointmap_cameras import focal_of_pointmap, pose_by_pnp, pose_by_points

__all__ = [
    "align_similarity",
    "default_vr180_rig",
    "focal_of_pointmap",
    "nonrigid_shapes",
    "pointmaps",
    "pose_by_pnp",
    "pose_by_points",
    "stereo_odometry",
]
