"""From the frames a video's model is built of to poses of all frames: mapped, refined, every frame placed and checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F64
from toolkit.sfm.audit import ray_angles_deg
from toolkit.sfm.mapping import LOCK, MappingOptions, database, incremental, triangulate
from toolkit.sfm.photo_bundle import BundleOptions, Sureness, refine
from toolkit.sfm.registration import poses
from toolkit.sfm.two_view import TwoViewOptions
from toolkit.sfm.video_frames import FrameOptions, FramePoses, place_frames
from toolkit.sfm.video_pairs import ModelFrames
from toolkit.sfm.video_points import VideoPoints

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class VideoModelOptions:
    """How a model is made of a video.

    Attributes:
        mapping: The mapper; points followed through a video are exact, so narrow angles tell more than in photos.
        bundle: The last refinement of all.
        frames: When a frame counts as placed.
        fewest_points: A model of fewer points is none.
        narrowest_deg: Median angle between the rays to a point under which a clip tells no depth where a plane or a turn explains it.
        flat_share: Share of the judged pairs that a plane or a turn must explain for that.
    """

    mapping: MappingOptions = field(
        default_factory=lambda: MappingOptions(first_points=60, growth=1.4, pose_px=4.0, narrowest_deg=1.0, fewest_photos=3)
    )
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
        if known_T_cw is None:
            model, others = _map(frames, options, seed, lambda n, _: report(min(n, count), total))
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
    return VideoModel(model, frames, placed, sureness, others)


def _map(frames: ModelFrames, options: VideoModelOptions, seed: int, report: Report) -> tuple[pycolmap.Reconstruction, list[list[int]]]:
    """The first model: the largest of those that the mapper makes."""
    with database(frames.found, TwoViewOptions(), seed, trusted=True) as db:
        models: list[pycolmap.Reconstruction] = []
        for wide, forward in ((16.0, 0.95), (8.0, 0.95), (4.0, 1.0), (2.0, 1.0)):
            asked = replace(options.mapping, wide_deg=wide, forward=forward)
            models = incremental(db, asked, seed, report, len(frames.frames))
            if models:
                break
    if not models:
        raise UserError(why_nothing(frames, options))
    largest = {i - 1 for i in models[0].reg_image_ids()}
    others = [sorted(frames.frames[i - 1] for i in m.reg_image_ids() if i - 1 not in largest) for m in models[1:]]
    return models[0], [group for group in others if len(group) > 1]


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
