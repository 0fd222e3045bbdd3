"""Where a sphere is, from its outline in all views at once: fingers that cover a part of it, or a border that cuts it, leave the rest."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import to_opencv
from toolkit.scene import F32, F64, B


@dataclass(frozen=True)
class OutlineOptions:
    """How an outline is sought.

    Attributes:
        directions: Around the middle, in which the edge is sought.
        reach: The edge is sought so many radii inside and outside of where it should be; half as far in the second half of the steps ...
        least_reach_px: ... but at least so far.
        side: Half width of the step that is sought in the likelihood, in radii ...
        least_side_px: ... and at least.
        contrast: By how much the likelihood falls across an edge.
        believed_px: Error of an edge; one twice or thrice as far off is somebody's finger ...
        believed: ... or so many radii, where that is more.
        least: Edges that a view must show to count, as a share of the directions.
        steps: Of Gauss and Newton, at most ...
        settled: ... until the middle moves by less than so many radii.
    """

    directions: int = 72
    reach: float = 0.35
    least_reach_px: float = 4.0
    side: float = 0.12
    least_side_px: float = 1.5
    contrast: float = 0.35
    believed_px: float = 0.7
    believed: float = 0.03
    least: float = 0.25
    steps: int = 6
    settled: float = 1e-3


@dataclass(frozen=True, eq=False)
class Outlined:
    """A sphere as its outlines tell.

    Attributes:
        xyz: (3,) its centre.
        radius: As it was given, or found.
        covariance: (3, 3) of the centre.
        shown: (V,) share of the outline that each view shows where it should be.
        miss_px: (V, 2) how far from there each view alone would put the middle; NaN where it shows too little.
    """

    xyz: F64
    radius: float
    covariance: F64
    shown: F64
    miss_px: F64

    @property
    def sigma(self) -> float:
        """Standard deviation per axis."""
        return float(np.sqrt(np.trace(self.covariance) / 3))


@dataclass(frozen=True, eq=False)
class Patch:
    """Part of a picture that may show the sphere.

    Attributes:
        likely: (H, W) float32 chance of each pixel to be the sphere's.
        corner: (2,) where it lies in the picture.
        K: (3, 3).
        T_wc: (4, 4) world-from-camera.
    """

    likely: F32
    corner: NDArray
    K: F64
    T_wc: F64


def fit_sphere(
    patches: list[Patch | None], xyz_w: NDArray, radius: float, options: OutlineOptions | None = None, *, sizing: bool = False
) -> Outlined | None:
    """Centre of a sphere from the edges of its outline, by Gauss and Newton with Tukey's weights; None where fewer than two views show it.

    Args:
        patches: One a view, None where it can't show the sphere.
        xyz_w: (3,) about where the centre is.
        radius: Of the sphere, in the unit of the world.
        options: How edges are sought.
        sizing: Whether the radius is fitted, too.
    """
    options = options or OutlineOptions()
    place, size = np.array(xyz_w, np.float64), float(radius)
    turn = 2 * np.pi * np.arange(options.directions) / options.directions
    shown, miss_px, H, scale = np.zeros(len(patches)), np.full((len(patches), 2), np.nan), np.zeros((4, 4)), 1.0
    for step in range(options.steps):
        reach = options.reach * (1.0 if step < options.steps // 2 else 0.5)
        H, g = np.zeros((4, 4)), np.zeros(4)
        shown[:], miss_px[:] = 0, np.nan
        misses = []
        for v, patch in enumerate(patches):
            if patch is None:
                continue
            edge = _edges(patch, place, size, turn, reach, options)
            if edge is None:
                continue
            off, J, normal, r = edge
            limit = 3 * max(options.believed_px, options.believed * r) * (3.0 if step < 2 else 1.0)  # noqa: PLR2004 (a start may be far off)
            with np.errstate(invalid="ignore"):
                weight = np.where(np.abs(off) < limit, (1 - (off / limit) ** 2) ** 2, 0.0)
            good = np.isfinite(off) & (weight > 0)
            shown[v] = good.mean()
            if shown[v] < options.least:
                continue
            sigma = max(options.believed_px, options.believed * r)
            w = weight[good] / sigma**2
            H += (J[good] * w[:, None]).T @ J[good]
            g += (J[good] * w[:, None]).T @ off[good]
            misses.append((off[good] / sigma) ** 2)
            n = normal[good]
            miss_px[v] = np.linalg.solve((n * w[:, None]).T @ n + 1e-6 * w.sum() * np.eye(2), (n * w[:, None]).T @ off[good])
        if (shown >= options.least).sum() < 2:  # noqa: PLR2004 (one view alone tells the distance by its size alone)
            return None
        free = 4 if sizing else 3
        d = np.linalg.solve(H[:free, :free] + 1e-9 * np.trace(H) * np.eye(free), g[:free])
        d = d * min(1.0, 0.5 * size / max(float(np.linalg.norm(d[:3])), 1e-12))
        place = place + d[:3]
        if sizing:
            size = float(np.clip(size + d[3], 0.7 * size, 1.4 * size))
        scale = max(1.0, float(np.mean(np.concatenate(misses))))
        if step >= options.steps // 2 and np.linalg.norm(d[:3]) < options.settled * size:
            break
    # Neighbouring edges err alike: a dozen of them tell as much as one.
    covariance = np.linalg.inv(H[:3, :3] + 1e-12 * np.trace(H) * np.eye(3)) * scale * 12.0
    return Outlined(place, size, covariance, shown, miss_px)


def _edges(
    patch: Patch, place: F64, size: float, turn: NDArray, reach: float, options: OutlineOptions
) -> tuple[F64, F64, F64, float] | None:
    """How far outside of where it should be the edge is, in each direction (NaN where none shows), and how that depends on the sphere.

    Also the normals of the outline in the picture, and its radius there.
    """
    centre = patch.T_wc[:3, 3]
    away = place - centre
    far = float(np.linalg.norm(away))
    if far <= 1.05 * size:  # noqa: PLR2004 (the camera is inside)
        return None
    axis = away / far
    across = np.cross(axis, patch.T_wc[:3, 0])
    across /= max(float(np.linalg.norm(across)), 1e-12)
    around = np.cos(turn)[:, None] * across + np.sin(turn)[:, None] * np.cross(axis, across)
    # Where rays touch the sphere: a circle a little nearer and smaller than the one through its centre.
    rim = place - axis * size**2 / far + around * size * np.sqrt(1 - (size / far) ** 2)
    xy, z = project(rim, patch.K, patch.T_wc)
    middle, depth = project(place[None], patch.K, patch.T_wc)
    if not (np.isfinite(xy).all() and (z > 0).all() and depth[0] > 0):
        return None
    out = xy - middle[0]
    r = float(np.linalg.norm(out, axis=1).mean())
    normal = out / np.linalg.norm(out, axis=1, keepdims=True)
    off = _steps_along(patch, xy, normal, r, reach, options)
    R_cw = patch.T_wc[:3, :3].T
    at = (rim - centre) @ R_cw.T
    fx, fy = patch.K[0, 0], patch.K[1, 1]
    to_pixels = np.zeros((len(rim), 2, 3))
    to_pixels[:, 0, 0], to_pixels[:, 0, 2] = fx / at[:, 2], -fx * at[:, 0] / at[:, 2] ** 2
    to_pixels[:, 1, 1], to_pixels[:, 1, 2] = fy / at[:, 2], -fy * at[:, 1] / at[:, 2] ** 2
    by_place = np.einsum("ki,kij,jl->kl", normal, to_pixels, R_cw)
    return off, np.column_stack([by_place, (by_place * around).sum(1)]), normal, r


def _steps_along(patch: Patch, xy: F64, normal: F64, r: float, reach: float, options: OutlineOptions) -> F64:
    """(D,) where along each normal the likelihood falls most, in pixels from `xy`; NaN where it hardly falls or outside the picture."""
    half = max(reach * r, options.least_reach_px)
    side = max(options.side * r, options.least_side_px)
    pace = 0.5
    count, width = int(np.ceil(half / pace)), max(2, round(side / pace))
    s = pace * np.arange(-count - width, count + width + 1)
    at = xy[:, None] + s[:, None] * normal[:, None] - patch.corner
    height, wide = patch.likely.shape
    inside: B = np.all((at > 0.5) & (at < [wide - 0.5, height - 0.5]), axis=-1)
    sampled = to_opencv(at).astype(np.float32)
    profile = cv2.remap(patch.likely, sampled[..., 0], sampled[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    total = np.cumsum(np.pad(profile.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    middle = np.arange(width, len(s) - width)
    inner = (total[:, middle] - total[:, middle - width]) / width
    outer = (total[:, middle + 1 + width] - total[:, middle + 1]) / width
    fall = inner - outer
    kept = inside[:, middle - width] & inside[:, middle + width]
    fall = np.where(kept, fall, -1.0)
    best = fall.argmax(1)
    rows = np.arange(len(xy))
    good = (fall[rows, best] >= options.contrast) & (best > 0) & (best < len(middle) - 1)
    i = np.clip(best, 1, len(middle) - 2)
    a, b, c = fall[rows, i - 1], fall[rows, i], fall[rows, i + 1]
    bend = a - 2 * b + c
    shift = np.where(bend < -1e-9, np.clip(0.5 * (a - c) / np.where(bend < -1e-9, bend, -1.0), -0.5, 0.5), 0.0)
    return np.where(good, s[middle[i]] + pace * shift, np.nan)
