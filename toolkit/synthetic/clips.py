"""Films of a world through pinhole, rectified stereo and VR180 cameras, each with its exact geometry."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import unproject
from toolkit.geometry.projections import BoundsOn
from toolkit.geometry.sampling import pixel_centres
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, B, Cameras, StereoVideo, Video
from toolkit.synthetic import raycast
from toolkit.synthetic.world import World

Layout = Literal["side-by-side", "top-bottom"]
Bounds = tuple[float, float, float, float]
HALF_SPHERE: Bounds = (-90.0, 90.0, -90.0, 90.0)
VR180_BASELINE_M = 0.063  # Stereo4D fixes the distance between the eyes to it; VR180 cameras are built to it.
_EDGE_RAYS = 2  # 2 x 2 rays where surfaces meet; textures need none, they are filtered.


@dataclass(frozen=True, eq=False)
class View:
    """One picture and what each of its rays met.

    Attributes:
        rgb: (H, W, 3) uint8; empty (0, 0, 3) where only geometry was asked for.
        distance: (H, W) float64 multiple of the pixel's ray: z-depth for pinhole rays, metres for unit rays; inf in the sky.
        body: (H, W) rigid body, -1 in the sky.
        object_id: (H, W) int16, 0 in the sky.
    """

    rgb: U8
    distance: F64
    body: NDArray[np.int64]
    object_id: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Clip:
    """A film of one pinhole camera with exact geometry.

    Attributes:
        video: Its frames.
        cameras: Its camera in each frame.
        depth_m: (T, H, W) float32 z-depth at pixel centres, NaN in the sky.
        object_ids: (T, H, W) int16, 0 in the sky; names in `World.object_names`.
        moving: (T, H, W) whether the pixel shows something that moves in the world.
    """

    video: Video
    cameras: Cameras
    depth_m: F32
    object_ids: NDArray[np.int16]
    moving: B


@dataclass(frozen=True, eq=False)
class StereoClip:
    """A film of a rectified pair with exact geometry of the left eye.

    Attributes:
        stereo: Both eyes.
        left: The left eye.
        disparity_px: (T, H, W) float32 of the left eye, 0 in the sky (it is infinitely far).
        seen_by_both: (T, H, W) whether the right eye sees the surface too, within its picture.
    """

    stereo: StereoVideo
    left: Clip
    disparity_px: F32
    seen_by_both: B


def pinhole_rays(K: NDArray, size: tuple[int, int]) -> F64:
    """(H, W, 3) rays with z = 1 through the pixel centres of a (width, height) image, in camera axes."""
    xy = pixel_centres(size)
    return np.stack([(xy[..., 0] - K[0, 2]) / K[0, 0], (xy[..., 1] - K[1, 2]) / K[1, 1], np.ones(xy.shape[:2])], -1)


def equirect_rays(size: tuple[int, int], fov_bounds_deg: Bounds = HALF_SPHERE, *, bounds_on: BoundsOn = "centres") -> F64:
    """(H, W, 3) unit rays of an equirect image, in camera axes.

    Args:
        size: (width, height).
        fov_bounds_deg: First yaw, last yaw, top tilt, bottom tilt (tilt grows downward).
        bounds_on: Whether the bounds lie on the centres of the outermost pixels, as Stereo4D has it, or on the picture's edges.
    """
    inset = 0.0 if bounds_on == "centres" else 0.5
    yaw0, yaw1, tilt0, tilt1 = np.deg2rad(fov_bounds_deg)
    lon = yaw0 + (yaw1 - yaw0) * (np.arange(size[0]) + inset) / (size[0] - 1 + 2 * inset)
    lat = tilt0 + (tilt1 - tilt0) * (np.arange(size[1]) + inset) / (size[1] - 1 + 2 * inset)
    lon, lat = lon[None, :], lat[:, None]
    return np.stack([np.cos(lat) * np.sin(lon), np.sin(lat) * np.ones_like(lon), np.cos(lat) * np.cos(lon)], -1)


def look(world: World, rays: F64, T_wc: NDArray, time_s: float, *, pixel: float, paint: bool = True) -> View:
    """One picture of a world.

    Args:
        world: What is looked at.
        rays: (H, W, 3) one ray per pixel in camera axes, neighbours close together.
        T_wc: (4, 4) world-from-camera.
        time_s: Seconds.
        pixel: Distance between neighbouring rays, per unit of distance; textures are filtered by it.
        paint: False leaves the colours out.
    """
    moment = world.at(time_s)
    o, R = np.ascontiguousarray(T_wc[:3, 3], np.float64), np.ascontiguousarray(T_wc[:3, :3], np.float64)
    rays = np.ascontiguousarray(rays, np.float64)
    distance, key = np.empty(rays.shape[:2]), np.empty(rays.shape[:2], np.int64)
    raycast.trace_image(moment, o, R, rays, pixel, distance, key)
    rgb = np.empty(rays.shape if paint else (0, 0, 3), np.uint8)
    if paint:
        raycast.paint_image(moment, o, R, rays, pixel, distance, key, _EDGE_RAYS, rgb)
    body, object_id = world.owners(key)
    return View(rgb, distance, body, object_id)


def look_pinhole(world: World, K: NDArray, size: tuple[int, int], T_wc: NDArray, time_s: float, *, paint: bool = True) -> View:
    """One picture of a pinhole camera; `distance` is its z-depth."""
    return look(world, pinhole_rays(K, size), T_wc, time_s, pixel=1.0 / float(min(K[0, 0], K[1, 1])), paint=paint)


def render_pinhole(world: World, cameras: Cameras, times_s: ArrayLike, *, report: Report = silent) -> Clip:
    """A film of one camera.

    Args:
        world: What is filmed.
        cameras: Camera of each frame; all of one size.
        times_s: (T,) seconds.
        report: Called after each frame; may raise `Cancelled`.
    """
    times = _times(times_s, len(cameras))
    size = _one_size(cameras)
    views = []
    for t, time_s in enumerate(times):
        views.append(look_pinhole(world, cameras.K[t], size, cameras.T_wc[t], time_s))
        report(t + 1, len(times))
    return _clip(world, views, cameras, times)


def render_geometry(world: World, cameras: Cameras, times_s: ArrayLike) -> tuple[F32, NDArray[np.int16], B]:
    """Depth, object ids and moving pixels of `render_pinhole` without its pictures, several times faster."""
    times, size = _times(times_s, len(cameras)), _one_size(cameras)
    views = [look_pinhole(world, K, size, T, t, paint=False) for K, T, t in zip(cameras.K, cameras.T_wc, times, strict=True)]
    return _geometry(world, views)


def render_stereo(world: World, cameras: Cameras, times_s: ArrayLike, *, baseline_m: float = 0.1, report: Report = silent) -> StereoClip:
    """A film of a rectified pair.

    Args:
        world: What is filmed.
        cameras: LEFT camera of each frame; all of one K and size.
        times_s: (T,) seconds.
        baseline_m: The right camera stands this far along the left one's x axis, in metres.
        report: Called after each frame; may raise `Cancelled`.
    """
    times, size = _times(times_s, len(cameras)), _one_size(cameras)
    if not np.all(cameras.K == cameras.K[0]):
        raise UserError("The cameras of a stereo film have different K, but a rectified pair shares one.")
    K, T_wr = cameras.K[0], right_of(cameras.T_wc, baseline_m)
    lefts, rights, both = [], [], []
    for t, time_s in enumerate(times):
        lefts.append(look_pinhole(world, K, size, cameras.T_wc[t], time_s))
        rights.append(look_pinhole(world, K, size, T_wr[t], time_s).rgb)
        both.append(_seen_by(world, lefts[-1], K, size, cameras.T_wc[t], T_wr[t], time_s, K[0, 0] * baseline_m))
        report(t + 1, len(times))
    left = _clip(world, lefts, cameras, times)
    disparity = np.nan_to_num(K[0, 0] * baseline_m / left.depth_m).astype(np.float32)
    stereo = StereoVideo(left.video, Video(np.stack(rights), times), K, baseline_m)
    return StereoClip(stereo, left, disparity, np.stack(both))


def render_vr180(
    world: World,
    T_wc: NDArray,
    times_s: ArrayLike,
    *,
    baseline_m: float = VR180_BASELINE_M,
    eye_size: tuple[int, int] = (960, 960),
    layout: Layout = "side-by-side",
    fov_bounds_deg: Bounds = HALF_SPHERE,
    bounds_on: BoundsOn = "centres",
    rectified2rig: NDArray | None = None,
    report: Report = silent,
) -> Video:
    """A VR180 film: two equirect half spheres in one frame, left eye first (left, or on top).

    Args:
        world: What is filmed.
        T_wc: (T, 4, 4) world-from-camera of the LEFT eye; the right one stands `baseline_m` along its x axis, looking the same way.
        times_s: (T,) seconds.
        baseline_m: Distance between the eyes, in metres.
        eye_size: (width, height) of one eye.
        layout: How the eyes share the frame.
        fov_bounds_deg: See `equirect_rays`.
        bounds_on: See `equirect_rays`.
        rectified2rig: (2, 3, 3) for a rig whose lenses are not aligned: turns a ray of the aligned left or right eye into one of its
            lens (d_lens = M d), as Stereo4D stores it; None for an aligned rig.
        report: Called after each frame; may raise `Cancelled`.
    """
    if layout not in ("side-by-side", "top-bottom"):
        raise UserError(f'The layout is "{layout}", but "side-by-side" or "top-bottom" is needed.')
    times = _times(times_s, len(T_wc))
    rays = equirect_rays(eye_size, fov_bounds_deg, bounds_on=bounds_on)
    yaw0, yaw1, tilt0, tilt1 = np.deg2rad(fov_bounds_deg)
    pixel = float(max((yaw1 - yaw0) / (eye_size[0] - 1), (tilt1 - tilt0) / (eye_size[1] - 1)))
    T_wr = right_of(T_wc, baseline_m)
    lens = np.stack([np.eye(3)] * 2) if rectified2rig is None else np.asarray(rectified2rig, np.float64)
    if lens.shape != (2, 3, 3):
        raise UserError(f"rectified2rig has shape {lens.shape}, but (2, 3, 3) is needed: one rotation for each eye.")
    across = int(layout == "side-by-side")
    frames = np.empty((len(times), eye_size[1] * (2 - across), eye_size[0] * (1 + across), 3), np.uint8)
    for t, time_s in enumerate(times):
        eyes = [look(world, rays @ M, T[t], time_s, pixel=pixel).rgb for T, M in zip((T_wc, T_wr), lens, strict=True)]
        np.concatenate(eyes, axis=across, out=frames[t])
        report(t + 1, len(times))
    return Video(frames, times)


def right_of(T_wc: NDArray, baseline_m: float) -> F64:
    """(..., 4, 4) the same cameras moved `baseline_m` along their x axes."""
    T = np.array(T_wc, np.float64)
    T[..., :3, 3] += baseline_m * T[..., :3, 0]
    return T


def _seen_by(world: World, left: View, K: F64, size: tuple[int, int], T_wl: F64, T_wr: F64, time_s: float, scale: float) -> B:
    """Which left pixels the right eye sees too; `scale` is focal length times baseline."""
    xy, solid = pixel_centres(size), left.body >= 0
    inside = xy[..., 0] - scale / left.distance >= 0
    out = np.zeros(solid.shape, bool)
    xyz_w = unproject(xy[solid], left.distance[solid], K, T_wl)
    out[solid] = world.reaches(np.broadcast_to(T_wr[:3, 3], xyz_w.shape), xyz_w, time_s)
    if not solid.all():
        d = pinhole_rays(K, size)[~solid] @ T_wr[:3, :3].T
        out[~solid] = world.cast(T_wr[:3, 3], d, time_s).distance == inf
    return out & inside


def _clip(world: World, views: list[View], cameras: Cameras, times: F64) -> Clip:
    return Clip(Video(np.stack([v.rgb for v in views]), times), cameras, *_geometry(world, views))


def _geometry(world: World, views: list[View]) -> tuple[F32, NDArray[np.int16], B]:
    depth = np.stack([np.where(v.body >= 0, v.distance, np.nan).astype(np.float32) for v in views])
    moving = np.stack([(v.body >= 0) & world.moves[np.maximum(v.body, 0)] for v in views])
    return depth, np.stack([v.object_id for v in views]), moving


def _times(times_s: ArrayLike, frames: int) -> F64:
    times = np.asarray(times_s, np.float64)
    if times.shape != (frames,):
        raise UserError(f"times_s has shape {times.shape}, but ({frames},) is needed: one moment for each camera.")
    return times


def _one_size(cameras: Cameras) -> tuple[int, int]:
    if not np.all(cameras.size == cameras.size[0]):
        raise UserError("The cameras have different picture sizes, but a film needs one.")
    return int(cameras.size[0, 0]), int(cameras.size[0, 1])
