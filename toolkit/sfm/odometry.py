"""The metric path of a stereo camera from point tracks and stereo depth, moving things found and left out on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from toolkit.errors import UserError
from toolkit.evaluation.cameras import compare_rotations
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, Cameras, DepthVideo, Tracks2D, Video
from toolkit.sfm.observations import MeasurementModel, Observations, choose_tracks, measure
from toolkit.sfm.static import classify_tracks
from toolkit.sfm.whole_clip import adjust_whole, choose_keyframes, first_is_world, noise_scale, place_others
from toolkit.sfm.window import Path, WindowOptions, follow
from toolkit.wording import counted


@dataclass(frozen=True)
class OdometryOptions:
    """How a camera path is found.

    Attributes:
        alive: Tracks used in each frame: the error falls with the root of their number, the time rises with it.
        keyframes: The adjustment of the whole clip takes about so many frames; the others are placed between them.
        widest_stride: Frames between two keyframes at most, whatever the clip's length: tracks must live through several.
        most_keyframes: Above so many, keyframes stand further apart after all: the adjustment's time grows with their cube.
        judged: Tracks of which it is told whether they stand still, evenly chosen; None for all, which takes a third of the time.
        interpolate: Longest gap, in frames, that is bridged between two known poses, and told.
        measurement: How sure a position and a disparity are.
        window: How the camera is followed before that.
    """

    alive: int = 700
    keyframes: int = 30
    widest_stride: int = 5
    most_keyframes: int = 400
    judged: int | None = None
    interpolate: int = 5
    measurement: MeasurementModel = field(default_factory=MeasurementModel)
    window: WindowOptions = field(default_factory=WindowOptions)


@dataclass(frozen=True, eq=False)
class OdometryResult:
    """A camera path and what it stands on.

    Attributes:
        cameras: Path of the left eye in the unit of the depth; world = first registered camera; NaN where nothing supports a pose.
        static: (N,) float32 probability that each track stands still; NaN where it was not judged.
        residual_px: (N,) float32 median reprojection error of each track against one still point; NaN where it could not be computed.
        sigma: (T, 6) float32 standard deviation of each pose relative to the first, rotation (rad) then translation about and along the
            camera's axes, from the noise of the tracks alone; NaN where interpolated or missing.
        report: JSON-like: registered, missing and interpolated frames, residuals, settings, warnings.
    """

    cameras: Cameras
    static: F32
    residual_px: F32
    sigma: F32
    report: Mapping[str, Any]


def stereo_odometry(
    tracks_2d: Tracks2D,
    depth: DepthVideo,
    K: NDArray,
    *,
    baseline_m: float | None = None,
    video: Video | None = None,
    rotation_prior: NDArray | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    options: OdometryOptions | None = None,
    report: Report = silent,
) -> OdometryResult:
    """Metric camera path of the rectified left eye.

    Frame by frame, each pose is found robustly from landmarks (motion-only bundle adjustment) while the last keyframes are adjusted
    together; a bundle adjustment over the keyframes of the whole clip then takes out drift. Measurements are the pixel and the
    disparity, each with its standard deviation; points without depth take part as directions. What does not move like one still point is
    found by its residual.

    Args:
        tracks_2d: (N, T) tracks of the left eye; dense ones are welcome, a well-spread subset carries the path.
        depth: (T, H, W) z-depth of the left eye; NaN where unknown.
        K: (3, 3) intrinsics, in pixels.
        baseline_m: Distance of the eyes in the unit of the depth: how uncertain a depth is follows from it. None supposes that of a
            VR180 camera for metres, and depths sure to about 1 % at the median depth otherwise.
        video: Frames of the left eye; with them, textured tracks are preferred.
        rotation_prior: (T, 3, 3) world-from-camera orientations that the device measured; not used, only compared with in the report.
        size: (width, height) in pixels; None takes that of the depth.
        seed: For interface only: nothing here is random.
        options: How.
        report: Called with units of work done and in all.

    Raises:
        UserError: shapes that do not fit together, or fewer tracks than a pose needs in every frame.
    """
    o = options or OdometryOptions()
    frames = tracks_2d.visible.shape[1]
    height, width = depth.depth.shape[1:]
    size = size or (width, height)
    K = np.asarray(K, np.float64)
    _check(tracks_2d, depth, K, baseline_m, o.window.least)
    baseline = baseline_m or _supposed_baseline(depth, K[0, 0])
    camera = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], K[0, 0] * baseline])
    stride = _stride(frames, o)
    # Half of the progress is following, a quarter the whole clip, a quarter the placing of the other frames.
    total = 2 * frames

    chosen = choose_tracks(tracks_2d, size, alive=o.alive, video=video)
    observations = measure(tracks_2d, chosen, depth, camera[4], model=o.measurement)
    path, left_out = _longest_path(observations, frames, camera, stride, o, lambda done, _: report(done, total))
    observations = observations.where(path.registered[observations.frame])
    noise = noise_scale(path, observations, camera)
    observations = observations.scaled(noise)
    report(frames, total)

    keyframes = choose_keyframes(path, stride)
    variance = adjust_whole(path, observations, keyframes, camera)
    report(frames + frames // 2, total)
    variance = place_others(path, observations, keyframes, camera, variance, o.window.scale)
    first_is_world(path)
    T_wc, interpolated = _poses(path, o.interpolate)

    judged = np.arange(0, len(tracks_2d), 1 if o.judged is None else max(-(-len(tracks_2d) // o.judged), 1))
    samples = measure(tracks_2d, judged, depth, camera[4], model=o.measurement, most=24)
    samples = samples.where(path.registered[samples.frame]).scaled(noise)
    static, residual_px = np.full((2, len(tracks_2d)), np.nan, np.float32)
    static[judged], residual_px[judged] = classify_tracks(samples, path.R, path.t, camera)
    report(total, total)

    measured = residual_px[(static > 0.5) & np.isfinite(residual_px)]
    sigma = np.full((frames, 6), np.nan, np.float32)
    sigma[path.registered] = np.sqrt(variance[path.registered])
    cameras = Cameras.from_poses(K, T_wc, size)
    facts = {
        "frames": frames,
        "registered": int(path.registered.sum()),
        "missing": [int(f) for f in np.flatnonzero(~cameras.registered)],
        "interpolated": interpolated,
        "left_out_segments": left_out,
        "world": f"camera of frame {int(np.flatnonzero(path.registered)[0])}",
        "tracks": len(tracks_2d),
        "tracks_used": len(chosen),
        "tracks_with_depth": int(
            (np.maximum.reduceat(observations.uvd[:, 2] > 0, observations.start[:-1][np.diff(observations.start) > 0])).sum()
        ),
        "keyframes": len(keyframes),
        "static_share": float(np.mean(static[judged] > 0.5)),
        "noise_scale_xy": float(noise[0]),
        "noise_scale_disparity": float(noise[1]),
        "residual_px": float(np.median(measured)) if len(measured) else None,
        "landmarks_per_frame": [int(n) for n in path.agreeing],
        "baseline": float(baseline),
        "path_length": float(np.linalg.norm(np.diff(cameras.centres[cameras.registered], axis=0), axis=1).sum()),
        "warnings": _warnings(path, cameras, interpolated, observations, static[judged]),
    }
    if rotation_prior is not None:
        facts["device_rotation"] = compare_rotations(cameras, rotation_prior)
    return OdometryResult(cameras, static, residual_px, sigma, facts)


def _check(tracks: Tracks2D, depth: DepthVideo, K: F64, baseline: float | None, least: int) -> None:
    """Raises a UserError where the inputs cannot give a path."""
    if K.shape != (3, 3) or not (np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0):
        raise UserError(
            f"K has shape {K.shape} and focal lengths {np.diag(np.atleast_2d(K))[:2]}, but (3, 3) with positive ones is needed."
        )
    if tracks.visible.shape[1] != len(depth):
        raise UserError(f"The tracks have {counted(tracks.visible.shape[1], 'frame')}, the depth has {len(depth)}; both must be alike.")
    if baseline is not None and not (np.isfinite(baseline) and baseline > 0):
        raise UserError(f"The baseline is {baseline}, but a positive distance is needed (VR180: 0.063 m).")
    most = int(tracks.visible.sum(0).max()) if tracks.visible.size else 0
    if most < least:
        raise UserError(f"At most {most} tracks are visible in a frame, but a camera path needs at least {least}.")


def _supposed_baseline(depth: DepthVideo, focal_px: float) -> float:
    """A baseline that makes depths as uncertain as they likely are, where none is known."""
    if depth.unit == "metre":
        return 0.063
    sample = depth.depth[:: max(len(depth) // 20, 1), ::8, ::8]
    sample = sample[np.isfinite(sample) & (sample > 0)]
    # 0.3 px of disparity are then 1 % of the median depth.
    return float(30 * np.median(sample) / focal_px) if len(sample) else 1.0


def _stride(frames: int, o: OdometryOptions) -> int:
    """Frames between two keyframes."""
    return max(min(int(np.ceil(frames / o.keyframes)), o.widest_stride), int(np.ceil(frames / o.most_keyframes)), 1)


def _longest_path(
    observations: Observations, frames: int, camera: F64, stride: int, o: OdometryOptions, report: Report
) -> tuple[Path, list[list[int]]]:
    """The longest stretch of frames that hang together, and [first, last] of the others: a cut in the clip starts a new world."""
    found: list[tuple[Path, int, int]] = []
    first = 0
    while first < frames - 1:
        path = follow(observations, frames, camera, first=first, stride=stride, options=o.window, report=report)
        last = int(np.flatnonzero(path.registered)[-1])
        found.append((path, first, last))
        first = max(last, first) + 1
        if last >= frames - 1:
            break
    if not found:
        return follow(observations, frames, camera, stride=stride, options=o.window, report=report), []
    best = max(found, key=lambda item: int(item[0].registered.sum()))
    return best[0], [[first, last] for path, first, last in found if path is not best[0] and last > first]


def _poses(path: Path, longest_gap: int) -> tuple[F64, list[int]]:
    """(T, 4, 4) world-from-camera, NaN where missing, short gaps bridged; and which frames were."""
    T_wc = np.full((len(path.R), 4, 4), np.nan)
    have = np.flatnonzero(path.registered)
    T_wc[have] = np.eye(4)
    T_wc[have, :3, :3] = path.R[have].transpose(0, 2, 1)
    T_wc[have, :3, 3] = -np.einsum("tji,tj->ti", path.R[have], path.t[have])
    interpolated: list[int] = []
    for a, b in zip(have[:-1], have[1:], strict=True):
        if not 1 < b - a <= longest_gap + 1:
            continue
        between = np.arange(a + 1, b)
        share = (between - a) / (b - a)
        T_wc[between] = np.eye(4)
        T_wc[between, :3, :3] = Slerp([0.0, 1.0], Rotation.from_matrix(T_wc[[a, b], :3, :3]))(share).as_matrix()
        T_wc[between, :3, 3] = T_wc[a, :3, 3] + share[:, None] * (T_wc[b, :3, 3] - T_wc[a, :3, 3])
        interpolated += [int(f) for f in between]
    return T_wc, interpolated


def _warnings(path: Path, cameras: Cameras, interpolated: list[int], observations: Observations, static: F32) -> list[str]:
    """What a person should know."""
    out = []
    missing = int((~cameras.registered).sum())
    if missing:
        have = "has" if missing == 1 else "have"
        out.append(f"{missing} of {counted(len(cameras), 'frame')} {have} no camera pose: too few tracks agree there.")
    if interpolated:
        are = "is" if len(interpolated) == 1 else "are"
        out.append(f"{counted(len(interpolated), 'camera pose')} {are} interpolated between neighbours.")
    if not (observations.uvd[:, 2] > 0).any():
        out.append("No track has a depth: the camera's rotation is known, the length of its path is not.")
    if (static > 0.5).mean() < 0.3:
        out.append(f"Only {100 * (static > 0.5).mean():.0f} % of the tracks stand still: the camera path may follow a moving thing.")
    return out
