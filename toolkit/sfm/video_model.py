"""From the frames a video's model is built of to poses of all frames: mapped, refined, every frame placed and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F64
from toolkit.sfm.audit import ray_angles_deg
from toolkit.sfm.mapping import LOCK, database, triangulate
from toolkit.sfm.photo_bundle import BundleOptions, Sureness, refine
from toolkit.sfm.registration import poses
from toolkit.sfm.two_view import TwoViewOptions
from toolkit.sfm.video_closing import closed, find_loops, joined
from toolkit.sfm.video_frames import FrameOptions, FramePoses, place_frames
from toolkit.sfm.video_growth import GrowthOptions, grow
from toolkit.sfm.video_loops import LoopOptions
from toolkit.sfm.video_pairs import ModelFrames, VideoPairOptions
from toolkit.sfm.video_points import NO_FEATURES, VideoPoints

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class VideoModelOptions:
    """How a model is made of a video.

    Attributes:
        growth: How a model grows; points followed through a video are exact, so narrow angles tell more than in photos.
        loops: Where the camera came back.
        pairing: How features are compared there.
        bundle: The last refinement of all.
        frames: When a frame counts as placed.
        fewest_points: A model of fewer points is none.
        narrowest_deg: Median angle between the rays to a point under which a clip tells no depth where a plane or a turn explains it.
        flat_share: Share of the judged pairs that a plane or a turn must explain for that.
    """

    growth: GrowthOptions = field(default_factory=GrowthOptions)
    loops: LoopOptions = field(default_factory=LoopOptions)
    pairing: VideoPairOptions = field(default_factory=VideoPairOptions)
    bundle: BundleOptions = field(default_factory=lambda: BundleOptions(narrowest_deg=1.0, free_centre=False))
    frames: FrameOptions = field(default_factory=FrameOptions)
    fewest_points: int = 30
    narrowest_deg: float = 1.5
    flat_share: float = 0.6


@dataclass(frozen=True, eq=False)
class VideoModel:
    """A model and the pose of every frame.

    Attributes:
        model: COLMAP's, of the frames that it is built of; image numbers are their places among these plus one.
        frames: Which these are.
        poses: Of all frames.
        sureness: Standard deviations of the model's own frames.
        others: Frames of further models that share nothing with this one.
        loops: Pairs of frames at which the camera came back to a place.
    """

    model: pycolmap.Reconstruction
    frames: ModelFrames
    poses: FramePoses
    sureness: Sureness
    others: list[list[int]]
    loops: list[tuple[int, int]] = field(default_factory=list)

    @property
    def camera(self) -> pycolmap.Camera:
        """The lens of all frames."""
        return next(camera for _, camera in sorted(self.model.cameras.items()))


def build(
    points: VideoPoints,
    frames: ModelFrames,
    options: VideoModelOptions,
    *,
    known_T_cw: F64 | None = None,
    seed: int = 0,
    report: Report = silent,
) -> VideoModel:
    """The model of a video.

    Args:
        points: Followed through the whole video.
        frames: The frames a model is built of.
        options: How.
        known_T_cw: (T, 4, 4) known camera-from-world poses of all frames: they stay as they are.
        seed: Of the random samples.
        report: Called per frame that is taken in.

    Raises:
        UserError: the camera does not move, only turns, or too little can be followed.
    """
    count = len(frames.frames)
    total = count + len(points) + 2
    with LOCK:
        loops: list[tuple[int, int]] = []
        if known_T_cw is None:
            model, others = _map(frames, points, options, seed, lambda n, _: report(min(n, count), total))
            model, frames, loops = _close(model, frames, points, options, seed, lambda: report(count, total))
        else:
            with database(frames.found, TwoViewOptions(), seed, trusted=True) as db:
                model, others = triangulate(db, frames.found, known_T_cw[frames.frames], seed), []
        if model.num_points3D() < options.fewest_points:
            raise UserError(why_nothing(frames, options))
        bundle = options.bundle if known_T_cw is None else replace(options.bundle, fixed_poses=True)
        sureness = refine(model, bundle)
        report(count + 1, total)
        if flat_share(frames) > options.flat_share and float(np.median(ray_angles_deg(model))) < options.narrowest_deg:
            raise UserError(why_nothing(frames, options))
        camera = next(camera for _, camera in sorted(model.cameras.items()))
        placed = place_frames(
            model, frames, points, camera, poses(model, count), options.frames, seed, lambda t: report(count + 1 + t, total)
        )
    if known_T_cw is not None:
        placed = replace(placed, T_cw=known_T_cw, reasons=["" if np.isfinite(T[0, 0]) else "its pose was not given" for T in known_T_cw])
    report(total, total)
    return VideoModel(model, frames, placed, sureness, others, loops)


def _map(
    frames: ModelFrames, points: VideoPoints, options: VideoModelOptions, seed: int, report: Report
) -> tuple[pycolmap.Reconstruction, list[list[int]]]:
    """The largest model of the clip's shots, and the frames of the others."""
    edges = [0, *(int(np.searchsorted(frames.frames, cut)) for cut in points.cuts), len(frames.frames)]
    shots = [range(a, b) for a, b in pairwise(edges) if b > a]
    with database(frames.found, TwoViewOptions(), seed, trusted=True) as db:
        model, others = grow(db, frames.frames, shots, options.growth, seed, report)
    if model is None:
        raise UserError(why_nothing(frames, options))
    return model, [[frames.frames[k] for k in group] for group in others]


def _close(
    model: pycolmap.Reconstruction,
    frames: ModelFrames,
    points: VideoPoints,
    options: VideoModelOptions,
    seed: int,
    tick: Callable[[], None],
) -> tuple[pycolmap.Reconstruction, ModelFrames, list[tuple[int, int]]]:
    """The model with the drift between visits of one place taken out; as it was where no place was visited twice."""
    features = [points.features.get(t, NO_FEATURES) for t in frames.frames]
    matches = find_loops(frames, features, options.loops, options.pairing, seed, tick)
    if not matches:
        return model, frames, []
    T_cw, loops = closed(model, frames, matches, options.loops, seed)
    if not loops:
        return model, frames, []
    lens = model.camera(next(iter(model.cameras)))
    cameras = [lens for _ in frames.frames]
    frames = joined(frames, matches, loops)
    frames = replace(frames, found=replace(frames.found, cameras=cameras))
    with database(frames.found, TwoViewOptions(), seed, trusted=True) as db:
        model = triangulate(db, frames.found, T_cw, seed)
    return model, frames, [(frames.frames[i], frames.frames[j]) for i, j in loops]


def flat_share(frames: ModelFrames) -> float:
    """Share of the judged pairs that a plane or a mere turn explains."""
    return sum(kind != "full" for kind in frames.kinds.values()) / max(1, len(frames.kinds))


def why_nothing(frames: ModelFrames, options: VideoModelOptions) -> str:
    """One sentence on why there is no model."""
    if not frames.kinds:
        return "No point could be followed through the video; bring a sharper, brighter or steadier one of things with texture."
    if flat_share(frames) > options.flat_share:
        return (
            "The camera only turns or stands still, or films one plane, which tells no depth; "
            "walk sideways while filming, or give K if all is one plane."
        )
    return "The points of the video are seen under angles too small to tell depth; walk further sideways while filming."
