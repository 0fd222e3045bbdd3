"""A point's surroundings as they looked in one frame, found in another: turned, stretched and lit otherwise, without what lies behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.scene import F32, F64, U8, B


@dataclass(frozen=True)
class TemplateOptions:
    """How surroundings are compared.

    Attributes:
        radius_px: Half side of the window.
        stride_px: Distance of its samples.
        bell: Width of the weights, as a share of the radius: the point itself counts most.
        layer: Samples on another surface are left out: their depth differs by more than this share ...
        least_layer: ... where the point's own surface fills less than this share of the weights, all samples count.
        steps: Of Gauss and Newton at most.
        noise: Grey levels by which the same thing looks different, against which a change of shape is held.
        bend: How much shape changes from one frame to the next: standard deviation of the four numbers of the affine map.
        farthest_px: A match farther from where it began is none.
    """

    radius_px: int = 8
    stride_px: float = 1.25
    bell: float = 0.6
    layer: float = 0.05
    least_layer: float = 0.15
    steps: int = 12
    noise: float = 6.0
    bend: float = 0.06
    farthest_px: float = 4.0


@dataclass(frozen=True, eq=False)
class Matched:
    """Where templates were found.

    Attributes:
        xy: (N, 2) float64 pixels; NaN where lost.
        A: (N, 2, 2) float64 how offsets in the template become offsets here.
        likeness: (N,) float64 normalised correlation, -1..1; NaN where lost.
    """

    xy: F64
    A: F64
    likeness: F64


def match_templates(
    frames: U8,
    key_t: NDArray,
    key_xy: NDArray,
    t: int,
    start: NDArray,
    A: NDArray,
    options: TemplateOptions | None = None,
    *,
    layers: F32 | U8 | None = None,
    level: NDArray | None = None,
) -> Matched:
    """Finds N windows of a clip in one of its frames (Gauss and Newton on an affine map, inverse compositional: Baker & Matthews 2004).

    Args:
        frames: (T, H, W) grey.
        key_t: (N,) frame of each template.
        key_xy: (N, 2) its place there, continuous pixels.
        t: Frame in which they are looked for.
        start: (N, 2) about where.
        A: (N, 2, 2) about how they are turned and stretched.
        options: How they are compared.
        layers: (T, H, W) what tells surfaces apart: depth, NaN where unknown, or small numbers.
        level: (N,) that of the point itself in its template; NaN where unknown.
    """
    options = options or TemplateOptions()
    N = len(key_xy)
    half = options.radius_px
    steps = np.arange(-half, half + 1e-9, options.stride_px)
    steps = steps - steps.mean()
    offsets = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    bell = np.exp(-0.5 * (offsets**2).sum(1) / (options.bell * half) ** 2)
    xy, shape, alike = np.full((N, 2), np.nan), np.array(A, np.float64), np.full(N, np.nan)
    told = np.full(N, np.nan) if level is None or layers is None else np.asarray(level, np.float64)
    other = np.zeros((N, len(offsets)), np.bool_)
    if layers is not None:
        rows = np.flatnonzero(np.isfinite(told) & np.isfinite(key_xy[:, 0]))
        other[rows] = _elsewhere(layers, np.asarray(key_t)[rows], key_xy[rows, None] + offsets, told[rows], options.layer)
    _match(
        frames,
        np.asarray(key_t, np.int64),
        np.ascontiguousarray(key_xy, np.float64),
        t,
        np.ascontiguousarray(start, np.float64),
        shape,
        offsets,
        bell,
        np.isfinite(told),
        other,
        (options.least_layer, options.noise, options.bend, options.farthest_px, options.steps),
        xy,
        alike,
    )
    return Matched(xy, shape, alike)


def _elsewhere(layers: F32 | U8, key_t: NDArray, xy: NDArray, level: NDArray, share: float) -> B:
    """(N, S) which samples of templates lie on another surface."""
    height, width = layers.shape[1:]
    x, y = np.clip(xy[..., 0].astype(int), 0, width - 1), np.clip(xy[..., 1].astype(int), 0, height - 1)
    with np.errstate(invalid="ignore"):
        return np.abs(layers[key_t[:, None], y, x] - level[:, None]) > share * level[:, None]


@compiled()
def _match(frames, key_t, key_xy, t, start, A, offsets, bell, layered, other, options, out, alike):
    least, noise, bend, farthest, most = options
    N, S = len(key_xy), len(offsets)
    T, height, width = frames.shape
    a, b, w = np.zeros(S), np.zeros(S), np.zeros(S)
    J = np.zeros((S, 6))
    for n in range(N):
        if not (np.isfinite(key_xy[n, 0]) and np.isfinite(start[n, 0]) and np.isfinite(A[n, 0, 0])):
            continue
        first = frames[key_t[n]]
        total, own = 0.0, 0.0
        for s in range(S):
            x, y = key_xy[n, 0] + offsets[s, 0], key_xy[n, 1] + offsets[s, 1]
            inside = 1.0 <= x < width - 1.0 and 1.0 <= y < height - 1.0
            w[s] = bell[s] if inside else 0.0
            total += w[s]
            if inside and layered[n]:
                if other[n, s]:
                    w[s] = -w[s]  # another surface
                else:
                    own += w[s]
        if total <= 0.0:
            continue
        alone = layered[n] and own >= least * total
        total = 0.0
        for s in range(S):
            w[s] = max(w[s], 0.0) if alone else abs(w[s])
            total += w[s]
        mean, power = 0.0, 0.0
        for s in range(S):
            w[s] /= total
            a[s] = 0.0
            if w[s] > 0.0:
                x, y = key_xy[n, 0] + offsets[s, 0], key_xy[n, 1] + offsets[s, 1]
                a[s] = _at(first, x, y)
                gx, gy = 0.5 * (_at(first, x + 1, y) - _at(first, x - 1, y)), 0.5 * (_at(first, x, y + 1) - _at(first, x, y - 1))
                J[s, 0], J[s, 1] = gx, gy
                J[s, 2], J[s, 3] = gx * offsets[s, 0], gx * offsets[s, 1]
                J[s, 4], J[s, 5] = gy * offsets[s, 0], gy * offsets[s, 1]
                mean += w[s] * a[s]
        for s in range(S):
            a[s] -= mean
            power += w[s] * a[s] * a[s]
        H = np.zeros((6, 6))
        count = 0.0
        for s in range(S):
            if w[s] > 0.0:
                count += w[s] * w[s]
                for i in range(6):
                    for j in range(6):
                        H[i, j] += w[s] * J[s, i] * J[s, j]
        pull = noise * noise * count / (bend * bend)  # the weights sum to one: count is one over the number of samples
        for i in range(6):
            H[i, i] += pull if i > 1 else 1e-6 * noise * noise
        inverse = np.linalg.inv(H)
        p, shape = start[n].copy(), A[n].copy()
        bent = np.zeros((2, 2))
        score, found = np.nan, False
        for _ in range(most):
            cover, mean_b = 0.0, 0.0
            for s in range(S):
                b[s] = 0.0
                if w[s] > 0.0:
                    x = p[0] + shape[0, 0] * offsets[s, 0] + shape[0, 1] * offsets[s, 1]
                    y = p[1] + shape[1, 0] * offsets[s, 0] + shape[1, 1] * offsets[s, 1]
                    if 0.5 <= x < width - 0.5 and 0.5 <= y < height - 0.5:
                        b[s] = _at(frames[t], x, y)
                        cover += w[s]
                        mean_b += w[s] * b[s]
                    else:
                        b[s] = -1.0
            if cover < 0.6:
                found = False
                break
            mean_b /= cover
            power_b, both = 0.0, 0.0
            for s in range(S):
                if w[s] > 0.0 and b[s] >= 0.0:
                    b[s] -= mean_b
                    power_b += w[s] * b[s] * b[s]
                    both += w[s] * a[s] * b[s]
                else:
                    b[s] = np.nan
            score = both / np.sqrt((power + 4.0) * (power_b + 4.0))
            gain = min(max(np.sqrt(power / max(power_b, 1.0)), 0.5), 2.0)
            g = np.zeros(6)
            for s in range(S):
                if w[s] > 0.0 and np.isfinite(b[s]):
                    e = gain * b[s] - a[s]
                    for i in range(6):
                        g[i] += w[s] * J[s, i] * e
            for i in range(2):
                for j in range(2):
                    g[2 + 2 * i + j] += pull * bent[i, j]
            d = inverse @ g
            D = np.array([[1.0 + d[2], d[3]], [d[4], 1.0 + d[5]]])
            det = D[0, 0] * D[1, 1] - D[0, 1] * D[1, 0]
            if det < 0.3 or det > 3.0:
                found = False
                break
            back = np.array([[D[1, 1], -D[0, 1]], [-D[1, 0], D[0, 0]]]) / det
            shape = shape @ back
            for i in range(2):
                for j in range(2):
                    bent[i, j] -= d[2 + 2 * i + j]
            step = shape @ np.array([d[0], d[1]])
            p = p - step
            found = True
            if (p[0] - start[n, 0]) ** 2 + (p[1] - start[n, 1]) ** 2 > farthest * farthest:
                found = False
                break
            if step[0] * step[0] + step[1] * step[1] < 1e-4:
                break
        if found and np.isfinite(score):
            out[n], A[n], alike[n] = p, shape, score


@compiled(inline="always")
def _at(image, x, y):
    """Grey value at continuous pixels inside the picture."""
    u, v = x - 0.5, y - 0.5
    i, j = int(np.floor(u)), int(np.floor(v))
    fu, fv = u - i, v - j
    k, m = min(i + 1, image.shape[1] - 1), min(j + 1, image.shape[0] - 1)
    i, j = max(i, 0), max(j, 0)
    top = (1.0 - fu) * image[j, i] + fu * image[j, k]
    low = (1.0 - fu) * image[m, i] + fu * image[m, k]
    return (1.0 - fv) * top + fv * low
