"""Colours of surfaces: patterns and noise in an object's own coordinates, filtered by the size of the pixel that sees them."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, floor, pi, sqrt
from typing import Literal

import numpy as np

from toolkit.compiling import compiled
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
_LAST = LATTICE - 1
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
        gloss: How much it mirrors the sky and the sun: 0 not at all, 1 like glass.
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
    gloss: float = 0.0

    @property
    def kind(self) -> int:
        """Number of the pattern in compiled code."""
        return _PATTERNS[self.pattern]

    def row(self, offset_m: float) -> tuple[float, ...]:
        """The last seventeen fields of a `SHAPE`; the offset makes the noise of two like things differ."""
        # Light adds up linearly; squaring is the display's curve, near enough, and its square root is cheap.
        colours = np.square([*self.a, *self.b, *self.c])
        return (*colours, *self.period_m, self.line_m, self.noise, self.grain_m, self.stretch, self.gloss, offset_m)


@compiled(error_model="numpy")
def _noise(lattice, x, y, z):
    """Smooth random numbers 0..1 at points of unit grain."""
    i, j, k = floor(x), floor(y), floor(z)
    x, y, z = x - i, y - j, z - k
    # Unsigned indices spare numba the test for negative ones.
    i0, j0, k0 = np.uint64(i & _LAST) * np.uint64(LATTICE**2), np.uint64(j & _LAST) * np.uint64(LATTICE), np.uint64(k & _LAST)
    i1, j1 = np.uint64((i + 1) & _LAST) * np.uint64(LATTICE**2), np.uint64((j + 1) & _LAST) * np.uint64(LATTICE)
    k1 = np.uint64((k + 1) & _LAST)
    x, y, z = x * x * (3 - 2 * x), y * y * (3 - 2 * y), z * z * (3 - 2 * z)
    a = lattice[i0 + j0 + k0] + z * (lattice[i0 + j0 + k1] - lattice[i0 + j0 + k0])
    b = lattice[i0 + j1 + k0] + z * (lattice[i0 + j1 + k1] - lattice[i0 + j1 + k0])
    c = lattice[i1 + j0 + k0] + z * (lattice[i1 + j0 + k1] - lattice[i1 + j0 + k0])
    d = lattice[i1 + j1 + k0] + z * (lattice[i1 + j1 + k1] - lattice[i1 + j1 + k0])
    a += y * (b - a)
    c += y * (d - c)
    return a + x * (c - a)


@compiled(error_model="numpy")
def fractal(lattice, x, y, z, grain, finest, w):
    """Noise of many sizes, -1..1, without the sizes that a pixel of width `w` cannot show."""
    total, strength = 0.0, 0.5
    while grain > finest and grain > 1.1 * w:
        # A grain of 2.2 pixels is shown in full, one of 1.1 pixels not at all: no aliasing and no popping between.
        share = min(1.0, grain / w / 1.1 - 1.0) if w > 0 else 1.0
        inverse = 1.0 / grain
        total += share * strength * (2.0 * _noise(lattice, x * inverse, y * inverse, z * inverse) - 1.0)
        strength *= 0.78
        grain *= 0.44
        x, y, z = x + 17.3, y - 5.1, z + 11.7
    return total


@compiled(error_model="numpy")
def _pulse(x, period, start, stop, w):
    """Share of [x - w/2, x + w/2] that lies in [start, stop] of each period."""
    w = max(w, 1e-5)
    lo, hi = (x - 0.5 * w) / period, (x + 0.5 * w) / period
    flo, fhi = floor(lo), floor(hi)
    a = flo * (stop - start) + min(max((lo - flo) * period, start), stop)
    b = fhi * (stop - start) + min(max((hi - fhi) * period, start), stop)
    return (b - a) / w


@compiled(error_model="numpy")
def _ramp(x, w):
    """Share of [x - w/2, x + w/2] above zero."""
    return min(1.0, max(0.0, x / max(w, 1e-5) + 0.5))


@compiled(error_model="numpy")
def _dice(lattice, i, j, k):
    """A random number 0..1 for cell (i, j), of series k."""
    return lattice[np.uint64((i * 7919 + j * 104729 + (i >> 5) * 31 + k * 1299709) & (LATTICE**3 - 1))]


@compiled(error_model="numpy")
def _mix(r, g, b, r1, g1, b1, share):
    """A colour blended with another."""
    return r + share * (r1 - r), g + share * (g1 - g), b + share * (b1 - b)


@compiled(error_model="numpy")
def _tile(lattice, s, u, v, w):
    """Bricks, planks, paving: (share of joint, random number of the tile -1..1)."""
    pu, pv, line = s.period_u, s.period_v, s.line
    row = floor(v / pv)
    shift = u + 0.37 * pu * row
    clear = min(1.0, max(0.0, 1.5 - w / pv))  # Joints of single rows fade into their mean before they alias.
    across = clear * _pulse(shift, pu, 0.0, line, w) + (1 - clear) * line / pu
    joint = 1 - (1 - _pulse(v, pv, 0.0, line, w)) * (1 - across)
    return joint, clear * (2 * _dice(lattice, floor(shift / pu), row, 3) - 1)


@compiled(error_model="numpy")
def _facade(lattice, s, u, v, w, r, g, b):
    """Plaster with windows: frame in colour c, glass in colour b."""
    pu, pv, line = s.period_u, s.period_v, s.line
    frame = _pulse(u, pu, 0.28 * pu, 0.72 * pu, w) * _pulse(v, pv, 0.2 * pv, 0.75 * pv, w)
    glass = _pulse(u, pu, 0.28 * pu + line, 0.5 * pu - 0.4 * line, w) + _pulse(u, pu, 0.5 * pu + 0.4 * line, 0.72 * pu - line, w)
    glass *= _pulse(v, pv, 0.2 * pv + line, 0.42 * pv - 0.3 * line, w) + _pulse(v, pv, 0.42 * pv + 0.3 * line, 0.75 * pv - line, w)
    r, g, b = _mix(r, g, b, s.cr, s.cg, s.cb, frame)
    bright = 0.4 + 1.2 * _dice(lattice, floor(u / pu), floor(v / pv), 7)
    return r + glass * (bright * s.br - r), g + glass * (bright * s.bg - g), b + glass * (bright * s.bb - b)


@compiled(error_model="numpy")
def _road(lattice, s, x, z, w):
    """Asphalt along z with a dashed line, a crossing, kerbs, paved walks and grass: (r, g, b, tile)."""
    half, walk = s.period_u, s.period_v
    side = abs(x)
    dash = _ramp(0.07 - side, w) * _pulse(z, 3.0, 0.0, 1.6, w)
    zebra = _pulse(x, 1.0, 0.0, 0.5, w) * _ramp(1.3 - abs(z - 5.5), w) * _ramp(half - 0.3 - side, w)
    paint = 0.5 * max(dash * _ramp(abs(z - 5.5) - 1.6, w), zebra)
    r, g, b = s.ar + paint, s.ag + paint, s.ab + paint
    on = _ramp(side - half, w)
    row, column = floor(z / 0.6), floor(side / 0.6)
    joint = 1 - (1 - _pulse(z, 0.6, 0.0, 0.02, w)) * (1 - _pulse(side, 0.6, 0.0, 0.02, w))
    shade = (1 - 0.55 * joint) * (1 + 0.16 * min(1.0, max(0.0, 1.5 - w / 0.6)) * (2 * _dice(lattice, row, column, 1) - 1))
    shade *= 1 + 0.45 * _ramp(half + 0.16 - side, w)
    r, g, b = r + on * (shade * s.br - r), g + on * (shade * s.bg - g), b + on * (shade * s.bb - b)
    return _mix(r, g, b, s.cr, s.cg, s.cb, _ramp(side - half - walk, w))


@compiled(error_model="numpy")
def _books(lattice, s, u, v, w):
    """Shelves of colour a full of coloured backs: (r, g, b)."""
    pu, pv, line = s.period_u, s.period_v, s.line
    row = floor(v / pv)
    u += 0.013 * row
    book = floor(u / pu)
    tall = pv * (0.3 - 0.22 * _dice(lattice, book, row, 2))  # y points down: books stand on the lower edge.
    r, g, b = 0.05 * s.ar, 0.05 * s.ag, 0.05 * s.ab
    back = _pulse(u, pu, 0.0, pu - 0.004, w) * _pulse(v, pv, tall, pv - line, w)
    k = 0.08 + 0.5 * _dice(lattice, book, row, 4)
    band = 1 - 0.6 * _pulse(v, pv, tall + 0.04, tall + 0.06, w)
    warm, cool = _dice(lattice, book, row, 5), _dice(lattice, book, row, 6)
    r, g, b = r + back * (k * band * (0.35 + warm) - r), g + back * (k * band * (0.3 + 0.5 * cool) - g), b + back * (k * (1.1 - warm) - b)
    return _mix(r, g, b, s.ar, s.ag, s.ab, _pulse(v, pv, pv - line, pv, w))


@compiled(error_model="numpy")
def _picture(lattice, s, x, y, z, w, blob):
    """A framed and mounted painting of blobs on the large faces of a flat box: (r, g, b)."""
    edge = min(s.hx - abs(x), s.hy - abs(y)) if s.hz < s.hx else min(s.hz - abs(z), s.hy - abs(y))
    other = fractal(lattice, x + 3 * s.offset, y, z + s.offset, 0.6 * s.grain, FINEST_M, w)
    r, g, b = _mix(s.ar, s.ag, s.ab, s.br, s.bg, s.bb, min(1.0, max(0.0, 0.5 + 2.2 * other)))
    r, g, b = _mix(r, g, b, s.cr, s.cg, s.cb, min(1.0, max(0.0, 2.5 * blob)))
    r, g, b = _mix(r, g, b, 0.8, 0.78, 0.72, _ramp(2.2 * s.line - edge, w))
    return _mix(r, g, b, 0.05, 0.03, 0.02, _ramp(s.line - edge, w))


@compiled(error_model="numpy")
def _rug(s, x, z, w):
    """Diamonds with a striped border on a flat box: (r, g, b)."""
    edge = min(s.hx - abs(x), s.hz - abs(z))
    diamond = _pulse(x + z, s.period_u, 0.0, 0.5 * s.period_u, w) + _pulse(x - z, s.period_u, 0.0, 0.5 * s.period_u, w)
    r, g, b = _mix(s.ar, s.ag, s.ab, s.br, s.bg, s.bb, 0.5 * diamond)
    border = _pulse(edge, s.period_v, 0.0, 0.35 * s.period_v, w) * _ramp(2 * s.period_v - edge, w)
    return _mix(r, g, b, s.cr, s.cg, s.cb, border)


@compiled(error_model="numpy")
def _sectors(s, x, y, z, w):
    """Six sectors around y in two colours, caps in the third: (r, g, b)."""
    angle, arc = atan2(x, z) + pi, w / max(s.hx * 0.2, sqrt(x * x + z * z))
    r, g, b = _mix(s.ar, s.ag, s.ab, s.br, s.bg, s.bb, _pulse(angle, 2 * pi / 3, 0.0, pi / 3, arc))
    return _mix(r, g, b, s.cr, s.cg, s.cb, _ramp(abs(y) - 0.93 * s.hy, w))


@compiled(error_model="numpy")
def albedo(lattice, s, face, x, y, z, width):
    """Linear (r, g, b) reflectance of shape s at a point in its own axes, seen by a pixel `width` metres wide there."""
    # Coordinates in the plane of the face; v runs down a wall, u around a curved one.
    if face == CURVED:
        u, v = (atan2(x, z) * s.hx if s.pattern == _CHECKER or s.pattern == _BRICKS else 0.0), y  # noqa: PLR1714  (compiled)
    elif face < 2:  # noqa: PLR2004
        u, v = z, y
    elif face < 4:  # noqa: PLR2004
        u, v = x, z
    else:
        u, v = x, y
    blob = fractal(lattice, (x + s.offset) / s.stretch, y + 0.7 * s.offset, z - s.offset, s.grain, FINEST_M, width)
    r, g, b = s.ar, s.ag, s.ab
    if s.pattern == _PLAIN:
        r, g, b = _mix(r, g, b, s.br, s.bg, s.bb, min(1.0, max(0.0, 0.5 + 0.8 * blob)))
    elif s.pattern == _CHECKER:
        p, q = _pulse(u, 2 * s.period_u, 0.0, s.period_u, width), _pulse(v, 2 * s.period_v, 0.0, s.period_v, width)
        r, g, b = _mix(r, g, b, s.br, s.bg, s.bb, p + q - 2 * p * q)
    elif s.pattern == _STRIPES:
        r, g, b = _mix(r, g, b, s.br, s.bg, s.bb, _pulse(v, 2 * s.period_v, 0.0, s.period_v, width))
    elif s.pattern == _BRICKS:
        joint, dice = _tile(lattice, s, u, v, width)
        r, g, b = _mix(r, g, b, s.br, s.bg, s.bb, 0.5 + 0.5 * dice)
        r, g, b = _mix(r, g, b, s.cr, s.cg, s.cb, joint)
    elif s.pattern == _FACADE:
        r, g, b = _facade(lattice, s, u, v, width, r, g, b)
    elif s.pattern == _ROAD:
        r, g, b = _road(lattice, s, x, z, width)
    elif s.pattern == _SECTORS:
        r, g, b = _sectors(s, x, y, z, width)
    elif s.pattern == _PICTURE:
        r, g, b = _picture(lattice, s, x, y, z, width, blob)
    elif s.pattern == _BOOKS:
        r, g, b = _books(lattice, s, u, v, width)
    else:
        r, g, b = _rug(s, x, z, width)
    shade = max(0.1, 1 + s.noise * blob)
    return r * shade, g * shade, b * shade
