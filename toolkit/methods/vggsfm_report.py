"""What a reconstruction from photos says about itself: each photo, the lens, the figures, the warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.methods.quality import measure
from toolkit.scene import F64, Scene
from toolkit.sfm.audit import ray_angles_deg
from toolkit.sfm.lens_evidence import focal_sigma, lens_told
from toolkit.sfm.mapping import Correspondences
from toolkit.sfm.photo_adjust import BundleOptions
from toolkit.sfm.photo_model import PhotoModel
from toolkit.sfm.registration import CONTRADICTED, agreement
from toolkit.sfm.video_lens import LensOptions
from toolkit.wording import counted

if TYPE_CHECKING:
    import pycolmap

NARROW_DEG = 3.0  # under which depth is hardly told
UNSURE_FOCAL = 0.1  # standard deviation of the focal length's logarithm from which on photos don't tell it

LENS_OFF, LENS_GAIN = 1.04, 0.9
"""A given focal length is doubted where the pictures fit another one by so much, and so much better."""
LENS_FAR_OFF, LENS_SIGMAS = 1.2, 3.0
"""And where theirs is so far off, by so many standard deviations."""


def doubts_of_lens(model: pycolmap.Reconstruction, options: BundleOptions, pictures: str = "photos") -> list[str]:
    """A warning where the pictures contradict the focal length that was given, else nothing.

    Args:
        model: Made with it.
        options: How it was refined.
        pictures: "photos" or "frames".
    """
    told = lens_told(model, options)
    off = abs(np.log(told.ratio))
    finer = off > np.log(LENS_OFF) and told.gain < LENS_GAIN
    surely = off > np.log(LENS_FAR_OFF) and off > LENS_SIGMAS * LensOptions().correlated * told.sigma
    if not (finer or surely):
        return []
    given = float(np.median([c.mean_focal_length() for c in model.cameras.values()]))
    other = f"{given * told.ratio:.0f} px" if LensOptions().correlated * told.sigma < UNSURE_FOCAL else "another one"
    by = f" {100 * (1 - told.gain):.0f} %" if told.gain < LENS_GAIN else ""
    what, whose, check = ("K does", "its", "K, or leave it out to have it found")
    if options.fixed_poses:
        what, whose, check = ("cameras do", "their", "K and poses")
    return [
        f"The given {what} not fit the {pictures}: {whose} focal length is {given:.0f} px, but with {other} their points fit{by} better; "
        f"check {check}."
    ]


def doubts_of_poses(found: Correspondences, T_cw: F64) -> list[str]:
    """A warning for each photo whose matches contradict the pose that was given.

    Args:
        found: Matches, with the lenses as given.
        T_cw: (T, 4, 4) camera-from-world as given.
    """
    share = agreement(found, T_cw)
    return [
        f"The given camera of {found.names[t]} does not fit the photos: only {100 * share[t]:.0f} % of what it shares with others "
        "agrees with it; check its pose and its lens."
        for t in np.flatnonzero(share < CONTRADICTED).tolist()
    ]


def describe(result: PhotoModel, scene: Scene, warnings: list[str], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a scene; everything in it is JSON-like and the same for the same input.

    Args:
        result: The audited model.
        scene: Made of it.
        warnings: From taking the photos in.
        facts: Settings and source.
    """
    assert scene.cameras is not None
    model = result.model
    missing = [check for check in result.checks if check.reason]
    error_px = float(model.compute_mean_reprojection_error())
    angle_deg = float(np.median(ray_angles_deg(model))) if model.num_points3D() else float("nan")
    told = [*warnings, *(f"{check.name} is not registered: {check.reason}." for check in missing)]
    if angle_deg < NARROW_DEG:
        told.append(
            f"The rays to a point meet under {angle_deg:.1f} degrees only, so depth is unsure: move further sideways between photos."
        )
    pairs = result.found.key_pairs
    flat = sum(pair.kind != "full" for pair in pairs.values())
    if flat > 0.6 * max(1, len(pairs)) and not result.fixed_lens:
        told.append(
            f"{flat} of {len(pairs)} pairs of photos show next to nothing but one plane, which fits many focal lengths, so that lens, "
            "depth and path are unsure; give K where it is known."
        )
    elif flat > 0.6 * max(1, len(pairs)) and len(result.checks) - len(missing) == 2:
        told.append("Both photos show next to nothing but one plane, which two paths of the camera can explain; a third photo decides.")
    told += [] if result.fixed_lens else _cut_out(result)
    sigma = 0.0 if result.fixed_lens else focal_sigma(model, BundleOptions())
    if sigma > UNSURE_FOCAL:
        told.append(_untold_focal(result, sigma))
    for every in result.others:
        group = [t for t in every if result.checks[t].reason]  # some may have been placed since
        if len(group) > 1:
            names = ", ".join(result.found.names[t] for t in group)
            told.append(f"{counted(len(group), 'photo')} ({names}) make a model of their own that nothing connects to this one.")
    turns = [c.rotation_deg for c in result.checks if not c.reason and np.isfinite(c.rotation_deg)]
    return {
        **facts,
        "mapper": result.mapper,
        "registered": len(result.checks) - len(missing),
        "points": model.num_points3D(),
        "observations": model.compute_num_observations(),
        "reprojection_error_px": round(error_px, 4),
        "principal_point_refined": result.sureness.centre_freed,
        "lenses": [
            {"model": c.model_name, "size": [c.width, c.height], "params": [round(float(p), 6) for p in c.params]}
            for _, c in sorted(model.cameras.items())
        ],
        "photos": [_plain(check) for check in result.checks],
        "quality": {
            "photos placed": measure(
                100 * (1 - len(missing) / len(result.checks)),
                "%",
                green=99,
                amber=80,
                higher_is_better=True,
                advice="Photos that are missing share too little with the rest: take more between them.",
            ),
            "reprojection error": measure(
                error_px,
                "px",
                green=0.8,
                amber=1.5,
                higher_is_better=False,
                advice="Things moved, or the lens bends straight lines: mask what moves, or try camera_model OPENCV.",
            ),
            "angle between rays": measure(
                angle_deg,
                "degrees (median)",
                green=5,
                amber=NARROW_DEG,
                higher_is_better=True,
                advice="Move further sideways between photos.",
            ),
            "direction of the cameras": measure(
                max(turns, default=float("nan")),
                "degrees, worst standard deviation",
                green=0.2,
                amber=1,
                higher_is_better=False,
                advice="Photos with few points are unsure: take more photos around them.",
            ),
            **_focal(result, sigma),
        },
        "warnings": told,
    }


