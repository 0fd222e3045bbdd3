"""Evaluation of Lift4D."""

from toolkit.evaluation.tracks import keypoint_transfer, tracks_2d, tracks_3d

__all__ = ["keypoint_transfer", "tracks_2d", "tracks_3d"]
