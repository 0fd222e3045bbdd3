"""What TracksTo4D says about its result: the figures, and above all what could not be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.lifting.track_movers import Movers
from toolkit.methods.photo_cameras import doubt_of_centre
from toolkit.methods.quality import measure
from toolkit.scene import F64, B, Cameras
from toolkit.sfm.track_clip import Solved
from toolkit.sfm.track_motion import Motion
from toolkit.sfm.track_parallax import Parallax
from toolkit.wording import counted

if TYPE_CHECKING:
    from toolkit.methods.tracksto4d_intake import Given

LITTLE_PARALLAX_PX = 1.5
STANDS_DEG = 0.1  # a camera that turns less stands still
STILL_PX = 3.0
RIVAL_GAP = 0.02  # of two explanations, as a mean logarithm of how far tracks stray
LEAST_EXPLAINED = 0.3  # of the picture's area; less is no world
UNSURE_FOCAL = 0.15
FLAGGED = 2.5  # times the usual error of a frame
JOINT = 0.05
UNSURE_DEPTH, NO_DEPTH = 0.15, 0.5  # a standard deviation of depths against each other, as a logarithm


@dataclass(frozen=True, eq=False)
class Findings:
    """All that a report is made of.

    Attributes:
        given: Tracks and lens.
        solved: Cameras and still points.
        parallax: How much more than a turning camera there is.
        motion: How far each track strays from a still point, and the chance that it moves.
        moves: (N,) tracks that move.
        movers: Where those are; None where none could be placed.
        cameras: Of the scene.
        log_focal: Logarithm of the focal length over the assumed one.
        focal_sigma: How sure it is; None where it was given.
        doubt: How unsure the depth of what stands still is, as a logarithm; NaN where none can be known.
        network: Whether a network was asked.
    """

    given: Given
    solved: Solved
    parallax: Parallax
    motion: Motion
    moves: B
    movers: Movers | None
    cameras: Cameras
    log_focal: float
    focal_sigma: float | None
    doubt: float
    network: bool


def describe(found: Findings, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a scene; everything in it is JSON-like and the same for the same input.

    Args:
        found: What was found.
        facts: Settings and source.
    """
    given, solved, parallax = found.given, found.solved, found.parallax
    error_px = _frame_errors(found)
    explained = _explained(found)
    flagged = _flagged(error_px)
    registered = found.cameras.registered
    focal_px = float(found.cameras.K[0, 0, 0])
    focal: dict[str, Any] = {"px": round(focal_px, 2), "source": "given"}
    if found.focal_sigma is not None:
        told = found.focal_sigma <= UNSURE_FOCAL and parallax.known
        focal |= {"source": "found" if told else "guessed", "sigma_percent": round(100 * found.focal_sigma, 1)}
    known = given.seen.any(1)
    return {
        **facts,
        "tracks": len(given.tracks),
        "moving_tracks": int(found.moves.sum()),
        "motion_level": f"The chance that a track moves: 0.5 where it strays {found.motion.limit_px:.2g} px from where a still point "
        f"would be seen; the tracker is off by {found.motion.noise_px:.2g} px.",
        "bodies": 0 if found.movers is None else int(found.movers.body.max()) + 1,
        "registered": int(registered.sum()),
        "samples_left_out": given.dropped,
        "focal": focal,
        "floor_found": bool(found.movers is not None and found.movers.floor),
        "network": found.network,
        "network_depth_spread": round(found.solved.spread, 3) if np.isfinite(found.solved.spread) else None,
        "windows": list(solved.windows),
        "scale_drift_between_windows": [round(j, 4) if np.isfinite(j) else None for j in solved.joints],
        "turn_deg": round(parallax.turn_deg, 2),
        "frames": [
            {
                "frame": t,
                "registered": bool(registered[t]),
                "error_px": round(float(error_px[t]), 3) if np.isfinite(error_px[t]) else None,
                "flagged": bool(flagged[t]),
            }
            for t in range(len(registered))
        ],
        "quality": _quality(found, error_px, explained, float(registered.mean()), float(known.mean())),
        "warnings": _warnings(found, explained, flagged, focal),
    }


