"""The 3D video: tracks, coloured cloud and camera path seen from an eye that swings gently around the scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov, unproject
from toolkit.geometry.depth_edges import off_edges
from toolkit.geometry.poses import from_rotation, invert, nearest_rotation, view_rotation
from toolkit.scene import F32, F64, U8, Cameras, PointCloud, Scene
from toolkit.views import colours, legend
from toolkit.views.overlay import choose_indices, choose_tracks, moving_tracks
from toolkit.views.raster import draw_discs, draw_trails, splat

CAMERA_RGB = (120, 220, 160)


@dataclass(frozen=True)
class Flight:
    """The eye's way and what it sees.

    Attributes:
        fov_deg: Of the eye.
        pull_back: Distance of the eye from the centre, in distances of the cameras from it: outside, looking over their shoulder.
        yaw_deg: The eye swings so far to each side, once a clip, so that parallax shows depth.
        pitch_deg: How far the eye looks down on the scene.
        cloud_gain: Brightness of the static cloud, more for dark scenes; what the current frame sees is brighter.
        live_gain: Brightness of the current frame's own depth pixels.
        live_stride: Every so many of these are drawn, in x and y.
        live_confidence: Less certain depth is not drawn: what was filled in floats in the air when seen from the side.
        live_edge: Nor are pixels whose neighbourhood spans more than this share of their depth.
        trail_px: Width of trails at 512 px.
        frustum: Length of the drawn frustum, as a share of the distance to the centre.
    """

    fov_deg: float = 44.0
    pull_back: float = 1.9
    yaw_deg: float = 17.0
    pitch_deg: float = 14.0
    cloud_gain: float = 0.55
    live_gain: float = 0.95
    live_stride: int = 2
    live_confidence: float = 0.3
    live_edge: float = 0.1
    trail_px: float = 1.5
    frustum: float = 0.12


def draw_tracks_3d(
    scene: Scene,
    *,
    size: tuple[int, int] = (512, 512),
    trail: int = 16,
    max_tracks: int = 2048,
    seed: int = 0,
    flight: Flight | None = None,
) -> Iterator[U8]:
    """Frames of the fly-around video, one per frame of the clip, with a legend strip below.

    Args:
        scene: With 3D tracks; cloud, depth with video, and cameras are drawn where it has them.
        size: (width, height) of the picture.
        trail: Past frames that each moving track trails behind it.
        max_tracks: So many are drawn at most, moving ones first.
        seed: Of the choice.
        flight: How the eye moves.

    Yields:
        (height + h, width, 3) uint8 RGB, both sides even.

    Raises:
        UserError: the scene has no 3D tracks with a known position.
    """
    if scene.tracks_3d is None or not np.isfinite(scene.tracks_3d.xyz).any():
        raise UserError("The scene holds no 3D tracks with a known position, so there is no 3D video to draw.")
    size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    return _frames(_chosen(scene, max_tracks, seed), size, trail, flight or Flight())


def _chosen(scene: Scene, max_tracks: int, seed: int) -> Scene:
    """The scene with a few of its tracks; with any that have a place where no picture shows one."""
    chosen = choose_tracks(scene, max_tracks, seed=seed)
    if chosen.tracks_3d is not None and np.isfinite(chosen.tracks_3d.xyz).any():
        return chosen
    assert scene.tracks_3d is not None
    which = choose_indices(replace(scene, tracks_2d=None, cameras=None), max_tracks, seed=seed)
    return replace(scene, tracks_2d=None, tracks_3d=scene.tracks_3d.select(which))


def _frames(scene: Scene, size: tuple[int, int], trail: int, flight: Flight) -> Iterator[U8]:
    assert scene.tracks_3d is not None
    xyz, moving = scene.tracks_3d.xyz, moving_tracks(scene)
    fps = scene.video.fps if scene.video is not None else 30.0
    rgb, items = _colours(scene, moving, fps)
    strip = legend.strip(size, items)
    centre, eyes = eyes_around(scene, flight)
    focal_px = float(intrinsics_from_fov(flight.fov_deg, size)[0, 0])
    grow = float(np.sqrt(size[0] * size[1])) / 512
    reach = float(np.linalg.norm(eyes[0, :3, 3] - centre))
    cloud = _cloud(scene)
    cloud_side = _spacing(cloud, reach)
    # Dark scenes need their light: the cloud is dimmed only as far as the live part still stands out.
    gain = float(np.clip(70 / max(1.0, float(cloud.rgb.mean())), flight.cloud_gain, 0.85)) if len(cloud) else 1.0
    backdrop = backdrop_of(size)
    for t in range(xyz.shape[1]):
        image, zbuffer = backdrop.copy(), np.full((size[1], size[0]), np.inf, np.float32)
        T_cw = invert(eyes[t])
        splat(image, zbuffer, cloud.xyz, cloud.rgb, T_cw, focal_px=focal_px, size_w=cloud_side, gain=gain)
        _splat_live(image, zbuffer, scene, t, T_cw, focal_px, flight)
        paths, depths = to_screen(xyz[:, max(0, t - trail) : t + 1], T_cw, focal_px, size)
        seen = np.isfinite(depths)
        # A hair in front of the surface it lies on: trails run inside the cloud's own thickness.
        near = depths - np.float32(0.05 * reach)
        draw_trails(
            image, paths, seen, rgb[:, t], np.where(moving, 0.75, 0.0), flight.trail_px * grow, depths=near, zbuffer=zbuffer, behind=0.2
        )
        radius = np.where(moving, 1.8, 0.8) * grow
        alpha = np.where(moving, 0.95, 0.35)
        draw_discs(image, paths[:, -1], rgb[:, t], alpha, radius, depths=near[:, -1], zbuffer=zbuffer, behind=0.2)
        if scene.cameras is not None:
            draw_cameras(image, zbuffer, scene.cameras, t, T_cw, focal_px, flight.frustum * reach / flight.pull_back)
        for view in scene.views:
            if view.cameras is not None:
                draw_cameras(image, zbuffer, view.cameras, t, T_cw, focal_px, 0.7 * flight.frustum * reach / flight.pull_back)
        yield np.concatenate([image, strip])


def _colours(scene: Scene, moving: NDArray, fps: float) -> tuple[U8, list[legend.Item]]:
    """(N, T, 3) colours and their legend: warm by speed, the scene's own colours where still."""
    assert scene.tracks_3d is not None
    pace, unit = colours.speed(scene.tracks_3d.xyz, fps), "m/s" if scene.unit == "metre" else "units/s"
    rgb = np.broadcast_to(np.array(colours.STILL_RGB, np.uint8), (*pace.shape, 3)).copy()
    items: list[legend.Item] = [legend.Dot(colours.STILL_RGB, 2.0), legend.Text("still")]
    if moving.any():
        spread = colours.speed_spread(scene.tracks_3d.sigma)
        fastest = colours.typical_top_speed(pace[moving], None if spread is None else spread[moving])
        rgb[moving] = colours.look_up(colours.WARM, pace[moving] / fastest)
        items += [
            legend.Dot(tuple(colours.WARM[60]), 3.5),
            legend.Text("moving"),
            legend.Bar(colours.WARM, colours.speed_ticks(fastest, unit)),
        ]
    if scene.cameras is not None:
        items += [legend.Dot(CAMERA_RGB, 3.0, hollow=True), legend.Text("camera")]
    return rgb, items


