"""Evaluation of Lift4D."""

from toolkit.evaluation.cameras import cameras, compare_rotations
from toolkit.evaluation.depth import depth, disparity, seen_by_both
from toolkit.evaluation.moving_points import depth_on_tracks, motion_auc, moving_points
from toolkit.evaluation.mvtracker import mvtracker_scores, mvtracker_tracks
from toolkit.evaluation.nonrigid import nonrigid
from toolkit.evaluation.rig_curves import RigScore, followed, rig_curves, settings_of_curves, table_of
from toolkit.evaluation.scenes import compare_scenes
from toolkit.evaluation.tapvid3d import tapvid3d_scores
from toolkit.evaluation.tracks import keypoint_transfer, tracks_2d, tracks_3d
from toolkit.evaluation.worldtrack import evaluate as evaluate_worldtrack
from toolkit.evaluation.worldtrack import sequence_scores as worldtrack_scores
from toolkit.evaluation.worldtrack import track_sequence as worldtrack_sequence

__all__ = [
    "RigScore",
    "cameras",
    "compare_rotations",
    "compare_scenes",
    "depth",
    "depth_on_tracks",
    "disparity",
    "followed",
    "evaluate_worldtrack",
    "keypoint_transfer",
    "motion_auc",
    "moving_points",
    "nonrigid",
    "mvtracker_scores",
    "mvtracker_tracks",
    "rig_curves",
    "seen_by_both",
    "settings_of_curves",
    "table_of",
    "tapvid3d_scores",
    "tracks_2d",
    "tracks_3d",
    "worldtrack_scores",
    "worldtrack_sequence",
]
