"""Compiled loops over the rays of an image and over scattered rays."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np

from toolkit.compiling import compiled
from toolkit.synthetic.light import colour
from toolkit.synthetic.surfaces import may_meet, meet

_TILE = 16


@compiled(error_model="numpy")
def _turn(R, x, y, z):
    return (
        R[0, 0] * x + R[0, 1] * y + R[0, 2] * z,
        R[1, 0] * x + R[1, 1] * y + R[1, 2] * z,
        R[2, 0] * x + R[2, 1] * y + R[2, 2] * z,
    )


@compiled(error_model="numpy")
def _candidates(m, o, rays, R, r0, r1, c0, c1, margin, shapes, near):
    """Shapes that rays of a tile may meet, nearest first; `margin` (radians) widens the tile for rays between its pixels."""
    ax, ay, az = 0.0, 0.0, 0.0
    for i in (r0, r1 - 1):
        for j in (c0, c1 - 1):
            x, y, z = rays[i, j, 0], rays[i, j, 1], rays[i, j, 2]
            n = 1.0 / sqrt(x * x + y * y + z * z)
            ax, ay, az = ax + n * x, ay + n * y, az + n * z
    n = 1.0 / sqrt(ax * ax + ay * ay + az * az)
    ax, ay, az = n * ax, n * ay, n * az
    cosine = 1.0
    for i in range(r0, r1):
        for j in range(c0, c1):
            x, y, z = rays[i, j, 0], rays[i, j, 1], rays[i, j, 2]
            cosine = min(cosine, (x * ax + y * ay + z * az) / sqrt(x * x + y * y + z * z))
    half = np.arccos(max(-1.0, cosine)) + margin
    ax, ay, az = _turn(R, ax, ay, az)
    count = 0
    for p in range(len(m.shapes)):
        s, distance = m.shapes[p], -inf
        x, y, z = s.cx - o[0], s.cy - o[1], s.cz - o[2]
        away = sqrt(x * x + y * y + z * z)
        if away > s.bound:
            angle = np.arccos(max(-1.0, min(1.0, (x * ax + y * ay + z * az) / away)))
            if angle > half + np.arcsin(s.bound / away):
                continue
            distance = away - s.bound
        k = count
        while k > 0 and near[k - 1] > distance:
            near[k], shapes[k] = near[k - 1], shapes[k - 1]
            k -= 1
        near[k], shapes[k] = distance, p
        count += 1
    return count


@compiled(error_model="numpy")
def _nearest(m, o, dx, dy, dz, shapes, near, count):
    length = sqrt(dx * dx + dy * dy + dz * dz)
    best, shape, face = inf, -1, 0
    for k in range(count):
        if near[k] > best * length:
            break
        p = shapes[k]
        t, f = meet(m.shapes[p], o[0], o[1], o[2], dx, dy, dz)
        if t < best:
            best, shape, face = t, p, f
    return best, shape, face


@compiled(error_model="numpy")
def trace_image(m, o, R, rays, width, distance, key):
    """First hits of the rays (H, W, 3) of a camera at `o` (3,) turned by `R` (3, 3).

    Writes `distance` (H, W), in multiples of the rays (inf in the sky), and `key` (H, W), shape * 8 + face (-1 in the sky).
    """
    h, v = distance.shape
    shapes, near = np.empty(len(m.shapes), np.int64), np.empty(len(m.shapes))
    for r0 in range(0, h, _TILE):
        for c0 in range(0, v, _TILE):
            r1, c1 = min(r0 + _TILE, h), min(c0 + _TILE, v)
            count = _candidates(m, o, rays, R, r0, r1, c0, c1, width, shapes, near)
            for i in range(r0, r1):
                for j in range(c0, c1):
                    x, y, z = rays[i, j, 0], rays[i, j, 1], rays[i, j, 2]
                    dx, dy, dz = _turn(R, x, y, z)
                    t, p, face = _nearest(m, o, dx, dy, dz, shapes, near, count)
                    distance[i, j] = t
                    key[i, j] = p * 8 + face if p >= 0 else -1


@compiled(error_model="numpy")
def _byte(x):
    """Linear light as the display's 0..255."""
    return np.uint8(min(255.0, 255.0 * sqrt(max(x, 0.0)) + 0.5))


