"""The example clips: a street in VR180, a room in stereo, a walk with a phone, each from a name and a seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.poses import invert
from toolkit.progress import Report, silent
from toolkit.scene import F32, B, Cameras, Kind, StereoVideo, Video
from toolkit.synthetic.clips import HALF_SPHERE, VR180_BASELINE_M, Layout, render_geometry, render_pinhole, render_stereo, render_vr180
from toolkit.synthetic.motions import Handheld, Motion
from toolkit.synthetic.places import room, street
from toolkit.synthetic.tracks import TrueFlow, TrueTracks, true_flow, true_tracks
from toolkit.synthetic.world import World

Name = Literal["street", "room", "handheld"]
FPS = 30.0
Writer = Callable[..., Any]


@dataclass(frozen=True)
class Recipe:
    """How an example is filmed.

    Attributes:
        kind: What kind of recording it is.
        place: Makes the world from a seed.
        camera: Path of the (left) camera in the world's own axes.
        fov_deg: Horizontal field of view of the pinhole view.
        baseline_m: Distance between the eyes; 0 for one camera.
    """

    kind: Kind
    place: Callable[[int], World]
    camera: Motion
    fov_deg: float
    baseline_m: float


RECIPES: dict[Name, Recipe] = {
    # 0.75 m/s: about 1.2 m of walk in 50 frames.
    "street": Recipe("vr180", street, Handheld((0.2, -1.6, -1.0), (0.08, 0, 0.75)), 60.0, VR180_BASELINE_M),
    "room": Recipe("stereo", room, Handheld((-0.15, -1.35, -1.6), (0.25, 0, 0.3), pitch_deg=-8), 60.0, 0.10),
    "handheld": Recipe("mono", street, Handheld((-2.6, -1.55, -3.0), (0.5, 0, 0.8), yaw_deg=14, turn_deg_s=-5), 65.0, 0.0),
}


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """A generated recording and the truth about it. The world's axes are those of the first (left) camera; units are metres.

    Attributes:
        name: Of the example.
        kind: "vr180", "stereo" or "mono".
        world: What was filmed.
        video: The recording as a person would have it: both eyes in one frame for VR180 and stereo.
        layout: How two eyes share a frame: "mono", "side-by-side", "top-bottom".
        stereo: The rectified pair, for stereo.
        cameras: Pinhole (left) camera of each frame, in whose pixels the truth lives; for VR180 a straight view cut from the left eye.
        depth_m: (T, H, W) float32 z-depth of that view, NaN in the sky.
        object_ids: (T, H, W) int16, 0 in the sky; names in `world.object_names`.
        moving: (T, H, W) whether the pixel shows something that moves.
        disparity_px: (T, H, W) float32 of the left eye, for stereo.
        seen_by_both: (T, H, W) which left pixels the right eye sees too, for stereo.
        baseline_m: Distance between the eyes; 0 for one camera.
        fov_bounds_deg: Yaw and tilt bounds of one VR180 eye, on pixel centres.
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
    disparity_px: F32 | None = None
    seen_by_both: B | None = None
    baseline_m: float = 0.0
    fov_bounds_deg: tuple[float, float, float, float] | None = None

    def tracks(self, queries: ArrayLike | None = None, *, grid: tuple[int, int] = (32, 32), every: int = 10) -> TrueTracks:
        """Exact tracks of queries (N, 3) (t, x, y); by default a grid on every `every`-th frame."""
        if queries is None:
            (w, h), (n, m) = self.cameras.size[0], grid
            x, y = np.meshgrid((np.arange(n) + 0.5) * w / n, (np.arange(m) + 0.5) * h / m)
            one = np.stack([np.zeros(x.size), x.ravel(), y.ravel()], 1)
            queries = np.concatenate([one + [t, 0, 0] for t in range(0, len(self.cameras), every)])
        return true_tracks(self.world, self.cameras, self.video.times_s, queries)

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
    seed: int = 0,
    report: Report = silent,
) -> SyntheticClip:
    """A generated recording with its truth.

    Args:
        name: "street" (VR180), "room" (rectified stereo), "handheld" (one phone camera).
        frames: Length, at 30 frames per second.
        size: (width, height) of the pinhole view.
        eye_size: (width, height) of one VR180 eye.
        layout: How two eyes share a frame.
        seed: Another seed builds another street and shuffles what stands in it.
        report: Called after each frame; may raise `Cancelled`.
    """
    if name not in RECIPES:
        raise UserError(f'There is no example "{name}"; there are {", ".join(RECIPES)}.')
    if frames < 1:
        raise UserError(f"An example of {frames} frames was asked for, but it needs at least one.")
    recipe = RECIPES[name]
    times = np.arange(frames) / FPS
    T_sc = np.stack([recipe.camera(t) for t in times])
    world = recipe.place(seed).seen_from(T_sc[0])
    T_wc = invert(T_sc[0]) @ T_sc
    T_wc[0] = np.eye(4)  # Exactly, not up to round-off.
    cameras = Cameras.from_poses(intrinsics_from_fov(recipe.fov_deg, size), T_wc, size)
    if recipe.kind == "vr180":
        video = render_vr180(world, cameras.T_wc, times, baseline_m=recipe.baseline_m, eye_size=eye_size, layout=layout, report=report)
        truth = render_geometry(world, cameras, times)
        return SyntheticClip(name, "vr180", world, video, layout, cameras, *truth, baseline_m=recipe.baseline_m, fov_bounds_deg=HALF_SPHERE)
    if recipe.kind == "mono":
        clip = render_pinhole(world, cameras, times, report=report)
        return SyntheticClip(name, "mono", world, clip.video, "mono", cameras, clip.depth_m, clip.object_ids, clip.moving)
    pair = render_stereo(world, cameras, times, baseline_m=recipe.baseline_m, report=report)
    left, axis = pair.left, 2 if layout == "side-by-side" else 1
    both = Video(np.concatenate([pair.stereo.left.frames, pair.stereo.right.frames], axis=axis), times)
    clip = SyntheticClip(name, "stereo", world, both, layout, cameras, left.depth_m, left.object_ids, left.moving)
    return replace(clip, stereo=pair.stereo, disparity_px=pair.disparity_px, seen_by_both=pair.seen_by_both, baseline_m=recipe.baseline_m)


