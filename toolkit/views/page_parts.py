"""What of a scene the 4D page shows: frames, tracks, cloud, surface and pictures, each within its budget."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.spatial import KDTree

from toolkit.geometry.depth_edges import off_edges
from toolkit.progress import Report
from toolkit.scene import F32, I64, U8, B, PointCloud, Scene, Tracks3D
from toolkit.views.overlay import choose_indices, moving_tracks


@dataclass(frozen=True)
class PageSettings:
    """How much the page holds.

    Attributes:
        max_bytes: Of the file; a page of more takes long to load on a phone.
        max_frames: Longer clips are shown every second, third, ... frame; the page glides in between.
        max_tracks: Tracks, moving ones first.
        max_samples: Frames times tracks: 20,000 tracks over 60 frames.
        max_trails: Moving tracks that draw a trail; more hide what they show.
        trail_s: Length of a trail in seconds.
        max_cloud: Points of the static cloud.
        surface_pixels: Depth pixels a frame that the current surface is made of.
        max_surface_samples: Frames times such pixels.
        surface_confidence: Less certain depth is not shown: what was filled in floats in the air when seen from the side.
        surface_edge: Nor are pixels whose neighbourhood spans more than this share of their depth, nor those with such an edge, or
            another depth beyond a hole, up to half way to the next one shown: the surface would be drawn right across, as shards.
        picture_px: Longer side of the frames' pictures.
        picture_quality: Of their JPEGs.
    """

    max_bytes: int = 15_000_000
    max_frames: int = 120
    max_tracks: int = 20_000
    max_samples: int = 1_200_000
    max_trails: int = 500
    trail_s: float = 1.0
    max_cloud: int = 80_000
    surface_pixels: int = 30_000
    max_surface_samples: int = 1_800_000
    surface_confidence: float = 0.3
    surface_edge: float = 0.1
    picture_px: int = 448
    picture_quality: int = 78


_WIDER = 2.0  # how much more of its depth a surface may span up to half way to the next pixel shown than in a neighbourhood
LEAST_LEVEL = 0.05
"""Tracks of a lower motion level are never taken for moving ones, wherever a person sets the threshold."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What is shown of a scene; a part that the scene has nothing for is None.

    Attributes:
        frames: Rising indices of the shown frames.
        times_s: (F,) seconds from the first one.
        tracks: Chosen tracks over the shown frames: moving ones first, then those that may move; both in an order whose every
            beginning covers the scene.
        moving: (N,) which of them move.
        doubtful: How many of the first ones may be taken for moving ones, at the lowest threshold.
        trails: How many of them draw a trail.
        cloud: The static cloud, thinned.
        spacing: Typical distance between neighbours of the cloud.
        surface: (F, h, w) z-depth on a coarse grid of pixels, NaN where unknown or unsure.
        pictures: One JPEG a frame.
        notes: Sentences on what was left out and what the scene does not have.
    """

    frames: I64
    times_s: list[float]
    tracks: Tracks3D | None = None
    moving: B = field(default_factory=lambda: np.zeros(0, bool))
    doubtful: int = 0
    trails: int = 0
    cloud: PointCloud | None = None
    spacing: float = 0.0
    surface: F32 | None = None
    pictures: list[bytes] | None = None
    notes: tuple[str, ...] = ()


def choose_parts(scene: Scene, settings: PageSettings, *, seed: int, report: Report) -> Parts:
    """The parts of a scene that fit into the page; see `PageSettings` for the budgets."""
    notes: list[str] = []
    frames = _shown_frames(scene.frames, settings.max_frames)
    if len(frames) < scene.frames:
        notes.append(f"{len(frames)} of {scene.frames} frames are in this page, evenly spread.")
    times = scene.video.times_s if scene.video is not None else np.arange(scene.frames) / 30.0
    steps = 2 + len(frames)
    report(0, steps)
    tracks, moving, trails = _tracks(scene, frames, settings, seed, notes)
    report(1, steps)
    cloud, spacing = _cloud(scene, settings, seed, notes)
    report(2, steps)
    surface = _surface(scene, frames, settings)
    pictures: list[bytes] | None = None
    if scene.video is not None:
        pictures = []
        for i, t in enumerate(frames):
            pictures.append(_picture(scene.video.frames[t], settings))
            report(3 + i, steps)
    else:
        notes.append("The scene holds no video, so no pictures are shown.")
    if scene.cameras is None or not scene.cameras.registered.any():
        notes.append("The scene holds no camera poses.")
    elif not scene.cameras.registered.all():
        notes.append(f"{int((~scene.cameras.registered).sum())} of {len(scene.cameras)} frames have no camera pose.")
    report(steps, steps)
    seconds = [float(s) for s in times[frames] - (times[frames[0]] if len(frames) else 0)]
    doubtful = 0 if tracks is None else int((moving | (np.nan_to_num(tracks.motion) >= LEAST_LEVEL)).sum())
    return Parts(frames, seconds, tracks, moving, doubtful, trails, cloud, spacing, surface, pictures, tuple(notes))


def _shown_frames(count: int, most: int) -> I64:
    """Every frame, or every second, third, ... one."""
    return np.arange(0, count, max(1, -(-count // most)))


def _tracks(scene: Scene, frames: I64, settings: PageSettings, seed: int, notes: list[str]) -> tuple[Tracks3D | None, B, int]:
    none = None, np.zeros(0, bool), 0
    if scene.tracks_3d is None or len(frames) == 0:
        notes.append("The scene holds no 3D tracks.")
        return none
    known = np.asarray(np.isfinite(scene.tracks_3d.xyz[:, frames].sum(-1)).any(axis=1))
    if not known.any():
        notes.append("No track has a known position.")
        return none
    most = max(1, min(settings.max_tracks, settings.max_samples // len(frames)))
    which = np.flatnonzero(known)
    if len(which) > most:
        which = choose_indices(scene, most, seed=seed)
        which = which[known[which]]
        notes.append(f"{len(which):,} of {int(known.sum()):,} tracks are in this page.")
    moving = moving_tracks(scene)[which]
    shuffled = np.random.default_rng(seed).permutation(len(which))
    level = np.nan_to_num(scene.tracks_3d.motion[which])
    order = shuffled[np.argsort(np.where(moving, 0, np.where(level >= LEAST_LEVEL, 1, 2))[shuffled], kind="stable")]
    chosen = scene.tracks_3d.select(which[order])
    trails = min(int(moving.sum()), settings.max_trails) if len(frames) > 1 else 0
    if trails < moving.sum() and len(frames) > 1:
        notes.append(f"{trails:,} of {int(moving.sum()):,} moving points draw a trail.")
    return Tracks3D(chosen.xyz[:, frames], chosen.visible[:, frames], chosen.rgb, chosen.motion), moving[order], trails


def _cloud(scene: Scene, settings: PageSettings, seed: int, notes: list[str]) -> tuple[PointCloud | None, float]:
    """Points of the scene that stand still; none where only tracks are known: still tracks show themselves."""
    cloud = scene.points
    if cloud is not None:
        finite = np.isfinite(cloud.xyz).all(-1)
        cloud = PointCloud(cloud.xyz[finite], cloud.rgb[finite])
    if cloud is None or len(cloud) == 0 or settings.max_cloud < 1:
        notes.append("The scene holds no static cloud.")
        return None, 0.0
    if len(cloud) > settings.max_cloud:
        notes.append(f"{settings.max_cloud:,} of {len(cloud):,} points of the static cloud are in this page.")
        some = np.sort(np.random.default_rng(seed).permutation(len(cloud))[: settings.max_cloud])
        cloud = PointCloud(cloud.xyz[some], cloud.rgb[some])
    if len(cloud) == 1:
        return cloud, 0.0
    sample = cloud.xyz[:: max(1, len(cloud) // 1000)]
    return cloud, float(np.median(KDTree(cloud.xyz).query(sample, k=2)[0][:, 1]))


def _surface(scene: Scene, frames: I64, settings: PageSettings) -> F32 | None:
    """Sure depth pixels of each shown frame, on a coarse grid; None where no frame has depth, picture and pose."""
    if scene.depth is None or scene.cameras is None or scene.video is None or len(frames) == 0:
        return None
    height, width = scene.depth.depth.shape[1:]
    pixels = max(4, min(settings.surface_pixels, settings.max_surface_samples // len(frames)))
    stride = max(1.0, float(np.sqrt(height * width / pixels)))
    counts = (max(1, int(side / stride)) for side in (height, width))
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(counts, (height, width), strict=True))
    surface = np.full((len(frames), len(rows), len(columns)), np.nan, np.float32)
    half_way = np.ones((2 * int(np.ceil(stride / 2)) + 1,) * 2, np.uint8)
    for i, t in enumerate(frames):
        if scene.cameras.registered[t]:
            depth = scene.depth.depth[t]
            known = np.isfinite(depth) & (scene.depth.confidence[t] >= settings.surface_confidence)
            whole = off_edges(depth, span=settings.surface_edge)
            apart = cv2.dilate((known & ~whole).astype(np.uint8), half_way) > 0
            farthest = cv2.dilate(np.where(known, depth, 0), half_way)
            nearest = cv2.erode(np.where(known, depth, np.inf).astype(np.float32), half_way)
            with np.errstate(invalid="ignore"):  # of slanted ground, a wider piece spans more
                level = farthest - nearest <= _WIDER * settings.surface_edge * depth
            surface[i] = np.where(known & whole & ~apart & level, depth, np.nan)[np.ix_(rows, columns)]
    return surface if np.isfinite(surface).any() else None


def _picture(frame: U8, settings: PageSettings) -> bytes:
    """A frame as JPEG, its longer side no longer than asked."""
    height, width = frame.shape[:2]
    scale = min(1.0, settings.picture_px / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = frame if scale == 1 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, settings.picture_quality])
    if not done:
        raise RuntimeError(f"A frame of {size[0]} x {size[1]} could not be encoded as JPEG.")
    return jpeg.tobytes()
