"""What mvtracker takes: views with their calibration, or whose cameras are found from the pictures; clips brought to one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit.errors import Cancelled, UserError
from toolkit.media.frame_choice import FrameChoice
from toolkit.media.mono_input import MonoInput
from toolkit.media.rig_camera import RigCamera
from toolkit.media.rig_input import CALIBRATIONS, Rig, opened_rig
from toolkit.media.rig_reading import read_rig
from toolkit.methods.request import Request
from toolkit.multiview.calibration_check import CheckOptions, RigCheck, Sighted, check_rig
from toolkit.multiview.checking import checked_shapes
from toolkit.multiview.depth_check import check_depth
from toolkit.progress import Listener, reporter
from toolkit.scene import U8, Cameras, MultiViewVideo, Unit, Video

LOOKED_AT = 45  # frames from the start; a shift of the clips shows only in frames that follow each other
DEPTHS_LOOKED_AT = 3  # frames
BACKGROUND = 15  # frames of which the median shows what stands still


@dataclass(frozen=True, eq=False)
class TakenIn:
    """The views and what is told of them.

    Attributes:
        clip: The views with their cameras.
        names: One a view.
        facts: For the report.
        unit: Of the world.
        warnings: Sentences for a person.
    """

    clip: MultiViewVideo
    names: list[str]
    facts: dict[str, Any]
    unit: Unit
    warnings: list[str]


def take_in(
    request: Request,
    *,
    calibration: str,
    max_side: int,
    max_frames: int,
    synchronise: bool,
    depth: bool,
    depth_scale: float | None,
    listener: Listener,
) -> TakenIn:
    """The views of a request.

    Args:
        request: With a path, or views in memory.
        calibration: Name of the calibration file; "auto" for the one that fits best, or the pictures where there is none; "pictures".
        max_side: Frames are reduced to so many pixels.
        max_frames: Frames that are used where none are asked for.
        synchronise: Whether clips that were not started at one moment are shifted.
        depth: Whether depth that lies beside the views is used.
        depth_scale: One number of it in the unit of the calibration; None for what is usual.
        listener: Told of every frame.

    Raises:
        UserError: what the recording lacks.
    """
    if isinstance(request.recording, MultiViewVideo):
        names = [f"view {v}" for v in range(len(request.recording.views))]
        clip = _chosen(request.recording if depth else replace(request.recording, depth_m=None), request)
        told = ["Views in memory are taken as they are: synchronise shifts clips on disk."] if synchronise else []
        return TakenIn(clip, names, {"path": "in memory", "views": names}, "metre", told)
    if not isinstance(request.recording, Path):
        raise UserError(f"The method mvtracker takes several views, but this is a {type(request.recording).__name__}.")
    wanted = "none" if calibration == "pictures" else calibration
    how = {"calibration": wanted, "needed": False, "depth": depth, "depth_scale": depth_scale}
    with opened_rig(request.recording, frames=request.frames, **how) as rig:
        warnings = list(rig.warnings)
        if not rig.cameras:
            rig, told, found = cameras_from_pictures(rig, seed=request.seed, listener=listener)
            warnings += told
        else:
            found = check_rig(sighted(rig))
        starts, told = starts_of(rig, found.lag_frames) if synchronise else (None, found.late)
        warnings += [*found.warnings, *told]
        most = None if request.frames is not None else max_frames
        clip = read_rig(rig, max_side=max_side, most=most, starts=starts, report=reporter(listener, "read", "Reading the views"))
        count = min(len(c) - first for c, first in zip(rig.clips, starts or [0] * len(rig.clips), strict=True))
        if len(clip.views[0]) < count:
            warnings.append(f"The views have {count} frames; the first {len(clip.views[0])} were used (frames=... for others).")
        facts = {"path": request.recording.name, "views": list(rig.names), "calibration": rig.calibration}
        if any(rig.depths):
            facts["depth"] = {n: {"file": d.name, "scale": d.scale} for n, d in zip(rig.names, rig.depths, strict=True) if d is not None}
        if starts is not None and any(starts):
            facts["first_frames"] = dict(zip(rig.names, starts, strict=True))
        return TakenIn(clip, list(rig.names), facts, rig.unit, warnings)  # type: ignore[arg-type]


def _chosen(clip: MultiViewVideo, request: Request) -> MultiViewVideo:
    """The frames that are asked for of views in memory; all where none are."""
    if request.frames is None:
        return clip
    checked_shapes(clip)
    rows = FrameChoice.of(request.frames).of_count(len(clip.views[0]), "The MultiViewVideo")
    views = tuple(Video(view.frames[rows], view.times_s[rows]) for view in clip.views)
    cameras = tuple(Cameras(camera.K[rows], camera.T_wc[rows], camera.size[rows]) for camera in clip.cameras)
    return MultiViewVideo(views, cameras, None if clip.depth_m is None else tuple(depth[rows] for depth in clip.depth_m))


def sighted(rig: Rig) -> list[Sighted]:
    """The first frames of every view, small and grey, with their cameras."""
    clip = read_rig(replace(rig, depths=()), max_side=CheckOptions().side_px, most=LOOKED_AT)
    return [
        Sighted(name, np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in video.frames]), camera.K[0], camera.T_wc[0])
        for name, video, camera in zip(rig.names, clip.views, clip.cameras, strict=True)
    ]


def depth_of(rig: Rig) -> tuple[dict[str, Any], list[str]]:
    """What is told of the depth beside the views: files, how well it fits, and what is wrong; {} where there is none."""
    if not any(rig.depths):
        return {}, []
    fit, told = check_depth(read_rig(rig, max_side=CheckOptions().side_px, most=DEPTHS_LOOKED_AT))
    files = {name: depth.name for name, depth in zip(rig.names, rig.depths, strict=True) if depth is not None}
    return {"depth": files, "depth_fit": round(fit, 3)}, told


def starts_of(rig: Rig, late_by: Mapping[str, int]) -> tuple[list[int], list[str]]:
    """With which frame each view begins, so that all begin at one moment; and what is told of it.

    Args:
        rig: The views.
        late_by: Name of a view to how many frames it is late, see `check_rig`; a view that is not there counts as in time.
    """
    if not any(late_by.values()):
        return [0] * len(rig.clips), []
    late = [late_by.get(name, 0) for name in rig.names]
    starts = [n - min(late) for n in late]
    cut = ", ".join(f"{name} by {n}" for name, n in zip(rig.names, starts, strict=True) if n)
    return starts, [f"The clips did not begin at one moment; they were shifted in whole frames: {cut}."]


def cameras_from_pictures(rig: Rig, *, seed: int, listener: Listener) -> tuple[Rig, list[str], RigCheck]:
    """Cameras of views without a calibration, from what stands still in their pictures (by `reconstruct`); lengths are relative.

    Also what is told of that, and how well these cameras fit.

    Raises:
        UserError: the pictures of fewer than two views fit together.
    """
    from toolkit.methods.vggsfm import reconstruct

    pictures = [still_picture(clip) for clip in rig.clips]
    alike = len({picture.shape for picture in pictures}) == 1
    try:
        scene = reconstruct(pictures, camera_model="SIMPLE_PINHOLE", shared_camera=alike, dense=False, seed=seed, progress=listener)
    except Cancelled:
        raise
    except UserError as problem:
        why = str(problem).rstrip(".")
        raise UserError(f"There is no calibration, and the pictures don't tell the cameras ({why}); bring {CALIBRATIONS}.") from problem
    assert scene.cameras is not None
    good = [int(v) for v in np.flatnonzero(scene.cameras.registered)]
    if len(good) < 2:
        raise UserError(f"There is no calibration, and the pictures of fewer than two views fit together; bring {CALIBRATIONS}.")
    found = scene.cameras
    cameras = tuple(RigCamera((rig.names[v],), found.K[v], found.T_wc[v], (int(found.size[v, 0]), int(found.size[v, 1]))) for v in good)
    told = ["There is no calibration: cameras were found from what stands still in the pictures, without distortion; lengths are relative."]
    told += [f"{name} was left out: its picture fits none of the others." for v, name in enumerate(rig.names) if v not in good]
    names, clips = tuple(rig.names[v] for v in good), tuple(rig.clips[v] for v in good)
    if any(rig.depths):
        told.append("The depth beside the views is left out: its unit is not that of cameras found from pictures.")
    rig = replace(rig, names=names, clips=clips, cameras=cameras, calibration="pictures", unit="relative", depths=())
    checked = check_rig(sighted(rig))
    apart = [error for error, _ in checked.matches_px.values()]
    if apart and np.median(apart) > CheckOptions().bad_px:
        raise UserError(
            "There is no calibration, and the cameras found from the pictures don't explain what they show alike "
            f"(off by {np.median(apart):.0f} px): the views share too little; bring {CALIBRATIONS}."
        )
    return rig, told, checked


def still_picture(clip: MonoInput) -> U8:
    """(H, W, 3) the median over time of a clip whose camera stands: what moves is gone."""
    wanted = set(np.linspace(0, len(clip) - 1, min(len(clip), BACKGROUND)).astype(int).tolist())
    frames = [frame for t, frame in enumerate(clip.frames()) if t in wanted]
    return np.median(np.stack(frames), axis=0).astype(np.uint8)
