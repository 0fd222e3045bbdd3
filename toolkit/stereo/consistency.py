"""Do the depth maps of several views tell of the same surface? Each pixel asks the other maps, and agreeing ones are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.compiling import compiled
from toolkit.scene import F32, F64, Cameras


@dataclass(frozen=True, eq=False)
class Agreement:
    """What the other maps say of each pixel of one.

    Attributes:
        inverse_depth: (H, W) float32 averaged with what agrees; NaN where unknown.
        agree: (H, W) float32 views whose depth agrees.
        past: (H, W) float32 views that see past the point to something farther.
        looked: (H, W) float32 views that know a depth at its place.
        spread: (H, W) float32 mean difference of those that agree, in steps; `within` where none does.
    """

    inverse_depth: F32
    agree: F32
    past: F32
    looked: F32
    spread: F32


def ask_views(maps: F32, steps: F64, t: int, others: Sequence[int], cameras: Cameras, *, within: float = 1.5) -> Agreement:
    """Asks other views about the depth of one.

    Args:
        maps: (T, H, W) float32 inverse depth, NaN where unknown.
        steps: (T,) resolution of each map's inverse depth: what moves a pixel by about one.
        t: The view.
        others: Rows of the views that are asked.
        cameras: T cameras in pixels of the maps.
        within: Depths agree up to so many steps of the coarser of both maps.
    """
    rows = np.array([s for s in others if s != t], np.int64)
    out = [np.empty(maps.shape[1:], np.float32) for _ in range(5)]
    relative = np.ascontiguousarray(cameras.T_cw[rows] @ cameras.T_wc[t])
    _ask(maps, np.asarray(steps, np.float64), t, rows, relative, cameras.K, within, *out)
    return Agreement(*out)


def carried_to(t: int, maps: F32, certain: F32, others: Sequence[int], cameras: Cameras, *, within: float = 0.03) -> tuple[F32, F32]:
    """Depth of a view without a map of its own, from those of others whose points fall into it.

    Args:
        t: The view.
        maps: (T, H, W) float32 inverse depth, NaN where unknown.
        certain: (T, H, W) float32 how sure it is, 0..1.
        others: Rows with maps, the most alike first.
        cameras: T cameras in pixels of the maps.
        within: Share of depth up to which points in one pixel are of one surface.

    Returns:
        (H, W) float32 inverse depth, NaN where no point falls; (H, W) float32 how sure it is.
    """
    rows = np.array([s for s in others if s != t], np.int64)
    relative = np.ascontiguousarray(cameras.T_cw[t] @ cameras.T_wc[rows])
    return _carry(maps, certain, rows, relative, cameras.K, t, within)


def enlarged(inverse_depth: F32, certain: F32, size: tuple[int, int], *, within: float = 0.03) -> tuple[F32, F32]:
    """Depth and its certainty at (width, height): linear within a surface, of the nearest pixel at edges; NaN stays NaN."""
    depth, sure = np.empty((size[1], size[0]), np.float32), np.empty((size[1], size[0]), np.float32)
    _enlarge(inverse_depth, certain, within, depth, sure)
    return depth, sure


@compiled()
def _ask(maps, steps, t, others, relative, K, within, fused, agreeing, past, looked, spread):  # pragma: no cover (compiled)
    _, h, w = maps.shape
    fx, fy, cx, cy = K[t, 0, 0], K[t, 1, 1], K[t, 0, 2], K[t, 1, 2]
    for row in range(h):
        for column in range(w):
            own = np.float64(maps[t, row, column])
            agreeing[row, column] = past[row, column] = looked[row, column] = 0
            spread[row, column] = within
            if not own > 0:
                fused[row, column] = np.nan
                continue
            z = 1 / own
            x, y = (column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy
            weights = 1 / (steps[t] * z) ** 2
            total, agree, through, known, apart = weights * own, 0.0, 0.0, 0.0, 0.0
            for i in range(len(others)):
                M, s = relative[i], others[i]
                e = z * (M[2, 0] * x + M[2, 1] * y + M[2, 2]) + M[2, 3]
                if e <= 1e-6 * z:
                    continue
                u = K[s, 0, 0] * (z * (M[0, 0] * x + M[0, 1] * y + M[0, 2]) + M[0, 3]) / e + K[s, 0, 2] - 0.5
                v = K[s, 1, 1] * (z * (M[1, 0] * x + M[1, 1] * y + M[1, 2]) + M[1, 3]) / e + K[s, 1, 2] - 0.5
                if not (u >= 0 and v >= 0 and u < w - 1 and v < h - 1):
                    continue
                limit = within * max(steps[t] * z, steps[s] * e)
                left, top = int(u), int(v)
                right, below = u - left, v - top
                weight, inverse, farther, there = 0.0, 0.0, 0.0, 0.0
                for a in range(2):
                    for b in range(2):
                        q = np.float64(maps[s, top + a, left + b])
                        if not q > 0:
                            continue
                        part = (below if a else 1 - below) * (right if b else 1 - right)
                        there += part
                        if abs(q * e - 1) < limit:
                            weight += part
                            inverse += part * q
                        elif q * e < 1 - 2 * limit:
                            farther += part
                if there > 0.5:
                    known += 1
                if weight > 0.3:
                    carried = z + weight / inverse - e  # the other depth, carried to this view along the ray
                    if carried > 0:
                        agree += 1
                        apart += min(abs(1 / carried - own) / (limit * own / within), within)
                        precision = 1 / (steps[s] * e) ** 2
                        weights += precision
                        total += precision / carried
                elif farther > 0.99:
                    through += 1
            fused[row, column] = total / weights
            agreeing[row, column], past[row, column], looked[row, column] = agree, through, known
            if agree > 0:
                spread[row, column] = apart / agree


@compiled()
def _carry(maps, certain, others, relative, K, t, within):  # pragma: no cover (compiled)
    _, h, w = maps.shape
    nearest = np.zeros((h, w), np.float32)
    total, weights = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
    sure = np.zeros((h, w), np.float32)
    # Once for the nearest surface in each pixel, once for the mean over what lies on it.
    for turn in range(2):
        for i in range(len(others)):
            M, s = relative[i], others[i]
            fx, fy, cx, cy = K[s, 0, 0], K[s, 1, 1], K[s, 0, 2], K[s, 1, 2]
            for row in range(h):
                for column in range(w):
                    q = np.float64(maps[s, row, column])
                    if not q > 0:
                        continue
                    z = 1 / q
                    x, y = (column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy
                    e = z * (M[2, 0] * x + M[2, 1] * y + M[2, 2]) + M[2, 3]
                    if e <= 1e-6 * z:
                        continue
                    u = K[t, 0, 0] * (z * (M[0, 0] * x + M[0, 1] * y + M[0, 2]) + M[0, 3]) / e + K[t, 0, 2] - 0.5
                    v = K[t, 1, 1] * (z * (M[1, 0] * x + M[1, 1] * y + M[1, 2]) + M[1, 3]) / e + K[t, 1, 2] - 0.5
                    if not (u > -1 and v > -1 and u < w and v < h):
                        continue
                    left, top = int(np.floor(u)), int(np.floor(v))
                    inverse = np.float32(1 / e)
                    for a in range(2):
                        for b in range(2):
                            part = (v - top if a else 1 - v + top) * (u - left if b else 1 - u + left)
                            yy, xx = top + a, left + b
                            if part < 0.15 or yy < 0 or xx < 0 or yy >= h or xx >= w:
                                continue
                            if turn == 0:
                                nearest[yy, xx] = max(nearest[yy, xx], inverse)
                            elif inverse > nearest[yy, xx] * (1 - within):
                                total[yy, xx] += np.float32(part) * inverse
                                weights[yy, xx] += np.float32(part)
                                sure[yy, xx] += np.float32(part) * certain[s, row, column]
    for row in range(h):
        for column in range(w):
            if weights[row, column] > 0:
                sure[row, column] /= weights[row, column]
                total[row, column] /= weights[row, column]
            else:
                total[row, column] = np.nan
    return total, sure


@compiled()
def _enlarge(inverse_depth, certain, within, depth, sure):  # pragma: no cover (compiled)
    h, w = inverse_depth.shape
    tall, wide = depth.shape
    for row in range(tall):
        v = min(max((row + 0.5) * h / tall - 0.5, 0.0), h - 1.0)
        top = min(int(v), max(h - 2, 0))
        below = v - top
        for column in range(wide):
            u = min(max((column + 0.5) * w / wide - 0.5, 0.0), w - 1.0)
            left = min(int(u), max(w - 2, 0))
            right = u - left
            y, x = (top + 1 if below > 0.5 else top), (left + 1 if right > 0.5 else left)
            q = inverse_depth[y, x]
            sure[row, column] = certain[y, x]
            if not q > 0:
                depth[row, column], sure[row, column] = np.nan, 0
                continue
            mean = 0.0
            for a in range(2):
                for b in range(2):
                    p = inverse_depth[min(top + a, h - 1), min(left + b, w - 1)]
                    part = (below if a else 1 - below) * (right if b else 1 - right)
                    mean += part * (p if abs(p - q) < within * q else q)
            depth[row, column] = 1 / mean
