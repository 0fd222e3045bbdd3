"""What MVTracker is shown of a recording: pictures of the size it was trained with, and further points on what they show."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.sampling import sample_bilinear, sample_nearest
from toolkit.models.mvtracker_cloud import Moment, View, unprojected
from toolkit.scene import F32, MultiViewVideo

TRAINED_SIZE = (512, 384)
MULTIPLE = 32  # of pixels: the encoder halves four times, the cloud three times more than its features
MARGIN = 1 / 64  # of the width, that a grid of points keeps from the border


def network_size(size: tuple[int, int], *, area_px: int = TRAINED_SIZE[0] * TRAINED_SIZE[1]) -> tuple[int, int]:
    """(width, height) at which a picture of another size is shown to the network: about as many pixels, of nearly the same shape.

    >>> network_size((1920, 1080)), network_size((640, 480))
    ((576, 320), (512, 384))
    """
    ratio = (area_px / (size[0] * size[1])) ** 0.5
    return tuple(max(MULTIPLE, round(length * ratio / MULTIPLE) * MULTIPLE) for length in size)  # type: ignore[return-value]


def moment_of(clip: MultiViewVideo, t: int, *, area_px: int = TRAINED_SIZE[0] * TRAINED_SIZE[1]) -> Moment:
    """The views of one frame whose cameras are registered, resized for the network.

    Args:
        clip: Synchronised views with depth.
        t: The frame.
        area_px: Pixels of a picture that the network sees.
    """
    assert clip.depth_m is not None
    views = []
    for video, cameras, depth in zip(clip.views, clip.cameras, clip.depth_m, strict=True):
        if not cameras.registered[t]:
            continue
        size = network_size(video.size, area_px=area_px)
        scale = np.array(size) / video.size
        way = cv2.INTER_AREA if scale.max() < 1 else cv2.INTER_LINEAR
        image = cv2.resize(video.frames[t], size, interpolation=way).transpose(2, 0, 1)
        K = np.diag([*scale, 1.0]) @ cameras.K[t]
        K[:2, 2] -= 0.5  # the network counts pixels from the centre of the first one
        x, y = ((np.arange(n) + 0.5) / s for n, s in zip(size, scale, strict=True))
        near = sample_nearest(depth[t], np.stack(np.meshgrid(x, y), -1))
        views.append(View(np.ascontiguousarray(image), near, K, cameras.T_cw[t, :3]))
    return views


def grid(size: tuple[int, int], per_side: int) -> NDArray:
    """(per_side**2, 2) places in an image whose pixel centres are whole numbers, row by row."""
    width, height = size
    if per_side == 1:
        return np.array([[width / 2, height / 2]])
    margin = width * MARGIN
    x, y = np.linspace(margin, width - margin, per_side), np.linspace(margin, height - margin, per_side)
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


def supporting_queries(moment: Moment, frame: int, per_side: int, *, published: bool = False) -> F32:
    """Queries on a grid of pixels of each view: tracks know more of each other when they are spread over the scene.

    Args:
        moment: Views of the frame.
        frame: Its index.
        per_side: Points along each side of each picture.
        published: Whether depth is interpolated, over edges and into the unknown, too, as in the published code; else it is that of the
            nearest pixel, and points without any are left out.

    Returns:
        (S, 4) float32 (t, x, y, z), view by view.
    """
    found = [np.zeros((0, 4), np.float32)]
    for view in moment:
        height, width = view.depth.shape
        xy = grid((width, height), per_side)
        depth = (sample_bilinear if published else sample_nearest)(view.depth, xy + 0.5).astype(np.float64)
        keep = np.ones(len(xy), bool) if published else np.isfinite(depth) & (depth > 0)
        xyz = unprojected(xy[keep], depth[keep], view.K, view.T_cw)
        found.append(np.concatenate([np.full((len(xyz), 1), frame, np.float32), xyz], axis=1))
    return np.concatenate(found)
