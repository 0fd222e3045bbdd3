"""Depth of one view from a few others of known pose: planes of inverse depth are swept, and what matches is aggregated semi-globally.

Collins, "A space-sweep approach to true multi-image matching", CVPR 1996; the cost is a zero-mean normalised cross-correlation, of
which the better half of the other views counts (Kang, Szeliski & Chai, "Handling occlusions in dense multi-view stereo", CVPR 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, F64, U8, B
from toolkit.stereo.sgm import COST_UNIT, LANES, SgmSettings, aggregated
from toolkit.stereo.sweep_cost import best_half, best_label, match_plane, planes_last


@dataclass(frozen=True)
class SweepSettings:
    """How planes are swept and compared.

    Attributes:
        radius: Half width of the compared window, px.
        noise: Standard deviation of the grey values, below which texture is taken for noise.
        px_per_plane: From one plane to the next a pixel moves by so much in the view where it moves most ...
        fewest: ... but there are at least so many planes ...
        most: ... and at most so many: memory and time are proportional to it.
        to_infinity: Where the farthest plane is nearer to infinity than this share of all planes, those between are tried too: a sky has
            to match somewhere, and is known by matching there.
        sgm: Penalties, in units of the cost between what is the same (0) and what has nothing in common (1).
    """

    radius: int = 2
    noise: float = 2.0
    px_per_plane: float = 1.5
    fewest: int = 24
    most: int = 160
    to_infinity: float = 0.15
    sgm: SgmSettings = field(default_factory=lambda: SgmSettings(small_step=1.0, large_step=3.0, edge=10, edge_drop=3.0))


@dataclass(frozen=True, eq=False)
class View:
    """One picture, ready to be compared.

    Attributes:
        grey: (H, W) uint8.
        usable: (H, W) bool, False where nothing is to be matched.
        K: (3, 3) intrinsics, in its pixels.
        T_cw: (4, 4) camera-from-world.
    """

    grey: U8
    usable: B
    K: F64
    T_cw: F64


@dataclass(frozen=True)
class Planes:
    """Inverse depths that are tried: `first + k * step` for k from 0 to `count` - 1, in 1 / the scene's unit."""

    first: float
    step: float
    count: int


@dataclass(frozen=True, eq=False)
class Sweep:
    """What was found for one view.

    Attributes:
        label: (H, W) float32 place among the planes, with a fraction; NaN where the view is not usable or no other view looks.
        margin: (H, W) float32 how much worse the best other plane is, in units of the cost; near 0 = ambiguous.
        cost: (H, W) float32 cost of the winner, 0 (the same) to 1 and, where surroundings disagree, above.
        planes: What the labels mean.
    """

    label: F32
    margin: F32
    cost: F32
    planes: Planes


def epipolar_map(view: View, other: View) -> tuple[F64, F64]:
    """(3, 3) A and (3,) b so that a pixel x of `view` at inverse depth w is seen at A x + w b of `other`, in homogeneous pixels."""
    R = other.T_cw[:3, :3] @ view.T_cw[:3, :3].T
    t = other.T_cw[:3, 3] - R @ view.T_cw[:3, 3]
    return other.K @ R @ np.linalg.inv(view.K), other.K @ t


def px_per_inverse_depth(view: View, other: View, inverse_depth: float) -> float:
    """How far a pixel moves in `other` per unit of inverse depth: the median over a grid of pixels that it sees; 0 where it sees none."""
    h, w = view.grey.shape
    A, b = epipolar_map(view, other)
    x, y = np.meshgrid(np.linspace(0.5, w - 0.5, 9), np.linspace(0.5, h - 0.5, 9))
    p = np.stack([x.ravel(), y.ravel(), np.ones(x.size)]).T @ A.T + inverse_depth * b
    front = p[:, 2] > 1e-9
    p = p[front]
    xy = p[:, :2] / p[:, 2:]
    seen = (xy > 0).all(1) & (xy < (other.grey.shape[1], other.grey.shape[0])).all(1)
    if not seen.any():
        return 0.0
    p, xy = p[seen], xy[seen]
    return float(np.median(np.linalg.norm((b[:2] - xy * b[2]) / p[:, 2:], axis=1)))


def planes_between(view: View, others: Sequence[View], nearest: float, farthest: float, settings: SweepSettings) -> Planes:
    """Planes from the farthest to the nearest depth, so dense that no step moves a pixel by much more than `px_per_plane`."""
    low, high = 1 / farthest, 1 / nearest
    if low < settings.to_infinity * high:
        low = 0.0
    motion = max((px_per_inverse_depth(view, other, 0.5 * (low + high)) for other in others), default=0.0)
    count = int(np.ceil((high - low) * motion / settings.px_per_plane)) + 1
    count = min(max(count, settings.fewest), settings.most)
    return Planes(low, (high - low) / (count - 1), count)


def sweep(view: View, others: Sequence[View], planes: Planes, settings: SweepSettings | None = None) -> Sweep:
    """The plane of each pixel.

    Args:
        view: Whose depth is sought.
        others: One or more views that see the same, of any size.
        planes: What is tried.
        settings: How views are compared.
    """
    use = settings or SweepSettings()
    h, w = view.grey.shape
    grey = view.grey.astype(np.float32) - 128
    area = (2 * use.radius + 1,) * 2
    mean = cv2.boxFilter(grey, -1, area, borderType=cv2.BORDER_REPLICATE)
    variance = np.maximum(cv2.boxFilter(grey * grey, -1, area, borderType=cv2.BORDER_REPLICATE) - mean * mean, 0)
    pixels = [np.where(o.usable, o.grey.astype(np.float32) - 128, 1e9).astype(np.float32) for o in others]
    maps = [epipolar_map(view, other) for other in others]
    one = np.empty((len(others), h, w), np.uint8)
    swept = np.empty((planes.count, h, w), np.uint8)
    for k in range(planes.count):
        inverse_depth = planes.first + k * planes.step
        for n, (A, b) in enumerate(maps):
            M = A.copy()
            M[:, 2] += inverse_depth * b
            match_plane(grey, mean, variance, pixels[n], M, use.radius, use.noise**2, one[n])
        best_half(one, swept[k])
    cost = planes_last(swept, -(-planes.count // LANES) * LANES)
    del swept
    total = aggregated(cost, view.grey, use.sgm)
    label, margin, best = best_label(total, planes.count)
    unseen = _unseen(view, maps, others, planes)
    label[unseen | ~view.usable] = np.nan
    scale = np.float32(1 / (COST_UNIT * use.sgm.paths))
    return Sweep(label, margin * scale, best * scale, planes)


def _unseen(view: View, maps: Sequence[tuple[F64, F64]], others: Sequence[View], planes: Planes) -> B:
    """(H, W) pixels that no other view looks at, whatever their depth."""
    h, w = view.grey.shape
    x, y = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
    rays: NDArray = np.stack([x, y, np.ones_like(x)], -1)
    seen = np.zeros((h, w), bool)
    for (A, b), other in zip(maps, others, strict=True):
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            p = rays @ A.T + (planes.first + share * (planes.count - 1) * planes.step) * b
            with np.errstate(divide="ignore", invalid="ignore"):
                u, v = p[..., 0] / p[..., 2], p[..., 1] / p[..., 2]
            seen |= (p[..., 2] > 0) & (u > 0) & (v > 0) & (u < other.grey.shape[1]) & (v < other.grey.shape[0])
    return ~seen
