"""What a Stereo4D run says about itself: the quality figures, the settings, the warnings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import pieces
from toolkit.methods.quality import measure
from toolkit.methods.request import Request
from toolkit.methods.stereo_intake import Intake
from toolkit.scene import Scene
from toolkit.sfm.odometry import OdometryResult
from toolkit.wording import counted

_SURELY_STILL = 0.1  # chance of moving up to which a track stands still for sure; one minus it, for moving
_LOOKED_AT = 10  # frames that stand for a clip
_ASKED_SAMPLES = 4_000_000  # from which every so many-th still track stands for all: their median needs each in memory
_BARE_PX, _BARE_LEVELS = 9, 1.0  # side of a square, and the standard deviation of its grey values, in which nothing can be matched


def describe(
    request: Request, intake: Intake, scene: Scene, odometry: OdometryResult | None, dropped: NDArray[np.str_], put_back: int
) -> dict[str, Any]:
    """The report of a scene; everything in it is JSON-like and the same for the same input.

    Args:
        request: What was asked for.
        intake: The pair and how it was taken in.
        scene: The finished scene.
        odometry: How the cameras were found; None where they were known.
        dropped: The reason for each track that was dropped.
        put_back: How many tracks turned out to stand still after all.
    """
    assert scene.tracks_3d is not None and scene.cameras is not None and scene.depth is not None
    quality = {"rows of the two eyes": _rows(intake), "matches of the two eyes": _matches(intake)}
    if intake.estimated[0]:
        quality["lenses and distance of the eyes"] = _known(intake)
    quality |= {"pixels with depth": _depth(scene), "length of tracks": _lengths(scene)}
    warnings = list(intake.warnings)
    if odometry is not None:
        quality["camera path"] = _path(odometry, len(scene.tracks_3d))
        warnings += odometry.report.get("warnings", [])
    else:
        warnings += [] if scene.cameras.registered.all() else [_without_camera(int((~scene.cameras.registered).sum()))]
    quality["spread of still points"] = _spread(scene)
    quality["depth where the picture is bare"] = _bare(scene)
    quality["tracks that may or may not move"] = _unsure(scene)
    quality["apparent motion withdrawn"] = _withdrawn(scene, put_back)
    reasons, counts = np.unique(dropped, return_counts=True)
    settings = {name: value for name, value in asdict(request.settings).items() if name != "labels"}
    return {
        "source": intake.facts,
        "settings": {**settings, "labels": request.settings.labels is not None, "seed": request.seed},
        "quality": quality,
        "warnings": warnings,
        "pair_check": {name: _plain(value) for name, value in asdict(intake.pair_check).items()},
        "cameras": "known" if odometry is None else _json(odometry.report),
        "dropped_tracks": {str(reason): int(count) for reason, count in zip(reasons, counts, strict=True)},
        "put_back_tracks": put_back,
        "moving_tracks": int((scene.tracks_3d.motion > 0.5).sum()),
        "unsure_tracks": int(_is_unsure(scene).sum()),
    }


def _without_camera(frames: int) -> str:
    return f"{counted(frames, 'frame')} {'has' if frames == 1 else 'have'} no camera."


def _rows(intake: Intake) -> dict[str, Any]:
    check = intake.pair_check
    return measure(
        abs(check.vertical_median_px) + check.vertical_mad_px,
        "px apart",
        green=0.7,
        amber=1.5,
        higher_is_better=False,
        advice="Give the lens calibration, or check that the clip is VR180 and the eyes are not swapped.",
    )


def _matches(intake: Intake) -> dict[str, Any]:
    advice = "The eyes share too little to be checked: this may be no stereo recording, or its layout is another one."
    return measure(intake.pair_check.matches, "features", green=50, amber=12, higher_is_better=True, advice=advice)


def _known(intake: Intake) -> dict[str, Any]:
    """No figure of the result shows an error that a wrong lens or scale makes everywhere alike, so it is told that they were estimated."""
    advice = "Lens and scale were estimated from the pictures: give a calibration, or fov_deg and baseline_m, before trusting a distance."
    known = 2 - sum(intake.estimated)
    return measure(known, "of 2 are known", green=2, amber=0, higher_is_better=True, advice=advice)


def _depth(scene: Scene) -> dict[str, Any]:
    assert scene.depth is not None
    share = float(np.mean([np.isfinite(frame).mean() for frame in scene.depth.depth]))
    advice = "Much of the picture is farther than stereo can measure, textureless, or seen by one eye only."
    return measure(100 * share, "%", green=50, amber=20, higher_is_better=True, advice=advice)


def _lengths(scene: Scene) -> dict[str, Any]:
    assert scene.tracks_3d is not None
    frames = scene.tracks_3d.visible.shape[1]
    share = float(np.median(scene.tracks_3d.visible.mean(1))) if len(scene.tracks_3d) else float("nan")
    advice = "Fast motion, blur or little texture end tracks early: try the preset fine, or a wider field of view."
    return measure(100 * share, f"% of {counted(frames, 'frame')} (median)", green=40, amber=15, higher_is_better=True, advice=advice)


def _path(odometry: OdometryResult, tracks: int) -> dict[str, Any]:
    # Without a single track that held, cameras have poses that nothing speaks for.
    share = 100 * float(odometry.cameras.registered.mean()) if tracks else float("nan")
    advice = "Frames without a camera have too few still points: try a wider field of view."
    return measure(share, "% of frames placed", green=99.5, amber=90, higher_is_better=True, advice=advice)


def _spread(scene: Scene) -> dict[str, Any]:
    """How sure still points are: median standard deviation as a share of their distance."""
    assert scene.tracks_3d is not None and scene.cameras is not None
    tracks = scene.tracks_3d
    share = float("nan")
    still = tracks.motion <= 0.5
    if tracks.sigma is not None and still.any():
        ratios, rows = [], np.flatnonzero(still)[:: 1 + int(tracks.visible.sum()) // _ASKED_SAMPLES]
        for part in pieces(len(rows), tracks.visible.shape[1]):
            some = rows[part]
            distance = np.linalg.norm(tracks.xyz[some] - scene.cameras.centres.astype(np.float32), axis=-1)
            ratio = tracks.sigma[some] / distance
            ratios.append(ratio[~np.isnan(ratio)])
        ratio = np.concatenate(ratios)
        share = float(np.median(ratio)) if np.isfinite(ratio).any() else share
    advice = "Depth is uncertain: things are far for this baseline; a narrower field of view or the preset fine helps."
    return measure(100 * share, "% of their distance", green=2, amber=6, higher_is_better=False, advice=advice)


def _bare(scene: Scene) -> dict[str, Any]:
    """How much of the depth lies where there is nothing to match, as on a sky: it is found by chance, or carried in from the rim."""
    share = float("nan")
    if scene.video is not None and scene.depth is not None:
        frames = range(0, len(scene.depth), max(1, len(scene.depth) // _LOOKED_AT))
        known = [np.isfinite(scene.depth.depth[t]) for t in frames]
        bare = [_is_bare(scene.video.frames[t]) & k for t, k in zip(frames, known, strict=True)]
        share = float(np.sum(bare) / max(np.sum(known), 1))
    advice = "Sky and bare walls get a depth by chance: mask them, ask for a higher min_confidence, or a smaller max_depth_m."
    return measure(100 * share, "% of the pixels with depth", green=2, amber=6, higher_is_better=False, advice=advice)


def _is_bare(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W) pixels whose surroundings vary by less than the noise of a compressed picture."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (_BARE_PX, _BARE_PX))
    return np.asarray(cv2.blur(grey**2, (_BARE_PX, _BARE_PX)) - mean**2 < _BARE_LEVELS**2)


def _is_unsure(scene: Scene) -> NDArray[np.bool_]:
    """(N,) tracks whose errors allow neither word."""
    assert scene.tracks_3d is not None
    return np.asarray((scene.tracks_3d.motion > _SURELY_STILL) & (scene.tracks_3d.motion < 1 - _SURELY_STILL))


def _unsure(scene: Scene) -> dict[str, Any]:
    """How many tracks are called still or moving on evidence that would allow the other word."""
    unsure = _is_unsure(scene)
    share = float(unsure.mean()) if len(unsure) else float("nan")
    advice = "Points shown as moving may stand still, and the other way round: try a narrower field of view, or more frames."
    return measure(100 * share, "% of the tracks", green=10, amber=20, higher_is_better=False, advice=advice)


def _withdrawn(scene: Scene, put_back: int) -> dict[str, Any]:
    """How many tracks went astray in the image until depth and cameras put them back: the more, the more go unnoticed."""
    assert scene.tracks_3d is not None
    tracks = max(len(scene.tracks_3d), put_back)
    advice = "Many tracks slid off, on repeated or bare texture: take what moves with care; a higher resolution or frame rate helps."
    share = put_back / tracks if tracks else float("nan")
    return measure(100 * share, "% of the tracks", green=40, amber=60, higher_is_better=False, advice=advice)


def _plain(value: Any) -> Any:
    """A number as JSON has it; None for what is not known."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _json(value: Any) -> Any:
    """Plain Python values all the way down."""
    if isinstance(value, dict):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_json(v) for v in value]
    return _plain(value.item() if isinstance(value, np.generic) else value)