def _quality(found: Findings, error_px: NDArray, explained: float, placed: float, seen: float) -> dict[str, Any]:
    angle = found.parallax.angle_deg if found.parallax.known else 0.0
    lines = {
        "parallax": measure(
            found.parallax.px,
            "px beyond a turning camera (median)",
            green=3,
            amber=LITTLE_PARALLAX_PX,
            higher_is_better=True,
            advice="Depth comes from walking: move the camera sideways, don't only turn it.",
        ),
        "angle between rays": measure(
            angle, "degrees (median)", green=4, amber=2, higher_is_better=True, advice="Walk further sideways, or film nearer things."
        ),
        "depth of what stands still": measure(
            100 * found.doubt,
            "% standard deviation (median)",
            green=8,
            amber=100 * UNSURE_DEPTH,
            higher_is_better=False,
            advice="The scene may be flatter or deeper than shown: walk further sideways, or give K or fov_deg where the lens is known.",
        ),
        "still part of the picture": measure(
            100 * explained,
            "% of its area",
            green=60,
            amber=100 * LEAST_EXPLAINED,
            higher_is_better=True,
            advice="Cameras are found from what stands still: film with more of it in the picture, or mask what moves.",
        ),
        "reprojection error": measure(
            float(np.nanmedian(error_px)) if np.isfinite(error_px).any() else float("nan"),
            "px (median of still points)",
            green=1.0,
            amber=2.0,
            higher_is_better=False,
            advice="The tracks are poor or the lens bends straight lines: try the preset fine, or undistort the video.",
        ),
        "frames placed": measure(
            100 * placed, "%", green=99.5, amber=90, higher_is_better=True, advice="Frames that are missing see too few still points."
        ),
    }
    if found.movers is not None:
        # Movers are placed within what stands still: they are never known better than that is.
        unsure = np.hypot(np.nanmedian(found.movers.sigma), np.nan_to_num(found.doubt))
        lines["distance of what moves"] = measure(
            100 * float(unsure),
            "% standard deviation (median)",
            green=15,
            amber=35,
            higher_is_better=False,
            advice="How far moving things are is a matter of belief where only tracks are known: give depth maps, or film with two eyes.",
        )
    if found.focal_sigma is not None:
        lines["focal length"] = measure(
            100 * found.focal_sigma,
            "% standard deviation",
            green=5,
            amber=100 * UNSURE_FOCAL,
            higher_is_better=False,
            advice="Give K or fov_deg where the lens is known: depth and motion are as wrong as the focal length.",
        )
    return lines


def _warnings(found: Findings, explained: float, flagged: B, focal: Mapping[str, Any]) -> list[str]:
    given, parallax = found.given, found.parallax
    told = doubt_of_centre((float(given.K[0, 2]), float(given.K[1, 2])), given.size) if given.focal_known else []
    if not found.cameras.registered.any():
        still = int((found.given.seen.any(1) & ~found.moves).sum())
        return [
            *told,
            f"No camera could be found: only {still} of {counted(len(found.moves), 'track')} fit a still world, too few in every frame. "
            "Everything may be moving, or the tracks are poor; film with more of what stands still in the picture.",
        ]
    if not parallax.known:
        does = "stands still" if parallax.turn_deg < STANDS_DEG else f"only turns (by {parallax.turn_deg:.1f} degrees)"
        told.append(
            f"The camera {does}: without parallax no depth can be known, so every point is shown at one guessed distance; only directions, "
            "what moves, and whether it comes nearer, are measured."
        )
    elif parallax.px < LITTLE_PARALLAX_PX:
        told.append(f"There is little parallax ({parallax.px:.1f} px): depth is unsure; the scene may be flatter or deeper than shown.")
    if found.doubt > UNSURE_DEPTH:
        sure = f", is known to {100 * found.doubt:.0f} % only" if found.doubt < NO_DEPTH else " can hardly be told from these tracks"
        told.append(f"How deep the scene is{sure}: it may be flatter or deeper than shown, and the camera have gone another way.")
    torn = [w["frames"] for w in found.solved.windows if w.get("rival_gap") is not None and w["rival_gap"] < RIVAL_GAP]
    if torn and parallax.known:
        told.append(
            f"In frames {torn[0][0]} to {torn[0][1]} two parts of the picture move against each other, and either may be the still world: "
            "the camera may have gone another way; mask what moves."
        )
    if explained < LEAST_EXPLAINED:
        told.append(
            f"Only {100 * explained:.0f} % of the picture fits a still world: everything may be moving, and the cameras may follow "
            "something that moves."
        )
    if focal["source"] == "guessed":
        told.append(
            f"The focal length can't be told from these tracks: {focal['px']:.0f} px was assumed, and depth and motion are as wrong "
            "as it is; give K or fov_deg where the lens is known."
        )
    if found.moves.any() and parallax.known:
        told.append(
            f"How far away what moves is ({counted(int(found.moves.sum()), 'track')}) can't be told from tracks alone; it follows from how "
            "smoothly it moves, what it stands before and the floor"
            + (", and from a network." if found.solved.believed is not None else ".")
        )
    if found.network and parallax.known and np.isfinite(found.solved.spread) and found.solved.believed is None:
        told.append(
            f"What the network says of depth was not used: it is off by {100 * found.solved.spread:.0f} % where the tracks tell depth well."
        )
    missing = [t for t, ok in enumerate(found.cameras.registered) if not ok]
    if missing:
        told.append(f"{_frames(missing)} {'has' if len(missing) == 1 else 'have'} no camera: too few still points are seen there.")
    if flagged.any():
        at = np.flatnonzero(flagged).tolist()
        told.append(f"{_frames(at)} {'fits' if len(at) == 1 else 'fit'} the still points much worse than the others.")
    loose = [n for n, spread in enumerate(found.solved.joints) if not spread < JOINT]
    if loose:
        told.append(f"The scale may drift along the clip: {counted(len(loose), 'part')} of it could not be fitted well to the one before.")
    left_out = found.given.dropped
    if left_out["not_finite"]:
        told.append(f"Left out: {counted(left_out['not_finite'], 'visible sample')} with coordinates that are not finite.")
    if left_out["outside_or_masked"]:
        samples = counted(left_out["outside_or_masked"], "visible sample")
        told.append(f"Left out: {samples} outside the picture or under a mask.")
    return told


