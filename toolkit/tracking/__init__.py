"""Points followed through a video, without learned weights by default."""

from toolkit.tracking.points import track_points
from toolkit.tracking.prune import prune_tracks
from toolkit.tracking.registry import TrackerInfo, trackers

__all__ = ["TrackerInfo", "prune_tracks", "track_points", "trackers"]
