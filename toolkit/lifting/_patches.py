"""Small patches around queries, and how much other places look like them when the surface is seen from another camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.scene import F32, Cameras, DepthVideo, Tracks2D, Video


def query_patches(
    tracks: Tracks2D, video: Video, depth: DepthVideo, cameras: Cameras, rows: NDArray, query_frame: NDArray, radius: int
) -> tuple[F32, F32, F32]:
    """(P, S*S) grey values around each query, how much each counts, and (P, S*S, 3) the world points that they show."""
    count = (2 * radius + 1) ** 2
    values, weights = np.zeros((len(rows), count), np.float32), np.zeros((len(rows), count), np.float32)
    points = np.zeros((len(rows), count, 3), np.float32)
    for t in np.unique(query_frame[rows]):
        here = np.flatnonzero(query_frame[rows] == t)
        if cameras.registered[t]:
            K, T_wc = cameras.K[t], cameras.T_wc[t]
            _cut(
                smooth_grey(video.frames[t]), depth.depth[t], tracks.queries[rows[here], 1:], here, radius, K, T_wc, values, weights, points
            )
    return values, weights, points


def smooth_grey(frame: NDArray) -> F32:
    """(H, W) grey values, smoothed enough to be looked up between pixels."""
    return cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), 1.0).astype(np.float32)


@compiled()
def _cut(grey, depth, xy, places, radius, K, T_wc, values, weights, points):  # pragma: no cover - compiled
    """Fills the patches of these places; pixels at another depth than the middle do not count, the others lie on a plane."""
    h, w = grey.shape
    side = 2 * radius + 1
    inverse = np.empty(side * side)
    for i in range(len(places)):
        p = places[i]
        middle = depth[min(h - 1, max(0, int(xy[i, 1]))), min(w - 1, max(0, int(xy[i, 0])))]
        if not np.isfinite(middle):
            continue
        A, rhs = np.zeros((3, 3)), np.zeros(3)
        for k in range(side * side):
            dx, dy = k % side - radius, k // side - radius
            x, y = xy[i, 0] - 0.5 + dx, xy[i, 1] - 0.5 + dy
            if x < 0 or y < 0 or x > w - 1 or y > h - 1:
                continue
            z = depth[min(h - 1, int(y + 0.5)), min(w - 1, int(x + 0.5))]
            if not abs(z - middle) < 0.1 * middle:
                continue
            values[p, k] = _look_up(grey, x, y)
            weights[p, k] = np.exp(-0.5 * (dx * dx + dy * dy) / (0.5 * radius) ** 2)
            basis = np.array([1.0, dx, dy])
            for a in range(3):
                rhs[a] += weights[p, k] * basis[a] / z
                for b in range(3):
                    A[a, b] += weights[p, k] * basis[a] * basis[b]
        for a in range(1, 3):
            A[a, a] += 1e-3 * A[0, 0] + 1e-9  # a thin strip of pixels tells no slope across it
        plane = np.linalg.solve(A + 1e-12 * np.eye(3), rhs)
        for k in range(side * side):
            dx, dy = k % side - radius, k // side - radius
            inverse[k] = plane[0] + plane[1] * dx + plane[2] * dy
            if inverse[k] <= 0:
                weights[p, k] = 0
                continue
            z = 1 / inverse[k]
            X = z * (xy[i, 0] + dx - K[0, 2]) / K[0, 0]
            Y = z * (xy[i, 1] + dy - K[1, 2]) / K[1, 1]
            for a in range(3):
                points[p, k, a] = T_wc[a, 0] * X + T_wc[a, 1] * Y + T_wc[a, 2] * z + T_wc[a, 3]


@compiled()
def compare(grey, tracked, standing, wanted, differs, values, weights, points, K, T_cw, likeness):  # pragma: no cover - compiled
    """Fills (2, P) weighted correlations of the query's patch with where its points stand, and with its shape at the tracked place.

    NaN outside, for patches without texture, where not `wanted`, and at the tracked place where that does not differ.
    """
    h, w = grey.shape
    count = values.shape[1]
    at = np.empty((count, 2))
    for p in range(len(values)):
        if not wanted[p]:
            continue
        for k in range(count):
            X, Y, Z = points[p, k]
            z = T_cw[2, 0] * X + T_cw[2, 1] * Y + T_cw[2, 2] * Z + T_cw[2, 3]
            if weights[p, k] == 0 or z <= 0:
                at[k, 0] = -1e9
                continue
            at[k, 0] = K[0, 0] * (T_cw[0, 0] * X + T_cw[0, 1] * Y + T_cw[0, 2] * Z + T_cw[0, 3]) / z + K[0, 2] - 0.5
            at[k, 1] = K[1, 1] * (T_cw[1, 0] * X + T_cw[1, 1] * Y + T_cw[1, 2] * Z + T_cw[1, 3]) / z + K[1, 2] - 0.5
        for place in range(2 if differs[p] else 1):
            shift_x = tracked[p, 0] - standing[p, 0] if place == 1 else 0.0
            shift_y = tracked[p, 1] - standing[p, 1] if place == 1 else 0.0
            n = sa = sb = saa = sbb = sab = 0.0
            for k in range(count):
                x, y = at[k, 0] + shift_x, at[k, 1] + shift_y
                if not (x >= 0 and y >= 0 and x <= w - 1 and y <= h - 1):
                    continue
                c, a, b = weights[p, k], values[p, k], _look_up(grey, x, y)
                n += c
                sa += c * a
                sb += c * b
                saa += c * a * a
                sbb += c * b * b
                sab += c * a * b
            if n < 1:
                continue
            va, vb = saa / n - (sa / n) ** 2, sbb / n - (sb / n) ** 2
            if va < 2.0 or vb < 2.0:  # one or two grey levels of spread are noise
                continue
            likeness[place, p] = (sab / n - sa * sb / n**2) / np.sqrt(va * vb)


@compiled()
def _look_up(grey, x, y):  # pragma: no cover - compiled
    """Bilinear value at OpenCV coordinates inside the image."""
    h, w = grey.shape
    c, r = min(int(x), w - 2), min(int(y), h - 2)
    fx, fy = x - c, y - r
    top = grey[r, c] * (1 - fx) + grey[r, c + 1] * fx
    return top * (1 - fy) + (grey[r + 1, c] * (1 - fx) + grey[r + 1, c + 1] * fx) * fy
