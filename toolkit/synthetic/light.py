"""Sun, sky, shadows and haze: from a hit to a colour."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit

from toolkit.scene import F64, I64
from toolkit.synthetic.surfaces import GROUND, ROOM, Table, meet, normal, to_local
from toolkit.synthetic.textures import albedo, fractal

_CELLS = 96  # Cells along one side of the map of shadows.
_EYE = 0.02  # A shadow ray starts this far off the surface, in metres, so that round-off casts no shadow.


@dataclass(frozen=True)
class Light:
    """How a world is lit; colours are linear and may exceed 1.

    Attributes:
        sun: Direction towards the sun in the world's own axes (x right, y down, z forward).
        sun_rgb: Its light.
        above_rgb: Light that comes from above without a direction.
        below_rgb: Light that comes back from below.
        haze_rgb: Colour of far air and of the horizon.
        zenith_rgb: Colour of the sky overhead.
        haze_m: Distance at which two thirds of a thing are lost in haze.
    """

    sun: tuple[float, float, float] = (-0.55, -0.75, -0.45)
    sun_rgb: tuple[float, float, float] = (1.05, 0.97, 0.82)
    above_rgb: tuple[float, float, float] = (0.42, 0.47, 0.56)
    below_rgb: tuple[float, float, float] = (0.24, 0.21, 0.18)
    haze_rgb: tuple[float, float, float] = (0.66, 0.74, 0.82)
    zenith_rgb: tuple[float, float, float] = (0.16, 0.34, 0.68)
    haze_m: float = 120.0


class Lamp(NamedTuple):
    """`Light` as compiled code wants it, with a map that says which shapes may shade a spot.

    Attributes:
        sun: (3,) unit direction towards the sun, in the world.
        up: (3,) unit direction up.
        floor: Height of the ground along -`up`: a point stands on it where point . up == -floor.
        rgb: (5, 3) sun, above, below, haze, zenith.
        haze_m: See `Light`.
        e: (2, 3) axes of the shadow map, at right angles to the sun.
        corner: (2,) its origin, in metres.
        cell: (2,) size of its cells, in metres.
        starts: (_CELLS**2 + 1,) where the list of each cell starts in `shapes`.
        shapes: Lists of shapes.
    """

    sun: F64
    up: F64
    floor: float
    rgb: F64
    haze_m: float
    e: F64
    corner: F64
    cell: F64
    starts: I64
    shapes: I64


def lamp(light: Light, table: Table, T_ws: F64) -> Lamp:
    """The light of a moment: `T_ws` (4, 4) places the axes in which `Light` is written in the world."""
    R = T_ws[:3, :3]
    sun = R @ (np.array(light.sun) / np.linalg.norm(light.sun))
    up = R @ np.array([0.0, -1.0, 0.0])
    e1 = np.cross(sun, [1.0, 0, 0] if abs(sun[0]) < 0.9 else [0, 1.0, 0])
    e1 /= np.linalg.norm(e1)
    e = np.stack([e1, np.cross(sun, e1)])
    caster = np.flatnonzero(table.shadow & (table.kind != GROUND) & (table.kind != ROOM))
    at, r = table.c[caster] @ e.T, table.bound[caster, None]
    lo, hi = ((at - r).min(0), (at + r).max(0)) if len(caster) else (np.zeros(2), np.ones(2))
    cell = (hi - lo) / _CELLS + 1e-9
    first = np.clip(((at - r - lo) / cell).astype(np.int64), 0, _CELLS - 1)
    last = np.clip(((at + r - lo) / cell).astype(np.int64), 0, _CELLS - 1)
    starts, shapes = _fill(caster, first, last)
    rgb = np.array([light.sun_rgb, light.above_rgb, light.below_rgb, light.haze_rgb, light.zenith_rgb], np.float64)
    return Lamp(sun, up, -float(T_ws[:3, 3] @ up), rgb, light.haze_m, e, lo, cell, starts, shapes)


@njit(cache=True)
def _fill(caster, first, last):
    starts = np.zeros(_CELLS * _CELLS + 1, np.int64)
    for n in range(len(caster)):
        for i in range(first[n, 0], last[n, 0] + 1):
            for j in range(first[n, 1], last[n, 1] + 1):
                starts[i * _CELLS + j + 1] += 1
    starts = np.cumsum(starts)
    shapes, at = np.empty(starts[-1], np.int64), starts.copy()
    for n in range(len(caster)):
        for i in range(first[n, 0], last[n, 0] + 1):
            for j in range(first[n, 1], last[n, 1] + 1):
                shapes[at[i * _CELLS + j]] = caster[n]
                at[i * _CELLS + j] += 1
    return starts, shapes


@njit(cache=True, error_model="numpy")
def _sunlit(w, lamp, x, y, z):
    """Whether nothing stands between a point and the sun."""
    u = (x * lamp.e[0, 0] + y * lamp.e[0, 1] + z * lamp.e[0, 2] - lamp.corner[0]) / lamp.cell[0]
    v = (x * lamp.e[1, 0] + y * lamp.e[1, 1] + z * lamp.e[1, 2] - lamp.corner[1]) / lamp.cell[1]
    if not (0 <= u < _CELLS and 0 <= v < _CELLS):
        return True
    cell = int(u) * _CELLS + int(v)
    s0, s1, s2 = lamp.sun[0], lamp.sun[1], lamp.sun[2]
    for k in range(lamp.starts[cell], lamp.starts[cell + 1]):
        p = lamp.shapes[k]
        dx, dy, dz = w.c[p, 0] - x, w.c[p, 1] - y, w.c[p, 2] - z
        s = dx * s0 + dy * s1 + dz * s2
        r2 = w.bound[p] * w.bound[p]
        if dx * dx + dy * dy + dz * dz - s * s < r2 and s > -w.bound[p] and meet(w, p, x, y, z, s0, s1, s2)[0] < inf:
            return False
    return True


@njit(cache=True, error_model="numpy")
def sky(w, lamp, dx, dy, dz, width):
    """Colour of the sky in a unit direction, seen by a pixel `width` radians wide."""
    rise = dx * lamp.up[0] + dy * lamp.up[1] + dz * lamp.up[2]
    t = max(0.0, min(1.0, rise)) ** 0.5
    cloud = 0.0
    if rise > 0.02:
        k = 2.0 / (rise + 0.12)
        x, y, z = (dx - rise * lamp.up[0]) * k, (dy - rise * lamp.up[1]) * k, (dz - rise * lamp.up[2]) * k
        cloud = min(1.0, max(0.0, 1.7 * fractal(w.lattice, x + 4.0, y, z, 1.6, 0.02, k * width / (rise + 0.12) + 0.01)))
        cloud *= min(1.0, 5 * rise) * 0.85
    r = lamp.rgb[3, 0] + t * (lamp.rgb[4, 0] - lamp.rgb[3, 0])
    g = lamp.rgb[3, 1] + t * (lamp.rgb[4, 1] - lamp.rgb[3, 1])
    b = lamp.rgb[3, 2] + t * (lamp.rgb[4, 2] - lamp.rgb[3, 2])
    return r + cloud * (0.97 - r), g + cloud * (0.97 - g), b + cloud * (0.98 - b)


@njit(cache=True, error_model="numpy")
def colour(w, lamp, p, face, t, ox, oy, oz, dx, dy, dz, width):  # noqa: PLR0915
    """Linear colour of what a ray met, and whether the sun reaches it: (r, g, b, sunlit).

    `width` is the angle between neighbouring pixels as a length per unit of t: width * t is the size of a pixel there.
    """
    length = sqrt(dx * dx + dy * dy + dz * dz)
    if p < 0:
        r, g, b = sky(w, lamp, dx / length, dy / length, dz / length, width / length)
        return r, g, b, True
    wx, wy, wz = ox + t * dx, oy + t * dy, oz + t * dz
    lx, ly, lz = to_local(w, p, wx - w.c[p, 0], wy - w.c[p, 1], wz - w.c[p, 2])
    nx, ny, nz = normal(w, p, face, lx, ly, lz)
    vx, vy, vz = to_local(w, p, dx / length, dy / length, dz / length)
    facing = -(nx * vx + ny * vy + nz * vz)
    # A pixel is a long ellipse on a surface seen at a slant: a row of round samples along it keeps both sharpness and calm.
    size, slant = width * t, min(1.0 / max(facing, 0.02), 12.0)
    taps = min(4, max(1, int(slant * 0.8)))
    tx, ty, tz = vx + facing * nx, vy + facing * ny, vz + facing * nz
    step = size * slant / (taps * max(sqrt(tx * tx + ty * ty + tz * tz), 1e-9))
    grain = max(size, size * slant / taps)
    r, g, b = 0.0, 0.0, 0.0
    for k in range(taps):
        s = (k - 0.5 * (taps - 1)) * step
        ar, ag, ab = albedo(w, p, face, lx + s * tx, ly + s * ty, lz + s * tz, grain)
        r, g, b = r + ar / taps, g + ag / taps, b + ab / taps
    R = w.R
    gx = R[p, 0, 0] * nx + R[p, 0, 1] * ny + R[p, 0, 2] * nz
    gy = R[p, 1, 0] * nx + R[p, 1, 1] * ny + R[p, 1, 2] * nz
    gz = R[p, 2, 0] * nx + R[p, 2, 1] * ny + R[p, 2, 2] * nz
    toward = gx * lamp.sun[0] + gy * lamp.sun[1] + gz * lamp.sun[2]
    lit = toward > 0 and _sunlit(w, lamp, wx + _EYE * gx, wy + _EYE * gy, wz + _EYE * gz)
    direct = toward if lit else 0.0
    high = 0.5 + 0.5 * (gx * lamp.up[0] + gy * lamp.up[1] + gz * lamp.up[2])
    # Corners of a room and feet of things get less of the light without direction.
    near = 1.0
    if w.kind[p] == ROOM:
        if face // 2 != 0:
            near *= 1 - 0.35 * exp((abs(lx) - w.size[p, 0]) / 0.35)
        if face // 2 != 1:
            near *= 1 - 0.35 * exp((abs(ly) - w.size[p, 1]) / 0.35)
        if face // 2 != 2:
            near *= 1 - 0.35 * exp((abs(lz) - w.size[p, 2]) / 0.35)
    elif w.kind[p] != GROUND and high < 0.95:
        height = wx * lamp.up[0] + wy * lamp.up[1] + wz * lamp.up[2] + lamp.floor
        near = 1 - 0.45 * exp(-max(height, 0.0) / 0.3)
    air = 1 - exp(-t * length / lamp.haze_m)
    c = lamp.rgb
    r *= direct * c[0, 0] + near * (c[2, 0] + high * (c[1, 0] - c[2, 0]))
    g *= direct * c[0, 1] + near * (c[2, 1] + high * (c[1, 1] - c[2, 1]))
    b *= direct * c[0, 2] + near * (c[2, 2] + high * (c[1, 2] - c[2, 2]))
    return r + air * (c[3, 0] - r), g + air * (c[3, 1] - g), b + air * (c[3, 2] - b), lit