def write_example(
    folder: str | os.PathLike[str],
    name: Name,
    *,
    writer: Callable[..., Any] | None = None,
    grid: tuple[int, int] = (24, 24),
    **options: Any,
) -> dict[str, Path]:
    """Stores an example as `<name>.mp4` and its truth as `<name>.truth.npz` (plain arrays, no pickle).

    Args:
        folder: Made where missing.
        name: Which example.
        writer: Called as writer(path, frames (T, H, W, 3), fps); `toolkit.media`'s by default.
        grid: Grid of true tracks, on every tenth frame.
        options: As for `example`.

    Returns:
        The files by their role: "video", "truth".
    """
    if writer is None:
        from toolkit.media.video import write_video as writer
    clip = example(name, **options)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"video": folder / f"{name}.mp4", "truth": folder / f"{name}.truth.npz"}
    writer(paths["video"], clip.video.frames, FPS)
    with open(paths["truth"].with_suffix(".part"), "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **truth_arrays(clip, grid=grid))
    paths["truth"].with_suffix(".part").replace(paths["truth"])
    return paths


def truth_arrays(clip: SyntheticClip, *, grid: tuple[int, int] = (24, 24)) -> dict[str, NDArray]:
    """What `write_example` stores: cameras, depth in millimetres (uint16, 0 where unknown or beyond 65 m), ids, tracks."""
    tracks = clip.tracks(grid=grid)
    millimetres = np.nan_to_num(1000 * clip.depth_m)
    arrays: dict[str, Any] = {
        "K": clip.cameras.K,
        "T_wc": clip.cameras.T_wc,
        "size": clip.cameras.size,
        "times_s": clip.video.times_s,
        "depth_mm": np.where(millimetres < 2**16 - 0.5, np.rint(millimetres), 0).astype(np.uint16),
        "object_ids": clip.object_ids,
        "object_names": np.array(clip.world.object_names),
        "moving": clip.moving,
        "baseline_m": np.array(clip.baseline_m),
        "fov_bounds_deg": np.array(clip.fov_bounds_deg if clip.fov_bounds_deg else [np.nan] * 4),
        "tracks_xyz_w": tracks.xyz_w.astype(np.float32),
        "tracks_xy": tracks.xy.astype(np.float32),
        "tracks_visible": tracks.visible,
        "tracks_object_id": tracks.object_id,
        "tracks_moving": tracks.moving,
        "tracks_queries": tracks.queries,
    }
    return arrays
