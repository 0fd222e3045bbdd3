"""Measuring in a picture: the distance between two clicked points, and the speed of a clicked track, each with its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.lifting.lift import LiftOptions, lift_tracks
from toolkit.scene import F32, F64, Cameras, DepthVideo, Scene, Tracks2D, Tracks3D, Unit
from toolkit.views.overlay import with_2d


@dataclass(frozen=True)
class MeasureOptions:
    """How exactly a person clicks.

    Attributes:
        click_sigma_px: Standard deviation of a click per axis, in pixels of a picture 512 wide.
        snap_px: A click on unknown depth takes the nearest known one within so many pixels of a picture 512 wide, two at least.
        reach_px: A track counts as clicked within so many pixels of a picture 512 wide; fingers are wide.
        window_s: A speed is the displacement over so long a time: over shorter ones, errors of depth outweigh a walk.
        doubt: Below this chance that both depths are right, the sentence warns.
    """

    click_sigma_px: float = 1.0
    snap_px: float = 3.0
    reach_px: float = 14.0
    window_s: float = 0.5
    doubt: float = 0.6


@dataclass(frozen=True)
class Distance:
    """How far two clicked points are apart.

    Attributes:
        value: The distance in the scene's unit.
        sigma: Its standard deviation where both depths are right.
        confidence: The chance that both are, 0..1.
        unit: "metre" or "relative".
        xy: (2, 2) the two pixels that were measured: those clicked, or the nearest ones with a known depth.
        depth: (2,) z-depth of both.
        sentence: The same for a person.
    """

    value: float
    sigma: float
    confidence: float
    unit: Unit
    xy: F64
    depth: F64
    sentence: str


@dataclass(frozen=True)
class TrackSpeed:
    """How fast a clicked track moves through the world, camera motion removed.

    Attributes:
        track: Index of the track in the scene.
        xy: (2,) where it is in the clicked frame, in pixels.
        moving: Whether it was found to move at all.
        speed: Its speed in the clicked frame, in units per second; NaN where it can't be told there.
        sigma: The standard deviation of that speed; NaN where unknown.
        times_s: (T,) of the frames.
        speeds: (T,) speed in each frame, NaN where unknown.
        sigmas: (T,) their standard deviations, NaN where unknown.
        unit: "m/s", or "units/s" where the scale is not known.
        sentence: The same for a person.
    """

    track: int
    xy: F64
    moving: bool
    speed: float
    sigma: float
    times_s: F64
    speeds: F32
    sigmas: F32
    unit: str
    sentence: str


def distance(scene: Scene, frame: int, xy_a: ArrayLike, xy_b: ArrayLike, *, options: MeasureOptions | None = None) -> Distance:
    """The distance between what two pixels of one frame show.

    The error of each depth counts along its ray, that of the click across it; errors of the two points are taken as independent.

    Args:
        scene: With depth and cameras.
        frame: Which frame, counted from 0.
        xy_a: (x, y) of the first point, in pixels of the scene's video.
        xy_b: That of the second.
        options: How exactly a person clicks.

    Raises:
        UserError: no depth or cameras, no such frame, a point outside the picture, or no depth known near it.
    """
    options = options or MeasureOptions()
    if scene.depth is None or scene.cameras is None:
        raise UserError("This scene has no depth, so distances in a picture can't be measured; tracks may still tell speeds.")
    t = _frame(scene, frame)
    depth = scene.depth.depth[t]
    grow = depth.shape[1] / 512
    xy = np.stack([_with_depth(depth, _point(scene, p), t, max(options.snap_px * grow, 2.0)) for p in (xy_a, xy_b)])
    K = scene.cameras.K[t]
    across_px = options.click_sigma_px * grow
    points = _lifted(scene, t, xy, across_px)
    xyz, total = points.xyz[:, 0].astype(np.float64), points.sigma[:, 0].astype(np.float64) if points.sigma is not None else np.zeros(2)
    between = xyz[1] - xyz[0]
    value = float(np.linalg.norm(between))
    across = xyz[:, 2] * across_px / K[0, 0]
    along = np.sqrt(np.maximum(total**2 - 2 * across**2, 0.0))
    rays = xyz / np.linalg.norm(xyz, axis=1, keepdims=True)
    # Two clicks on one spot may point anywhere: then every direction counts.
    cosine2 = (rays @ (between / value)) ** 2 if value > 0 else np.ones(2)
    sigma = float(np.sqrt(np.sum(cosine2 * along**2 + (1 - cosine2) * across**2)))
    column, row = np.minimum(xy.astype(np.intp), (depth.shape[1] - 1, depth.shape[0] - 1)).T
    confidence = float(np.prod(np.clip(scene.depth.confidence[t, row, column], 0, 1)))
    name = " m" if scene.unit == "metre" else ""
    sentence = f"{_number(value, sigma)}{name} apart (± {sigma:.2g}{name})"
    sentence += "." if scene.unit == "metre" else ", relative: the scale of this scene is not known, so only ratios count."
    if sigma > 0.5 * value:
        sentence += " Too unsure to rely on: measure something nearer, or farther apart."
    elif confidence < options.doubt:
        sentence += " One of the two depths may be wrong: try other points on the same things, or another frame."
    return Distance(value, sigma, confidence, scene.unit, xy, xyz[:, 2], sentence)


def track_speed(scene: Scene, frame: int, xy: ArrayLike, *, options: MeasureOptions | None = None) -> TrackSpeed:
    """The speed over time of the track nearest to a clicked pixel, among those seen in that frame.

    A speed is the displacement between the two ends of a short window, over its time; its error is that of the two positions.

    Args:
        scene: With 3D tracks, and 2D tracks or cameras.
        frame: Which frame, counted from 0.
        xy: (x, y) in pixels of the scene's video.
        options: How exactly a person clicks, and the window.

    Raises:
        UserError: no 3D tracks, no such frame, a point outside the picture, or no track near it.
    """
    options = options or MeasureOptions()
    if scene.tracks_3d is None:
        raise UserError("This scene has no 3D tracks, so speeds can't be told.")
    t, at = _frame(scene, frame), _point(scene, xy)
    tracks, tracks_2d = scene.tracks_3d, with_2d(scene).tracks_2d
    assert tracks_2d is not None
    known = np.asarray(np.isfinite(tracks.xyz[:, t]).all(-1)) & tracks_2d.visible[:, t]
    away = np.where(known, np.linalg.norm(tracks_2d.xy[:, t] - at, axis=1), np.inf)
    reach = options.reach_px * _size(scene)[0] / 512
    i = int(np.argmin(away)) if len(away) else -1
    if i < 0 or not away[i] <= reach:
        nearest = f"; the nearest one is at {_place(tracks_2d.xy[i, t])}" if i >= 0 and np.isfinite(away[i]) else ""
        raise UserError(f"There is no track near {_place(at)} in frame {t}{nearest}.")
    times_s = scene.video.times_s if scene.video is not None else np.arange(tracks.xyz.shape[1]) / 30.0
    speeds, sigmas = _speeds(tracks.xyz[i], None if tracks.sigma is None else tracks.sigma[i], times_s, options.window_s)
    moving, unit = bool(tracks.motion[i] > 0.5), "m/s" if scene.unit == "metre" else "units/s"
    sentence = _told(moving, float(speeds[t]), float(sigmas[t]), speeds, times_s, unit)
    return TrackSpeed(
        i, tracks_2d.xy[i, t].astype(np.float64), moving, float(speeds[t]), float(sigmas[t]), times_s, speeds, sigmas, unit, sentence
    )


def _frame(scene: Scene, frame: int) -> int:
    if not 0 <= frame < scene.frames:
        raise UserError(f"Frame {frame} does not exist; the scene has {scene.frames} frames, counted from 0.")
    return int(frame)


def _size(scene: Scene) -> tuple[int, int]:
    """(width, height) of the picture that is clicked on."""
    if scene.video is not None:
        return scene.video.size
    if scene.cameras is not None:
        return int(scene.cameras.size[0, 0]), int(scene.cameras.size[0, 1])
    raise UserError("This scene has no video and no cameras, so there is no picture to measure in.")


def _point(scene: Scene, xy: ArrayLike) -> F64:
    point, (w, h) = np.asarray(xy, np.float64), _size(scene)
    if point.shape != (2,) or not (0 <= point[0] <= w and 0 <= point[1] <= h):
        raise UserError(f"The point {_place(np.ravel(point))} lies outside the picture, which is {w} x {h} pixels.")
    return point


def _place(xy: Sequence[float] | F64 | F32) -> str:
    return "(" + ", ".join(f"{float(v):.0f}" for v in xy) + ")"


def _with_depth(depth: F32, xy: F64, t: int, reach_px: float) -> NDArray:
    """The point, or the centre of the nearest pixel with a known depth where it has none."""
    h, w = depth.shape
    column, row = min(int(xy[0]), w - 1), min(int(xy[1]), h - 1)
    if depth[row, column] > 0 and np.isfinite(depth[row, column]):
        return xy
    rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    if len(rows) == 0:
        raise UserError(f"No depth is known anywhere in frame {t}; choose another frame.")
    centres = np.stack([columns + 0.5, rows + 0.5], axis=1)
    away = np.linalg.norm(centres - xy, axis=1)
    if away.min() > reach_px:
        raise UserError(
            f"The depth at {_place(xy)} of frame {t} is not known (too far, without texture, or seen by one eye only); "
            f"the nearest place where it is: {_place(centres[away.argmin()])}."
        )
    return centres[away.argmin()]


def _lifted(scene: Scene, t: int, xy: F64, click_sigma_px: float) -> Tracks3D:
    """The two points in the camera of frame t, with their errors, as tracks of one frame."""
    assert scene.depth is not None and scene.cameras is not None
    source = scene.report.get("source")
    told = source.get("baseline_m") if isinstance(source, Mapping) else None
    options = LiftOptions(baseline_m=float(told)) if isinstance(told, int | float) and told > 0 else LiftOptions()
    # How often a depth is wrong altogether is told by its confidence, apart from how exact a right one is.
    options = replace(options, disparity_outlier_px=options.disparity_sigma_px)
    one, confidence = xy[:, None].astype(np.float32), scene.depth.confidence[t : t + 1]
    seen, spread = np.ones((2, 1), bool), np.full((2, 1), click_sigma_px, np.float32)
    tracks = Tracks2D(one, seen, seen.astype(np.float32), np.zeros((2, 3), np.float32), spread)
    h, w = scene.depth.depth.shape[1:]
    camera = Cameras.from_poses(scene.cameras.K[t], np.eye(4)[None], (w, h))
    depth = DepthVideo(scene.depth.depth[t : t + 1], confidence, scene.unit)
    return lift_tracks(tracks, depth, camera, max_depth_m=np.inf, label=False, options=options)


def _speeds(xyz: F32, sigma: F32 | None, times_s: F64, window_s: float) -> tuple[F32, F32]:
    """(T,) speed and its standard deviation of one track: from the known samples nearest to the ends of a window around each frame."""
    speeds, sigmas = np.full(len(xyz), np.nan, np.float32), np.full(len(xyz), np.nan, np.float32)
    known = np.flatnonzero(np.isfinite(xyz).all(-1))
    for t in known:
        near = known[np.abs(times_s[known] - times_s[t]) <= 0.5 * window_s + 1e-9]
        if len(near) < 2:  # fewer frames a second than windows: the neighbours have to do
            near = known[np.abs(known - t) <= 1]
        if len(near) < 2:
            continue
        first, last = near[0], near[-1]
        elapsed = times_s[last] - times_s[first]
        speeds[t] = np.linalg.norm(xyz[last].astype(np.float64) - xyz[first]) / elapsed
        if sigma is not None:
            sigmas[t] = np.hypot(sigma[first], sigma[last]) / elapsed
    return speeds, sigmas


def _told(moving: bool, speed: float, sigma: float, speeds: F32, times_s: F64, unit: str) -> str:
    if not moving:
        return "This point stands still in the world."
    known = np.isfinite(speeds)
    if not known.any():
        return "This point moves, but it is seen too briefly to tell how fast."
    seconds = float(np.ptp(times_s[known]))
    span = f"over the {seconds:.1f} s that it is followed: {np.nanmin(speeds):.2g} to {np.nanmax(speeds):.2g} {unit}"
    if not np.isfinite(speed):
        return f"This point moves; how fast can't be told in this frame. {span[0].upper()}{span[1:]}."
    error = f" (± {sigma:.2g})" if np.isfinite(sigma) else ""
    if speed < sigma:
        return f"This point moves, but too slowly for its distance to tell how fast: {speed:.2g} {unit}{error}."
    kmh = f", {3.6 * speed:.2g} km/h" if unit == "m/s" else ", relative: the scale is not known"
    return f"This point moves at {_number(speed, sigma)} {unit}{error}{kmh}; {span}."


def _number(value: float, sigma: float) -> str:
    """The value with as many digits as its error leaves meaning to, two at least."""
    if not (np.isfinite(sigma) and sigma > 0 and value > 0):
        return f"{value:.3g}"
    digits = int(np.clip(np.floor(np.log10(value)) - np.floor(np.log10(sigma)) + 1, 2, 4))
    text = f"{value:#.{digits}g}".rstrip(".")
    return text if "e" not in text else f"{value:.{digits}g}"
