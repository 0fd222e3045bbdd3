"""How a camera that filmed from one place was turned in every frame: all that can be known of it where nothing shows depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolkit.progress import Report, silent
from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.parallax import ParallaxOptions, parallax
from toolkit.sfm.sightings import PLAIN, Sightings, of_video
from toolkit.sfm.turning import Turn, fit_turn
from toolkit.sfm.video_frames import FrameOptions, FramePoses
from toolkit.sfm.video_lens import Lens, LensOptions, pinhole_like, plausible, usual_focal_px, usual_lens, weighed_focal_px
from toolkit.sfm.video_points import VideoPoints
from toolkit.wording import counted

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class TurnOptions:
    """When a video is taken to be filmed from one place, and how its turns are found.

    Attributes:
        still: Least share of the picture that a mere turn must explain; the rest may move, or be near. No thing that moves fills so much
            of it while nothing else is explained by as much.
        most_frames: Frames that are fitted together; the others follow from the directions of points that these tell.
        steps: Of that fit, at most.
        rounds: Of the robust fit of each frame.
        frames: When a frame counts as placed.
        lens: What is believed of a lens that nobody told.
        parallax: How the share that a turn explains is counted.
    """

    still: float = 0.33
    most_frames: int = 120
    steps: int = 80
    rounds: int = 12
    frames: FrameOptions = field(default_factory=FrameOptions)
    lens: LensOptions = field(default_factory=LensOptions)
    parallax: ParallaxOptions = field(default_factory=ParallaxOptions)


@dataclass(frozen=True, eq=False)
class TurnedCamera:
    """A camera that stays in its place.

    Attributes:
        camera: Its lens.
        poses: Of all frames; the camera is always at the origin, the first frame that has a pose is the world.
        lens: What is known of the lens.
        share: Of the picture that a mere turn explains.
        degrees: How far it turns away from that first direction, at most.
    """

    camera: pycolmap.Camera
    poses: FramePoses
    lens: Lens
    share: float
    degrees: float


def turned_camera(
    points: VideoPoints,
    frames: list[int],
    camera: pycolmap.Camera,
    options: TurnOptions,
    *,
    fixed_lens: bool,
    seed: int = 0,
    report: Report = silent,
) -> TurnedCamera | None:
    """The turns of a camera in a video; None where a mere turn does not explain what most of the picture does.

    Args:
        points: Followed through the whole video.
        frames: The frames that are compared.
        camera: The lens, as it is known or assumed.
        options: How.
        fixed_lens: Whether the lens is known.
        seed: Of the random choice of points.
        report: Called per frame.
    """
    shot = _longest_shot(points)
    chosen = [t for t in frames if t in shot]
    if len(chosen) > options.most_frames:
        chosen = [chosen[k] for k in np.linspace(0, len(chosen) - 1, options.most_frames).round().astype(int)]
    found = _fitted(points, chosen, camera, options, fixed_lens, seed) if len(chosen) > 1 else None
    if found is None:
        return None
    camera, turn, lens, seen = found
    share = parallax(seen, None, options.parallax, turned=turn.square).still
    if share < options.still:
        return None
    poses = _placed(points, chosen, shot, camera, turn.R, options.frames, options.rounds, report)
    known = np.flatnonzero(np.isfinite(poses.T_cw[:, 0, 0]))
    if len(known) == 0:
        return None
    first = poses.T_cw[known[0], :3, :3].copy()
    poses.T_cw[known, :3, :3] = poses.T_cw[known, :3, :3] @ first.T
    ahead = poses.T_cw[known, 2, 2]
    return TurnedCamera(camera, poses, lens, share, float(np.degrees(np.arccos(np.clip(ahead, -1, 1)).max())))


def _longest_shot(points: VideoPoints) -> range:
    edges = [0, *points.cuts, len(points)]
    return max((range(a, b) for a, b in pairwise(edges)), key=len)


def _fitted(
    points: VideoPoints, frames: list[int], camera: pycolmap.Camera, options: TurnOptions, fixed_lens: bool, seed: int
) -> tuple[pycolmap.Camera, Turn, Lens, Sightings] | None:
    """The lens and the turns of some frames; the lens is the usual one where the turns don't tell it."""
    if not fixed_lens and camera.model_name in PLAIN and pinhole_like(camera):
        seen = of_video(points, camera, frames, seed=seed)
        if seen is None:
            return None
        turn = fit_turn(seen, options.steps)
        bent, usual_px = _bent(camera, turn.lens[0]), usual_focal_px(camera, options.lens)
        sigma = options.lens.correlated * float(turn.focal_sigma[0]) if plausible(bent, options.lens) else float("inf")
        if sigma < options.lens.unknown:
            return bent, turn, Lens(sigma), seen
        focal_px, sigma = weighed_focal_px(bent.mean_focal_length(), sigma, usual_px, options.lens)
        camera = usual_lens([camera], options.lens, focal_px)[0]
        lens = Lens(sigma, supposed=True)
    else:
        lens = Lens()
    seen = of_video(points, camera, frames, fixed_lens=True, seed=seed)
    return None if seen is None else (camera, fit_turn(seen, options.steps, fixed_lens=True), lens, seen)


