"""Colours of surfaces: patterns and noise in an object's own coordinates, filtered by the size of the pixel that sees them."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, floor, pi
from typing import Literal

import numpy as np
from numba import njit

from toolkit.scene import F64
from toolkit.synthetic.surfaces import CURVED, LATTICE

Pattern = Literal["plain", "checker", "stripes", "bricks", "facade", "road", "sectors", "picture", "books", "rug"]
_PATTERNS: dict[Pattern, int] = {
    "plain": 0,
    "checker": 1,
    "stripes": 2,
    "bricks": 3,
    "facade": 4,
    "road": 5,
    "sectors": 6,
    "picture": 7,
    "books": 8,
    "rug": 9,
}
_PLAIN, _CHECKER, _STRIPES, _BRICKS, _FACADE, _ROAD, _SECTORS, _PICTURE, _BOOKS, _RUG = range(10)
FINEST_M = 0.008  # Noise ends where a hand's breadth away it would still be sharp in a 60-degree image.


@dataclass(frozen=True)
class Texture:
    """What a surface looks like.

    Attributes:
        pattern: The drawing; patterns lie in the plane of the face, noise is solid.
        a: First colour, sRGB 0..1.
        b: Second colour.
        c: Third colour (mortar, glass, frames).
        period_m: Repetition of the pattern along and across, in metres.
        line_m: Width of its lines (mortar, frames), in metres.
        noise: Strength of the noise, as a share of brightness.
        grain_m: Size of the largest blobs of the noise, in metres.
        stretch: Blobs are this many times longer along x (wood).
    """

    pattern: Pattern = "plain"
    a: tuple[float, float, float] = (0.7, 0.7, 0.7)
    b: tuple[float, float, float] = (0.4, 0.4, 0.4)
    c: tuple[float, float, float] = (0.2, 0.2, 0.2)
    period_m: tuple[float, float] = (0.5, 0.5)
    line_m: float = 0.01
    noise: float = 0.5
    grain_m: float = 0.4
    stretch: float = 1.0

    @property
    def kind(self) -> int:
        """Number of the pattern in compiled code."""
        return _PATTERNS[self.pattern]

    def row(self, offset: float) -> F64:
        """(16,) numbers of this texture; `offset` in metres makes the noise of two like things differ."""
        # Light adds up linearly; squaring is the display's curve, near enough, and its square root is cheap.
        colours = np.square(np.array([*self.a, *self.b, *self.c], np.float64))
        return np.array([*colours, *self.period_m, self.line_m, self.noise, self.grain_m, self.stretch, offset])


@njit(cache=True, error_model="numpy")
def _noise(lattice, x, y, z):
    """Smooth random numbers 0..1 at points of unit grain."""
    fx, fy, fz = floor(x), floor(y), floor(z)
    m = LATTICE - 1
    i0, j0, k0 = int(fx) & m, int(fy) & m, int(fz) & m
    i1, j1, k1 = (i0 + 1) & m, (j0 + 1) & m, (k0 + 1) & m
    x, y, z = x - fx, y - fy, z - fz
    x, y, z = x * x * (3 - 2 * x), y * y * (3 - 2 * y), z * z * (3 - 2 * z)
    a = lattice[i0, j0, k0] + z * (lattice[i0, j0, k1] - lattice[i0, j0, k0])
    b = lattice[i0, j1, k0] + z * (lattice[i0, j1, k1] - lattice[i0, j1, k0])
    c = lattice[i1, j0, k0] + z * (lattice[i1, j0, k1] - lattice[i1, j0, k0])
    d = lattice[i1, j1, k0] + z * (lattice[i1, j1, k1] - lattice[i1, j1, k0])
    a += y * (b - a)
    c += y * (d - c)
    return a + x * (c - a)


@njit(cache=True, error_model="numpy")
def fractal(lattice, x, y, z, grain, finest, w):
    """Noise of many sizes, -1..1, without the sizes that a pixel of width `w` cannot show."""
    total, strength = 0.0, 0.5
    while grain > finest and grain > 1.2 * w:
        # A grain of 2.5 pixels is shown in full, one of 1.2 pixels not at all: no aliasing and no popping between.
        share = min(1.0, (grain / w - 1.2) / 1.3) if w > 0 else 1.0
        total += share * strength * (2.0 * _noise(lattice, x / grain, y / grain, z / grain) - 1.0)
        strength *= 0.72
        grain *= 0.47
        x, y, z = x + 17.3, y - 5.1, z + 11.7
    return total


@njit(cache=True, error_model="numpy")
def _pulse(x, period, start, stop, w):
    """Share of [x - w/2, x + w/2] that lies in [start, stop] of each period."""
    w = max(w, 1e-5)
    lo, hi = (x - 0.5 * w) / period, (x + 0.5 * w) / period
    flo, fhi = floor(lo), floor(hi)
    a = flo * (stop - start) + min(max((lo - flo) * period, start), stop)
    b = fhi * (stop - start) + min(max((hi - fhi) * period, start), stop)
    return (b - a) / w


@njit(cache=True, error_model="numpy")
def _ramp(x, w):
    """Share of [x - w/2, x + w/2] above zero."""
    return min(1.0, max(0.0, x / max(w, 1e-5) + 0.5))


@njit(cache=True, error_model="numpy")
def _dice(lattice, i, j, k):
    """A random number 0..1 for a cell."""
    m = LATTICE - 1
    i, j = int(i), int(j)
    return lattice[(i * 7 + j * 3 + k) & m, (j * 11 + (i >> 5) * 5 + k * 9) & m, (i * 13 + (j >> 5) + k * 19) & m]


@njit(cache=True, error_model="numpy")
def _mix(r, g, b, q, i, share):
    """A colour blended with colour i of row q."""
    return r + share * (q[i] - r), g + share * (q[i + 1] - g), b + share * (q[i + 2] - b)


@njit(cache=True, error_model="numpy")
def _tile(lattice, q, u, v, w):
    """Bricks, planks, paving: (share of joint, random number of the tile -1..1)."""
    pu, pv, line = q[9], q[10], q[11]
    row = floor(v / pv)
    shift = u + 0.37 * pu * row
    clear = min(1.0, max(0.0, 1.5 - w / pv))  # Joints of single rows fade into their mean before they alias.
    across = clear * _pulse(shift, pu, 0.0, line, w) + (1 - clear) * line / pu
    joint = 1 - (1 - _pulse(v, pv, 0.0, line, w)) * (1 - across)
    return joint, clear * (2 * _dice(lattice, floor(shift / pu), row, 3) - 1)


@njit(cache=True, error_model="numpy")
def _facade(lattice, q, u, v, w, r, g, b):
    """Plaster with windows: frame in colour c, glass in colour b."""
    pu, pv, line = q[9], q[10], q[11]
    frame = _pulse(u, pu, 0.28 * pu, 0.72 * pu, w) * _pulse(v, pv, 0.2 * pv, 0.75 * pv, w)
    glass = _pulse(u, pu, 0.28 * pu + line, 0.5 * pu - 0.4 * line, w) + _pulse(u, pu, 0.5 * pu + 0.4 * line, 0.72 * pu - line, w)
    glass *= _pulse(v, pv, 0.2 * pv + line, 0.42 * pv - 0.3 * line, w) + _pulse(v, pv, 0.42 * pv + 0.3 * line, 0.75 * pv - line, w)
    r, g, b = _mix(r, g, b, q, 6, frame)
    bright = 0.4 + 1.2 * _dice(lattice, floor(u / pu), floor(v / pv), 7)
    return r + glass * (bright * q[3] - r), g + glass * (bright * q[4] - g), b + glass * (bright * q[5] - b)


@njit(cache=True, error_model="numpy")
def _road(lattice, q, x, z, w):
    """Asphalt along z with a dashed line, a crossing, kerbs, paved walks and grass: (r, g, b, tile)."""
    half, walk = q[9], q[10]
    side = abs(x)
    dash = _ramp(0.07 - side, w) * _pulse(z, 3.0, 0.0, 1.6, w)
    zebra = _pulse(x, 1.0, 0.0, 0.5, w) * _ramp(1.3 - abs(z - 5.5), w) * _ramp(half - 0.3 - side, w)
    paint = 0.62 * max(dash * _ramp(abs(z - 5.5) - 1.6, w), zebra)
    r, g, b = q[0] + paint, q[1] + paint, q[2] + paint
    on = _ramp(side - half, w)
    row, column = floor(z / 0.6), floor(side / 0.6)
    joint = 1 - (1 - _pulse(z, 0.6, 0.0, 0.02, w)) * (1 - _pulse(side, 0.6, 0.0, 0.02, w))
    shade = (1 - 0.55 * joint) * (1 + 0.16 * min(1.0, max(0.0, 1.5 - w / 0.6)) * (2 * _dice(lattice, row, column, 1) - 1))
    shade *= 1 + 0.45 * _ramp(half + 0.16 - side, w)
    r, g, b = r + on * (shade * q[3] - r), g + on * (shade * q[4] - g), b + on * (shade * q[5] - b)
    return _mix(r, g, b, q, 6, _ramp(side - half - walk, w))


@njit(cache=True, error_model="numpy")
def _books(lattice, q, u, v, w):
    """Shelves of colour a full of coloured backs: (r, g, b)."""
    pu, pv, line = q[9], q[10], q[11]
    row = floor(v / pv)
    u += 0.013 * row
    book = floor(u / pu)
    tall = pv * (0.3 - 0.22 * _dice(lattice, book, row, 2))  # y points down: books stand on the lower edge.
    r, g, b = 0.05 * q[0], 0.05 * q[1], 0.05 * q[2]
    back = _pulse(u, pu, 0.0, pu - 0.004, w) * _pulse(v, pv, tall, pv - line, w)
    k = 0.08 + 0.5 * _dice(lattice, book, row, 4)
    band = 1 - 0.6 * _pulse(v, pv, tall + 0.04, tall + 0.06, w)
    warm, cool = _dice(lattice, book, row, 5), _dice(lattice, book, row, 6)
    r, g, b = r + back * (k * band * (0.35 + warm) - r), g + back * (k * band * (0.3 + 0.5 * cool) - g), b + back * (k * (1.1 - warm) - b)
    return _mix(r, g, b, q, 0, _pulse(v, pv, pv - line, pv, w))


@njit(cache=True, error_model="numpy")
def albedo(w, p, face, x, y, z, width):
    """Linear (r, g, b) reflectance of shape p at a point in its own axes, seen by a pixel `width` metres wide there."""
    q, kind = w.look[p], w.texture[p]
    hx, hy, hz = w.size[p, 0], w.size[p, 1], w.size[p, 2]
    # Coordinates in the plane of the face; v runs down a wall, u around a curved one.
    if face == CURVED:
        u, v = atan2(x, z) * hx, y
    elif face < 2:
        u, v = z, y
    elif face < 4:
        u, v = x, z
    else:
        u, v = x, y
    off = q[15]
    blob = fractal(w.lattice, (x + off) / q[14], y + 0.7 * off, z - off, q[13], FINEST_M, width)
    r, g, b = q[0], q[1], q[2]
    if kind == _PLAIN:
        r, g, b = _mix(r, g, b, q, 3, min(1.0, max(0.0, 0.5 + 0.8 * blob)))
    elif kind == _CHECKER:
        s, t = _pulse(u, 2 * q[9], 0.0, q[9], width), _pulse(v, 2 * q[10], 0.0, q[10], width)
        r, g, b = _mix(r, g, b, q, 3, s + t - 2 * s * t)
    elif kind == _STRIPES:
        r, g, b = _mix(r, g, b, q, 3, _pulse(v, 2 * q[10], 0.0, q[10], width))
    elif kind == _BRICKS:
        joint, dice = _tile(w.lattice, q, u, v, width)
        r, g, b = _mix(r, g, b, q, 3, 0.5 + 0.5 * dice)
        r, g, b = _mix(r, g, b, q, 6, joint)
    elif kind == _FACADE:
        r, g, b = _facade(w.lattice, q, u, v, width, r, g, b)
    elif kind == _ROAD:
        r, g, b = _road(w.lattice, q, x, z, width)
    elif kind == _SECTORS:
        angle, arc = atan2(x, z) + pi, width / max(hx * 0.2, (x * x + z * z) ** 0.5)
        r, g, b = _mix(r, g, b, q, 3, _pulse(angle, 2 * pi / 3, 0.0, pi / 3, arc))
        r, g, b = _mix(r, g, b, q, 6, _ramp(abs(y) - 0.93 * hy, width))
    elif kind == _PICTURE:
        edge = min(hx - abs(x), hy - abs(y)) if hz < hx else min(hz - abs(z), hy - abs(y))
        other = fractal(w.lattice, x + 3 * off, y, z + off, 0.6 * q[13], FINEST_M, width)
        r, g, b = _mix(r, g, b, q, 3, min(1.0, max(0.0, 0.5 + 2.2 * other)))
        r, g, b = _mix(r, g, b, q, 6, min(1.0, max(0.0, 2.5 * blob)))
        mount = _ramp(2.2 * q[11] - edge, width)
        r, g, b = r + mount * (0.8 - r), g + mount * (0.78 - g), b + mount * (0.72 - b)
        frame = _ramp(q[11] - edge, width)
        r, g, b = r + frame * (0.05 - r), g + frame * (0.03 - g), b + frame * (0.02 - b)
    elif kind == _BOOKS:
        r, g, b = _books(w.lattice, q, u, v, width)
    else:
        edge = min(hx - abs(x), hz - abs(z))
        diamond = _pulse(x + z, q[9], 0.0, 0.5 * q[9], width) + _pulse(x - z, q[9], 0.0, 0.5 * q[9], width)
        r, g, b = _mix(r, g, b, q, 3, 0.5 * diamond)
        r, g, b = _mix(r, g, b, q, 6, _pulse(edge, q[10], 0.0, 0.35 * q[10], width) * _ramp(2 * q[10] - edge, width))
    shade = max(0.1, 1 + q[12] * blob)
    return r * shade, g * shade, b * shade
