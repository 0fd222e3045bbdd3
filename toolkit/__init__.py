"""Lift4D: video in, 4D out. The public names; `run` is the one that most people need."""

from toolkit import interrupt as _interrupt  # noqa: F401  (the first, as the others take seconds in which Ctrl-C may be pressed)

# isort: split
from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from toolkit.errors import Cancelled, UserError
from toolkit.export.bundle import export
from toolkit.lifting import align_depth, filter_drift, lift_tracks, optimize_tracks, scene_motion
from toolkit.media.scene_file import load, save
from toolkit.media.stereo4d_npz import load_dataset_npz, save_dataset_npz
from toolkit.media.video import iter_video, read_video, write_video
from toolkit.methods.mvtracker import track_multiview
from toolkit.methods.registry import MethodInfo, methods
from toolkit.methods.st4rtrack import track_world
from toolkit.methods.tracksto4d import reconstruct_tracks
from toolkit.methods.vggsfm import reconstruct
from toolkit.progress import Progress
from toolkit.run import inspect, run, steps
from toolkit.scene import (
    Cameras,
    DepthVideo,
    Disparity,
    MultiViewVideo,
    PointCloud,
    Scene,
    Source,
    StereoVideo,
    Tracks2D,
    Tracks3D,
    Video,
)
from toolkit.stereo.disparity import depth_from_disparity, estimate_disparity
from toolkit.stereo.rectify import rectify
from toolkit.tracking import prune_tracks, track_points
from toolkit.views.page_display import view

if _TYPE_CHECKING:
    from toolkit.models.mvtracker import MVTracker
    from toolkit.models.pairpointmap import PairPointmap
    from toolkit.models.track_predictor import TrackPredictor
    from toolkit.models.tracksto4d import TracksTo4D

__version__ = "0.1.0"

_NETWORKS = {
    "MVTracker": "toolkit.models.mvtracker",
    "PairPointmap": "toolkit.models.pairpointmap",
    "TrackPredictor": "toolkit.models.track_predictor",
    "TracksTo4D": "toolkit.models.tracksto4d",
}


def __getattr__(name: str) -> _Any:
    """Networks are imported when they are asked for: torch takes seconds."""
    if name in _NETWORKS:
        return getattr(_import_module(_NETWORKS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Cameras",
    "Cancelled",
    "DepthVideo",
    "Disparity",
    "MVTracker",
    "MethodInfo",
    "MultiViewVideo",
    "PairPointmap",
    "PointCloud",
    "Progress",
    "Scene",
    "Source",
    "StereoVideo",
    "TrackPredictor",
    "Tracks2D",
    "Tracks3D",
    "TracksTo4D",
    "UserError",
    "Video",
    "align_depth",
    "depth_from_disparity",
    "estimate_disparity",
    "export",
    "filter_drift",
    "inspect",
    "iter_video",
    "lift_tracks",
    "load",
    "load_dataset_npz",
    "methods",
    "optimize_tracks",
    "prune_tracks",
    "read_video",
    "reconstruct",
    "reconstruct_tracks",
    "rectify",
    "run",
    "save",
    "save_dataset_npz",
    "scene_motion",
    "steps",
    "track_multiview",
    "track_points",
    "track_world",
    "view",
    "write_video",
]
