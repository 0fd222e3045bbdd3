"""What a reconstruction from a video says about itself: each frame, the lens, the figures, the warnings."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np

from toolkit.methods.quality import measure
from toolkit.scene import Scene
from toolkit.sfm.audit import ray_angles_deg
from toolkit.sfm.video_lens import LensOptions, field_of_view_deg, plausible, surprising
from toolkit.sfm.video_model import VideoModel, flat_share
from toolkit.sfm.video_points import VideoPoints
from toolkit.wording import counted

STANDS_DEG = 0.5  # a hand or a tripod in the wind turns a camera by as much
NARROW_DEG = 2.0  # under which depth is hardly told; a video sees a point from many places between
SURE_SHARE = 0.5  # of the picture that a mere turn explains
FEW_POINTS, MANY_POINTS = 30, 80  # of the model in a frame: a pose has six unknowns, and a third of the points may be wrong


def describe_video(result: VideoModel, points: VideoPoints, scene: Scene, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a scene; everything in it is JSON-like and the same for the same input.

    Args:
        result: The model and the pose of every frame.
        points: Followed through the video.
        scene: Made of it.
        facts: Settings and source.
    """
    assert scene.cameras is not None
    model, poses = result.model, result.poses
    registered = scene.cameras.registered
    error_px = float(np.nanmean(poses.error_px)) if np.isfinite(poses.error_px).any() else float("nan")
    angle_deg = float(np.median(ray_angles_deg(model))) if model.num_points3D() else float("nan")
    camera = result.camera
    lens = {"model": camera.model_name, "size": [camera.width, camera.height], "params": [round(float(p), 6) for p in camera.params]}
    turns = poses.rotation_deg[registered]
    return {
        **facts,
        "registered": int(registered.sum()),
        "keyframes": len(points.keyframes),
        "model_frames": len(result.frames.frames),
        "cuts": list(points.cuts),
        "loops": [list(pair) for pair in result.loops],
        "points": model.num_points3D(),
        "observations": int(poses.points.sum()),
        "moving_points": len(result.frames.moving),
        **_turn(result),
        "reprojection_error_px": round(error_px, 4) if np.isfinite(error_px) else None,
        "lenses": [lens],
        "frames": [_frame(t, result) for t in range(len(points))],
        "quality": {
            "frames placed": measure(
                100 * float(registered.mean()),
                "%",
                green=99,
                amber=80,
                higher_is_better=True,
                advice="Frames that are missing show too little of the rest: film slower, in better light, or cut the clip there.",
            ),
            "reprojection error": measure(
                error_px,
                "px",
                green=0.8,
                amber=1.5,
                higher_is_better=False,
                advice="Things moved, or the lens bends straight lines: mask what moves, or try camera_model OPENCV.",
            ),
            **_angle(result, angle_deg),
            "direction of the cameras": measure(
                float(turns.max()) if len(turns) and np.isfinite(turns).all() else float("nan"),
                "degrees, worst standard deviation",
                green=0.2,
                amber=1,
                higher_is_better=False,
                advice="Frames with few points are unsure: film where there is more texture.",
            ),
            "points per frame": measure(
                _points_per_frame(result),
                "points (median)",
                green=MANY_POINTS,
                amber=FEW_POINTS,
                higher_is_better=True,
                advice="Film slower, sharper, or where there is more texture.",
            ),
            **_focal(result),
        },
        "warnings": _warnings(result, points, angle_deg),
    }


def _turn(result: VideoModel) -> dict[str, Any]:
    """What is to be said of a camera that stayed in its place; nothing of others."""
    if result.turn is None:
        return {}
    return {"turn": {"largest_deg": round(result.turn.degrees, 4), "explains_percent": round(100 * result.turn.share, 2)}}


def _angle(result: VideoModel, angle_deg: float) -> dict[str, Any]:
    if result.turn is not None:
        return {}
    advice = "Walk further sideways."
    return {"angle between rays": measure(angle_deg, "degrees (median)", green=4, amber=NARROW_DEG, higher_is_better=True, advice=advice)}


