"""From 2D tracks, depth and cameras to motion in the world."""

from toolkit.lifting.align_depth import AlignOptions, align_depth
from toolkit.lifting.drift import DriftFilter, DriftOptions, filter_drift, poor_tracks
from toolkit.lifting.label import LabelOptions, Noise, NoiseOptions, motion_label
from toolkit.lifting.lift import LiftOptions, lift_tracks
from toolkit.lifting.motion import published_motion_weight, scene_motion
from toolkit.lifting.optimize import OptimizeOptions, noise_of, optimize_tracks
from toolkit.lifting.segmentation import segment_ade20k
from toolkit.lifting.surface import RefineOptions, depth_from_tracks, refine_depth

__all__ = [
    "AlignOptions",
    "DriftFilter",
    "DriftOptions",
    "LabelOptions",
    "LiftOptions",
    "Noise",
    "NoiseOptions",
    "OptimizeOptions",
    "RefineOptions",
    "align_depth",
    "depth_from_tracks",
    "filter_drift",
    "lift_tracks",
    "motion_label",
    "noise_of",
    "optimize_tracks",
    "poor_tracks",
    "published_motion_weight",
    "refine_depth",
    "scene_motion",
    "segment_ade20k",
]