def eyes_around(scene: Scene, flight: Flight) -> tuple[F64, F64]:
    """The point looked at and the eye's (T, 4, 4) world-from-eye pose of each frame."""
    assert scene.tracks_3d is not None
    tracks, frames = scene.tracks_3d, scene.tracks_3d.xyz.shape[1]
    known = np.asarray(np.isfinite(tracks.xyz).all(-1))
    middle = np.array([np.median(tracks.xyz[i][known[i]], axis=0) for i in np.flatnonzero(known.any(1))])
    if scene.cameras is not None and scene.cameras.registered.any():
        poses = scene.cameras.T_wc[scene.cameras.registered]
        start, R = poses[:, :3, 3].mean(0), nearest_rotation(poses[:, :3, :3].mean(0))
    else:
        start, R = np.median(middle, axis=0) - [0, 0, 2.0 * float(np.linalg.norm(np.std(middle, axis=0)) + 1e-6)], np.eye(3)
    # Near things matter most to the eye: the harmonic mean of the depths is where the scene sits for it.
    ahead = (middle - start) @ R[:, 2]
    depth = 1 / np.mean(1 / ahead[ahead > 1e-6]) if (ahead > 1e-6).any() else 1.0
    centre = start + R[:, 2] * depth
    eyes = np.empty((frames, 4, 4))
    for t in range(frames):
        turn = R @ view_rotation(flight.yaw_deg * np.sin(2 * np.pi * t / max(frames, 2)), -flight.pitch_deg)
        eyes[t] = from_rotation(turn, centre - turn[:, 2] * depth * flight.pull_back)
    return centre, eyes


def _cloud(scene: Scene) -> PointCloud:
    """The cloud; the median positions of the still tracks for a scene without one."""
    assert scene.tracks_3d is not None
    if scene.points is not None and len(scene.points):
        return scene.points
    still = ~moving_tracks(scene) & np.asarray(np.isfinite(scene.tracks_3d.xyz).all(-1)).any(axis=1)
    xyz = scene.tracks_3d.xyz[still]
    middle = np.array([np.nanmedian(path, axis=0) for path in xyz], np.float32).reshape(-1, 3)
    return PointCloud(middle, scene.tracks_3d.rgb[still])


