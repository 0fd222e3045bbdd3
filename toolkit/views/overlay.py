"""The track video: fading trails over the dimmed clip, moving points warm and on top, still ones discreet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.scene import F32, I64, U8, B, Scene, Tracks2D
from toolkit.views import colours, legend
from toolkit.views.depth import depth_ticks
from toolkit.views.raster import draw_discs, draw_trails
from toolkit.views.selection import spread_tracks

Colour = Literal["motion", "height", "depth"]


@dataclass(frozen=True)
class Look:
    """Sizes for a picture of 512 x 512; they grow with its diagonal."""

    luminance: float = 84.0  # mean grey level that the clip is dimmed to, one factor for all frames
    dimmest: float = 0.55  # smallest factor; a dark clip stays as it is
    saturation: float = 0.7  # of the clip, so that warm things in it do not look like moving points
    moving_radius_px: float = 2.3
    still_radius_px: float = 1.15
    moving_width_px: float = 1.6
    still_width_px: float = 0.8
    moving_alpha: float = 0.95
    trail_alpha: float = 0.7  # share of the dot's alpha where the trail leaves it
    still_alpha: float = 0.5
    spacing_px: float = 6.0  # between neighbours: what a point sits on stays in sight
    hidden_half_life_s: float = 0.3  # a guessed position is worth less the longer the point is out of sight


def draw_tracks(
    scene: Scene,
    *,
    trail: int = 16,
    max_tracks: int = 2048,
    colour: Colour = "motion",
    stabilise: bool = False,
    seed: int = 0,
) -> Iterator[U8]:
    """Frames of the track video, one per frame of the clip, with a legend strip below.

    Args:
        scene: With a video and tracks (2D, or 3D with cameras).
        trail: Past frames that each track trails behind it (Stereo4D shows 16); 0 for dots alone, as for photos in no order.
        max_tracks: So many are drawn at most: a spread-out choice, moving ones first.
        colour: "motion": warm by speed, cool where still (without 3D tracks: as "height"); "height": by where each was first seen,
            top to bottom; "depth": near to far.
        stabilise: Past world points are seen from the current camera, so that trails show motion in the world only.
        seed: Of the choice.

    Yields:
        (H + h, W, 3) uint8 RGB, both sides even.

    Raises:
        UserError: the scene has no video or no tracks, or what an option needs is missing.
    """
    if colour not in get_args(Colour):
        raise UserError(f"There is no track colour {colour!r}; there are: {', '.join(get_args(Colour))}.")
    if scene.video is None:
        raise UserError("The scene holds no video, so there is nothing to draw tracks on.")
    if (stabilise or colour == "depth") and (scene.tracks_3d is None or scene.cameras is None):
        raise UserError("Removing camera motion and colouring by depth need 3D tracks and cameras, and this scene lacks them.")
    if colour == "motion" and scene.tracks_3d is None:
        colour = "height"
    return _frames(choose_tracks(with_2d(scene), max_tracks, seed=seed), max(0, trail), colour, stabilise)


def moving_tracks(scene: Scene) -> B:
    """(N,) which tracks move; none where there are 2D tracks only, as these cannot tell it from camera motion."""
    if scene.tracks_3d is None:
        return np.zeros(0 if scene.tracks_2d is None else len(scene.tracks_2d), bool)
    return np.asarray(np.nan_to_num(scene.tracks_3d.motion) > 0.5)


def with_2d(scene: Scene) -> Scene:
    """The scene with 2D tracks, projected where it has 3D tracks only."""
    if scene.tracks_2d is not None:
        return scene
    if scene.tracks_3d is None or scene.cameras is None:
        raise UserError("The scene holds no tracks that could be drawn: 2D tracks are needed, or 3D tracks and cameras.")
    xyz = scene.tracks_3d.xyz
    xy = np.empty((*xyz.shape[:2], 2), np.float32)
    for part in range(0, len(xyz), 1024):  # all at once would take ten times the memory of the tracks
        xy[part : part + 1024] = project(xyz[part : part + 1024], scene.cameras.K, scene.cameras.T_wc)[0]
    visible = scene.tracks_3d.visible & np.isfinite(xy).all(-1)
    queries = np.zeros((len(xy), 3), np.float32)
    return replace(scene, tracks_2d=Tracks2D(xy, visible, visible.astype(np.float32), queries))


def choose_tracks(scene: Scene, max_tracks: int, *, seed: int = 0) -> Scene:
    """The scene with a few of its tracks, far enough apart to be seen, still ones first: moving ones are painted on top."""
    moving, size = moving_tracks(scene), _picture_size(scene)
    which = choose_indices(scene, max_tracks, spacing_px=Look().spacing_px * growth(size), seed=seed)
    which = which[np.argsort(moving[which], kind="stable")]
    return replace(
        scene,
        tracks_2d=None if scene.tracks_2d is None else scene.tracks_2d.select(which),
        tracks_3d=None if scene.tracks_3d is None else scene.tracks_3d.select(which),
    )


def choose_indices(scene: Scene, max_tracks: int, *, spacing_px: float = 0.0, seed: int = 0) -> I64:
    """Rising indices of tracks that cover picture and clip evenly, moving ones first; by chance where no picture is known."""
    moving = moving_tracks(scene)
    if scene.tracks_2d is None and scene.cameras is None:
        assert scene.tracks_3d is not None
        known = np.asarray(np.isfinite(scene.tracks_3d.xyz).all(-1)).any(axis=1)
        rng = np.random.default_rng(seed)
        fast, slow = (rng.permutation(np.flatnonzero(known & m)) for m in (moving, ~moving))
        fast = fast[: max(2 * max_tracks // 3, max_tracks - len(slow))]
        return np.sort(np.concatenate([slow[: max_tracks - len(fast)], fast]))
    tracks = with_2d(scene).tracks_2d
    assert tracks is not None
    return spread_tracks(tracks.xy, tracks.visible, _picture_size(scene), max_tracks, moving=moving, spacing_px=spacing_px, seed=seed)


def _picture_size(scene: Scene) -> tuple[int, int]:
    """(width, height) of the picture that the 2D tracks live in."""
    if scene.video is not None:
        return scene.video.size
    if scene.cameras is not None:
        return int(scene.cameras.size[0, 0]), int(scene.cameras.size[0, 1])
    if scene.tracks_2d is None:
        return 512, 512
    top = np.ceil(np.nanmax(np.where(scene.tracks_2d.visible[..., None], scene.tracks_2d.xy, 1), axis=(0, 1), initial=1))
    return int(top[0]), int(top[1])


def _frames(scene: Scene, trail: int, colour: Colour, stabilise: bool) -> Iterator[U8]:
    assert scene.video is not None and scene.tracks_2d is not None
    video, tracks, look = scene.video, scene.tracks_2d, Look()
    moving = moving_tracks(scene)
    rgb, items = _track_colours(scene, moving, colour)
    strip = legend.strip(video.size, items)
    grow = growth(video.size)
    brightness = float(np.clip(look.luminance / mean_luminance(video.frames), look.dimmest, 0.95))
    known = np.asarray(np.isfinite(tracks.xy).all(-1))
    recent = 0.5 ** (_frames_out_of_sight(tracks.visible) / (look.hidden_half_life_s * video.fps))
    emphasis = moving if colour == "motion" and moving.any() else np.ones(len(tracks), bool)
    alpha = np.where(emphasis, look.moving_alpha, look.still_alpha).astype(np.float32)
    width = (grow * np.where(emphasis, look.moving_width_px, look.still_width_px)).astype(np.float32)
    radius = (grow * np.where(moving | (trail == 0), look.moving_radius_px, look.still_radius_px)).astype(np.float32)
    ring_radius = np.maximum(radius, 1.7 * grow) + 0.3
    dark = np.full((len(tracks), 3), 12, np.uint8)
    for t in range(len(video)):
        image = dimmed(video.frames[t], brightness, look.saturation)
        first = max(0, t - trail)
        if stabilise:
            paths, seen = _seen_from(scene, t, first)
        else:
            paths, seen = tracks.xy[:, first : t + 1], tracks.visible[:, first : t + 1]
        now, xy, shown = rgb[:, t] if rgb.ndim == 3 else rgb, tracks.xy[:, t], tracks.visible[:, t]
        draw_trails(image, paths, seen, now, np.where(known[:, t], look.trail_alpha * alpha * recent[:, t], 0), width)
        solid = np.where(shown, alpha, 0)
        draw_discs(image, xy, dark, 0.6 * solid * moving, radius + 0.9 * grow)
        draw_discs(image, xy, now, solid, radius)
        ring = np.where(shown | ~known[:, t], 0, 0.8 * alpha * recent[:, t])
        draw_discs(image, xy, now, ring, ring_radius, hole_px=ring_radius - 1.1)
        yield even(np.concatenate([image, strip]))


def growth(size: tuple[int, int]) -> float:
    """How much larger than at 512 x 512 things are drawn."""
    return float(np.clip(np.sqrt(size[0] * size[1]) / 512, 0.5, 4))


def _track_colours(scene: Scene, moving: B, colour: Colour) -> tuple[U8, list[legend.Item]]:
    """Colours (N, 3), or (N, T, 3) where they change over time, and the legend that explains them."""
    assert scene.tracks_2d is not None and scene.video is not None
    tracks = scene.tracks_2d
    hidden: list[legend.Item] = [legend.Dot(legend.INK, hollow=True), legend.Text("hidden")]
    if colour == "height":
        first = np.where(tracks.visible.any(1), tracks.visible.argmax(1), 0)
        y = tracks.xy[np.arange(len(tracks)), first, 1] / scene.video.size[1]
        bar = legend.Bar(colours.HUES, ((0, "top"), (0.5, "first seen at"), (1, "bottom")))
        return colours.look_up(colours.HUES, y), [bar, *hidden]
    if colour == "depth":
        assert scene.tracks_3d is not None and scene.cameras is not None
        _, z = project(scene.tracks_3d.xyz, scene.cameras.K, scene.cameras.T_wc)
        near, far = colours.inverse_depth_range(z)
        bar = legend.Bar(colours.TURBO[::-1], depth_ticks(near, far, scene.unit))
        with np.errstate(divide="ignore", invalid="ignore"):
            return colours.look_up(colours.TURBO, (1 / z - 1 / far) / (1 / near - 1 / far)), [legend.Text("depth"), bar, *hidden]
    assert scene.tracks_3d is not None
    pace, unit = colours.speed(scene.tracks_3d.xyz, scene.video.fps), "m/s" if scene.unit == "metre" else "units/s"
    still: list[legend.Item] = [legend.Dot(colours.STILL_RGB, 2.0), legend.Text("still")]
    rgb = np.broadcast_to(np.array(colours.STILL_RGB, np.uint8), (*pace.shape, 3)).copy()
    if not moving.any():
        return rgb, [*still, *hidden, legend.Text("(nothing moves)", faint=True)]
    spread = colours.speed_spread(scene.tracks_3d.sigma)
    fastest = colours.typical_top_speed(pace[moving], None if spread is None else spread[moving])
    rgb[moving] = colours.look_up(colours.WARM, pace[moving] / fastest)
    ticks = colours.speed_ticks(fastest, unit)
    return rgb, [*still, legend.Dot(tuple(colours.WARM[60]), 3.5), legend.Text("moving"), legend.Bar(colours.WARM, ticks), *hidden]


def _seen_from(scene: Scene, t: int, first: int) -> tuple[F32, B]:
    """Past world points in the current camera; a sample counts only where it and the current one are known."""
    assert scene.tracks_3d is not None and scene.cameras is not None and scene.tracks_2d is not None
    past, cameras = scene.tracks_3d.xyz[:, first : t + 1], scene.cameras
    paths, _ = project(past, cameras.K[t], cameras.T_wc[t])
    paths = paths.astype(np.float32)
    # The head of the trail sits on the dot, which is drawn where the point was seen.
    paths[:, -1] = np.where(np.isfinite(paths[:, -1]), scene.tracks_2d.xy[:, t], np.nan)
    return paths, scene.tracks_3d.visible[:, first : t + 1] & scene.tracks_2d.visible[:, t, None]


def _frames_out_of_sight(visible: B) -> F32:
    """(N, T) frames to the nearest visible sample of the same track."""
    frames = np.arange(visible.shape[1])
    last = np.maximum.accumulate(np.where(visible, frames, -(10**6)), axis=1)
    following = np.minimum.accumulate(np.where(visible, frames, 10**6)[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(frames - last, following - frames).astype(np.float32)


def mean_luminance(frames: U8) -> float:
    """Mean grey level of a few pixels of a few frames, at least 1."""
    some = frames[:: max(1, len(frames) // 8), ::7, ::7].reshape(-1, 3)
    return max(1.0, float(some.mean(0) @ [0.299, 0.587, 0.114]))


def dimmed(frame: U8, brightness: float, saturation: float) -> U8:
    """The frame darker and paler."""
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(cv2.addWeighted(frame, brightness * saturation, grey, brightness * (1 - saturation), 0), np.uint8)


def even(image: U8) -> U8:
    """The image with a column added where its width is odd: H.264 wants even sides."""
    return image if image.shape[1] % 2 == 0 else np.pad(image, ((0, 0), (0, 1), (0, 0)), mode="edge")
