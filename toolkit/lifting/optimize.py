"""Track optimisation: the most likely world positions given what each sample can be wrong by, and the published objective beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import large_full
from toolkit.errors import UserError
from toolkit.lifting._banded import minimise
from toolkit.lifting._moving import smooth_paths
from toolkit.lifting._observe import rows_at_once
from toolkit.lifting._published import adam
from toolkit.lifting.label import LabelOptions, Noise, NoiseOptions, estimate_noise, moving_probability, see, sigma_of, still_points
from toolkit.lifting.motion import check_frames, known_samples, published_motion_weight, scene_motion
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import B, Cameras, Tracks2D, Tracks3D

Mode = Literal["default", "corrected_objective", "published_objective", "reference"]
_CHUNK = 512  # tracks at a time: about 20 MB of float64 intermediates at 177 frames


@dataclass(frozen=True)
class OptimizeOptions:
    """Settings of track optimisation.

    Attributes:
        noise: What is assumed of the errors before the clip is asked.
        label: How surely a track must disagree with standing still to count as moving.
        start_half_window: Half the window, in frames, of the running median of inverse depth that a moving path starts from: wide
            enough to outvote a run of wrong depths.
        iterations: Steps of a moving path; its acceleration is settled to a few per cent by then.
        usual_acceleration: Acceleration per frame^2 as a share of the distance, for tracks too short to tell theirs.
        fill_gaps: Also give positions (not visible, with their error) in frames between a track's samples.
        objective_iterations: Most Gauss-Newton steps on the published objective.
        objective_tolerance: Relative decrease under which, twice in a row, they stop.
        adam_steps: Steps of the published optimiser.
        adam_rate_m: Its learning rate, in metres.
        erosion: Frames on either side of an unseen one that the published code drops.
    """

    noise: NoiseOptions = field(default_factory=NoiseOptions)
    label: LabelOptions = field(default_factory=LabelOptions)
    start_half_window: int = 5
    iterations: int = 8
    usual_acceleration: float = 5e-4
    fill_gaps: bool = False
    objective_iterations: int = 30
    objective_tolerance: float = 1e-4
    adam_steps: int = 100
    adam_rate_m: float = 0.05
    erosion: int = 2


def optimize_tracks(
    tracks_3d: Tracks3D,
    cameras: Cameras,
    tracks_2d: Tracks2D | None = None,
    *,
    mode: Mode = "default",
    options: OptimizeOptions | None = None,
    report: Report = silent,
) -> Tracks3D:
    """World tracks with the error of their depth taken out.

    The default finds the most likely positions: a track that its errors allow to stand still becomes one point, found from all its
    samples; any other becomes a smooth path whose acceleration along the view is as large as across it. Samples count by their
    `sigma`, which the still part of the clip corrects in scale and for errors that last over several frames; wrong ones hardly count.

    The other modes move each sample along its ray to minimise Eqn 5 of Stereo4D:
    "corrected_objective" without its dependence on the world's origin and with no stencil beyond the ends of the clip, and
    "published_objective" exactly as published, both by damped Gauss-Newton to the minimum;
    "reference" by the published 100 Adam steps. The last two also drop samples within two frames of an unseen one, as published.

    Args:
        tracks_3d: N tracks of T frames.
        cameras: T cameras. Samples of frames without a pose come back unknown.
        tracks_2d: The same tracks in the image: the default mode weighs each position by its `sigma_px`; without, all are taken to
            be alike.
        mode: What is minimised and how.
        options: Settings.
        report: Told after each chunk of tracks.

    Returns:
        The tracks at their new positions; NaN and not visible where the input is unknown. `motion` is the posterior of moving
        (the published weight of the dynamic term in the last two modes); `sigma` the standard deviation of each position in the
        default mode, None in the others, which have no scale for it.

    Raises:
        UserError: tracks and cameras differ in their number of frames.
    """
    check_frames(tracks_3d, cameras)
    options = options or OptimizeOptions()
    if mode == "default":
        return _most_likely(tracks_3d, cameras, sigma_of(tracks_2d), options, report)
    if mode not in ("corrected_objective", "published_objective", "reference"):
        raise UserError(f'The mode is "{mode}", but "default", "corrected_objective", "published_objective" or "reference" is needed.')
    return _minimise_objective(tracks_3d, cameras, mode, options, report)


def erode_in_time(visible: B, frames: int) -> B:
    """(N, T) samples whose `frames` neighbours on either side are visible too; beyond the ends of the clip all are."""
    kept = visible.copy()
    for shift in range(1, min(frames, visible.shape[1] - 1) + 1):
        kept[:, shift:] &= visible[:, :-shift]
        kept[:, :-shift] &= visible[:, shift:]
    return kept


def _most_likely(tracks_3d: Tracks3D, cameras: Cameras, sigma_px: NDArray | None, options: OptimizeOptions, report: Report) -> Tracks3D:
    """The default mode."""
    N, T = tracks_3d.visible.shape
    noise = estimate_noise(tracks_3d, cameras, sigma_px, options.noise)
    xyz = large_full((N, T, 3), np.nan, np.float32)
    sigma = large_full((N, T), np.nan, np.float32)
    visible = large_full((N, T), False, np.bool_)
    motion = np.zeros(N, np.float32)
    step = rows_at_once(_CHUNK, T)

    def optimise_some(start: int) -> int:
        rows = np.arange(start, min(start + step, N))
        seen = see(tracks_3d, cameras, sigma_px, options.noise, rows)
        point, residual, variance = still_points(seen, noise)
        motion[rows] = moving_probability(residual, noise, options.label)
        xyz[rows] = point[:, None]
        sigma[rows] = np.sqrt(variance)[:, None] * max(noise.depth_slow, noise.pixel_slow)
        moving = np.flatnonzero(motion[rows] > 0.5)
        path, path_variance = np.empty((len(moving), T, 3)), np.empty((len(moving), T))
        smooth_paths(
            seen.seen[moving],
            seen.known[moving],
            seen.sigma[moving],
            seen.pixel_sigma[moving],
            seen.R_cw,
            seen.centres,
            noise.pixel_scale,
            noise.depth_scale,
            noise.depth_slow,
            options.start_half_window,
            options.iterations,
            options.usual_acceleration,
            path,
            path_variance,
        )
        xyz[rows[moving]] = path
        sigma[rows[moving]] = np.sqrt(path_variance)
        visible[rows] = seen.known
        given = _between_samples(seen.known) if options.fill_gaps else seen.known
        xyz[rows] = np.where(given[..., None], xyz[rows], np.nan)
        sigma[rows] = np.where(given, sigma[rows], np.nan)
        return int(rows[-1]) + 1

    for done in in_order(optimise_some, range(0, N, step)):
        report(done, N)
    return Tracks3D(xyz, visible, tracks_3d.rgb, motion, sigma)


def _between_samples(known: B) -> B:
    """(N, T) frames from the first to the last known one."""
    return np.logical_or.accumulate(known, axis=1) & np.logical_or.accumulate(known[:, ::-1], axis=1)[:, ::-1]


def _minimise_objective(tracks_3d: Tracks3D, cameras: Cameras, mode: Mode, options: OptimizeOptions, report: Report) -> Tracks3D:
    """Eqn 5, along the rays."""
    N, T = tracks_3d.visible.shape
    known = known_samples(tracks_3d, cameras)
    corrected = mode == "corrected_objective"
    valid = known if corrected else erode_in_time(known, options.erosion)
    weight = published_motion_weight(scene_motion(tracks_3d, cameras), valid)
    centres = np.nan_to_num(cameras.centres)
    xyz = np.full((N, T, 3), np.nan, np.float32)
    for start in range(0, N, _CHUNK):
        part = slice(start, start + _CHUNK)
        p = np.where(valid[part][..., None], tracks_3d.xyz[part], 0.0).astype(np.float64)
        ray = p - centres
        distance = np.linalg.norm(ray, axis=-1) + 1e-8
        ray /= distance[..., None]
        d = np.zeros(valid[part].shape)
        if mode == "reference":
            adam(p, ray, distance, valid[part], weight[part], options.adam_steps, options.adam_rate_m, d)
        else:
            minimise(p, ray, distance, valid[part], weight[part], corrected, options.objective_iterations, options.objective_tolerance, d)
        xyz[part] = np.where(valid[part][..., None], p + d[..., None] * ray, np.nan)
        report(min(start + _CHUNK, N), N)
    return replace(tracks_3d, xyz=xyz, visible=valid, motion=weight.astype(np.float32), sigma=None)


def noise_of(tracks_3d: Tracks3D, cameras: Cameras, tracks_2d: Tracks2D | None = None, *, options: NoiseOptions | None = None) -> Noise:
    """The errors of a clip as its still tracks show them: for quality reports."""
    check_frames(tracks_3d, cameras)
    return estimate_noise(tracks_3d, cameras, sigma_of(tracks_2d), options or NoiseOptions())
