"""Points of a photo found again in its neighbours by how their surroundings look, where descriptions of points found too few.

The model's poses say on which line a point lies, its points at which depths, and how the surface is tilted; patches are warped
accordingly, compared along the line, refined to a fraction of a pixel, and looked for back again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree  # type: ignore[attr-defined]

from toolkit.compiling import compiled
from toolkit.scene import F32, F64
from toolkit.sfm.patch_comparing import SIDE, alike, cut, refine, through_plane, warp


@dataclass(frozen=True)
class PatchOptions:
    """How points are searched for.

    Attributes:
        likeness: Least normalised cross-correlation of two patches, -1..1.
        clearly: How much less alike every other place on the line must be, 3 px or more away.
        near: Points of the model around a corner that tell its depth and tilt.
        widened: The range of their depths is searched so much further to both sides.
        most_steps: Places on a line at most; a pixel apart where the line is short.
        back_px: Largest distance from where a search started to where the way back ends.
        moved_px: Refinement that leads further off is taken for another place.
        fewest_views: Photos that must show a point, its own included: two of them agree by chance.
    """

    likeness: float = 0.85
    clearly: float = 0.05
    near: int = 8
    widened: float = 1.2
    most_steps: int = 128
    back_px: float = 0.5
    moved_px: float = 2.0
    fewest_views: int = 3


@dataclass(frozen=True, eq=False)
class View:
    """A photo without lens distortion, and where it was taken.

    Attributes:
        grey: (H, W) float32.
        K: (3, 3) in its pixels, continuous.
        T_cw: (4, 4) camera-from-world.
    """

    grey: F32
    K: F64
    T_cw: F64


def find_in_neighbours(
    views: Mapping[int, View], asked: int, neighbours: Sequence[int], corners: F32, xyz_w: F64, options: PatchOptions
) -> dict[int, F64]:
    """Where corners of one photo are in others.

    Args:
        views: By number of the photo.
        asked: The photo with the corners.
        neighbours: Photos to look in.
        corners: (N, 2) continuous pixels.
        xyz_w: (P, 3) points of the model that the photo sees.
        options: How alike, how near.

    Returns:
        For each neighbour (N, 2) pixels, NaN where the corner is not found; only corners that enough neighbours show.
    """
    view = views[asked]
    local = xyz_w @ view.T_cw[:3, :3].T + view.T_cw[:3, 3]
    local = local[local[:, 2] > 0]
    if len(local) < options.near or len(corners) == 0:
        return {}
    depths, normals = _surroundings(view, corners, local, options)
    found = {}
    for n in neighbours:
        there = np.asarray(views[n].T_cw @ np.linalg.inv(view.T_cw), np.float64)
        found[n] = _search_all(
            view.grey, views[n].grey, view.K, views[n].K, there, corners.astype(np.float64), depths, normals, *_as_numbers(options)
        )
    count = 1 + np.sum([np.isfinite(xy[:, 0]) for xy in found.values()], axis=0)
    for xy in found.values():
        xy[count < options.fewest_views] = np.nan
    return found


def _as_numbers(o: PatchOptions) -> tuple[float, ...]:
    return o.likeness, o.clearly, o.most_steps, o.back_px, o.moved_px


def _surroundings(view: View, corners: F32, local: F64, options: PatchOptions) -> tuple[F64, F64]:
    """(N, 2) nearest and farthest depth to search, and (N, 3) normal of the surface where the points around lie on a plane, else 0."""
    xy = local[:, :2] / local[:, 2:] * [view.K[0, 0], view.K[1, 1]] + view.K[:2, 2]
    _, around = cKDTree(xy).query(corners, k=options.near)
    points = local[around]  # (N, near, 3)
    z = points[:, :, 2]
    depths = np.column_stack([z.min(1) / options.widened, z.max(1) * options.widened]).astype(np.float64)
    centred = points - points.mean(1, keepdims=True)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    normals = axes[:, 2]
    rays = np.column_stack([(corners - view.K[:2, 2]) / [view.K[0, 0], view.K[1, 1]], np.ones(len(corners))])
    tilt = abs(np.sum(normals * rays, 1)) / np.linalg.norm(rays, axis=1)
    flat = (spread[:, 2] < 0.15 * spread[:, 1]) & (tilt > 0.2)
    return depths, np.where(flat[:, None], normals, 0.0)


@compiled()
def _search(grey, other, K, K_other, there, x, y, near, far, normal, template, likeness, clearly, most_steps, place, A):  # pragma: no cover
    """Fills place and affine map of the likest spot on the line; its likeness, or 0 where none is clearly the likest."""
    ray = np.array([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], 1.0])
    first, last = np.empty(2), np.empty(2)
    if not through_plane(x, y, ray * near, normal, K, K_other, there, first):
        return 0.0
    if not through_plane(x, y, ray * far, normal, K, K_other, there, last):
        return 0.0
    steps = int(min(most_steps, max(3, math.ceil(math.hypot(last[0] - first[0], last[1] - first[1])) + 1)))
    scores, xs, ys = np.zeros(steps), np.zeros(steps), np.zeros(steps)
    patch = np.empty(SIDE * SIDE)
    spot, B = np.empty(2), np.empty((2, 2))
    best = -1
    for k in range(steps):
        inverse = 1 / near + (1 / far - 1 / near) * k / (steps - 1)
        if not warp(x, y, ray / inverse, normal, K, K_other, there, spot, B):
            continue
        xs[k], ys[k] = spot[0], spot[1]
        if cut(other, spot[0], spot[1], B, patch):
            scores[k] = alike(template, patch)
            if best < 0 or scores[k] > scores[best]:
                best = k
                A[:] = B
                place[:] = spot
    if best < 0 or scores[best] < likeness - 0.15:  # between two steps it is less alike than at the place itself
        return 0.0
    for k in range(steps):
        if math.hypot(xs[k] - xs[best], ys[k] - ys[best]) >= 3.0 and scores[k] > scores[best] - clearly:
            return 0.0
    return scores[best]


@compiled()
def _search_all(
    grey, other, K, K_other, there, corners, depths, normals, likeness, clearly, most_steps, back_px, moved_px
):  # pragma: no cover
    """(N, 2) where each corner is in the other picture, NaN where it is not found."""
    found = np.full((len(corners), 2), np.nan)
    template, patch = np.empty(SIDE * SIDE), np.empty(SIDE * SIDE)
    place, spot, start = np.empty(2), np.empty(2), np.empty(2)
    A, B = np.empty((2, 2)), np.empty((2, 2))
    same, frontal = np.eye(2), np.array([0.0, 0.0, 1.0])
    for n in range(len(corners)):
        x, y = corners[n, 0], corners[n, 1]
        if not cut(grey, x, y, same, template):
            continue
        near, far = depths[n, 0], depths[n, 1]
        best = _search(grey, other, K, K_other, there, x, y, near, far, frontal, template, likeness, clearly, most_steps, place, A)
        if np.abs(normals[n]).sum() > 0:
            score = _search(grey, other, K, K_other, there, x, y, near, far, normals[n], template, likeness, clearly, most_steps, spot, B)
            if score > best:
                best = score
                place[:] = spot
                A[:] = B
        if best == 0.0 or not refine(template, other, place, A, moved_px):
            continue
        if not cut(other, place[0], place[1], A, patch) or alike(template, patch) < likeness:
            continue
        # The way back: what the other picture shows there, looked for where the search began.
        if not cut(other, place[0], place[1], same, patch):
            continue
        start[0], start[1] = x, y
        size = A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0]
        B[0, 0], B[0, 1], B[1, 0], B[1, 1] = A[1, 1] / size, -A[0, 1] / size, -A[1, 0] / size, A[0, 0] / size
        if not refine(patch, grey, start, B, moved_px) or math.hypot(start[0] - x, start[1] - y) > back_px:
            continue
        found[n, 0], found[n, 1] = place[0], place[1]
    return found