def _bent(camera: pycolmap.Camera, lens: F64) -> pycolmap.Camera:
    """A camera with the focal length and the radial distortion that a turn was fitted with."""
    params = [camera.mean_focal_length() * float(np.exp(lens[0])), camera.width / 2, camera.height / 2, float(lens[1]), float(lens[2])]
    return load_pycolmap().Camera(model="RADIAL", width=camera.width, height=camera.height, params=params, camera_id=camera.camera_id)


def _placed(
    points: VideoPoints,
    frames: list[int],
    shot: range,
    camera: pycolmap.Camera,
    R: F64,
    options: FrameOptions,
    rounds: int,
    report: Report,
) -> FramePoses:
    """The turn of every frame of a shot, from the directions of the points that it shows."""
    count = len(points)
    px = min(1.0, 1000 / max(camera.width, camera.height))
    near = options.near_px / (camera.mean_focal_length() * px)
    direction = _directions(points, frames, camera, R, near)
    T_cw = np.full((count, 4, 4), np.nan)
    agreed, error, sigma = np.zeros(count, np.int64), np.full(count, np.nan), np.full(count, np.nan)
    reasons = ["it is in another shot than most of the clip"] * count
    for t in shot:
        report(t + 1, count)
        d = direction[points.ids[t]]
        rows = np.flatnonzero(np.isfinite(d[:, 0]))
        if len(rows) < options.fewest:
            reasons[t] = f"it shows only {counted(len(rows), 'point')} whose direction is known; {options.fewest} are needed"
            continue
        rays = _rays(camera, points.xy[t][rows])
        turn, off = _turned(d[rows], rays, near / 2, rounds)
        good = off < near
        agreed[t] = good.sum()
        if good.sum() < max(options.fewest, options.share * len(rows)):
            reasons[t] = f"{len(rows)} of its points have a direction, but only {good.sum()} agree on one turn"
            continue
        error[t] = float(off[good].mean()) * camera.mean_focal_length()
        # Each direction fixes the turns across it, to the error of its place.
        spread = max(float(np.median(off[good])) / 1.1774, 0.05 / (camera.mean_focal_length() * px))
        information = (np.eye(3) * good.sum() - rays[good].T @ rays[good]) / spread**2
        sigma[t] = np.degrees(np.sqrt(np.trace(np.linalg.pinv(information))))
        if sigma[t] > options.unsure_deg:
            reasons[t] = f"its direction is unsure by {sigma[t]:.1f} degrees; at most {options.unsure_deg:g} are allowed"
            continue
        T_cw[t], reasons[t] = np.eye(4), ""
        T_cw[t, :3, :3] = turn
    return FramePoses(T_cw, agreed, error, sigma, np.full(count, np.nan), reasons)


def _directions(points: VideoPoints, frames: list[int], camera: pycolmap.Camera, R: F64, near: float) -> F64:
    """(I, 3) direction of every followed point by its number, NaN of those that stray from one, as things do that move."""
    top = 1 + max((int(ids.max()) for ids in points.ids if len(ids)), default=0)
    total, count = np.zeros((top, 3)), np.zeros(top)
    for k, t in enumerate(frames):
        total[points.ids[t]] += _rays(camera, points.xy[t]) @ R[k]
        count[points.ids[t]] += 1
    length = np.linalg.norm(total, axis=1)
    # A mean of unit vectors is shorter than one by half of their mean squared angle to it.
    with np.errstate(invalid="ignore", divide="ignore"):
        steady = (count > 1) & (2 * (1 - length / count) < near**2)
        return np.where(steady[:, None], total / length[:, None], np.nan)


def _rays(camera: pycolmap.Camera, xy: NDArray) -> F64:
    """(n, 3) unit vectors in the camera."""
    flat = np.asarray(camera.cam_from_img(xy.astype(np.float64)), np.float64).reshape(-1, np.shape(xy)[-1])[:, :2]
    rays = np.column_stack([flat, np.ones(len(flat))])
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _turned(direction: F64, rays: F64, scale: float, rounds: int) -> tuple[F64, F64]:
    """Camera-from-world rotation that fits most of the directions, and (n,) angles in radians that it leaves over."""
    R, off, weight = np.eye(3), np.zeros(len(rays)), np.ones(len(rays))
    for k in range(rounds):
        U, _, Vt = np.linalg.svd((rays * weight[:, None]).T @ direction)
        R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
        off = np.linalg.norm(rays - direction @ R.T, axis=1)
        # Least absolute errors first, which half of the points can't mislead, then a loss that forgets what is far off.
        weight = 1 / np.maximum(off, 0.1 * scale) if k < rounds // 2 else 1 / (1 + (off / scale) ** 2) ** 2
    return np.asarray(R, np.float64), off
