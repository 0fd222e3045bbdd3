"""The example clips, each from a name and a seed: a street in VR180, a room in stereo, a walk with a phone, a stage from four sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.poses import invert
from toolkit.geometry.projections import BoundsOn
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, B, Cameras, DepthVideo, Kind, MultiViewVideo, Scene, StereoVideo, Video
from toolkit.synthetic.clips import (
    HALF_SPHERE,
    VR180_BASELINE_M,
    Bounds,
    Layout,
    render_geometry,
    render_pinhole,
    render_stereo,
    render_vr180,
)
from toolkit.synthetic.motions import Handheld, Motion, pose
from toolkit.synthetic.places import room, stage, street
from toolkit.synthetic.tracks import TrueFlow, TrueTracks, true_flow, true_tracks
from toolkit.synthetic.world import World

Name = Literal["street", "room", "handheld", "ring"]
FPS = 30.0


@dataclass(frozen=True)
class Tripod:
    """A camera that stands on a circle of 4.2 m around the middle of a stage, 1.9 m high, and looks at it.

    Attributes:
        side_deg: Where on the circle.
    """

    side_deg: float

    def __call__(self, time_s: float) -> F64:
        """Pose at a time."""
        angle = np.deg2rad(self.side_deg)
        return pose((4.2 * np.sin(angle), -1.9, -4.2 * np.cos(angle)), yaw_deg=-self.side_deg, pitch_deg=-12)


@dataclass(frozen=True)
class Recipe:
    """How an example is filmed.

    Attributes:
        kind: What kind of recording it is.
        place: Makes the world from a seed.
        cameras: Path of the (left) camera in the world's own axes; one for each view.
        fov_deg: Horizontal field of view of the pinhole view.
        baseline_m: Distance between the eyes; 0 for one camera.
    """

    kind: Kind
    place: Callable[[int], World]
    cameras: tuple[Motion, ...]
    fov_deg: float
    baseline_m: float = 0.0


RECIPES: dict[Name, Recipe] = {
    # 0.75 m/s: about 1.2 m of walk in 50 frames.
    "street": Recipe("vr180", street, (Handheld((0.2, -1.6, -1.0), (0.08, 0, 0.75)),), 60.0, VR180_BASELINE_M),
    "room": Recipe("stereo", room, (Handheld((-0.15, -1.35, -1.6), (0.25, 0, 0.3), pitch_deg=-8),), 60.0, 0.10),
    "handheld": Recipe("mono", street, (Handheld((-4.3, -1.55, -1.9), (0.06, 0, 0.8), yaw_deg=22, turn_deg_s=-2.5),), 65.0),
    "ring": Recipe("multiview", stage, tuple(Tripod(90.0 * k) for k in range(4)), 60.0),
}


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """A generated recording and the truth about it. The world's axes are those of the first (left) camera; units are metres.

    Attributes:
        name: Of the example.
        kind: "vr180", "stereo", "mono" or "multiview".
        world: What was filmed.
        video: The recording as a person would have it: both eyes in one frame for VR180 and stereo; the first of several views.
        layout: How two eyes share a frame: "mono", "side-by-side", "top-bottom".
        stereo: The rectified pair, for stereo.
        views: All views with their depth, for multiview; the other attributes are those of the first.
        cameras: Pinhole (left) camera of each frame, in whose pixels the truth lives; for VR180 a straight view cut from the left eye.
        depth_m: (T, H, W) float32 z-depth of that view, NaN in the sky.
        object_ids: (T, H, W) int16, 0 in the sky; names in `world.object_names`.
        moving: (T, H, W) whether the pixel shows something that moves.
        disparity_px: (T, H, W) float32 of the left eye, for stereo.
        seen_by_both: (T, H, W) which left pixels the right eye sees too, for stereo.
        baseline_m: Distance between the eyes; 0 for one camera.
        fov_bounds_deg: Yaw and tilt bounds of one VR180 eye.
        bounds_on: Where those bounds lie.
    """

    name: str
    kind: Kind
    world: World
    video: Video
    layout: str
    cameras: Cameras
    depth_m: F32
    object_ids: NDArray[np.int16]
    moving: B
    stereo: StereoVideo | None = None
    views: MultiViewVideo | None = None
    disparity_px: F32 | None = None
    seen_by_both: B | None = None
    baseline_m: float = 0.0
    fov_bounds_deg: Bounds | None = None
    bounds_on: BoundsOn = "centres"

    def tracks(self, queries: ArrayLike | None = None, *, grid: tuple[int, int] = (32, 32), every: int = 10) -> TrueTracks:
        """Exact tracks of queries (N, 3) (t, x, y); by default a grid on every `every`-th frame."""
        if queries is None:
            (w, h), (n, m) = self.cameras.size[0], grid
            x, y = np.meshgrid((np.arange(n) + 0.5) * w / n, (np.arange(m) + 0.5) * h / m)
            one = np.stack([np.zeros(x.size), x.ravel(), y.ravel()], 1)
            queries = np.concatenate([one + [t, 0, 0] for t in range(0, len(self.cameras), every)])
        return true_tracks(self.world, self.cameras, self.video.times_s, queries)

    def truth(self, *, grid: tuple[int, int] = (32, 32), every: int = 10) -> Scene:
        """The truth as a scene, with tracks of a grid on every `every`-th frame; its video is missing for VR180."""
        tracks = self.tracks(grid=grid, every=every)
        tracks = replace(tracks, **{name: value[tracks.object_id > 0] for name, value in vars(tracks).items()})
        depth = DepthVideo(self.depth_m, np.isfinite(self.depth_m).astype(np.float32))
        video = self.stereo.left if self.stereo is not None else None if self.kind == "vr180" else self.video
        return Scene(self.cameras, tracks.tracks_2d, tracks.tracks_3d, depth, method="synthetic", video=video)

    def flow(self, start: int, stop: int) -> TrueFlow:
        """Exact flow from frame `start` to frame `stop`."""
        return true_flow(self.world, self.cameras, self.video.times_s, start, stop)


def example(
    name: Name = "street",
    *,
    frames: int = 50,
    size: tuple[int, int] = (512, 512),
    eye_size: tuple[int, int] = (960, 960),
    layout: Layout = "side-by-side",
    bounds_on: BoundsOn = "centres",
    noise: float = 0.0,
    seed: int = 0,
    report: Report = silent,
) -> SyntheticClip:
    """A generated recording with its truth.

    Args:
        name: "street" (VR180), "room" (rectified stereo), "handheld" (one phone camera), "ring" (four cameras that stand around).
        frames: Length, at 30 frames per second.
        size: (width, height) of the pinhole view.
        eye_size: (width, height) of one VR180 eye.
        layout: How two eyes share a frame.
        bounds_on: Where the bounds of a VR180 eye lie: on pixel centres, as in Stereo4D's data, or on the picture's edges.
        noise: Standard deviation of the camera's noise, in grey levels of 255 per channel.
        seed: Another seed builds another street and shuffles what stands and moves in it.
        report: Called after each frame; may raise `Cancelled`.
    """
    if name not in RECIPES:
        raise UserError(f'There is no example "{name}"; there are {", ".join(RECIPES)}.')
    if frames < 1:
        raise UserError(f"An example of {frames} frames was asked for, but it needs at least one.")
    recipe, times = RECIPES[name], np.arange(frames) / FPS
    T_sc = np.stack([[motion(float(t)) for t in times] for motion in recipe.cameras])
    T_wc = invert(T_sc[0, 0]) @ T_sc
    T_wc[0, 0] = np.eye(4)  # Exactly, not up to round-off.
    world = recipe.place(seed).seen_from(T_sc[0, 0])
    every = tuple(Cameras.from_poses(intrinsics_from_fov(recipe.fov_deg, size), T, size) for T in T_wc)
    cameras, baseline_m, rng = every[0], recipe.baseline_m, np.random.default_rng(seed)
    if recipe.kind == "vr180":
        film = render_vr180(
            world, T_wc[0], times, baseline_m=baseline_m, eye_size=eye_size, layout=layout, bounds_on=bounds_on, report=report
        )
        film = Video(_with_noise(film.frames, noise, rng), times)
        truth = render_geometry(world, cameras, times)
        clip = SyntheticClip(name, "vr180", world, film, layout, cameras, *truth, baseline_m=baseline_m)
        return replace(clip, fov_bounds_deg=HALF_SPHERE, bounds_on=bounds_on)
    if recipe.kind == "stereo":
        pair = render_stereo(world, cameras, times, baseline_m=baseline_m, report=report)
        left = pair.left
        left_eye, right_eye = (Video(_with_noise(eye.frames, noise, rng), times) for eye in (pair.stereo.left, pair.stereo.right))
        both = Video(np.concatenate([left_eye.frames, right_eye.frames], axis=2 if layout == "side-by-side" else 1), times)
        clip = SyntheticClip(name, "stereo", world, both, layout, cameras, left.depth_m, left.object_ids, left.moving)
        stereo = StereoVideo(left_eye, right_eye, pair.stereo.K, baseline_m)
        return replace(clip, stereo=stereo, disparity_px=pair.disparity_px, seen_by_both=pair.seen_by_both, baseline_m=baseline_m)
    films = [render_pinhole(world, view, times, report=report) for view in every]
    videos = tuple(Video(_with_noise(film.video.frames, noise, rng), times) for film in films)
    first = films[0]
    clip = SyntheticClip(name, recipe.kind, world, videos[0], "mono", cameras, first.depth_m, first.object_ids, first.moving)
    return clip if len(films) == 1 else replace(clip, views=MultiViewVideo(videos, every, tuple(film.depth_m for film in films)))


def _with_noise(frames: U8, level: float, rng: np.random.Generator) -> U8:
    """Frames with the noise of a sensor."""
    if level == 0:
        return frames
    noisy = np.empty_like(frames)
    for frame, out in zip(frames, noisy, strict=True):
        out[:] = np.clip(np.rint(frame + level * rng.standard_normal(frame.shape, np.float32)), 0, 255)
    return noisy
