"""What a run on several views says about itself: the quality figures, each view's share, the settings, the warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.methods.quality import measure
from toolkit.multiview.tracking import MultiViewTracks

_IDLE = 0.01  # of the samples; a view that sees fewer is told


def describe(
    found: MultiViewTracks, names: Sequence[str], warnings: Sequence[str], facts: Mapping[str, Any], *, asked: int, unit: str
) -> dict[str, Any]:
    """The report of a scene; everything in it is JSON-like and the same for the same input.

    Args:
        found: The tracks.
        names: Of the views.
        warnings: What was told before.
        facts: Source and settings.
        asked: How many points were to be followed.
        unit: Of the world.
    """
    known = np.isfinite(found.tracks_3d.xyz[..., 0])
    seeing = found.views_seeing
    shared = found.residual_px[:, seeing > 1]  # a view that sees a point alone has nothing to disagree with
    residual = shared[np.isfinite(shared)]
    sigma = found.tracks_3d.sigma[known] if found.tracks_3d.sigma is not None else np.zeros(0)
    share = 100 * float(known.mean()) if known.size else 0.0
    two = 100 * float((seeing > 1).mean()) if seeing.size else 0.0
    error = float(np.median(residual)) if len(residual) else float("nan")
    quality = {
        "reprojection error": measure(
            error,
            "px",
            green=1.0,
            amber=2.5,
            higher_is_better=False,
            advice="Check the calibration (inspect tells which pair of views disagrees) and that the views are synchronised.",
        ),
        "samples with a place": measure(
            share, "%", green=80.0, amber=50.0, higher_is_better=True, advice="Points that leave all views can't be known; add a view."
        ),
        "samples seen by two views": measure(
            two, "%", green=60.0, amber=30.0, higher_is_better=True, advice="Move the cameras closer together, or add one between them."
        ),
    }
    told = list(warnings)
    origin = {"pictures": "found from the pictures", None: "as given"}.get(facts["source"].get("calibration"), "of the calibration")
    views = []
    for name, tracks, errors in zip(names, found.tracks_2d, found.residual_px, strict=True):
        seen = float(tracks.visible.mean()) if tracks.visible.size else 0.0
        views.append({"name": name, "seen_share": round(seen, 4), "reprojection_error_px": _median(errors)})
        if seen < _IDLE:
            told.append(f"{name} saw next to none of the points: it looks elsewhere, is hidden, or its calibration is wrong.")
    return {
        **facts,
        "quality": quality,
        "warnings": told,
        "views": views,
        "tracks": len(known),
        "points_asked": asked,
        "rigid_things": found.bodies,
        "reprojection_error_px": None if not np.isfinite(error) else round(error, 3),
        "median_sigma": round(float(np.median(sigma)), 6) if len(sigma) else None,
        "world": f"that of the cameras {origin}, in their unit ({unit})",
    }


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(np.median(known)), 3) if len(known) else None
