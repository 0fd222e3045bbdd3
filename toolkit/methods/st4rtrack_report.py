"""What st4rtrack says about its result beside what its tracks say: which evidence carried it."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.methods.quality import measure
from toolkit.scene import Scene

MOVING = 0.5


SHARES = {"matched": "matched in other frames", "spread": "spread from tracks and matches around", "unknown": "unknown"}
USABLE = 0.3  # a depth from elsewhere that is off by more is not heard, whatever else is known
LOOSE_PERCENT = 5.0  # of the scale, or of the distance of what is seen: windows that agree no better are told


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
        "pixels_percent": {title: shares[name] for name, title in SHARES.items()},
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
        name = "The depth of the network" if p["name"] == "network" else "The given depth"
        off = f"off by {100 * p['sigma']:.0f} % where tracks tell depth well"
        flat = f", hardly less than one depth for all would be ({100 * p['one_depth_sigma']:.0f} %)" if p["sigma"] < USABLE else ""
        warnings.append(f"{name} was not used: it is {off}{flat}.")
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


def told_together(parts: list[tuple[slice, dict[str, Any]]], joints: list[dict[str, Any]], scene: Scene) -> dict[str, Any]:
    """The report of a scene that was put together of windows.

    Args:
        parts: Frames and report of each.
        joints: How each was joined to those before, by `LongScene.told`.
        scene: All of it.
    """
    first = parts[0][1]
    assert scene.cameras is not None and scene.tracks_3d is not None and scene.tracks_2d is not None and scene.masks is not None
    reports = [report for _, report in parts]
    shares = {title: round(float(np.mean([r["evidence"]["pixels_percent"][title] for r in reports])), 1) for title in SHARES.values()}
    evidence = {
        **first["evidence"],
        "cameras": "; ".join(dict.fromkeys(r["evidence"]["cameras"] for r in reports)),
        "pixels_percent": shares,
        "depth_from_elsewhere": [
            {"frames": [window.start, window.stop - 1], **prior} for window, r in parts for prior in r["evidence"]["depth_from_elsewhere"]
        ],
        "moving_percent": round(float(np.mean([r["evidence"]["moving_percent"] for r in reports])), 1),
    }
    warnings = [f"Frames {window.start} to {window.stop - 1}: {line}" for window, report in parts for line in report["warnings"]]
    apart = [joint["frames"][0] for joint in joints if not joint["joined"]]
    if apart:
        warnings.append(
            f"What comes after frame {apart[0]} could not be joined to what comes before: no frame there has a camera in both, as after a "
            "cut; it has no place in this world."
        )
    loose = [j for j in joints if max(j.get("scale_spread_percent", 0), j.get("way_percent", 0)) > LOOSE_PERCENT]
    if loose:
        warnings.append(
            f"The world may drift: {len(loose)} of {len(joints) - 1} windows could not be fitted to the one before within "
            f"{LOOSE_PERCENT:.0f} %."
        )
    frames: list[dict[str, Any]] = [{}] * scene.frames
    for window, report in parts:
        for row in report["frames"]:
            t = row["frame"] + window.start
            frames[t] = {**row, "frame": t, "registered": bool(scene.cameras.registered[t])}
    return {
        **first,
        "tracks": len(scene.tracks_3d),
        "moving_tracks": int((scene.tracks_3d.motion > MOVING).sum()),
        "bodies": max(r["bodies"] for r in reports),
        "registered": int(scene.cameras.registered.sum()),
        "evidence": evidence,
        "anchors": [int(t) for t in np.unique(scene.tracks_2d.queries[:, 0]).astype(int)],
        "windows": joints,
        "frames": frames,
        "quality": _worst([r["quality"] for r in reports]),
        "warnings": list(dict.fromkeys(warnings)),
    }


def _worst(qualities: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each figure that of the window in which it is worst; one that is not known somewhere counts as worst."""
    out: dict[str, Any] = {}
    for quality in qualities:
        for name, row in quality.items():
            if name in out and out[name]["value"] is not None and row["value"] is not None:
                better = row["value"] > out[name]["value"]
                out[name] = out[name] if better == row["higher_is_better"] else row
            elif name not in out or row["value"] is None:
                out[name] = row
    return out
