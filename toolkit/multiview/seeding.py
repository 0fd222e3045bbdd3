"""Which points are followed where nobody asked for any: a grid over everything that moves, in every view."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from toolkit.multiview.lifting import LiftOptions, lift_pixels
from toolkit.multiview.view_depth import depth_of_moment
from toolkit.progress import Report, silent
from toolkit.scene import F32, U8, B, MultiViewVideo


@dataclass(frozen=True)
class SeedOptions:
    """How a grid is laid.

    Attributes:
        points: About how many points are wanted.
        moments: In how many frames, evenly spread.
        changed: Grey levels by which a pixel must differ from its median over time, where the camera stands.
        noise: And in so many times the usual change of the picture.
        still_share: Pixels that moved in more of the view than this say that the camera moves: then the grid is everywhere.
        tries: Pixels tried a point that is wanted: most can't be lifted.
        fewest: Where fewer moving points can be placed than this share of what is wanted, still ones are followed too.
    """

    points: int = 400
    moments: int = 5
    changed: float = 12.0
    noise: float = 4.0
    still_share: float = 0.6
    tries: float = 3.0
    fewest: float = 0.2


def moving_mask(frames: U8, t: int, options: SeedOptions) -> B:
    """(H, W) what moves in a frame of a grey clip: what differs from the median over time; everything where the camera moves."""
    some = frames[np.linspace(0, len(frames) - 1, min(len(frames), 25)).astype(int)]
    behind = np.median(some, axis=0)
    change = np.abs(frames[t].astype(np.float32) - behind)
    usual = float(np.median(change))
    mask = cv2.GaussianBlur(change.astype(np.float32), (0, 0), 1.5) > max(options.changed, options.noise * usual)
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    if mask.mean() > options.still_share or len(frames) < 3:
        return np.ones(frames.shape[1:], bool)
    return mask > 0


def seed_queries(
    clip: MultiViewVideo,
    images: list[U8],
    options: SeedOptions | None = None,
    *,
    lift: LiftOptions | None = None,
    masks: dict[int, NDArray] | None = None,
    everywhere: bool = False,
    report: Report = silent,
) -> F32:
    """(N, 4) queries (t, x, y, z) on what moves.

    Args:
        clip: The views.
        images: V arrays (T, H, W) of grey frames.
        options: How the grid is laid.
        lift: How depth is searched.
        masks: Frame to (H, W) mask of the first view, in place of what moves.
        everywhere: Whether the grid is laid over all of the pictures, as it is where next to nothing moves.
        report: Told of every view and moment.
    """
    options = options or SeedOptions()
    T, V = len(images[0]), len(images)
    moments = np.unique(np.linspace(0, T - 1, options.moments + 2).astype(int)[1:-1]) if masks is None else np.array(sorted(masks))
    views = range(V) if masks is None else range(1)
    wanted = max(1, round(options.tries * options.points / (len(moments) * len(views))))
    found = []
    for k, t in enumerate(moments):
        swept = None if clip.depth_m is not None or len(clip.views) < 2 else depth_of_moment(clip, int(t))  # noqa: PLR2004 (to compare)
        for v in views:
            mask = moving_mask(images[v], int(t), options) if masks is None else np.asarray(masks[int(t)]) != 0
            mask = np.ones_like(mask) if everywhere else mask
            xy = textured(images[v][t], mask, wanted)
            depth = swept[v][0] if swept is not None else None if clip.depth_m is None else clip.depth_m[v][t]
            lifted = lift_pixels(images, clip.cameras, v, int(t), xy, lift, depth=depth)
            good = np.isfinite(lifted.xyz_w[:, 0])
            found.append(np.column_stack([np.full(good.sum(), t), lifted.xyz_w[good]]))
            report(k * len(views) + v + 1, len(moments) * len(views))
    moving = _thinned(np.concatenate(found), options.points).astype(np.float32)
    if masks is not None or everywhere or len(moving) >= options.fewest * options.points:
        return moving
    rest = replace(options, points=options.points - len(moving), moments=1)
    return np.concatenate([moving, seed_queries(clip, images, rest, lift=lift, report=report, everywhere=True)])


def textured(image: U8, mask: B, count: int) -> NDArray:
    """(M, 2) places in a mask with something to hold on to, evenly spread."""
    area = float(mask.sum())
    if area < 1:
        return np.zeros((0, 2))
    apart = max(3.0, np.sqrt(area / count))
    corners = cv2.goodFeaturesToTrack(image, count, 0.005, apart * 0.8, mask=mask.astype(np.uint8) * 255, blockSize=7)
    return np.zeros((0, 2)) if corners is None else corners[:, 0].astype(np.float64) + 0.5


def _thinned(queries: NDArray, count: int) -> NDArray:
    """At most `count` of the queries, far from each other in the world first."""
    if len(queries) <= count:
        return queries
    chosen = [0]
    distance = np.linalg.norm(queries[:, 1:] - queries[0, 1:], axis=1)
    for _ in range(count - 1):
        n = int(distance.argmax())
        chosen.append(n)
        distance = np.minimum(distance, np.linalg.norm(queries[:, 1:] - queries[n, 1:], axis=1))
    return queries[np.sort(chosen)]


def spacing(queries: NDArray) -> float:
    """Median distance of a query to its nearest neighbour."""
    if len(queries) < 2:
        return float("nan")
    return float(np.median(KDTree(queries[:, 1:]).query(queries[:, 1:], k=2)[0][:, 1]))
