"""Scenes with exact ground truth: examples to show, inputs for tests and benchmarks, material for training."""

from toolkit.synthetic.clips import (
    Clip,
    StereoClip,
    View,
    equirect_rays,
    look,
    look_pinhole,
    pinhole_rays,
    render_geometry,
    render_pinhole,
    render_stereo,
    render_vr180,
    right_of,
)
from toolkit.synthetic.examples import SyntheticClip, example
from toolkit.synthetic.photos import SyntheticPhotos, fountain_photos
from toolkit.synthetic.rigs import SyntheticRig, filmed_rig, with_errors
from toolkit.synthetic.showing import TAKES, Take, film, poster, true_scene, true_views, write_clip
from toolkit.synthetic.storing import truth_arrays, write_example
from toolkit.synthetic.track_scenes import TrackRecipe, TrackScene, heldout_scenes, track_scene
from toolkit.synthetic.tracks import TrueFlow, TrueTracks, true_flow, true_tracks, true_visibility
from toolkit.synthetic.world import Body, Hit, Shape, World

__all__ = [
    "Body",
    "Clip",
    "Hit",
    "Shape",
    "StereoClip",
    "SyntheticClip",
    "SyntheticPhotos",
    "SyntheticRig",
    "TAKES",
    "Take",
    "TrackRecipe",
    "TrackScene",
    "TrueFlow",
    "TrueTracks",
    "View",
    "World",
    "equirect_rays",
    "example",
    "film",
    "filmed_rig",
    "fountain_photos",
    "heldout_scenes",
    "look",
    "look_pinhole",
    "pinhole_rays",
    "poster",
    "render_geometry",
    "render_pinhole",
    "render_stereo",
    "render_vr180",
    "right_of",
    "track_scene",
    "true_flow",
    "true_scene",
    "true_views",
    "true_tracks",
    "true_visibility",
    "truth_arrays",
    "with_errors",
    "write_clip",
    "write_example",
]