def _turn_warnings(result: VideoModel) -> list[str]:
    if result.turn is None:
        return []
    share = result.turn.share
    unsure = " Less than half of the picture says so: the turns are right if that part is far away or stands." if share < SURE_SHARE else ""
    does = "stands still" if result.turn.degrees < STANDS_DEG else f"only turns, by up to {result.turn.degrees:.1f} degrees"
    return [
        f"The camera {does}, or moves too little: that explains {100 * share:.0f} % of what the frames show. So no depth, no "
        f"points and no path can be known, only how it was turned in every frame; move further sideways while filming.{unsure}"
    ]


def _warnings(result: VideoModel, points: VideoPoints, angle_deg: float) -> list[str]:
    told = _turn_warnings(result)
    missing = [(t, reason) for t, reason in enumerate(result.poses.reasons) if reason]
    for kind, group in groupby(missing, key=lambda entry: "".join(c for c in entry[1] if not c.isdigit())):
        frames = [t for t, _ in group]
        span = f"Frame {frames[0]}" if len(frames) == 1 else f"Frames {frames[0]} to {frames[-1]} ({len(frames)} of them)"
        first = next(reason for t, reason in missing if t == frames[0]) if kind else ""
        told.append(f"{span} {'has' if len(frames) == 1 else 'have'} no pose: {first}.")
    if points.cuts:
        told.append(f"The clip is cut before {counted(len(points.cuts), 'frame')}: {', '.join(map(str, points.cuts[:8]))}.")
    for group in result.others:
        told.append(f"Frames {group[0]} to {group[-1]} make a model of their own that shares nothing with this one.")
    if angle_deg < NARROW_DEG:
        told.append(
            f"The rays to a point meet under {angle_deg:.1f} degrees only, so depth is unsure: move further sideways while filming."
        )
    told += _lens_warnings(result)
    if _points_per_frame(result) < FEW_POINTS:
        told.append(f"Half of the frames see fewer than {FEW_POINTS} points of the model, so the cameras hang on little.")
    if result.turn is None and flat_share(result.frames) > 0.6:
        told.append(
            f"{100 * flat_share(result.frames):.0f} % of the compared frames show one plane or a turn of the camera, so the focal length "
            "and depth are unsure; give K where it is known."
        )
    return told


def _points_per_frame(result: VideoModel) -> float:
    placed = [n for n, reason in zip(result.poses.points, result.poses.reasons, strict=True) if not reason]
    return float(np.median(placed)) if placed else float("nan")


def _focal(result: VideoModel) -> dict[str, Any]:
    """How sure the focal length is; nothing where it was given."""
    stands = result.turn is not None and result.turn.degrees < STANDS_DEG  # and so tells nothing of the lens
    if result.lens.sigma == 0 or stands:
        return {}
    advice = "Give K where it is known, or walk around things while filming."
    focal = measure(100 * result.lens.sigma, "% standard deviation", green=5, amber=10, higher_is_better=False, advice=advice)
    return {"focal length": focal}


def _lens_warnings(result: VideoModel) -> list[str]:
    if result.lens.sigma == 0:
        return []
    camera, told, options = result.camera, [], LensOptions()
    view = f"a field of view of {field_of_view_deg(camera):.0f} degrees"
    if result.lens.supposed:
        told.append(
            f"The clip does not tell the focal length, so it is supposed: {camera.mean_focal_length():.0f} px, {view}. "
            "Depth and turns may be off by a third; give K where it is known."
        )
    elif not plausible(camera, options):
        told.append(f"The focal length came out as {camera.mean_focal_length():.0f} px, {view}, as hardly a camera has; give K.")
    elif surprising(camera, options):
        told.append(f"The lens came out unusual, with {view}; if it was not, give K.")
    return told


def _frame(t: int, result: VideoModel) -> dict[str, Any]:
    poses = result.poses

    def number(value: float, digits: int) -> float | None:
        return round(float(value), digits) if np.isfinite(value) else None

    return {
        "frame": t,
        "registered": not poses.reasons[t],
        "reason": poses.reasons[t],
        "points": int(poses.points[t]),
        "error_px": number(poses.error_px[t], 3),
        "rotation_sigma_deg": number(poses.rotation_deg[t], 5),
        "position_sigma": number(poses.position[t], 6),
    }
