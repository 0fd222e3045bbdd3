"""The floor that several standing cameras look at: the plane on which their pictures, laid out flat, show the same."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import to_opencv
from toolkit.scene import F64, U8, B


@dataclass(frozen=True)
class FloorOptions:
    """How the floor is sought.

    Attributes:
        nearest: Least height of the cameras above it, as a share of their distance from what they look at ...
        farthest: ... and most.
        heights: That are tried, evenly spaced in their logarithm.
        extent: Radius of the part that is compared, in the same share.
        cells: Along a side of it; twice as many for the last refinement.
        patch: Cells along the side of what is compared with each other.
        blur: Of the laid out pictures, in cells: views from far show less.
        agree: Correlation of a patch between two views that makes it floor.
        least_score: Mean correlation over all patches, ...
        distinct: ... and by how much it must beat every other height by more than a sixth apart.
        steepest_deg: Views that look at the floor from a flatter angle show nothing of it.
    """

    nearest: float = 0.05
    farthest: float = 1.5
    heights: int = 64
    extent: float = 1.1
    cells: int = 144
    patch: int = 9
    blur: float = 0.7
    agree: float = 0.45
    least_score: float = 0.12
    distinct: float = 0.05
    steepest_deg: float = 4.0


@dataclass(frozen=True, eq=False)
class Floor:
    """A plane with what lies on it.

    Attributes:
        normal: (3,) up.
        offset: Points X of it have normal @ X = offset.
        xyz: (M, 3) its points that two views at least show alike, or that lie between such.
        rgb: (M, 3) uint8 their colours.
        score: Mean correlation.
    """

    normal: F64
    offset: float
    xyz: F64
    rgb: U8
    score: float


@dataclass(frozen=True, eq=False)
class _Layout:
    """A square grid on a plane."""

    xyz: F64  # (C, C, 3)
    looks: F64  # (V, C, C) grey values, NaN where a view does not show the cell


def find_floor(pictures: list[U8], K: NDArray, T_wc: NDArray, options: FloorOptions | None = None) -> Floor | None:
    """The floor of a scene, where the pictures tell.

    Args:
        pictures: V arrays (H, W, 3) of one moment, or of what stands still.
        K: (V, 3, 3).
        T_wc: (V, 4, 4) world-from-camera.
        options: How it is sought.
    """
    options = options or FloorOptions()
    centres, axes = T_wc[:, :3, 3], T_wc[:, :3, 2]
    up = _up(T_wc)
    across = np.eye(3) - axes[:, :, None] * axes[:, None]
    focus = np.linalg.lstsq(across.reshape(-1, 3), (across @ centres[..., None]).reshape(-1), rcond=None)[0]
    reach = float(np.median(np.linalg.norm(focus - centres, axis=1)))
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]

    def score(tilt: NDArray, height: float, cells: int) -> float:
        normal = _tilted(up, tilt)
        offset = float(normal @ centres.mean(0) - height)
        return _score(_laid(grey, K, T_wc, normal, offset, focus, reach, cells, options), options)

    heights = reach * np.geomspace(options.nearest, options.farthest, options.heights)
    tried = np.array([score(np.zeros(2), h, options.cells // 2) for h in heights])
    best = int(tried.argmax())
    rivals = tried[np.abs(np.log(heights / heights[best])) > np.log(7 / 6)]
    if tried[best] < options.least_score / 2 or (len(rivals) and tried[best] - rivals.max() < options.distinct / 2):
        return None
    start = np.array([0.0, 0.0, 0.0])
    for cells, pace in ((options.cells // 2, 0.03), (options.cells, 0.008)):
        simplex = start + pace * np.vstack([np.zeros(3), np.eye(3)])
        found = minimize(
            lambda p, cells=cells: -score(p[:2], heights[best] * np.exp(p[2]), cells),
            start,
            method="Nelder-Mead",
            options={"initial_simplex": simplex, "maxfev": 60, "xatol": 1e-4, "fatol": 1e-5},
        )
        start = found.x
    normal, height = _tilted(up, start[:2]), heights[best] * np.exp(start[2])
    offset = float(normal @ centres.mean(0) - height)
    layout = _laid(grey, K, T_wc, normal, offset, focus, reach, 2 * options.cells, options)
    worth = _score(layout, options)
    if worth < options.least_score:
        return None
    on = _agreed(layout, options) & (np.linalg.norm(layout.xyz - layout.xyz.mean((0, 1)), axis=-1) < options.extent * reach)
    xyz = layout.xyz[on]
    rgb, agreed = _coloured(xyz, pictures, K, T_wc)
    return Floor(normal, offset, xyz[agreed], rgb[agreed], worth)


def _up(T_wc: NDArray) -> F64:
    """(3,) what is level in most pictures: cameras that are not rolled have level x axes."""
    mean = -T_wc[:, :3, 1].mean(0)
    x = T_wc[:, :3, 0]
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    up = vectors[:, 0] * np.sign(vectors[:, 0] @ mean)
    # Cameras side by side have like x axes, across which much is level.
    up = up if values[1] > 0.05 and up @ mean > 0.5 * np.linalg.norm(mean) else mean  # noqa: PLR2004 (13 degrees; 60 degrees)
    return np.asarray(up / np.linalg.norm(up), np.float64)


def _tilted(up: F64, tilt: NDArray) -> F64:
    a = np.cross(up, np.eye(3)[int(np.abs(up).argmin())])
    a /= np.linalg.norm(a)
    normal = up + tilt[0] * a + tilt[1] * np.cross(up, a)
    return np.asarray(normal / np.linalg.norm(normal), np.float64)


def _laid(
    grey: list, K: NDArray, T_wc: NDArray, normal: F64, offset: float, focus: NDArray, reach: float, cells: int, options: FloorOptions
) -> _Layout:
    """All pictures as they look on a plane."""
    a = np.cross(normal, np.eye(3)[int(np.abs(normal).argmin())])
    a /= np.linalg.norm(a)
    b = np.cross(normal, a)
    middle = focus - (normal @ focus - offset) * normal
    side = options.extent * reach * np.linspace(-1, 1, cells)
    xyz = middle + side[:, None, None] * a + side[None, :, None] * b
    looks = np.full((len(grey), cells, cells), np.nan)
    for v, picture in enumerate(grey):
        xy, z = project(xyz, K[v], T_wc[v])
        to = T_wc[v, :3, 3] - xyz
        slope = np.arcsin(np.clip((to @ normal) / np.linalg.norm(to, axis=-1), -1, 1))
        height, width = picture.shape
        with np.errstate(invalid="ignore"):
            shown = (z > 0) & (xy > 1).all(-1) & (xy[..., 0] < width - 1) & (xy[..., 1] < height - 1)
        shown &= slope > np.deg2rad(options.steepest_deg)
        # Where a cell is smaller than a pixel nothing fine shows; where it is larger, it is an average.
        at = to_opencv(np.where(shown[..., None], xy, 0.0)).astype(np.float32)
        coarse = float(np.median(K[v, 0, 0] * (side[1] - side[0]) / z[shown])) if shown.any() else 1.0
        blurred = cv2.GaussianBlur(picture, (0, 0), max(options.blur * coarse, 0.3))
        looks[v] = np.where(shown, cv2.remap(blurred, at[..., 0], at[..., 1], cv2.INTER_LINEAR), np.nan)
    return _Layout(np.asarray(xyz, np.float64), looks)


def _likeness(a: NDArray, b: NDArray, options: FloorOptions) -> NDArray:
    """(C, C) correlation of the patches around each cell; NaN where a view shows too little of it."""
    size = (options.patch, options.patch)
    both = np.isfinite(a) & np.isfinite(b)
    share = cv2.blur(both.astype(np.float64), size)
    a, b = np.where(both, a, 0.0), np.where(both, b, 0.0)

    def mean(x: NDArray) -> NDArray:
        return cv2.blur(x, size) / np.maximum(share, 1e-9)

    mean_a, mean_b = mean(a), mean(b)
    cov, var_a, var_b = mean(a * b) - mean_a * mean_b, mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    return np.where(share > 0.7, cov / np.sqrt((np.maximum(var_a, 0) + 4.0) * (np.maximum(var_b, 0) + 4.0)), np.nan)  # noqa: PLR2004


def _score(layout: _Layout, options: FloorOptions) -> float:
    """Mean correlation over the patches of all pairs of views, those of no texture counting as nothing."""
    total, count = 0.0, 0
    for a, b in combinations(range(len(layout.looks)), 2):
        alike = _likeness(layout.looks[a], layout.looks[b], options)
        known = np.isfinite(alike)
        total, count = total + float(alike[known].sum()), count + int(known.sum())
    least = 0.02 * layout.looks[0].size  # a few patches may agree by chance
    return total / count if count > least else 0.0


def _agreed(layout: _Layout, options: FloorOptions) -> B:
    """(C, C) which cells two views show alike, with the gaps between them that some view shows."""
    good = np.zeros(layout.looks[0].shape, np.uint8)
    for a, b in combinations(range(len(layout.looks)), 2):
        alike = _likeness(layout.looks[a], layout.looks[b], options)
        good |= (np.nan_to_num(alike) > options.agree).astype(np.uint8)
    good = cv2.morphologyEx(good, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    span = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * options.patch + 1,) * 2)
    closed = cv2.morphologyEx(good, cv2.MORPH_CLOSE, span)
    return (closed > 0) & np.isfinite(layout.looks).any(0)


def _coloured(xyz: F64, pictures: list[U8], K: NDArray, T_wc: NDArray, *, alike: float = 36.0) -> tuple[U8, B]:
    """(M, 3) colours, of each point from the view that shows it largest of those that agree, and (M,) where two agree or one alone sees.

    Args:
        xyz: (M, 3) points.
        pictures: V pictures.
        K: (V, 3, 3).
        T_wc: (V, 4, 4).
        alike: Grey levels within which colours agree.
    """
    looks, large = np.full((len(pictures), len(xyz), 3), np.nan), np.full((len(pictures), len(xyz)), -1.0)
    for v, picture in enumerate(pictures):
        xy, z = project(xyz, K[v], T_wc[v])
        height, width = picture.shape[:2]
        with np.errstate(invalid="ignore", divide="ignore"):
            shown = (z > 0) & (xy > 0).all(-1) & (xy[:, 0] < width) & (xy[:, 1] < height)
            large[v] = np.where(shown, K[v, 0, 0] / z, -1.0)
        looks[v, shown] = picture[xy[shown, 1].astype(int), xy[shown, 0].astype(int)]
    count = np.isfinite(looks[..., 0]).sum(0)
    with np.errstate(invalid="ignore"):
        apart = np.abs(looks[:, None] - looks[None]).max(-1)  # (V, V, M)
    friends = (apart < alike).sum(1)  # of each view, itself included
    best = np.lexsort((large, np.where(large > 0, friends, -1)), axis=0)[-1]
    rows = np.arange(len(xyz))
    rgb = np.nan_to_num(looks[best, rows]).astype(np.uint8)
    return rgb, (count == 1) | (friends[best, rows] > 1)
