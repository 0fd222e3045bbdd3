"""Where a ray meets boxes, ellipsoids, cylinders, capsules, gables and the ground, exactly and in closed form."""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

from numba import njit

from toolkit.scene import F64, I64

GROUND, BOX, ROOM, ELLIPSOID, CYLINDER, CAPSULE, GABLE = range(7)
CURVED = 6  # Faces 0..5 are -x +x -y +y -z +z of the shape's own axes; 6 is a curved wall.
LATTICE = 32  # Random numbers along one side of the noise; a power of two.
NEAREST = 1e-9  # Hits closer than this multiple of the ray are the ray's own start.


class Table(NamedTuple):
    """All shapes of a world at one moment, as compiled code wants them; P shapes.

    Attributes:
        kind: (P,) one of the seven kinds above.
        size: (P, 3) half extents or radii, in metres; cylinder and capsule stand along y: (radius, half length, radius).
        R: (P, 3, 3) world-from-shape rotations.
        c: (P, 3) centres in the world.
        bound: (P,) radius of a ball around the centre that holds the shape; inf for the ground.
        texture: (P,) kind of texture.
        look: (P, 16) its colours and measures, see `textures.Texture.row`.
        shadow: (P,) 1 where the shape casts a shadow.
        lattice: (32, 32, 32) random numbers in 0..1 that all noise is made of.
    """

    kind: I64
    size: F64
    R: F64
    c: F64
    bound: F64
    texture: I64
    look: F64
    shadow: I64
    lattice: F64


@njit(cache=True, error_model="numpy")
def _axis(o, d, h):
    """Where the ray is between -h and h of one axis, as (enter, leave)."""
    if d == 0.0:
        return (-inf, inf) if abs(o) <= h else (inf, -inf)
    a, b = (-h - o) / d, (h - o) / d
    return (a, b) if a < b else (b, a)


@njit(cache=True, error_model="numpy")
def _box(ox, oy, oz, dx, dy, dz, hx, hy, hz, inside):
    x0, x1 = _axis(ox, dx, hx)
    y0, y1 = _axis(oy, dy, hy)
    z0, z1 = _axis(oz, dz, hz)
    t0, face = x0, 0 if dx > 0 else 1
    if y0 > t0:
        t0, face = y0, 2 if dy > 0 else 3
    if z0 > t0:
        t0, face = z0, 4 if dz > 0 else 5
    t1, out = x1, 1 if dx > 0 else 0
    if y1 < t1:
        t1, out = y1, 3 if dy > 0 else 2
    if z1 < t1:
        t1, out = z1, 5 if dz > 0 else 4
    if t0 > t1:
        return inf, 0
    if inside:
        return (t1, out) if t1 > NEAREST else (inf, 0)
    return (t0, face) if t0 > NEAREST else (inf, 0)


@njit(cache=True, error_model="numpy")
def _ball(ox, oy, oz, dx, dy, dz, r):
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    # The closest approach, computed first, keeps far and small balls exact.
    s = -b / a
    px, py, pz = ox + s * dx, oy + s * dy, oz + s * dz
    q = r * r - (px * px + py * py + pz * pz)
    if q < 0:
        return inf
    t = s - sqrt(q / a)
    return t if t > NEAREST else inf


@njit(cache=True, error_model="numpy")
def _tube(ox, oz, dx, dz, r):
    """First crossing of an endless tube along y."""
    a = dx * dx + dz * dz
    if a == 0.0:
        return inf
    s = -(ox * dx + oz * dz) / a
    px, pz = ox + s * dx, oz + s * dz
    q = r * r - (px * px + pz * pz)
    return s - sqrt(q / a) if q >= 0 else inf


@njit(cache=True, error_model="numpy")
def _cylinder(ox, oy, oz, dx, dy, dz, r, h):
    t = _tube(ox, oz, dx, dz, r)
    if NEAREST < t < inf and abs(oy + t * dy) <= h:
        return t, CURVED
    if dy != 0.0:
        t = ((-h if dy > 0 else h) - oy) / dy
        x, z = ox + t * dx, oz + t * dz
        if t > NEAREST and x * x + z * z <= r * r:
            return t, 2 if dy > 0 else 3
    return inf, 0


@njit(cache=True, error_model="numpy")
def _capsule(ox, oy, oz, dx, dy, dz, r, h):
    t = _tube(ox, oz, dx, dz, r)
    if NEAREST < t < inf and abs(oy + t * dy) <= h:
        return t, CURVED
    t = min(_ball(ox, oy - h, oz, dx, dy, dz, r), _ball(ox, oy + h, oz, dx, dy, dz, r))
    return t, CURVED


