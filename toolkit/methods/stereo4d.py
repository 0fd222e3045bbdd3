"""Stereo4D (Jin et al., CVPR 2025): from two eyes to metric depth, cameras and dense 3D tracks."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from toolkit.disk_arrays import stay_small
from toolkit.errors import UserError
from toolkit.export.clouds import static_cloud
from toolkit.lifting import LiftOptions, filter_drift, lift_tracks, motion_label, optimize_tracks, poor_tracks, refine_depth
from toolkit.lifting.occlusion import drop_other_surfaces
from toolkit.lifting.parallax import stand_by_parallax
from toolkit.lifting.still_test import put_back_still
from toolkit.memory import give_back
from toolkit.methods.request import Preset, Request
from toolkit.methods.stereo4d_report import describe
from toolkit.methods.stereo_intake import Intake, take_in
from toolkit.progress import Listener, Report, reporter
from toolkit.scene import Cameras, DepthVideo, Disparity, Scene, Tracks2D, Video
from toolkit.sfm.odometry import OdometryOptions, OdometryResult, stereo_odometry
from toolkit.stage_cache import kept_or_made
from toolkit.stereo.disparity import depth_from_disparity, estimate_disparity
from toolkit.stereo.fill import FillSettings, without_speckles
from toolkit.stereo.registry import matcher_of
from toolkit.tracking import track_points
from toolkit.tracking.queries import checked_queries, grid_queries
from toolkit.tracking.registry import find_tracker, prepare_tracker
from toolkit.tracking.windows import LONGEST_WHOLE

LEAST_DISPARITY_PX = 1.4  # 20 m in Stereo4D's view; a fifth of a pixel is a seventh of the depth there
SUPPORT_GRID = (32, 32)  # points that help to find the cameras where only a few were asked for
LEAST_ISLAND = 1 / 1300  # of the picture, 200 pixels of 512 x 512: smaller islands of depth are matches by chance, as on a sky
JUDGED_TRACKS = 8000  # how many stand still is a figure of the report here; which ones is found out later, in the world


@dataclass(frozen=True)
class Stereo4DSettings:
    """Settings of the method; the defaults are those of the preset "normal".

    Attributes:
        fov_deg: Horizontal field of view of the rectified image, in degrees; None for 60 as in the published data, and for all that
            perspective pictures show.
        size: Width and height of the rectified image, in pixels; None for 512 as in the published data, and for the size of perspective
            pictures (reduced to half a million pixels where they are larger).
        yaw_deg: How far right of straight ahead the rectified view looks.
        pitch_deg: How far up the rectified view looks.
        baseline_m: Distance between the eyes in metres; None for the file's own, or 0.063 (VR180 cameras) where it has none.
        layout: How the eyes share a frame; None to find it.
        projection: How a pixel becomes a ray; None to find it.
        swap_eyes: True where the right eye comes first; None to find it.
        refine_rig: Whether a small turn between the eyes is found from the pictures and taken out, where rows disagree or things lie
            beyond infinity.
        fov_bounds_deg: What one eye's equirect picture spans: yaw from, to, tilt from, to; None for the file's own, or a half sphere.
        matcher: Stereo matcher by name.
        tracker: Tracker by name.
        grid: Points across and down, started wherever no track is, every `every` frames.
        every: Frames between two starts of the grid; 10 as published.
        max_frames: Frames that are used where none are asked for; 200 as in the published data.
        max_depth_m: Depths beyond it are unknown; None for where the disparity falls to 1.4 px, which is 20 m in the published view.
        min_confidence: Depth is unknown where a pixel's chance of being matched within 2 px is lower.
        labels: (T, H, W) integer ADE20K labels for the published drift rules; None for the rules that need none.
    """

    fov_deg: float | None = None
    size: int | None = None
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    baseline_m: float | None = None
    layout: Literal["side-by-side", "top-bottom"] | None = None
    projection: Literal["pinhole", "equirect", "fisheye"] | None = None
    swap_eyes: bool | None = None
    fov_bounds_deg: tuple[float, float, float, float] | None = None
    refine_rig: bool = True
    matcher: str = "normal"
    tracker: str = "normal"
    grid: tuple[int, int] = (128, 128)
    every: int = 10
    max_frames: int = 200
    max_depth_m: float | None = None
    min_confidence: float = 0.7
    labels: Any = None

    def __post_init__(self) -> None:
        """Checks every setting before anything is computed."""
        _check_number("fov_deg", self.fov_deg, 1, 170, "degrees", optional=True)
        _check_number("size", self.size, 32, 4096, "pixels", whole=True, optional=True)
        _check_number("yaw_deg", self.yaw_deg, -180, 180, "degrees")
        _check_number("pitch_deg", self.pitch_deg, -90, 90, "degrees")
        _check_number("baseline_m", self.baseline_m, 1e-4, 1000, "metres", optional=True)
        _check_number("every", self.every, 1, 10_000, "frames", whole=True)
        _check_number("max_frames", self.max_frames, 1, 100_000, "frames", whole=True)
        _check_number("max_depth_m", self.max_depth_m, 1e-3, 1e6, "metres", optional=True)
        _check_number("min_confidence", self.min_confidence, 0, 1, "as a chance")
        for name, value, length in (("grid", self.grid, 2), ("fov_bounds_deg", self.fov_bounds_deg, 4)):
            if (value is not None or name == "grid") and (not isinstance(value, tuple | list) or len(value) != length):
                raise UserError(f"The setting {name} is {value!r}, but {length} numbers are needed.")
        for cells in self.grid:
            _check_number("grid", cells, 1, 1024, "points", whole=True)
        for bound in self.fov_bounds_deg or ():
            _check_number("fov_bounds_deg", bound, -180, 180, "degrees")
        for name, value, known in (
            ("layout", self.layout, (None, "side-by-side", "top-bottom")),
            ("projection", self.projection, (None, "pinhole", "equirect", "fisheye")),
            ("swap_eyes", self.swap_eyes, (None, True, False)),
            ("refine_rig", self.refine_rig, (True, False)),
        ):
            if not any(value is choice or (isinstance(value, str) and value == choice) for choice in known):
                choices = ", ".join(str(choice) for choice in known if choice is not None)
                raise UserError(f"The setting {name} is {value!r}, but one of {choices} is needed.")
        matcher_of(self.matcher)
        find_tracker(self.tracker)
        if self.labels is not None:
            labels = np.asarray(self.labels)
            if labels.ndim != 3 or labels.dtype.kind not in "iub":
                raise UserError(
                    f"The setting labels is {labels.dtype} of shape {labels.shape}, "
                    "but whole numbers of shape (T, H, W) are needed, one map a frame."
                )

    @staticmethod
    def preset(name: Preset) -> Stereo4DSettings:
        """The settings of "draft", "normal" or "fine"."""
        if name == "draft":
            return Stereo4DSettings(matcher="draft", tracker="draft", grid=(64, 64))
        if name == "fine":
            return Stereo4DSettings(matcher="fine", tracker="fine")
        return Stereo4DSettings()


def _check_number(name: str, value: Any, least: float, most: float, unit: str, *, whole: bool = False, optional: bool = False) -> None:
    """Refuses what is no number, or outside its range; None only where the setting may be left to the method."""
    if value is None and optional:
        return
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if not isinstance(value, kinds) or isinstance(value, bool) or not least <= value <= most:
        needed = "a whole number" if whole else "a number"
        raise UserError(f"The setting {name} is {value!r}, but {needed} from {least:g} to {most:g} ({unit}) is needed.")


def run(request: Request, listener: Listener) -> Scene:
    """Rectify, match, track, find the cameras, lift, drop what drifts, optimise; then bring the depth maps in line.

    Raises:
        UserError: the recording has no two eyes, or too little in it to work with.
    """
    settings: Stereo4DSettings = request.settings
    prepare_tracker(settings.tracker)  # weights that are missing are told before minutes of matching
    intake = take_in(request, reporter(listener, "rectify", "Reading and rectifying"))
    far_m = settings.max_depth_m or focal_times_baseline(intake) / LEAST_DISPARITY_PX
    depth = _depth(request, intake, far_m, reporter(listener, "depth", "Matching the eyes"))
    video = intake.drop_right()
    give_back()

    tracks, support = _tracks(request, video, reporter(listener, "tracks", "Tracking points"))
    cameras, odometry = _cameras(request, intake, support, depth, video, reporter(listener, "cameras", "Finding the cameras"))
    del support
    give_back()
    every = request.queries is not None  # a point that was asked for stays, however it fares
    too_poor = poor_tracks(tracks)
    if not every:
        tracks = tracks.select(too_poor == "")
    give_back()

    report = reporter(listener, "world", "Lifting tracks into the world")
    report(0, 4)
    lift: dict[str, Any] = {
        "max_depth_m": far_m,
        "video": video,
        "label": False,  # what moves is decided once everything is in place
        "options": LiftOptions(baseline_m=intake.baseline_m),
    }
    raw = lift_tracks(tracks, depth, cameras, **lift)
    reasons = poor_tracks(tracks, raw, cameras)
    if not every:
        tracks = tracks.select(reasons == "")
        raw = raw.select(reasons == "")  # one after the other: each frees what it was taken from
    tracks, put_back = put_back_still(tracks, raw, video, depth, cameras)
    if put_back.any():
        raw = raw.replaced(put_back, lift_tracks(tracks.select(put_back), depth, cameras, **lift))
    tracks, raw = drop_other_surfaces(tracks, raw, cameras)
    give_back()
    raw = replace(raw, motion=motion_label(raw, cameras, tracks))
    tracks, raw, by_parallax = stand_by_parallax(tracks, raw, cameras)
    put_back |= by_parallax
    give_back()
    report(1, 4)
    drift = filter_drift(tracks, raw, cameras, settings.labels)
    if not every:
        tracks = tracks.select(drift.keep)
        raw = raw.select(drift.keep)
    dropped = np.concatenate([too_poor[too_poor != ""], reasons[reasons != ""], drift.reason[~drift.keep]])
    report(2, 4)
    world = optimize_tracks(raw, cameras, tracks)
    give_back()
    report(3, 4)
    depth = refine_depth(depth, world, cameras)
    scene = Scene(cameras=cameras, tracks_2d=tracks, tracks_3d=world, depth=depth, unit="metre", method="stereo4d", video=video)
    scene = replace(scene, points=static_cloud(scene))
    report(4, 4)
    return replace(scene, report=describe(request, intake, scene, odometry, dropped, int(put_back.sum())))


def focal_times_baseline(intake: Intake) -> float:
    """Depth in metres where the disparity is one pixel."""
    return float(intake.K[0, 0]) * intake.baseline_m


def _depth(request: Request, intake: Intake, far_m: float, report: Report) -> DepthVideo:
    """Metric depth of the left eye; unknown where the match is unsure, too far, outside the lens, or masked."""
    settings: Stereo4DSettings = request.settings

    def match() -> dict[str, Any]:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            found = estimate_disparity(intake.stereo, matcher=settings.matcher, report=report)
        sentences = [str(warning.message) for warning in told if issubclass(warning.category, UserWarning)]
        return {"px": found.px, "confidence": found.confidence, "warnings": np.array(sentences, np.str_)}

    found = kept_or_made("disparity", {**_taken_in(request), "matcher": settings.matcher}, match)
    disparity = Disparity(found["px"], found["confidence"])
    intake.warnings += [str(sentence) for sentence in found["warnings"]]
    depth = depth_from_disparity(disparity, focal_px=float(intake.K[0, 0]), baseline_m=intake.baseline_m, max_depth_m=far_m)
    for t in range(len(depth)):
        unknown = (depth.confidence[t] < settings.min_confidence) | ~intake.seen_by_lens
        if request.masks is not None:
            unknown |= request.masks[t]
        known = ~unknown & np.isfinite(depth.depth[t])
        unknown |= ~without_speckles(disparity.px[t], known, area=int(LEAST_ISLAND * known.size), step_px=FillSettings().speckle_step)
        depth.depth[t][unknown] = np.nan
        stay_small()
    if not np.isfinite(depth.depth).any():
        raise UserError(
            f"No pixel has a depth within {far_m:.3g} m; check that the clip is stereo, that the eyes are not swapped, and the baseline."
        )
    return depth


def _taken_in(request: Request) -> dict[str, Any]:
    """What the rectified pair depends on, beside the recording."""
    settings = asdict(replace(request.settings, labels=None))
    names = ("fov_deg", "size", "yaw_deg", "pitch_deg", "baseline_m", "layout", "projection", "swap_eyes", "fov_bounds_deg", "refine_rig")
    return {name: settings[name] for name in (*names, "max_frames")} | {"frames": repr(request.frames), "K": request.K}


def _tracks(request: Request, video: Video, report: Report) -> tuple[Tracks2D, Tracks2D]:
    """The tracks of the result, and those that the cameras are found with: a few points that were asked for are not enough for that."""
    settings: Stereo4DSettings = request.settings
    options: dict[str, Any] = {"tracker": settings.tracker, "seed": request.seed, "report": report}
    if request.queries is None:
        tracks = track_points(video, None, grid=settings.grid, every=settings.every, **options)
        return tracks, tracks
    asked = checked_queries(request.queries, frames=len(video), size=video.size)
    if len(video) > LONGEST_WHOLE:  # as many more tracks as a long clip needs would all go from end to end
        support = track_points(video, None, grid=SUPPORT_GRID, every=settings.every, **options)
        return track_points(video, asked, **options), support
    grid = grid_queries(video.size, len(video), grid=SUPPORT_GRID, every=settings.every)
    both = track_points(video, np.concatenate([asked, grid]), **options)
    return both.select(np.arange(len(asked))), both


def _cameras(
    request: Request, intake: Intake, tracks: Tracks2D, depth: DepthVideo, video: Video, report: Report
) -> tuple[Cameras, OdometryResult | None]:
    """Cameras that are given, else those that came with the recording, else a visual odometry."""
    known = request.cameras if request.cameras is not None else intake.cameras
    if known is not None:
        report(1, 1)
        return known, None
    if len(depth) == 1:  # a single pair: its camera is the world
        report(1, 1)
        height, width = depth.depth.shape[1:]
        return Cameras.from_poses(intake.K, np.eye(4)[None], (width, height)), None
    odometry = stereo_odometry(
        tracks,
        depth,
        intake.K,
        baseline_m=intake.baseline_m,
        video=video,
        rotation_prior=intake.orientations,
        seed=request.seed,
        options=OdometryOptions(judged=JUDGED_TRACKS),
        report=report,
    )
    return odometry.cameras, odometry
