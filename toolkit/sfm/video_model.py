"""From the frames a video's model is built of to poses of all frames: mapped, refined, every frame placed and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from toolkit.progress import Report, silent
from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.depth_evidence import NoDepth, evidence_of_video, why_flat
from toolkit.sfm.mapping import LOCK, database, triangulate
from toolkit.sfm.parallax import ParallaxOptions
from toolkit.sfm.photo_adjust import BundleOptions
from toolkit.sfm.photo_bundle import Sureness
from toolkit.sfm.registration import poses
from toolkit.sfm.two_view import TwoViewOptions
from toolkit.sfm.video_closing import closed, find_loops, joined
from toolkit.sfm.video_frames import FrameOptions, FramePoses, place_frames
from toolkit.sfm.video_growth import GrowthOptions, grow
from toolkit.sfm.video_lens import Lens, LensOptions, better, pinhole_like, refine_with_lens, surprising, usual_lens
from toolkit.sfm.video_loops import LoopOptions
from toolkit.sfm.video_pairs import ModelFrames, VideoPairOptions
from toolkit.sfm.video_points import NO_FEATURES, VideoPoints
from toolkit.sfm.video_turn import TurnedCamera, TurnOptions, turned_camera
from toolkit.wording import counted

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
        lens: What is believed of a lens that nobody told.
        fewest_points: A model of fewer points is none.
        trusted_points: One of fewer than these, when refined, may be a matter of chance.
        flat_share: Share of the judged pairs that a plane or a turn must explain for a clip without a model to be told so.
        parallax: When a model holds depth.
        turn: When a camera is taken to have stayed in its place, where nothing does.
    """

    growth: GrowthOptions = field(default_factory=GrowthOptions)
    loops: LoopOptions = field(default_factory=LoopOptions)
    pairing: VideoPairOptions = field(default_factory=VideoPairOptions)
    bundle: BundleOptions = field(default_factory=lambda: BundleOptions(narrowest_deg=1.0, free_centre=False))
    frames: FrameOptions = field(default_factory=FrameOptions)
    lens: LensOptions = field(default_factory=LensOptions)
    fewest_points: int = 30
    trusted_points: int = 100
    flat_share: float = 0.6
    parallax: ParallaxOptions = field(default_factory=ParallaxOptions)
    turn: TurnOptions = field(default_factory=TurnOptions)


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
        lens: What is known of the lens.
        turn: How the camera turned, where it stayed in its place: the model then has a lens and nothing else.
    """

    model: pycolmap.Reconstruction
    frames: ModelFrames
    poses: FramePoses
    sureness: Sureness
    others: list[list[int]]
    loops: list[tuple[int, int]] = field(default_factory=list)
    lens: Lens = field(default_factory=Lens)
    turn: TurnedCamera | None = None

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

    Where nothing shows depth, but a camera that stays in its place explains most of the picture, its turns are all that is given.

    Raises:
        UserError: neither a camera that moves nor one that turns explains the video, or too little can be followed.
    """
    try:
        return _moving(points, frames, options, known_T_cw, seed, report)
    except NoDepth as missing:
        turn = None
        if known_T_cw is None:
            camera, fixed, total = frames.found.cameras[0], options.growth.fixed_lens, len(frames.frames) + len(points) + 2
            turn = turned_camera(
                points, frames.frames, camera, options.turn, fixed_lens=fixed, seed=seed, report=lambda n, _: report(total - 1, total)
            )
        if turn is None or turn.share < missing.share:
            raise
    model = load_pycolmap().Reconstruction()
    model.add_camera(turn.camera)
    return VideoModel(model, frames, turn.poses, Sureness({}, {}, False), [], lens=turn.lens, turn=turn)


