"""MVTracker (Rajič et al., ICCV 2025): synchronised calibrated views to 3D tracks; by geometry where there is no checkpoint."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.memory import give_back
from toolkit.methods.mvtracker_intake import take_in
from toolkit.methods.mvtracker_queries import PIXELS, asked_points, checked_numbers, grid_points, told_of_unseen
from toolkit.methods.mvtracker_report import describe
from toolkit.methods.request import Preset, Request
from toolkit.multiview.checking import checked_clip
from toolkit.multiview.depth_check import check_depth
from toolkit.multiview.still import what_stands
from toolkit.multiview.tracking import MultiViewOptions, MultiViewTracks, grey_views, track_views
from toolkit.multiview.view_depth import depth_from_views, with_depth
from toolkit.progress import Listener, reporter
from toolkit.scene import MultiViewVideo, Scene, Tracks3D, Unit

if TYPE_CHECKING:
    from toolkit.models.mvtracker import MVTracker

MOST_SCALE = 1e9  # of a number of the depth files: a kilometre in micrometres


@dataclass(frozen=True)
class MvtrackerSettings:
    """Settings of the method; the defaults are those of the preset "normal".

    Attributes:
        points: About how many points are followed where none are asked for, on what moves.
        query_view: Number or name of the view that queries in pixels belong to.
        calibration: Name of the calibration file, where several lie beside the views; "auto" for the one that knows most of them, or
            where there is none for cameras found from the pictures; "pictures" for these in any case.
        synchronise: Whether clips that did not begin at one moment are shifted, by whole frames, to what moves in them.
        max_side: Frames are reduced to so many pixels, for tracking and in the result.
        max_frames: Frames that are used where none are asked for.
        depth: "auto" for the depth that lies beside the views, where it does; "views" for depth found from the views, by planes swept
            between neighbours; "none".
        depth_scale: One number of the depth files in the unit of the calibration; 0 for what is usual: thousandths for 16-bit pictures.
        weights: "auto" or "none" for geometry alone, or the path of a published MVTracker checkpoint that you have; it needs depth, and
            gets that found from the views where there is no other.
        window_px: Side of the windows that are followed, in pixels.
        surroundings: Whether the floor and what else stands still is found, where cameras stand, for the cloud of the scene.
    """

    points: int = 400
    query_view: int | str = 0
    calibration: str = "auto"
    synchronise: bool = False
    max_side: int = 1280
    max_frames: int = 300
    depth: str = "auto"
    depth_scale: float = 0.0
    weights: str = "auto"
    window_px: int = 21
    surroundings: bool = True

    def __post_init__(self) -> None:
        """Checks every setting before anything is computed."""
        for name, least, most in (("points", 1, 20_000), ("max_side", 64, 4096), ("max_frames", 2, 5000), ("window_px", 7, 101)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
                raise UserError(f"The setting {name} is {value!r}, but a whole number from {least} to {most} is needed.")
        for name in ("weights", "calibration"):
            if isinstance(getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(getattr(self, name)))
            if not isinstance(getattr(self, name), str):
                raise UserError(f"The setting {name} is {getattr(self, name)!r}, but a name or path is needed.")
        for name in ("synchronise", "surroundings"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"The setting {name} is {getattr(self, name)!r}, but true or false is needed.")
        if self.depth not in ("auto", "views", "none"):
            raise UserError(f"The setting depth is {self.depth!r}, but auto, views or none is needed.")
        scale = self.depth_scale
        if isinstance(scale, bool) or not isinstance(scale, int | float | np.integer | np.floating) or not 0 <= scale <= MOST_SCALE:
            raise UserError(f"The setting depth_scale is {scale!r}, but a positive length is needed, or 0 for what is usual.")
        view = self.query_view
        if isinstance(view, bool) or not (isinstance(view, str) or (isinstance(view, int | np.integer) and view >= 0)):
            raise UserError(f"The setting query_view is {view!r}, but the number of a view from 0, or its name, is needed.")

    @staticmethod
    def preset(name: Preset) -> MvtrackerSettings:
        """The settings of "draft", "normal" or "fine"."""
        if name == "draft":
            return MvtrackerSettings(points=150, max_side=960)
        if name == "fine":
            return MvtrackerSettings(points=1500, max_side=1920)
        return MvtrackerSettings()


def track_multiview(
    multiview: MultiViewVideo,
    queries: ArrayLike,
    *,
    weights: str | os.PathLike[str] | None = "auto",
    seed: int = 0,
    progress: Listener | None = None,
) -> Tracks3D:
    """Points of the world followed through synchronised calibrated views, both ways in time.

    Args:
        multiview: The views with their cameras, and depth where it is known.
        queries: (N, 4) (t, x, y, z): frame and place in the world and unit of the cameras.
        weights: "auto", "none" or None for geometry alone, or a published MVTracker checkpoint.
        seed: The same input and seed give the same tracks.
        progress: Called with every `Progress`; it may raise `Cancelled`.

    Returns:
        N tracks in the order of the queries, each at its query in its own frame; NaN where nothing is known.

    Raises:
        UserError: what is wrong with the views or the queries, in one sentence.
    """
    if progress is not None and not callable(progress):
        raise UserError(f"progress is {progress!r}, but a function that takes a Progress is needed, or None.")
    network = _network(weights)
    clip, _, _ = checked_clip(multiview)
    asked = asked_points(clip, queries)
    listener = progress or (lambda event: None)
    report = reporter(listener, "tracks", "Following points through the views")
    if network is not None:
        return network.infer(_with_found_depth(clip, listener), asked, report=report)
    return track_views(clip, asked, report=report).tracks_3d


def run(request: Request, listener: Listener) -> Scene:
    """The method for `toolkit.run`.

    Raises:
        UserError: what the recording lacks, in one sentence.
    """
    settings: MvtrackerSettings = request.settings
    if request.cameras is not None or request.K is not None:
        raise UserError(
            "The method mvtracker takes the cameras of all views from their calibration file, or a MultiViewVideo that holds them."
        )
    if request.masks is not None and not isinstance(request.recording, Path | MultiViewVideo):
        raise UserError("Masks are those of the view query_view.")
    if request.queries is not None:
        checked_numbers(request.queries)
    network = _network(settings.weights)
    taken = take_in(
        request,
        calibration=settings.calibration,
        max_side=settings.max_side,
        max_frames=settings.max_frames,
        synchronise=settings.synchronise,
        depth=settings.depth == "auto",
        depth_scale=settings.depth_scale or None,
        listener=listener,
    )
    facts, unit = taken.facts, taken.unit
    wanted = _view(settings.query_view, taken.names)
    clip, told, used = checked_clip(taken.clip, taken.names)
    names = [taken.names[v] for v in used]
    warnings = [*taken.warnings, *told]
    if settings.depth == "views":
        clip = _with_found_depth(clip, listener)
    else:
        warnings += check_depth(clip)[1]
    if wanted not in used and (request.masks is not None or (request.queries is not None and request.queries.shape[1] == PIXELS)):
        raise UserError(f"The queries or masks are those of {taken.names[wanted]}, but {' '.join(told)} Choose another query_view.")
    view = used.index(wanted) if wanted in used else 0
    images = grey_views(clip)
    if request.queries is not None:
        asked = asked_points(clip, request.queries, view=view, name=names[view], images=images)
        warnings += told_of_unseen(clip, asked)
    else:
        report = reporter(listener, "points", "Looking for points to follow")
        asked = grid_points(clip, images, settings.points, view=view, name=names[view], masks=request.masks, report=report)
    options = MultiViewOptions()
    windows = replace(options.follow.windows, window_px=settings.window_px)
    options = replace(options, follow=replace(options.follow, windows=windows))
    report = reporter(listener, "tracks", "Following points through the views")
    found = track_views(clip, asked, options, report=report, images=images)
    if network is not None:
        found = replace(found, tracks_3d=network.infer(_with_found_depth(clip, listener), asked, report=report))
    kept = np.ones(len(asked), bool) if request.queries is not None else found.backed()
    found = found.select(kept)
    give_back()
    scene = _scene(clip, found, unit)
    if settings.surroundings:
        report = reporter(listener, "surroundings", "Looking for the floor and what stands still")
        report(0, 1)
        still = what_stands(clip)
        report(1, 1)
        scene = replace(scene, points=None if still is None else still.points)
    told_settings = {**asdict(settings), "seed": request.seed}
    report_ = describe(found, names, warnings, {"source": facts, "settings": told_settings}, asked=len(asked), unit=unit)
    return replace(scene, report=report_)


def _view(wanted: int | str, names: list[str]) -> int:
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    number = int(wanted) if str(wanted).isdigit() else -1
    if not 0 <= number < len(names):
        raise UserError(f"There is no view {wanted!r}; there are {', '.join(names)} (or 0 to {len(names) - 1}).")
    return number


def _scene(clip: MultiViewVideo, found: MultiViewTracks, unit: Unit) -> Scene:
    """The result: the first view's scene, which holds those of all views."""
    views = [
        Scene(cameras=camera, tracks_2d=tracks, tracks_3d=found.tracks_3d, unit=unit, method="mvtracker", video=video)
        for video, camera, tracks in zip(clip.views, clip.cameras, found.tracks_2d, strict=True)
    ]
    return replace(views[0], views=tuple(views[1:]))


def _with_found_depth(clip: MultiViewVideo, listener: Listener) -> MultiViewVideo:
    """The clip with depth: its own, or that found from its views."""
    if clip.depth_m is not None:
        return clip
    return with_depth(clip, depth_from_views(clip, report=reporter(listener, "depth", "Finding depth from the views"))[0])


def _network(weights: str | os.PathLike[str] | None) -> MVTracker | None:
    """The published network, read before anything is computed, as a file may be none; None for geometry alone."""
    if weights is not None and not isinstance(weights, str | os.PathLike):
        raise UserError(f"weights is {weights!r}, but auto, none or the path of a published checkpoint is needed.")
    if weights in ("auto", "none", None):
        return None
    from toolkit.models.mvtracker import MVTracker

    return MVTracker.from_pretrained(weights if isinstance(weights, str) else Path(weights))