@compiled(error_model="numpy")
def paint_image(m, o, R, rays, width, distance, key, edge_rays, rgb):
    """Colours `rgb` (H, W, 3) uint8 of an image that `trace_image` has traced.

    Textures are filtered by the size of the pixel; where a pixel and a neighbour show different surfaces or light and shadow,
    `edge_rays` x `edge_rays` further rays share the pixel.
    """
    h, v = distance.shape
    mark = np.empty((h, v), np.int64)
    for i in range(h):
        for j in range(v):
            x, y, z = rays[i, j, 0], rays[i, j, 1], rays[i, j, 2]
            dx, dy, dz = _turn(R, x, y, z)
            k = key[i, j]
            p, face = (k // 8, k % 8) if k >= 0 else (-1, 0)
            r, g, b, lit = colour(m, p, face, distance[i, j], o[0], o[1], o[2], dx, dy, dz, width)
            rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2] = _byte(r), _byte(g), _byte(b)
            mark[i, j] = 2 * k + lit
    if edge_rays < 2:  # noqa: PLR2004
        return
    shapes, near = np.empty(len(m.shapes), np.int64), np.empty(len(m.shapes))
    for r0 in range(0, h, _TILE):
        for c0 in range(0, v, _TILE):
            r1, c1 = min(r0 + _TILE, h), min(c0 + _TILE, v)
            count = -1
            for i in range(r0, r1):
                for j in range(c0, c1):
                    i0, i1, j0, j1 = max(i - 1, 0), min(i + 1, h - 1), max(j - 1, 0), min(j + 1, v - 1)
                    own = mark[i, j]
                    if own == mark[i0, j] and own == mark[i1, j] and own == mark[i, j0] and own == mark[i, j1]:
                        continue
                    if count < 0:
                        count = _candidates(m, o, rays, R, r0, r1, c0, c1, width, shapes, near)
                    sr, sg, sb = 0.0, 0.0, 0.0
                    for a in range(edge_rays * edge_rays):
                        fy = ((a // edge_rays + 0.5) / edge_rays - 0.5) / max(i1 - i0, 1)
                        fx = ((a % edge_rays + 0.5) / edge_rays - 0.5) / max(j1 - j0, 1)
                        x = rays[i, j, 0] + fy * (rays[i1, j, 0] - rays[i0, j, 0]) + fx * (rays[i, j1, 0] - rays[i, j0, 0])
                        y = rays[i, j, 1] + fy * (rays[i1, j, 1] - rays[i0, j, 1]) + fx * (rays[i, j1, 1] - rays[i, j0, 1])
                        z = rays[i, j, 2] + fy * (rays[i1, j, 2] - rays[i0, j, 2]) + fx * (rays[i, j1, 2] - rays[i, j0, 2])
                        dx, dy, dz = _turn(R, x, y, z)
                        t, p, face = _nearest(m, o, dx, dy, dz, shapes, near, count)
                        r, g, b, lit = colour(m, p, face, t, o[0], o[1], o[2], dx, dy, dz, width / edge_rays)
                        sr, sg, sb = sr + min(r, 1.0), sg + min(g, 1.0), sb + min(b, 1.0)
                    n = 1.0 / (edge_rays * edge_rays)
                    rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2] = _byte(n * sr), _byte(n * sg), _byte(n * sb)


@compiled(error_model="numpy")
def _first_hit(m, ox, oy, oz, dx, dy, dz):
    best, shape, face = inf, -1, 0
    for p in range(len(m.shapes)):
        s = m.shapes[p]
        if may_meet(s, ox, oy, oz, dx, dy, dz):
            t, f = meet(s, ox, oy, oz, dx, dy, dz)
            if t < best:
                best, shape, face = t, p, f
    return best, shape, face


@compiled(error_model="numpy")
def trace_rays(m, o, d, distance, key):
    """First hits of scattered rays: `o`, `d` (N, 3) into `distance`, `key` (N,)."""
    for n in range(len(d)):
        t, p, face = _first_hit(m, o[n, 0], o[n, 1], o[n, 2], d[n, 0], d[n, 1], d[n, 2])
        distance[n], key[n] = t, p * 8 + face if p >= 0 else -1


@compiled(error_model="numpy")
def paint_rays(m, o, d, width, distance, key, rgb):
    """Colours (N, 3) uint8 of scattered rays that `trace_rays` has traced."""
    for n in range(len(d)):
        k = key[n]
        p, face = (k // 8, k % 8) if k >= 0 else (-1, 0)
        r, g, b, _ = colour(m, p, face, distance[n], o[n, 0], o[n, 1], o[n, 2], d[n, 0], d[n, 1], d[n, 2], width)
        rgb[n, 0], rgb[n, 1], rgb[n, 2] = _byte(r), _byte(g), _byte(b)
