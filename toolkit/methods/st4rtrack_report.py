"""What st4rtrack says about its result beside what its tracks say: which evidence carried it."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.methods.quality import measure
from toolkit.scene import Scene


def told(scene: Scene, carried: dict[str, Any]) -> dict[str, Any]:
    """The report of a scene with dense depth.

    Args:
        scene: With depth and tracks.
        carried: What `with_dense` says of its sources.
    """
    before = dict(scene.report)
    assert scene.depth is not None and scene.tracks_2d is not None
    shares = {name: round(100 * carried[name], 1) for name in ("matched", "spread", "unknown")}
    evidence = {
        "cameras": "bundle adjustment of tracks" if carried["parallax"] else "rotations alone: the camera does not walk",
        "pixels_percent": {
            "matched in other frames": shares["matched"],
            "spread from tracks and matches around": shares["spread"],
            "unknown": shares["unknown"],
        },
        "depth_from_elsewhere": carried["priors"],
        "moving_percent": round(100 * float(scene.masks.mean()), 1) if scene.masks is not None else 0.0,
    }
    if "adaptation" in carried:
        evidence["adaptation"] = carried["adaptation"]
    sure = scene.depth.confidence[np.isfinite(scene.depth.depth)]
    quality = {
        "depth within 10 %": measure(
            100 * float(sure.mean()) if len(sure) else float("nan"),
            "% of pixels, as expected",
            green=70,
            amber=40,
            higher_is_better=True,
            advice="Depth is sure where other frames see the same from elsewhere: walk sideways, film texture.",
        ),
    }
    warnings = list(before.get("warnings", []))
    unheard = [p for p in carried["priors"] if not p["heard"] and p["measured"]]
    for p in unheard:
        warnings.append(
            f"The depth of the {p['name'].removeprefix('given ')} was not used: it is off by {100 * p['sigma']:.0f} % where tracks tell "
            "depth well."
            if p["name"] == "network"
            else f"The given depth was not used: it is off by {100 * p['sigma']:.0f} % where tracks tell depth well."
        )
    for p in carried["priors"]:
        if p["heard"] and not p["measured"]:
            warnings.append(f"Depth follows the {p['name']}, whose error can't be measured here: the camera does not walk.")
    anchors = np.unique(scene.tracks_2d.queries[:, 0]).astype(int)
    return {
        **before,
        "evidence": evidence,
        "anchors": [int(t) for t in anchors],
        "quality": {**before.get("quality", {}), **quality},
        "warnings": warnings,
    }