def _cut_out(result: PhotoModel) -> list[str]:
    """Of each camera whose middle was found far from that of its pictures."""
    told = []
    for number, camera in sorted(result.model.cameras.items()):
        x, y = camera.principal_point_x, camera.principal_point_y
        if max(abs(x - camera.width / 2), abs(y - camera.height / 2)) > BundleOptions().centre_off * camera.width:
            names = [result.found.names[i - 1] for i in sorted(result.model.reg_image_ids()) if result.model.image(i).camera_id == number]
            told.append(
                f"The lens of {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''} looks at ({x:.0f}, {y:.0f}) of "
                f"{camera.width} x {camera.height} px, as the photos tell: a picture that is cut out of a larger one."
            )
    return told


def _focal(result: PhotoModel, sigma: float) -> dict[str, Any]:
    """How sure the focal length is; nothing where it was given."""
    if result.fixed_lens:
        return {}
    advice = "Give K where it is known, or turn the camera between photos, and walk around things."
    return {"focal length": measure(100 * sigma, "% standard deviation", green=2, amber=10, higher_is_better=False, advice=advice)}


def _untold_focal(result: PhotoModel, sigma: float) -> str:
    camera = next(camera for _, camera in sorted(result.model.cameras.items()))
    by = f"; it is unsure by {100 * sigma:.0f} %" if np.isfinite(sigma) else ""
    return (
        f"The photos hardly tell the focal length, which came out as {camera.mean_focal_length():.0f} px{by}, so depth and path may be "
        "stretched; give K where it is known."
    )


def _plain(check: Any) -> dict[str, Any]:
    def number(value: float, digits: int) -> float | None:
        return round(value, digits) if np.isfinite(value) else None

    return {
        "name": check.name,
        "registered": not check.reason,
        "reason": check.reason,
        "points": check.points,
        "error_px": number(check.error_px, 3),
        "rotation_sigma_deg": number(check.rotation_deg, 5),
        "position_sigma": number(check.position, 6),
    }