@njit(cache=True, error_model="numpy")
def _gable(ox, oy, oz, dx, dy, dz, hx, hy, hz):
    """A triangular prism along z: flat below at y = hy, ridge above at y = -hy (y points down)."""
    t0, t1 = _axis(oz, dz, hz)
    face = 4 if dz > 0 else 5
    rise = 2.0 * hy
    for side in range(3):
        # Inside each of the three planes: n . p <= k.
        if side == 0:
            nx, ny, k = 0.0, 1.0, hy
        else:
            nx, ny, k = (-rise if side == 1 else rise), -hx, hx * hy
        along = nx * dx + ny * dy
        gap = k - (nx * ox + ny * oy)
        if along == 0.0:
            if gap < 0:
                return inf, 0
        elif along < 0:
            t = gap / along
            if t > t0:
                t0, face = t, 3 if side == 0 else side - 1
        else:
            t1 = min(t1, gap / along)
    return (t0, face) if NEAREST < t0 <= t1 else (inf, 0)


@njit(cache=True, error_model="numpy")
def to_local(w, p, x, y, z):
    """A world direction in the axes of shape p."""
    R = w.R
    return (
        R[p, 0, 0] * x + R[p, 1, 0] * y + R[p, 2, 0] * z,
        R[p, 0, 1] * x + R[p, 1, 1] * y + R[p, 2, 1] * z,
        R[p, 0, 2] * x + R[p, 1, 2] * y + R[p, 2, 2] * z,
    )


@njit(cache=True, error_model="numpy")
def meet(w, p, ox, oy, oz, dx, dy, dz):
    """Where a world ray first meets shape p: (multiple of the direction, face); (inf, 0) for never."""
    ox, oy, oz = to_local(w, p, ox - w.c[p, 0], oy - w.c[p, 1], oz - w.c[p, 2])
    dx, dy, dz = to_local(w, p, dx, dy, dz)
    kind = w.kind[p]
    hx, hy, hz = w.size[p, 0], w.size[p, 1], w.size[p, 2]
    if kind == BOX or kind == ROOM:  # noqa: PLR1714  (compiled)
        return _box(ox, oy, oz, dx, dy, dz, hx, hy, hz, kind == ROOM)
    if kind == ELLIPSOID:
        return _ball(ox / hx, oy / hy, oz / hz, dx / hx, dy / hy, dz / hz, 1.0), CURVED
    if kind == GROUND:
        t = -oy / dy if dy > 0 else inf
        return (t, 2) if t > NEAREST else (inf, 0)
    if kind == CYLINDER:
        return _cylinder(ox, oy, oz, dx, dy, dz, hx, hy)
    if kind == CAPSULE:
        return _capsule(ox, oy, oz, dx, dy, dz, hx, hy)
    return _gable(ox, oy, oz, dx, dy, dz, hx, hy, hz)


@njit(cache=True, error_model="numpy")
def normal(w, p, face, x, y, z):
    """Unit normal of shape p at a point, both in the shape's own axes; it points to where the ray came from."""
    kind = w.kind[p]
    hx, hy, hz = w.size[p, 0], w.size[p, 1], w.size[p, 2]
    if kind == GABLE and face < 2:
        n = 1.0 / sqrt(4 * hy * hy + hx * hx)
        return (-2 * hy * n if face == 0 else 2 * hy * n), -hx * n, 0.0
    if face < CURVED:
        sign = 1.0 if (face & 1) != (kind == ROOM) else -1.0
        return (sign if face < 2 else 0.0), (sign if face // 2 == 1 else 0.0), (sign if face // 2 == 2 else 0.0)
    if kind == ELLIPSOID:
        x, y, z = x / (hx * hx), y / (hy * hy), z / (hz * hz)
    elif kind == CAPSULE:
        y -= min(max(y, -hy), hy)
    else:
        y = 0.0
    n = 1.0 / sqrt(x * x + y * y + z * z)
    return x * n, y * n, z * n


@njit(cache=True, error_model="numpy")
def first_hit(w, ox, oy, oz, dx, dy, dz):
    """The first shape on a ray: (multiple of the direction, shape, face); shape -1 for the sky."""
    best, shape, face = inf, -1, 0
    dd = dx * dx + dy * dy + dz * dz
    for p in range(len(w.kind)):
        if w.kind[p] != GROUND and w.kind[p] != ROOM:
            x, y, z = w.c[p, 0] - ox, w.c[p, 1] - oy, w.c[p, 2] - oz
            s = (x * dx + y * dy + z * dz) / dd
            x, y, z = x - s * dx, y - s * dy, z - s * dz
            if x * x + y * y + z * z > w.bound[p] * w.bound[p]:
                continue
        t, f = meet(w, p, ox, oy, oz, dx, dy, dz)
        if t < best:
            best, shape, face = t, p, f
    return best, shape, face
