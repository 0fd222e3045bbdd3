"""Several views looked at before anything runs: is there a calibration, does it fit the pictures, are the clips of the same moments?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toolkit.errors import UserError
from toolkit.media.estimates import estimate
from toolkit.media.rig_input import CALIBRATIONS, opened_rig
from toolkit.methods.mvtracker_intake import depth_of, sighted
from toolkit.multiview.calibration_check import check_rig
from toolkit.scene import Source

UNCALIBRATED = (
    "No calibration lies beside the views: cameras would be found from what stands still in their pictures, which must overlap well, and "
    f"lengths would be relative; better bring {CALIBRATIONS}."
)


def inspect_views(source: Source) -> Source:
    """What `inspect` found, with the calibration held against the pictures.

    `details` then holds `epipolar_px` (pair of views to the median distance from epipolar lines, and matches), `movers_px` (the same of
    what moves), `lag_frames`, `calibration_used` and `unit`; of depth beside the views `depth` (view to file) and `depth_fit`.
    """
    try:
        with opened_rig(Path(source.path), needed=False) as rig:
            if not rig.cameras:
                kept = (w for w in source.warnings if not w.startswith("No calibration"))
                return replace(source, warnings=(*kept, UNCALIBRATED))
            views = sighted(rig)
            warnings = rig.warnings
            found = check_rig(views)
            depth, told = depth_of(rig)
            warnings = (*warnings, *told)
            details = {
                **source.details,
                "calibration_used": rig.calibration,
                "unit": rig.unit,
                "cameras": list(rig.names),
                "views": len(rig.names),
                "epipolar_px": {k: list(v) for k, v in found.matches_px.items()},
                "movers_px": {k: list(v) for k, v in found.movers_px.items()},
                "lag_frames": found.lag_frames,
                **depth,
            }
    except UserError as problem:
        return replace(source, warnings=(*source.warnings, str(problem)))
    kept = tuple(w for w in source.warnings if not w.startswith("The views have"))  # the same, said of views with a camera alone
    told = (*kept, *warnings, *found.warnings, *found.late)
    frames, size = min(len(clip) for clip in rig.clips), rig.clips[0].size
    cost = estimate(source.kind, frames, size, len(rig.names))
    return replace(source, frames=frames, size=size, warnings=told, details=details, estimate=cost)
