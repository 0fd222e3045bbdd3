"""A lens given as a mesh: each vertex pairs a pixel with a direction (VR180's `mshp` projection)."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.compiling import compiled
from toolkit.errors import UserError
from toolkit.geometry.projections import on_image
from toolkit.geometry.sampling import inside
from toolkit.scene import F64, I64

_CELLS = 96  # cells a side of the search grid; a 40 x 40 mesh then has about one triangle a cell
_EDGE_SAMPLES = 8  # points an edge is cut into when its bounds in the flattened sphere are found
_SLACK = 1e-9  # barycentric weight below zero that still counts as inside, so that shared edges have no gaps


class LensMesh:
    """An eye whose lens is a triangle mesh, drawn as a renderer would: linear across each flat triangle."""

    def __init__(self, rays: ArrayLike, xy: ArrayLike, triangles: ArrayLike, size: tuple[int, int]) -> None:
        """Checks shapes and drops degenerate triangles (the joints of a triangle strip).

        Args:
            rays: (P, 3) vertices in the eye's axes (x right, y down, z forward); their lengths only shape the interpolation in between.
            xy: (P, 2) continuous pixels of the same vertices in that eye's image.
            triangles: (M, 3) vertex indices.
            size: (width, height) of that eye's image, in pixels.

        Raises:
            UserError: shapes that do not fit, indices past the vertices, or no triangle with an area.
        """
        v, p, t = np.array(rays, np.float64), np.array(xy, np.float64), np.array(triangles, np.int64)
        if v.ndim != 2 or v.shape[1:] != (3,) or p.shape != (len(v), 2) or t.ndim != 2 or t.shape[1:] != (3,):
            shapes = f"rays {v.shape}, pixels {p.shape} and triangles {t.shape}"
            raise UserError(f"The lens mesh has {shapes}, but (P, 3), (P, 2) and (M, 3) are needed.")
        if not (np.isfinite(v).all() and np.isfinite(p).all()) or (len(t) and (t.min() < 0 or t.max() >= len(v))):
            raise UserError("The lens mesh has vertices that are not finite or triangles that point past its vertices.")
        a, b, c = p[t].transpose(1, 0, 2)
        area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
        solid = (np.abs(np.linalg.det(v[t])) > 1e-12) & (area > 1e-12)
        if not solid.any():
            raise UserError("The lens mesh has no triangle with an area.")
        self.vertices: F64 = v
        self.xy: F64 = p
        self.triangles: I64 = t[solid]
        self.size = (int(size[0]), int(size[1]))

    def rays(self, xy: NDArray) -> F64:
        """Unit rays (..., 3) seen by continuous pixels (..., 2); NaN outside the image or the mesh."""
        xy = np.asarray(xy, np.float64)
        flat = np.where(inside(xy, self.size)[..., None], xy, np.nan).reshape(-1, 2)
        point = np.concatenate([flat, np.ones((len(flat), 1))], -1)
        which, weights = self._image_search.find(flat, point)
        rays = np.einsum("pk,pkc->pc", weights, self.vertices[self.triangles[which]])
        return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(*xy.shape[:-1], 3)

    def pixels(self, rays: NDArray) -> F64:
        """Continuous pixels (..., 2) that see rays (..., 3) of any length; NaN where the mesh does not reach."""
        d = np.asarray(rays, np.float64)
        flat = d.reshape(-1, 3)
        which, weights = self._ray_search.find(_flatten(flat, self._axis), flat)
        xy = np.einsum("pk,pkc->pc", weights, self.xy[self.triangles[which]])
        return on_image(xy, self.size).reshape(*d.shape[:-1], 2)

    @cached_property
    def _axis(self) -> F64:
        mean = (self.vertices / np.linalg.norm(self.vertices, axis=1, keepdims=True)).mean(0)
        return mean / np.linalg.norm(mean)

    @cached_property
    def _image_search(self) -> _TriangleSearch:
        corners = self.xy[self.triangles]
        homogeneous = np.concatenate([corners, np.ones((len(corners), 3, 1))], -1)
        return _TriangleSearch(corners.min(1), corners.max(1), np.linalg.inv(homogeneous.transpose(0, 2, 1)))

    @cached_property
    def _ray_search(self) -> _TriangleSearch:
        corners = self.vertices[self.triangles]
        share = np.linspace(0, 1, _EDGE_SAMPLES + 1)[:, None]
        edges = [corners[:, None, i] * (1 - share) + corners[:, None, (i + 1) % 3] * share for i in range(3)]
        outline = _flatten(np.concatenate(edges, 1), self._axis)
        margin = 0.02 * (outline.max(1) - outline.min(1))  # an edge may bulge between its samples
        return _TriangleSearch(outline.min(1) - margin, outline.max(1) + margin, np.linalg.inv(corners.transpose(0, 2, 1)))


class _TriangleSearch:
    """Finds the triangle that holds a point: candidates by a grid in the plane, the decision by barycentric weights."""

    def __init__(self, low: NDArray, high: NDArray, to_weights: NDArray) -> None:
        """Bounds (M, 2) of each triangle in the plane, and (M, 3, 3) matrices that turn a point into its corner weights."""
        self.to_weights = np.ascontiguousarray(to_weights)
        self.origin = low.min(0)
        self.cell = (high.max(0) - self.origin) / _CELLS + 1e-12
        first = np.clip(((low - self.origin) / self.cell).astype(int), 0, _CELLS - 1)
        last = np.clip(((high - self.origin) / self.cell).astype(int), 0, _CELLS - 1)
        members: list[list[int]] = [[] for _ in range(_CELLS * _CELLS)]
        for i, ((x0, y0), (x1, y1)) in enumerate(zip(first, last, strict=True)):
            for y in range(y0, y1 + 1):
                for x in range(x0, x1 + 1):
                    members[y * _CELLS + x].append(i)
        self.starts = np.cumsum([0] + [len(m) for m in members])
        self.members = np.array([i for m in members for i in m], np.int64)

    def find(self, place: NDArray, point: NDArray) -> tuple[I64, F64]:
        """Triangle index (P,) and corner weights (P, 3) that add up to one; weights NaN where no triangle holds the point."""
        return _find(
            np.ascontiguousarray(place), np.ascontiguousarray(point), self.origin, self.cell, self.starts, self.members, self.to_weights
        )


@compiled()
def _find(place, point, origin, cell, starts, members, to_weights):  # type: ignore[no-untyped-def]  # pragma: no cover
    """The first candidate triangle that holds each point, and its weights there."""
    which = np.zeros(len(place), np.int64)
    weights = np.full((len(place), 3), np.nan)
    for p in range(len(place)):
        column, row = (place[p, 0] - origin[0]) / cell[0], (place[p, 1] - origin[1]) / cell[1]
        if not (0 <= column <= _CELLS and 0 <= row <= _CELLS):  # NaN included
            continue
        at = min(int(row), _CELLS - 1) * _CELLS + min(int(column), _CELLS - 1)
        for candidate in members[starts[at] : starts[at + 1]]:
            M = to_weights[candidate]
            a = M[0, 0] * point[p, 0] + M[0, 1] * point[p, 1] + M[0, 2] * point[p, 2]
            b = M[1, 0] * point[p, 0] + M[1, 1] * point[p, 1] + M[1, 2] * point[p, 2]
            c = M[2, 0] * point[p, 0] + M[2, 1] * point[p, 1] + M[2, 2] * point[p, 2]
            total = a + b + c
            if total > 0 and min(a, b, c) >= -_SLACK * total:
                which[p] = candidate
                weights[p, 0], weights[p, 1], weights[p, 2] = a / total, b / total, c / total
                break
    return which, weights


def _flatten(rays: NDArray, axis: F64) -> F64:
    """Rays (..., 3) on a plane: angle from `axis` as radius, direction kept (azimuthal equidistant)."""
    u = np.cross(axis, [0.0, 1.0, 0.0] if abs(axis[1]) < 0.9 else [1.0, 0.0, 0.0])
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    x, y, z = rays @ u, rays @ v, rays @ axis
    across = np.hypot(x, y)
    angle = np.arctan2(across, z)
    return np.stack([x, y], -1) * (angle / np.where(across > 0, across, 1))[..., None]
