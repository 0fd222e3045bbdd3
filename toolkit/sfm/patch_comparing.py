"""Patches of photos: cut out bent as a tilted surface shows them in another view, compared, and brought to the best place."""

from __future__ import annotations

import math

import numpy as np

from toolkit.compiling import compiled
from toolkit.sfm.stereo_model import solve_positive

RADIUS = 6  # 13 x 13 pixels: enough to be told from its neighbours, small enough to be one surface
SIDE = 2 * RADIUS + 1


@compiled()
def at(image, x, y):  # pragma: no cover  (compiled)
    """Value between pixels at a continuous place; NaN outside."""
    u, v = x - 0.5, y - 0.5
    left, top = math.floor(u), math.floor(v)
    if left < 0 or top < 0 or left + 1 >= image.shape[1] or top + 1 >= image.shape[0]:
        return np.nan
    a, b = u - left, v - top
    left, top = int(left), int(top)
    upper = (1 - a) * image[top, left] + a * image[top, left + 1]
    lower = (1 - a) * image[top + 1, left] + a * image[top + 1, left + 1]
    return (1 - b) * upper + b * lower


@compiled()
def cut(image, x, y, A, patch):  # pragma: no cover  (compiled)
    """Fills a patch with what lies around a place under an affine map; False where it leaves the picture."""
    k = 0
    for j in range(-RADIUS, RADIUS + 1):
        for i in range(-RADIUS, RADIUS + 1):
            value = at(image, x + A[0, 0] * i + A[0, 1] * j, y + A[1, 0] * i + A[1, 1] * j)
            if np.isnan(value):
                return False
            patch[k] = value
            k += 1
    return True


@compiled()
def alike(first, second):  # pragma: no cover  (compiled)
    """Normalised cross-correlation; 0 for patches without texture."""
    n = len(first)
    a, b = first.mean(), second.mean()
    aa, bb, ab = 0.0, 0.0, 0.0
    for k in range(n):
        aa += (first[k] - a) ** 2
        bb += (second[k] - b) ** 2
        ab += (first[k] - a) * (second[k] - b)
    if aa < 4.0 * n or bb < 4.0 * n:  # two grey levels of contrast
        return 0.0
    return ab / math.sqrt(aa * bb)


@compiled()
def through_plane(x, y, anchor, normal, K, K_there, T, out):  # pragma: no cover  (compiled)
    """Where the other camera sees the point of a plane that shows at a pixel; False behind a camera."""
    ray = np.array([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], 1.0])
    facing = normal[0] * ray[0] + normal[1] * ray[1] + normal[2]
    if abs(facing) < 1e-9:
        return False
    s = (normal[0] * anchor[0] + normal[1] * anchor[1] + normal[2] * anchor[2]) / facing
    if s <= 0:
        return False
    X, Y, Z = s * ray[0], s * ray[1], s
    z = T[2, 0] * X + T[2, 1] * Y + T[2, 2] * Z + T[2, 3]
    if z <= 1e-9:
        return False
    out[0] = (T[0, 0] * X + T[0, 1] * Y + T[0, 2] * Z + T[0, 3]) / z * K_there[0, 0] + K_there[0, 2]
    out[1] = (T[1, 0] * X + T[1, 1] * Y + T[1, 2] * Z + T[1, 3]) / z * K_there[1, 1] + K_there[1, 2]
    return True


@compiled()
def warp(x, y, anchor, normal, K, K_there, T, place, A):  # pragma: no cover  (compiled)
    """Place in the other picture and the affine map of the surroundings; False where there is none."""
    right, left = np.empty(2), np.empty(2)
    if not through_plane(x, y, anchor, normal, K, K_there, T, place):
        return False
    for axis in range(2):
        dx, dy = (1.0, 0.0) if axis == 0 else (0.0, 1.0)
        if not through_plane(x + dx, y + dy, anchor, normal, K, K_there, T, right):
            return False
        if not through_plane(x - dx, y - dy, anchor, normal, K, K_there, T, left):
            return False
        A[0, axis], A[1, axis] = (right[0] - left[0]) / 2, (right[1] - left[1]) / 2
    size = abs(A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0])
    return 0.1 < size < 10.0


@compiled()
def refine(template, image, place, A, most_px):  # pragma: no cover  (compiled)
    """Moves a place until its surroundings fit the template, gain and offset left free (Lucas-Kanade); False where it runs away."""
    x0, y0 = place[0], place[1]
    n = SIDE * SIDE
    here, px, py = np.empty(n), np.empty(n), np.empty(n)
    for _ in range(15):
        if not cut(image, place[0], place[1], A, here):
            return False
        if not (cut(image, place[0] + 0.5, place[1], A, px) and cut(image, place[0], place[1] + 0.5, A, py)):
            return False
        gx, gy = np.empty(n), np.empty(n)
        if not (cut(image, place[0] - 0.5, place[1], A, gx) and cut(image, place[0], place[1] - 0.5, A, gy)):
            return False
        # Unknowns: step x, step y, gain, offset.
        H, g = np.zeros((4, 4)), np.zeros(4)
        row = np.empty(4)
        for k in range(n):
            row[0], row[1], row[2], row[3] = px[k] - gx[k], py[k] - gy[k], -template[k], -1.0
            for a in range(4):
                g[a] -= row[a] * here[k]
                for b in range(4):
                    H[a, b] += row[a] * row[b]
        step = solve_positive(H, g)
        if not np.isfinite(step[0] + step[1]):
            return False
        place[0] += step[0]
        place[1] += step[1]
        if math.hypot(place[0] - x0, place[1] - y0) > most_px:
            return False
        if abs(step[0]) + abs(step[1]) < 0.01:
            return True
    return False
