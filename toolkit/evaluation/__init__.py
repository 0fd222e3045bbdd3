"""Evaluation of Lift4D."""

from toolkit.evaluation.cameras import cameras, compare_rotations
from toolkit.evaluation.depth import depth, disparity, seen_by_both
from toolkit.evaluation.moving_points import depth_on_tracks, motion_auc, moving_points
from toolkit.evaluation.mvtracker import mvtracker_scores, mvtracker_tracks
from toolkit.evaluation.tracks import keypoint_transfer, tracks_2d, tracks_3d

__all__ = [
    "cameras",
    "compare_rotations",
    "depth",
    "depth_on_tracks",
    "disparity",
    "keypoint_transfer",
    "motion_auc",
    "moving_points",
    "mvtracker_scores",
    "mvtracker_tracks",
    "seen_by_both",
    "tracks_2d",
    "tracks_3d",
]