def _spacing(cloud: PointCloud, reach: float) -> float:
    """Side of a splat that closes the gaps between neighbours of the cloud, by the median distance of a sample."""
    if len(cloud) < 2:
        return 0.01 * reach
    some = cloud.xyz[:: max(1, len(cloud) // 2000)]
    distance = KDTree(cloud.xyz).query(some, k=2)[0][:, 1]
    return float(min(2.0 * np.median(distance), 0.012 * reach))


def _splat_live(image: U8, zbuffer: F32, scene: Scene, t: int, T_cw: F64, focal_px: float, flight: Flight) -> None:
    """Draws what the current frame's depth shows, in the colours of the video, over the static cloud of the same surface."""
    if scene.depth is None or scene.cameras is None or scene.video is None or not scene.cameras.registered[t]:
        return
    depth, rgb = scene.depth.depth[t], scene.video.frames[t]
    if rgb.shape[:2] != depth.shape:
        return
    step, K = flight.live_stride, scene.cameras.K[t]
    good = off_edges(depth, span=flight.live_edge) & (scene.depth.confidence[t] >= flight.live_confidence)
    z = np.where(good, depth, np.nan)[::step, ::step].astype(np.float32)
    x = ((np.arange(0, depth.shape[1], step) + 0.5 - K[0, 2]) / K[0, 0]).astype(np.float32) * z
    y = ((np.arange(0, depth.shape[0], step) + 0.5 - K[1, 2]) / K[1, 1]).astype(np.float32)[:, None] * z
    xyz_c, T_ec = np.stack([x, y, z], axis=-1).reshape(-1, 3), T_cw @ scene.cameras.T_wc[t]
    overlap = 1.6  # pixels seen from the side still close the surface
    size = (overlap * step / K[0, 0]) * z.reshape(-1)
    colour = rgb[::step, ::step].reshape(-1, 3)
    splat(image, zbuffer, xyz_c, colour, T_ec, focal_px, size, gain=flight.live_gain, lead=0.03)


def to_screen(xyz_w: NDArray, T_cw: F64, focal_px: float, size: tuple[int, int]) -> tuple[F32, F32]:
    """Pixels (..., 2) and depth (...) of world points for the eye; NaN behind it."""
    xyz_e = xyz_w @ T_cw[:3, :3].T + T_cw[:3, 3]
    z = np.where(xyz_e[..., 2] > 1e-6, xyz_e[..., 2], np.nan)
    with np.errstate(invalid="ignore"):
        xy = focal_px * xyz_e[..., :2] / z[..., None] + 0.5 * np.asarray(size)
    return xy.astype(np.float32), z.astype(np.float32)


def draw_cameras(image: U8, zbuffer: F32, cameras: Cameras, t: int, T_cw: F64, focal_px: float, length: float) -> None:
    """The path so far solid, the rest faint, and the current frustum; what lies behind the cloud shines through."""
    size = (image.shape[1], image.shape[0])
    rgb, width = np.array([CAMERA_RGB], np.uint8), 1.2 * image.shape[1] / 512
    path, depths = to_screen(np.where(cameras.registered[:, None], cameras.centres, np.nan)[None], T_cw, focal_px, size)
    pairs = np.stack([path[0, :-1], path[0, 1:]], axis=1), np.stack([depths[0, :-1], depths[0, 1:]], axis=1)
    past = np.arange(len(cameras) - 1) < t
    rgb_each = np.repeat(rgb, len(past), 0)
    draw_trails(
        image,
        pairs[0],
        np.ones((len(past), 2), bool),
        rgb_each,
        np.where(past, 0.8, 0.25),
        width,
        depths=pairs[1],
        zbuffer=zbuffer,
        behind=0.5,
    )
    if not cameras.registered[t]:
        return
    w, h = cameras.size[t]
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
    far = unproject(corners, np.full(4, length), cameras.K[t], cameras.T_wc[t])
    apex = cameras.centres[t]
    lines = [(far[i], far[(i + 1) % 4]) for i in range(4)] + [(apex, far[i]) for i in range(4)]
    xy, depths = to_screen(np.array(lines), T_cw, focal_px, size)
    draw_trails(image, xy, np.ones((8, 2), bool), np.repeat(rgb, 8, 0), 0.9, 1.3 * width, depths=depths, zbuffer=zbuffer, behind=0.5)


def backdrop_of(size: tuple[int, int]) -> U8:
    """A dark vertical gradient."""
    shade = np.linspace(0.6, 1.5, size[1])[:, None, None] * np.array(legend.BACKGROUND)
    return np.ascontiguousarray(np.broadcast_to(shade, (size[1], size[0], 3)).astype(np.uint8))
