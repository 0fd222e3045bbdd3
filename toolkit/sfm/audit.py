"""Every photo of a model is checked: what it sees of it, how well, and how sure its pose is; who fails is told why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolkit.scene import F64
from toolkit.sfm.mapping import Correspondences
from toolkit.sfm.photo_bundle import Sureness
from toolkit.sfm.registration import Placed
from toolkit.wording import counted

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class AuditOptions:
    """What a photo must show to stay in a model.

    Attributes:
        fewest: Points it sees; a pose from fewer can be a matter of chance.
        worst_px: Mean reprojection error of these.
        unsure_deg: Standard deviation of its rotation.
        bare: Features from which on a photo has something to hold on to.
    """

    fewest: int = 12
    worst_px: float = 3.0
    unsure_deg: float = 2.0
    bare: int = 50


@dataclass(frozen=True)
class Check:
    """What the audit found about one photo.

    Attributes:
        name: File name.
        points: Points of the model that it sees.
        error_px: Mean reprojection error of these; NaN without any.
        rotation_deg: Standard deviation of its rotation, NaN where not known.
        position: Standard deviation of its place, in the unit of the model.
        reason: Why it is not registered; "" where it is.
        dropped: Whether the audit took it out of the model.
    """

    name: str
    points: int
    error_px: float
    rotation_deg: float
    position: float
    reason: str = ""
    dropped: bool = False


def audit(
    model: pycolmap.Reconstruction,
    found: Correspondences,
    sureness: Sureness,
    told: Mapping[int, Placed],
    others: Sequence[Sequence[int]],
    options: AuditOptions,
) -> list[Check]:
    """One check a photo.

    Args:
        model: The refined model.
        found: What it was made of.
        sureness: Of its poses.
        told: What came of placing the photos that the mapper left out.
        others: Photos of other models.
        options: What a photo must show.
    """
    registered = set(model.reg_image_ids())
    checks = []
    for t, name in enumerate(found.names):
        image = t + 1
        if image not in registered:
            checks.append(Check(name, 0, float("nan"), float("nan"), float("nan"), _why_missing(t, found, told, others, options)))
            continue
        errors = [model.point3D(p.point3D_id).error for p in model.image(image).points2D if p.has_point3D()]
        turn, place = sureness.rotation_deg.get(image, float("nan")), sureness.position.get(image, float("nan"))
        mean = float(np.mean(errors)) if errors else float("nan")
        reason = ""
        if len(errors) < options.fewest:
            reason = f"it sees only {counted(len(errors), 'point')} of the model; {options.fewest} are needed"
        elif mean > options.worst_px:
            reason = f"its points are {mean:.1f} px off on average; at most {options.worst_px:g} are allowed"
        elif turn > options.unsure_deg:
            reason = f"its direction is unsure by {turn:.1f} degrees; at most {options.unsure_deg:g} are allowed"
        checks.append(Check(name, len(errors), mean, turn, place, reason, bool(reason)))
    return checks


def ray_angles_deg(model: pycolmap.Reconstruction) -> F64:
    """(P,) largest angle between the rays to each point."""
    centres = {i: model.image(i).projection_center() for i in model.reg_image_ids()}
    angles = []
    for _, point in sorted(model.points3D.items()):
        rays = np.array([centres[e.image_id] for e in point.track.elements]) - point.xyz
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        angles.append(np.rad2deg(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))
    return np.array(angles)


def _why_missing(t: int, found: Correspondences, told: Mapping[int, Placed], others: Sequence[Sequence[int]], options: AuditOptions) -> str:
    if len(found.features[t]) < options.bare:
        return f"it has only {counted(len(found.features[t]), 'point')} to hold on to: too dark, blurred or bare"
    for group in others:
        if t in group:
            names = ", ".join(found.names[o] for o in group if o != t)
            return f"it shares a model of its own with {names}, which nothing connects to the rest: another scene, or a gap between photos"
    if not any(t in pair for pair in found.pairs):
        return "no other photo shows the same"
    placed = told.get(t)
    if placed is not None:
        return f"{counted(placed.matches, 'feature')} look like points of the model, but only {placed.agreeing} agree on one pose"
    return "too few of its points are seen by two other photos"
