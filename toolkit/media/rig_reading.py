"""Frames of a rig: every view as a pinhole without distortion would show it, with its depth where there is some."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from toolkit.disk_arrays import TOGETHER, large_empty, large_full, let_go
from toolkit.errors import UserError
from toolkit.geometry.projections import Fisheye, Pinhole
from toolkit.geometry.resampling import Resampler
from toolkit.geometry.sampling import inside, pixel_centres, sample_nearest
from toolkit.media.frame_choice import Frames
from toolkit.media.rig_camera import RigCamera
from toolkit.media.rig_depth import DepthFiles
from toolkit.media.rig_input import Rig
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, Cameras, MultiViewVideo, Video

GROWTH = 0.15  # of a side, by which a picture without distortion may show more than its frame did
SHAPES_APART = 0.01  # relative difference of the sides' ratio of depth and picture: each side is rounded to whole pixels


def read_rig(
    rig: Rig, *, max_side: int | None = None, most: int | None = None, starts: Sequence[int] | None = None, report: Report = silent
) -> MultiViewVideo:
    """All frames of a rig, each picture as a pinhole without distortion would show it, with the same detail.

    Args:
        rig: From `opened_rig`.
        max_side: Pictures with a longer side are reduced to it.
        most: Frames that are read at most.
        starts: With which frame each view begins, where they were not started at one moment; None for the first.
        report: Told of every frame of every view.

    Returns:
        The views, with cameras in the world of the calibration and its unit, and with depth where it lies beside them. Large arrays live in
        unnamed files.

    Raises:
        UserError: fewer frames than a clip promises, of pictures, depth or poses; depth of another shape.
    """
    begin = [0] * len(rig.clips) if starts is None else list(starts)
    count = min(len(clip) - first for clip, first in zip(rig.clips, begin, strict=True))
    count = count if most is None else min(count, most)
    total, done = count * len(rig.clips), 0
    videos, cameras, depths = [], [], []
    for clip, camera, first, depth in zip(rig.clips, rig.cameras, begin, rig.depths or [None] * len(rig.clips), strict=True):
        lens = camera.lens(clip.size)
        K, size = pinhole_for(lens, max_side)
        grid = pixel_centres(size)
        rays = np.concatenate([(grid - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones((*grid.shape[:2], 1))], -1)
        resample = Resampler(lens.pixels(rays), clip.size)
        plain = size == clip.size and not any(camera.distortion)
        pictures = large_empty((count, size[1], size[0], 3), np.uint8)
        read = 0
        for t, frame in zip(range(count), islice(clip.frames(), first, None), strict=False):
            pictures[t] = frame if plain else resample(frame)
            read, done = t + 1, done + 1
            if not read % TOGETHER:
                let_go()
            report(done, total)
        if read < count:
            raise UserError(f"{clip.name} promises {count} frames, but only {read} could be read; is it cut off?")
        moves = camera.T_wc.ndim == 3
        if moves and len(camera.T_wc) < first + count:
            raise UserError(f"The calibration holds {len(camera.T_wc)} poses of camera {camera.names[0]}, but there are {count} frames.")
        T_wc = camera.T_wc[first : first + count] if moves else np.broadcast_to(camera.T_wc, (count, 4, 4))
        videos.append(Video(pictures, rig.clips[0].times_s[:count]))
        cameras.append(Cameras.from_poses(K, T_wc, size))
        if any(rig.depths):
            depths.append(_depth_through(camera, clip.size, rays, depth, (first, count), rig.frames))
    return MultiViewVideo(tuple(videos), tuple(cameras), tuple(depths) or None)


def pinhole_for(lens: Pinhole | Fisheye, max_side: int | None = None) -> tuple[np.ndarray, tuple[int, int]]:
    """K and (width, height) of a pinhole picture that shows what a lens saw, up to a margin where distortion bends it far out."""
    width, height = lens.size
    edge = np.linspace(0, 1, 64)
    across, down = edge * width, edge * height
    rim = np.concatenate(
        [
            np.column_stack([across, 0 * across]),
            np.column_stack([across, 0 * across + height]),
            np.column_stack([0 * down, down]),
            np.column_stack([0 * down + width, down]),
        ]
    )
    if isinstance(lens, Pinhole) and not lens.distortion:
        low, high = np.zeros(2), np.array([width, height], np.float64)
    else:
        rays = lens.rays(np.clip(rim, 1e-6, np.array([width, height]) - 1e-6))
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = np.where(rays[:, 2:] > 0.1, rays[:, :2] / rays[:, 2:], np.nan) * lens.K[[0, 1], [0, 1]] + lens.K[:2, 2]
        size = np.array([width, height])
        outward = np.where(rim < 0.5 * size, -np.inf, np.inf)  # past the fold of the lens model: as far out as is allowed
        outward = np.where((rim > 0.02 * size) & (rim < 0.98 * size), np.nan, outward)
        seen = np.where(np.isnan(seen), outward, seen)
        low = np.maximum(np.nanmin(seen, 0), -GROWTH * size)
        high = np.minimum(np.nanmax(seen, 0), (1 + GROWTH) * size)
        low, high = np.floor(low), np.ceil(high)
    shape = high - low
    scale = 1.0 if max_side is None else min(1.0, max_side / shape.max())
    size = tuple(max(4, round(float(n) * scale)) for n in shape)
    K = lens.K.copy()
    K[:2, 2] -= low
    K = np.diag([size[0] / shape[0], size[1] / shape[1], 1.0]) @ K
    K[0, 1] = 0.0
    return K, size  # type: ignore[return-value]


def _depth_through(
    camera: RigCamera, size: tuple[int, int], rays: F64, depth: DepthFiles | None, part: tuple[int, int], choice: Frames | None
) -> F32:
    """(T, H, W) z-depth where rays (H, W, 3) look; NaN where unknown. Depth may be smaller or larger than its view, of the same shape."""
    first, count = part
    out = large_full((count, *rays.shape[:2]), np.nan, np.float32)
    if depth is None:
        return out
    own, read = (0, 0), 0
    xy = seen = np.zeros(0)
    for t, found in enumerate(islice(depth.frames(choice), first, first + count)):
        if own != (found.shape[1], found.shape[0]):
            own = (found.shape[1], found.shape[0])
            if abs(own[0] / own[1] / (size[0] / size[1]) - 1) > SHAPES_APART:
                raise UserError(
                    f"The depth in {depth.name} is {own[0]} x {own[1]} px, but its view {camera.names[0]} is {size[0]} x {size[1]}, "
                    "which is another shape; depth as the view's own camera sees it is needed."
                )
            xy = camera.lens(size).pixels(rays) * (np.array(own) / size)
            seen = inside(xy, own)
        out[t] = np.where(seen, sample_nearest(found, xy), np.nan)
        read = t + 1
        if not read % TOGETHER:
            let_go()
    if read < count:
        raise UserError(f"The depth in {depth.name} has {read} frames where its view has {count}; each frame needs its own.")
    return out