def _frames(at: list[int]) -> str:
    """Frames in words, runs joined: "Frames 3 to 5, 9"."""
    runs = []
    for _, group in groupby(enumerate(at), key=lambda pair: pair[1] - pair[0]):
        run = [t for _, t in group]
        runs.append(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}")
    more = f" and {len(runs) - 6} more" if len(runs) > 6 else ""
    return ("Frame " if len(at) == 1 else "Frames ") + ", ".join(runs[:6]) + more


def _frame_errors(found: Findings) -> F64:
    """(T,) median error of still points, in pixels; NaN where none is seen."""
    seen, out = found.given.observed, np.full(len(found.solved.state.R), np.nan)
    rows = np.flatnonzero(~found.moves & (found.solved.scale < STILL_PX * seen.px))
    few = seen.of(rows)
    state = found.solved.state
    r2 = type(state)(state.R, state.c, state.X[rows], state.log_focal).errors(few.uv)
    for t in range(len(out)):
        known = few.weight[t] > 0
        if known.any():
            out[t] = np.sqrt(np.median(r2[t, known])) / seen.px
    return out


def _flagged(error_px: F64) -> B:
    """(T,) frames whose still points fit much worse than in the usual frame."""
    with np.errstate(invalid="ignore"):
        return np.asarray(error_px > max(FLAGGED * float(np.nanmedian(error_px)), 1.0)) if np.isfinite(error_px).any() else error_px > 0


def _explained(found: Findings) -> float:
    """Share of the picture that still points cover, of the part that tracks cover: cells of a coarse grid, by majority in each frame."""
    given = found.given
    cells = 12
    still = ~found.moves & (found.solved.scale < STILL_PX * given.observed.px)
    at = np.clip((given.tracks.xy / np.array(given.size) * cells), 0, cells - 1e-3)
    shares = []
    for t in np.unique(np.linspace(0, given.seen.shape[1] - 1, 10).astype(int)):
        rows = np.flatnonzero(given.seen[:, t] & (given.observed.weight[t] > 0))
        if len(rows) < 2:
            continue
        cell = at[rows, t].astype(int) @ [1, cells]
        count = np.bincount(cell, minlength=cells**2)
        good = np.bincount(cell, weights=still[rows].astype(float), minlength=cells**2)
        shares.append(float((good[count > 0] / count[count > 0]).mean()))
    return float(np.mean(shares)) if shares else 0.0
