"""Stages of the methods that have no verb of their own: for pipelines built from parts. Names here stay, as those of `toolkit` do."""

from toolkit.geometry.alignment import align_similarity
from toolkit.geometry.rig import default_vr180_rig
from toolkit.lifting.pointmaps import pointmaps
from toolkit.sfm.nonrigid import nonrigid_shapes
from toolkit.sfm.odometry import stereo_odometry

__all__ = ["align_similarity", "default_vr180_rig", "nonrigid_shapes", "pointmaps", "stereo_odometry"]