def _moving(
    points: VideoPoints, frames: ModelFrames, options: VideoModelOptions, known_T_cw: F64 | None, seed: int, report: Report
) -> VideoModel:
    """The model of a camera that moves.

    Raises:
        NoDepth: none explains the video.
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
            raise NoDepth(why_nothing(frames, options))
        bundle = options.bundle if known_T_cw is None else replace(options.bundle, fixed_poses=True)
        flat = [] if known_T_cw is not None else _without_depth(model, frames, points, options, seed)
        for k in flat:
            model.deregister_frame(model.image(k + 1).frame_id)
        if model.num_reg_images() < 2 or model.num_points3D() < options.fewest_points:
            raise NoDepth(why_nothing(frames, options))
        model, sureness, lens = refine_with_lens(model, bundle, options.lens)
        if model.num_points3D() < options.trusted_points:
            raise NoDepth(
                f"The cameras would stand on {counted(model.num_points3D(), 'point')} only, where {options.trusted_points} are needed to "
                "trust them; film slower, sharper, or where there is more texture."
            )
        report(count + 1, total)
        camera = next(camera for _, camera in sorted(model.cameras.items()))
        placed = place_frames(
            model, frames, points, camera, poses(model, count), options.frames, seed, lambda t: report(count + 1 + t, total)
        )
    agree = int(np.isfinite(placed.T_cw[:, 0, 0]).sum())
    if known_T_cw is None and agree < min(options.growth.fewest_frames, len(points)):
        raise NoDepth(
            f"Only {agree} of the {len(points)} frames agree on one still scene, which may be chance; film things with texture that stay "
            "where they are, in light enough for little noise."
        )
    placed = replace(placed, reasons=_told_flat(placed.reasons, [frames.frames[k] for k in flat], frames.frames))
    if known_T_cw is not None:
        placed = replace(placed, T_cw=known_T_cw, reasons=["" if np.isfinite(T[0, 0]) else "its pose was not given" for T in known_T_cw])
    report(total, total)
    return VideoModel(model, frames, placed, sureness, others, loops, lens)


def _without_depth(
    model: pycolmap.Reconstruction, frames: ModelFrames, points: VideoPoints, options: VideoModelOptions, seed: int
) -> list[int]:
    """Places of the model's frames that show nothing with a depth.

    Raises:
        NoDepth: no part of the clip shows depth.
    """
    camera, T_cw = next(camera for _, camera in sorted(model.cameras.items())), poses(model, len(frames.frames))
    shown = evidence_of_video(points, frames.frames, camera, T_cw, options.parallax, fixed_lens=options.growth.fixed_lens, seed=seed)
    if shown is None:
        raise NoDepth(why_nothing(frames, options))
    # A camera that moves must explain enough of the picture, and more of it than one that stays: the simpler explanation has the say.
    if shown.share < max(options.parallax.share, shown.still):
        raise NoDepth(why_flat(shown, "frames", "while filming"), share=shown.share)
    return shown.flat


def _told_flat(reasons: list[str], flat: list[int], among: list[int]) -> list[str]:
    """The reasons with that of the frames around which the camera only turned."""
    told = list(reasons)
    for t, reason in enumerate(reasons):
        near = min(among, key=lambda other: abs(other - t))
        if reason and near in flat:
            told[t] = "the camera only turned there, so nothing new that it shows has a depth"
    return told


def _map(
    frames: ModelFrames, points: VideoPoints, options: VideoModelOptions, seed: int, report: Report
) -> tuple[pycolmap.Reconstruction, list[list[int]]]:
    """The largest model of the clip's shots, and the frames of the others."""
    edges = [0, *(int(np.searchsorted(frames.frames, cut)) for cut in points.cuts), len(frames.frames)]
    shots = [range(a, b) for a, b in pairwise(edges) if b > a]
    with database(frames.found, TwoViewOptions(), seed, trusted=True) as db:
        model, others = grow(db, frames.frames, shots, options.growth, seed, report)
    if not options.growth.fixed_lens and pinhole_like(frames.found.cameras[0]) and _doubted(model, options.lens):
        supposed = replace(frames.found, cameras=usual_lens(frames.found.cameras, options.lens))
        with database(supposed, TwoViewOptions(), seed, trusted=True) as db:
            usual, rest = grow(db, frames.frames, shots, replace(options.growth, fixed_lens=True), seed, report)
        if better(model, usual, options.lens) is usual:
            model, others = usual, rest
    if model is None:
        raise NoDepth(why_nothing(frames, options))
    return model, [[frames.frames[k] for k in group] for group in others]


def _doubted(model: pycolmap.Reconstruction | None, options: LensOptions) -> bool:
    return model is None or surprising(next(iter(model.cameras.values())), options)


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
        return "The camera only turns or stands still, or films one plane, which tells no depth; walk sideways while filming" + (
            "." if options.growth.fixed_lens else ", or give K if all is one plane."
        )
    return "The points of the video are seen under angles too small to tell depth; walk further sideways while filming."
