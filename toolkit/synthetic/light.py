"""Sun, sky, shadows and haze: from a hit to a colour."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.synthetic.surfaces import CAPSULE, GROUND, ROOM, may_meet, meet, normal, to_local, to_world
from toolkit.synthetic.textures import albedo, fractal

_CELLS = 96  # Cells along one side of the map of shadows.
_TAPS = 6  # Samples of a texture along the slant, at most.
_OFF_M = 0.02  # A shadow ray starts this far off the surface, so that round-off casts no shadow.


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

    sun: tuple[float, float, float] = (-0.28, -0.8, -0.55)
    sun_rgb: tuple[float, float, float] = (1.05, 0.97, 0.82)
    above_rgb: tuple[float, float, float] = (0.42, 0.47, 0.56)
    below_rgb: tuple[float, float, float] = (0.24, 0.21, 0.18)
    haze_rgb: tuple[float, float, float] = (0.66, 0.74, 0.82)
    zenith_rgb: tuple[float, float, float] = (0.16, 0.34, 0.68)
    haze_m: float = 120.0


# `Light` at one moment in the world's axes, as compiled code wants it: unit directions to the sun and up, the height of the
# ground along up, colours of sun (s), light from above (a) and below (b), haze (h), zenith (z), and the map of shadows:
# its two axes at right angles to the sun, its corner and the size of its cells in metres.
LAMP = np.dtype(
    [(name, np.float64) for name in ("sun_x", "sun_y", "sun_z", "up_x", "up_y", "up_z", "ground")]
    + [(f"{name}{channel}", np.float64) for name in "sabhz" for channel in "rgb"]
    + [(name, np.float64) for name in ("haze_m", "ux", "uy", "uz", "vx", "vy", "vz", "u0", "v0", "du", "dv")]
)


class Moment(NamedTuple):
    """A world at one moment, for compiled code.

    Attributes:
        shapes: (P,) of `SHAPE`.
        lattice: (LATTICE**3,) float32 random numbers in 0..1 that all noise is made of.
        lamp: (1,) of `LAMP`.
        starts: (_CELLS**2 + 1,) where the list of each cell of the shadow map starts in `casters`.
        casters: Lists of shapes.
    """

    shapes: NDArray
    lattice: NDArray[np.float32]
    lamp: NDArray
    starts: NDArray[np.int64]
    casters: NDArray[np.int64]


def illuminate(light: Light, shapes: NDArray, lattice: NDArray[np.float32], T_ws: NDArray) -> Moment:
    """Shapes in the light of a moment: `T_ws` (4, 4) places the axes in which `Light` is written in the world."""
    sun = T_ws[:3, :3] @ (np.array(light.sun) / np.linalg.norm(light.sun))
    up = T_ws[:3, :3] @ np.array([0.0, -1.0, 0.0])
    u = np.cross(sun, [1.0, 0, 0] if abs(sun[0]) < 0.9 else [0, 1.0, 0])  # noqa: PLR2004  (any axis far from the sun's)
    u /= np.linalg.norm(u)
    axes = np.stack([u, np.cross(sun, u)])
    caster = np.flatnonzero((shapes["shadow"] == 1) & np.isfinite(shapes["bound"]))
    one = shapes[caster]
    at = np.stack([one["cx"], one["cy"], one["cz"]], -1) @ axes.T
    # The shadow of the box around each shape, not of the ball: long walls would fill the map.
    R = np.stack([one[f"r{i}{j}"] for i in range(3) for j in range(3)], -1).reshape(-1, 3, 3)
    h = np.stack([one["hx"], one["hy"] + np.where(one["kind"] == CAPSULE, one["hx"], 0), one["hz"]], -1)
    r = np.einsum("pij,pj->pi", np.abs(axes @ R), h)
    lo, hi = ((at - r).min(0), (at + r).max(0)) if len(caster) else (np.zeros(2), np.ones(2))
    cell = (hi - lo) / _CELLS + 1e-9
    first = np.clip(((at - r - lo) / cell).astype(np.int64), 0, _CELLS - 1)
    last = np.clip(((at + r - lo) / cell).astype(np.int64), 0, _CELLS - 1)
    rgb = (*light.sun_rgb, *light.above_rgb, *light.below_rgb, *light.haze_rgb, *light.zenith_rgb)
    lamp = np.array([(*sun, *up, float(T_ws[:3, 3] @ up), *rgb, light.haze_m, *axes.ravel(), *lo, *cell)], LAMP)
    return Moment(shapes, lattice, lamp, *_fill(caster, first, last))


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def _sunlit(m, x, y, z):
    """Whether nothing stands between a point and the sun."""
    lamp = m.lamp[0]
    u = (x * lamp.ux + y * lamp.uy + z * lamp.uz - lamp.u0) / lamp.du
    v = (x * lamp.vx + y * lamp.vy + z * lamp.vz - lamp.v0) / lamp.dv
    if not (0 <= u < _CELLS and 0 <= v < _CELLS):
        return True
    cell = int(u) * _CELLS + int(v)
    for k in range(m.starts[cell], m.starts[cell + 1]):
        s = m.shapes[m.casters[k]]
        if may_meet(s, x, y, z, lamp.sun_x, lamp.sun_y, lamp.sun_z) and meet(s, x, y, z, lamp.sun_x, lamp.sun_y, lamp.sun_z)[0] < inf:
            return False
    return True


@compiled(error_model="numpy")
def _sky(m, dx, dy, dz, width):
    """Colour of the sky in a unit direction, seen by a pixel `width` radians wide."""
    lamp = m.lamp[0]
    rise = dx * lamp.up_x + dy * lamp.up_y + dz * lamp.up_z
    cloud = 0.0
    if rise > 0.02:  # noqa: PLR2004  (just above the horizon, where clouds would be thinner than a pixel)
        k = 2.0 / (rise + 0.12)
        x, y, z = (dx - rise * lamp.up_x) * k, (dy - rise * lamp.up_y) * k, (dz - rise * lamp.up_z) * k
        cloud = min(1.0, max(0.0, 1.5 * fractal(m.lattice, x + 4.0, y, z, 1.6, 0.02, k * width / (rise + 0.12) + 0.02)))
        cloud *= min(1.0, 5 * rise) * 0.85
    t = sqrt(max(0.0, min(1.0, rise)))
    r, g, b = lamp.hr + t * (lamp.zr - lamp.hr), lamp.hg + t * (lamp.zg - lamp.hg), lamp.hb + t * (lamp.zb - lamp.hb)
    return r + cloud * (0.97 - r), g + cloud * (0.97 - g), b + cloud * (0.98 - b)


@compiled(error_model="numpy")
def _openness(m, s, face, lx, ly, lz, wx, wy, wz, high):
    """How much of the light without direction reaches a spot: less in the corners of a room and at the feet of things."""
    if s.kind == ROOM:
        x = 1 - 0.35 * exp((abs(lx) - s.hx) / 0.35) if face // 2 != 0 else 1.0
        y = 1 - 0.35 * exp((abs(ly) - s.hy) / 0.35) if face // 2 != 1 else 1.0
        z = 1 - 0.35 * exp((abs(lz) - s.hz) / 0.35) if face // 2 != 2 else 1.0  # noqa: PLR2004
        return x * y * z
    if s.kind == GROUND or high > 0.95:  # noqa: PLR2004  (a level surface sees the whole sky)
        return 1.0
    lamp = m.lamp[0]
    height = wx * lamp.up_x + wy * lamp.up_y + wz * lamp.up_z - lamp.ground
    return 1 - 0.45 * exp(-max(height, 0.0) / 0.3)


@compiled(error_model="numpy")
def _mirrored(m, gloss, facing, dx, dy, dz, near, lit):
    """What a glossy surface adds from the unit direction that it mirrors: a sky without clouds or the ground, and a soft image of the sun.

    The share of mirrored light grows at grazing angles (Schlick's approximation of Fresnel's law).
    """
    lamp = m.lamp[0]
    share = gloss * near * (0.05 + 0.95 * max(0.0, 1 - facing) ** 5)
    rise = dx * lamp.up_x + dy * lamp.up_y + dz * lamp.up_z
    t = sqrt(max(0.0, min(1.0, rise)))
    above = min(1.0, max(0.0, 0.5 + 4 * rise))  # a blurred horizon
    r = above * (lamp.hr + t * (lamp.zr - lamp.hr)) + (1 - above) * 0.5 * lamp.br
    g = above * (lamp.hg + t * (lamp.zg - lamp.hg)) + (1 - above) * 0.5 * lamp.bg
    b = above * (lamp.hb + t * (lamp.zb - lamp.hb)) + (1 - above) * 0.5 * lamp.bb
    towards = dx * lamp.sun_x + dy * lamp.sun_y + dz * lamp.sun_z
    sun = gloss * max(0.0, towards) ** 48 if lit else 0.0
    return share * r + 0.7 * sun * lamp.sr, share * g + 0.7 * sun * lamp.sg, share * b + 0.7 * sun * lamp.sb


@compiled(error_model="numpy")
def colour(m, p, face, t, ox, oy, oz, dx, dy, dz, width):
    """Linear colour of what a ray met, and whether the sun reaches it: (r, g, b, sunlit).

    `width` is the angle between neighbouring pixels as a length per unit of t: width * t is the size of a pixel there.
    """
    length = sqrt(dx * dx + dy * dy + dz * dz)
    if p < 0:
        r, g, b = _sky(m, dx / length, dy / length, dz / length, width / length)
        return r, g, b, True
    s, lamp = m.shapes[p], m.lamp[0]
    wx, wy, wz = ox + t * dx, oy + t * dy, oz + t * dz
    lx, ly, lz = to_local(s, wx - s.cx, wy - s.cy, wz - s.cz)
    nx, ny, nz = normal(s, face, lx, ly, lz)
    vx, vy, vz = to_local(s, dx / length, dy / length, dz / length)
    facing = -(nx * vx + ny * vy + nz * vz)
    # A pixel is a long ellipse on a surface seen at a slant: a row of round samples along it keeps both sharpness and calm.
    size, slant = width * t, 1.0 / max(facing, 0.025)
    taps = min(_TAPS, max(1, int(slant * 0.8)))
    tx, ty, tz = vx + facing * nx, vy + facing * ny, vz + facing * nz
    step = size * slant / (taps * max(sqrt(tx * tx + ty * ty + tz * tz), 1e-9))
    r, g, b = 0.0, 0.0, 0.0
    for k in range(taps):
        along = (k - 0.5 * (taps - 1)) * step
        ar, ag, ab = albedo(m.lattice, s, face, lx + along * tx, ly + along * ty, lz + along * tz, max(size, size * slant / taps))
        r, g, b = r + ar / taps, g + ag / taps, b + ab / taps
    gx, gy, gz = to_world(s, nx, ny, nz)
    direct = max(0.0, gx * lamp.sun_x + gy * lamp.sun_y + gz * lamp.sun_z)
    lit = direct > 0 and _sunlit(m, wx + _OFF_M * gx, wy + _OFF_M * gy, wz + _OFF_M * gz)
    if not lit:
        direct = 0.0
    high = 0.5 + 0.5 * (gx * lamp.up_x + gy * lamp.up_y + gz * lamp.up_z)
    near = _openness(m, s, face, lx, ly, lz, wx, wy, wz, high)
    r *= direct * lamp.sr + near * (lamp.br + high * (lamp.ar - lamp.br))
    g *= direct * lamp.sg + near * (lamp.bg + high * (lamp.ag - lamp.bg))
    b *= direct * lamp.sb + near * (lamp.bb + high * (lamp.ab - lamp.bb))
    if s.gloss > 0:
        mr, mg, mb = _mirrored(
            m, s.gloss, facing, *to_world(s, vx + 2 * facing * nx, vy + 2 * facing * ny, vz + 2 * facing * nz), near, lit
        )
        r, g, b = r + mr, g + mg, b + mb
    air = 1 - exp(-t * length / lamp.haze_m)
    return r + air * (lamp.hr - r), g + air * (lamp.hg - g), b + air * (lamp.hb - b), lit
