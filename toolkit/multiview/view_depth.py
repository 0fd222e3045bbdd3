"""Depth of every view of a rig from the others, moment by moment: planes swept through neighbours, the maps checked against each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from toolkit.disk_arrays import large_full
from toolkit.multiview.lifting import LiftOptions, focus_of
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, Cameras, MultiViewVideo, PointCloud, Scene, Video
from toolkit.stereo.dense import DenseSettings, dense_depth
from toolkit.stereo.neighbours import NeighbourSettings


@dataclass(frozen=True)
class ViewDepthOptions:
    """How depth is found.

    Attributes:
        dense: How views are compared; in rigs they stand farther apart than photos do.
        range: Between which depths it is sought.
        grid: Points of a view, along a side and along a ray, that tell which views are its neighbours.
    """

    dense: DenseSettings = field(
        default_factory=lambda: DenseSettings(
            side=480, neighbours=NeighbourSettings(count=3, angle_deg=18.0, wide=1.2), nearer=1.0, farther=1.0
        )
    )
    range: LiftOptions = field(default_factory=LiftOptions)
    grid: int = 6


def depth_from_views(
    clip: MultiViewVideo, moments: Iterable[int] | None = None, options: ViewDepthOptions | None = None, *, report: Report = silent
) -> tuple[tuple[F32, ...], tuple[F32, ...]]:
    """Depth of the views of a rig, and how sure it is.

    Args:
        clip: The views with their cameras; no two moments are compared, so things may move.
        moments: Frames for which depth is wanted; None for all.
        options: How it is found.
        report: Told of every view and moment.

    Returns:
        Twice V arrays (T, H, W): z-depth in the unit of the cameras, NaN where unknown; and the chance of an error under 2 %, 0 there.
    """
    options = options or ViewDepthOptions()
    shapes = [video.frames.shape[:3] for video in clip.views]
    depth = tuple(large_full(shape, np.nan, np.float32) for shape in shapes)
    sure = tuple(large_full(shape, 0.0, np.float32) for shape in shapes)
    frames = range(len(clip.views[0])) if moments is None else sorted(set(moments))
    for k, t in enumerate(frames):
        for v, (z, certain) in enumerate(depth_of_moment(clip, t, options)):
            depth[v][t], sure[v][t] = z, certain
        report(k + 1, len(frames))
    return depth, sure


def depth_of_moment(clip: MultiViewVideo, t: int, options: ViewDepthOptions | None = None) -> list[tuple[F32, F32]]:
    """For each of V views (H, W) z-depth in one frame, NaN where unknown, and the chance of an error under 2 %; as `depth_from_views`."""
    options = options or ViewDepthOptions()
    seen = [v for v, camera in enumerate(clip.cameras) if camera.registered[t]]
    shapes = [video.frames.shape[1:3] for video in clip.views]
    out = [(np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32)) for shape in shapes]
    if len(seen) > 1:
        found = dense_depth(_moment(clip, seen, t, options), settings=options.dense)
        for row, v in enumerate(seen):
            height, width = shapes[v]
            out[v] = found.depth[row, :height, :width], found.confidence[row, :height, :width]
    return out


def _moment(clip: MultiViewVideo, seen: list[int], t: int, options: ViewDepthOptions) -> Scene:
    """What the views show in one frame, as photos of one scene that stands still; smaller ones are padded to the right and below."""
    width = max(clip.views[v].size[0] for v in seen)
    height = max(clip.views[v].size[1] for v in seen)
    pictures = np.zeros((len(seen), height, width, 3), np.uint8)
    for row, v in enumerate(seen):
        w, h = clip.views[v].size
        pictures[row, :h, :w] = clip.views[v].frames[t]
    cameras = Cameras(
        np.stack([clip.cameras[v].K[t] for v in seen]),
        np.stack([clip.cameras[v].T_wc[t] for v in seen]),
        np.tile([width, height], (len(seen), 1)),
    )
    xyz = _between(clip, seen, t, options)
    return Scene(cameras, video=Video.from_frames(pictures), points=PointCloud(xyz.astype(np.float32), np.zeros((len(xyz), 3), np.uint8)))


def _between(clip: MultiViewVideo, seen: list[int], t: int, options: ViewDepthOptions) -> F64:
    """(M, 3) points spread over what the views may show: from near the cameras to beyond where they look together."""
    focus, out = focus_of(clip.cameras, t), []
    for v in seen:
        camera = clip.cameras[v]
        reach = float(np.linalg.norm(focus - camera.centres[t]))
        side = (np.arange(options.grid) + 0.5) / options.grid
        z = 1 / np.linspace(1 / (options.range.farthest * reach), 1 / (options.range.nearest * reach), options.grid)
        x, y, z = (a.ravel() for a in np.meshgrid(side * clip.views[v].size[0], side * clip.views[v].size[1], z))
        rays = np.column_stack([(x - camera.K[t, 0, 2]) / camera.K[t, 0, 0], (y - camera.K[t, 1, 2]) / camera.K[t, 1, 1], np.ones(len(x))])
        out.append((rays * z[:, None]) @ camera.T_wc[t, :3, :3].T + camera.T_wc[t, :3, 3])
    return np.concatenate(out)


def with_depth(clip: MultiViewVideo, depth: tuple[F32, ...]) -> MultiViewVideo:
    """The same views with depth."""
    return replace(clip, depth_m=depth)
