"""Anti-aliased trails, discs and splats drawn into uint8 images, fast enough for thousands of trails a frame.

Every function changes its image in place. Coordinates are continuous pixels: the centre of the top-left pixel is (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.compiling import compiled
from toolkit.scene import F32, U8

_NO_ZBUFFER: F32 = np.zeros((0, 0), np.float32)


def draw_trails(
    image: U8,
    paths: NDArray,
    seen: NDArray,
    rgb: U8,
    alpha: ArrayLike,
    width_px: ArrayLike,
    *,
    depths: NDArray | None = None,
    zbuffer: F32 | None = None,
    behind: float = 0.0,
) -> None:
    """The last samples of many tracks as lines that fade and thin out into the past.

    Args:
        image: (H, W, 3) uint8.
        paths: (N, L, 2) pixels, oldest first; NaN breaks a line.
        seen: (N, L) bool; a segment with a hidden end is drawn at a third of its strength.
        rgb: (N, 3) uint8.
        alpha: (N,) or number, strength of the newest segment.
        width_px: (N,) or number, width of the newest segment.
        depths: (N, L) depth of each sample, for the z-test.
        zbuffer: (H, W) float32 depth of what is drawn already; None for no z-test.
        behind: Share of alpha that is left where a line lies behind the z-buffer.
    """
    n, zs = len(paths), np.zeros(paths.shape[:2]) if depths is None else depths
    buffer = _NO_ZBUFFER if zbuffer is None else zbuffer
    _trails(
        image, buffer, _f32(paths), _f32(zs), np.ascontiguousarray(seen, np.bool_), _u8(rgb), _each(alpha, n), _each(width_px, n), behind
    )


def draw_discs(
    image: U8,
    xy: NDArray,
    rgb: U8,
    alpha: ArrayLike,
    radius_px: ArrayLike,
    *,
    hole_px: ArrayLike = 0.0,
    depths: NDArray | None = None,
    zbuffer: F32 | None = None,
    behind: float = 0.0,
) -> None:
    """Filled discs, or rings where `hole_px` (the inner radius) is over 0; xy is (N, 2), the rest as for `draw_trails`."""
    n, zs = len(xy), np.zeros(len(xy)) if depths is None else depths
    buffer = _NO_ZBUFFER if zbuffer is None else zbuffer
    _discs(image, buffer, _f32(xy), _f32(zs), _u8(rgb), _each(alpha, n), _each(radius_px, n), _each(hole_px, n), behind)


def splat(
    image: U8, zbuffer: F32, xyz_w: F32, rgb: U8, T_cw: NDArray, focal_px: float, size_w: ArrayLike, *, gain: float = 1.0, lead: float = 0.0
) -> None:
    """Coloured points as squares with a z-test, seen by a camera whose principal point is the image centre.

    Args:
        image: (H, W, 3) uint8.
        zbuffer: (H, W) float32 depth of what is drawn so far (inf for nothing), changed in place too.
        xyz_w: (P, 3) world points.
        rgb: (P, 3) uint8.
        T_cw: (4, 4) camera-from-world.
        focal_px: Focal length.
        size_w: (P,) or number, side of each square in world units; 1 to 9 px are drawn.
        gain: Brightness of the points, 0..1.
        lead: Points win over what is nearer by less than this share of their depth, so that two scans of one surface do not mix.
    """
    # All points are turned first, in single precision: inside the compiled pass it costs twice as much.
    xyz_e = _f32(xyz_w) @ _f32(T_cw[:3, :3]).T + _f32(T_cw[:3, 3])
    single = np.float32
    _splat(image, zbuffer, xyz_e, _u8(rgb), single(focal_px), _each(size_w, len(xyz_e)), single(gain), single(lead))


def _f32(values: NDArray) -> F32:
    return np.ascontiguousarray(values, np.float32)


def _u8(values: NDArray) -> U8:
    return np.ascontiguousarray(values, np.uint8)


def _each(values: ArrayLike, n: int) -> F32:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.float32), (n,)))


@compiled(error_model="numpy")
def _blend(image, row, column, rgb, alpha):  # pragma: no cover - compiled
    for c in range(3):
        old = np.float32(image[row, column, c])
        image[row, column, c] = np.uint8(old + (np.float32(rgb[c]) - old) * alpha + np.float32(0.5))


@compiled(error_model="numpy")
def _segment(image, zbuffer, ax, ay, az, bx, by, bz, rgb, alpha, width, behind):  # pragma: no cover - compiled
    # Without caps: pixels belong to a line from a up to, not including, b, so that chains of lines do not blend twice.
    # A line thinner than a pixel gets fainter instead. All in single precision: in double it takes half as long again.
    h, w = image.shape[0], image.shape[1]
    one, half_px = np.float32(1), np.float32(0.5)
    half = half_px * max(width, one)
    alpha *= min(width, one)
    dx, dy = bx - ax, by - ay
    length2 = dx * dx + dy * dy
    if not (length2 > np.float32(1e-12)) or length2 > np.float32(4.0 * (h * h + w * w)):
        return
    reach = half + half_px
    left, right = min(ax, bx) - reach, max(ax, bx) + reach
    top, bottom = min(ay, by) - reach, max(ay, by) + reach
    if right < 0 or left > w or bottom < 0 or top > h:
        return
    per_length2, per_length = one / length2, one / np.sqrt(length2)
    for row in range(max(int(np.floor(top)), 0), min(int(np.floor(bottom)), h - 1) + 1):
        y = np.float32(row) + half_px
        x0, x1 = left, right
        if abs(dy) > np.float32(1e-6):
            middle, spread = ax + (y - ay) * dx / dy, reach / (per_length * abs(dy))
            x0, x1 = max(x0, middle - spread), min(x1, middle + spread)
        for column in range(max(int(np.floor(x0)), 0), min(int(np.floor(x1)), w - 1) + 1):
            px, py = np.float32(column) + half_px - ax, y - ay
            along = (px * dx + py * dy) * per_length2
            if along < 0 or along >= 1:
                continue
            cover = min(reach - abs(px * dy - py * dx) * per_length, one)
            if cover <= 0:
                continue
            strength = alpha * cover
            if zbuffer.shape[0] > 0 and az + along * (bz - az) > zbuffer[row, column]:
                strength *= behind
            _blend(image, row, column, rgb, strength)


@compiled(error_model="numpy")
def _disc(image, zbuffer, x, y, z, rgb, alpha, radius, hole, behind):  # pragma: no cover - compiled
    h, w = image.shape[0], image.shape[1]
    reach = radius + 0.5
    if not (-reach < x < w + reach and -reach < y < h + reach):
        return
    for row in range(max(int(np.floor(y - reach)), 0), min(int(np.floor(y + reach)), h - 1) + 1):
        for column in range(max(int(np.floor(x - reach)), 0), min(int(np.floor(x + reach)), w - 1) + 1):
            r = np.sqrt((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2)
            cover = min(reach - r, 1.0)
            if hole > 0:
                cover = min(cover, r - hole + 0.5)
            if cover <= 0:
                continue
            strength = alpha * cover
            if zbuffer.shape[0] > 0 and z > zbuffer[row, column]:
                strength *= behind
            _blend(image, row, column, rgb, np.float32(strength))


@compiled(error_model="numpy")
def _trails(image, zbuffer, paths, depths, seen, rgb, alpha, width, behind):  # pragma: no cover - compiled
    count, samples = paths.shape[0], paths.shape[1]
    for i in range(count):
        for k in range(samples - 1):
            ax, ay, bx, by = paths[i, k, 0], paths[i, k, 1], paths[i, k + 1, 0], paths[i, k + 1, 1]
            if not (np.isfinite(ax) and np.isfinite(bx)):
                continue
            age = np.float32(k + 1) / np.float32(samples - 1)
            strength = alpha[i] * age
            if not (seen[i, k] and seen[i, k + 1]):
                strength *= np.float32(0.33)
            if strength < np.float32(0.004):  # less than one step of 255
                continue
            thick = width[i] * (np.float32(0.5) + np.float32(0.5) * age)
            _segment(image, zbuffer, ax, ay, depths[i, k], bx, by, depths[i, k + 1], rgb[i], strength, thick, np.float32(behind))


@compiled(error_model="numpy")
def _discs(image, zbuffer, xy, depths, rgb, alpha, radius, hole, behind):  # pragma: no cover - compiled
    for i in range(len(xy)):
        if np.isfinite(xy[i, 0]) and alpha[i] > 0:
            _disc(image, zbuffer, xy[i, 0], xy[i, 1], depths[i], rgb[i], alpha[i], radius[i], hole[i], behind)


@compiled(error_model="numpy")
def _splat(image, zbuffer, xyz_e, rgb, focal_px, size_w, gain, lead):  # pragma: no cover - compiled
    h, w = zbuffer.shape
    half_w, half_h, one = np.float32(0.5 * w), np.float32(0.5 * h), np.float32(1)
    for i in range(len(xyz_e)):
        z = xyz_e[i, 2]
        if not z > np.float32(1e-6):
            continue
        scale = focal_px / z
        u, v = scale * xyz_e[i, 0] + half_w, scale * xyz_e[i, 1] + half_h
        if not (-4 < u < w + 4 and -4 < v < h + 4):
            continue
        side = int(min(max(scale * size_w[i] + np.float32(0.5), one), np.float32(9)))
        column0, row0 = int(np.floor(u - np.float32(0.5) * (side - 1))), int(np.floor(v - np.float32(0.5) * (side - 1)))
        ahead = z * (one - lead)
        red, green, blue = np.uint8(rgb[i, 0] * gain), np.uint8(rgb[i, 1] * gain), np.uint8(rgb[i, 2] * gain)
        for row in range(max(row0, 0), min(row0 + side, h)):
            for column in range(max(column0, 0), min(column0 + side, w)):
                if ahead < zbuffer[row, column]:
                    zbuffer[row, column] = ahead
                    image[row, column, 0] = red
                    image[row, column, 1] = green
                    image[row, column, 2] = blue
