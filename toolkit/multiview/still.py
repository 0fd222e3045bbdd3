"""What stands still around several standing cameras: the floor, and what neighbouring views agree on, as one coloured cloud."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project, unproject
from toolkit.geometry.sampling import pixel_centres
from toolkit.multiview.floor import Floor, FloorOptions, find_floor
from toolkit.multiview.lifting import focus_of
from toolkit.multiview.view_depth import ViewDepthOptions, depth_of_moment
from toolkit.scene import F64, U8, Cameras, MultiViewVideo, PointCloud, Video


@dataclass(frozen=True)
class StillOptions:
    """How the cloud is made.

    Attributes:
        moments: Frames of which the median shows what stands still.
        side_px: Pictures are reduced to so many pixels.
        steady_deg: A camera that turns by more ...
        steady_share: ... or moves by more than this share of its distance to the others does not stand.
        near_deg: A view is matched with others only where one of them sees the middle of the scene from an angle of no more than this.
        sure: Least chance of an error under 2 % that makes a depth a point.
        above: Points nearer to the floor than this share of the distance to the cameras are the floor's own.
        floor: How it is sought.
        depth: How depth is found.
    """

    moments: int = 25
    side_px: int = 640
    steady_deg: float = 0.2
    steady_share: float = 0.003
    near_deg: float = 40.0
    sure: float = 0.7
    above: float = 0.012
    floor: FloorOptions = field(default_factory=FloorOptions)
    depth: ViewDepthOptions = field(default_factory=ViewDepthOptions)


@dataclass(frozen=True, eq=False)
class Still:
    """What stands still.

    Attributes:
        points: The cloud, of the floor and of all else.
        floor: Where it was found.
    """

    points: PointCloud
    floor: Floor | None


def what_stands(clip: MultiViewVideo, options: StillOptions | None = None) -> Still | None:
    """The floor and other still surfaces; None where cameras move or nothing is found.

    Args:
        clip: The views with their cameras.
        options: How.
    """
    options = options or StillOptions()
    if not all(_stands(camera, clip.cameras, options) for camera in clip.cameras):
        return None
    still = backgrounds(clip, options)
    pictures = [video.frames[0] for video in still.views]
    K = np.stack([camera.K[0] for camera in still.cameras])
    T_wc = np.stack([camera.T_wc[0] for camera in still.cameras])
    floor = find_floor(pictures, K, T_wc, options.floor)
    xyz, rgb = _surfaces(still, options)
    if floor is not None:
        far = float(np.median(np.linalg.norm(T_wc[:, :3, 3] - floor.xyz.mean(0), axis=1)))
        off = xyz @ floor.normal - floor.offset
        # What is matched a little below the floor is the floor; far below there is nothing.
        kept = off > options.above * far
        xyz, rgb = np.concatenate([floor.xyz, xyz[kept]]), np.concatenate([floor.rgb, rgb[kept]])
    return Still(PointCloud(xyz.astype(np.float32), rgb), floor) if len(xyz) else None


def backgrounds(clip: MultiViewVideo, options: StillOptions) -> MultiViewVideo:
    """One frame a view, reduced: its median over time, without what moves."""
    views, cameras = [], []
    for video, camera in zip(clip.views, clip.cameras, strict=True):
        width, height = video.size
        scale = min(1.0, options.side_px / max(width, height))
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        moments = np.unique(np.linspace(0, len(video) - 1, options.moments).astype(int))
        frames = [cv2.resize(video.frames[t], size, interpolation=cv2.INTER_AREA) if scale < 1 else video.frames[t] for t in moments]
        picture = np.median(np.stack(frames), axis=0).astype(np.uint8)
        t = int(np.flatnonzero(camera.registered)[0])
        K = np.diag([size[0] / width, size[1] / height, 1.0]) @ camera.K[t]
        views.append(Video.from_frames(picture[None], video.fps))
        cameras.append(Cameras.from_poses(K, camera.T_wc[t][None], size))
    return MultiViewVideo(tuple(views), tuple(cameras))


def _stands(camera: Cameras, others: tuple[Cameras, ...], options: StillOptions) -> bool:
    poses = camera.T_wc[camera.registered]
    centres = np.array([other.centres[other.registered][0] for other in others])
    apart = float(np.linalg.norm(centres - centres.mean(0), axis=1).max())
    turned = np.arccos(np.clip((np.einsum("tij,ij->t", poses[:, :3, :3], poses[0, :3, :3]) - 1) / 2, -1, 1))
    moved = np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1)
    return bool(np.degrees(turned.max()) <= options.steady_deg and moved.max() <= options.steady_share * apart)


def _surfaces(still: MultiViewVideo, options: StillOptions) -> tuple[F64, U8]:
    """(M, 3) points that neighbouring views agree on, each kept once, and their colours."""
    found, colours = [np.zeros((0, 3))], [np.zeros((0, 3), np.uint8)]
    near = _has_neighbour(still, options)
    if not near.any():
        return found[0], colours[0]
    depth_options = replace(options.depth, dense=replace(options.depth.dense, side=min(options.depth.dense.side, options.side_px)))
    for v, (depth, sure) in enumerate(depth_of_moment(still, 0, depth_options)):
        camera, picture = still.cameras[v], still.views[v].frames[0]
        good = np.isfinite(depth) & (sure >= options.sure) & near[v]
        xyz = unproject(pixel_centres(still.views[v].size)[good], depth[good].astype(np.float64), camera.K[0], camera.T_wc[0])
        fresh = _unseen(xyz, found, still, v)
        found.append(xyz[fresh])
        colours.append(picture[good][fresh])
    return np.concatenate(found), np.concatenate(colours)


def _has_neighbour(still: MultiViewVideo, options: StillOptions) -> NDArray[np.bool_]:
    """(V,) which views see the middle of the scene from about the side that another one does: of others patches look different."""
    focus = focus_of(still.cameras, 0)
    to = np.array([camera.centres[0] - focus for camera in still.cameras])
    to /= np.linalg.norm(to, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(np.clip(to @ to.T, -1, 1)))
    return (angle + 360 * np.eye(len(to))).min(1) <= options.near_deg


def _unseen(xyz: F64, before: list[F64], still: MultiViewVideo, v: int) -> NDArray[np.bool_]:
    """Which points no point of an earlier view covers, in pixels of this one."""
    if not before or not len(xyz):
        return np.ones(len(xyz), bool)
    camera, (width, height) = still.cameras[v], still.views[v].size
    taken = np.zeros((height, width), np.uint8)
    xy, z = project(np.concatenate(before), camera.K[0], camera.T_wc[0])
    with np.errstate(invalid="ignore"):
        inside = (z > 0) & (xy >= 0).all(1) & (xy[:, 0] < width) & (xy[:, 1] < height)
    taken[xy[inside, 1].astype(int), xy[inside, 0].astype(int)] = 1
    here, _ = project(xyz, camera.K[0], camera.T_wc[0])
    here = np.clip(here.astype(int), 0, [width - 1, height - 1])
    return cv2.dilate(taken, np.ones((3, 3), np.uint8))[here[:, 1], here[:, 0]] == 0
