"""Where a ray meets boxes, ellipsoids, cylinders, capsules, gables and the ground, exactly and in closed form."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np

from toolkit.compiling import compiled

GROUND, BOX, ROOM, ELLIPSOID, CYLINDER, CAPSULE, GABLE = range(7)
CURVED = 6  # Faces 0..5 are -x +x -y +y -z +z of the shape's own axes; 6 is a curved wall.
LATTICE = 32  # Random numbers along one side of the noise; a power of two.
NEAREST = 1e-9  # Hits closer than this multiple of the ray are the ray's own start.


# One shape of a world at one moment, as compiled code wants it. Lengths in metres.
#   kind, pattern   which of the seven kinds above, which of `textures`' patterns; shadow is 1 where it casts one
#   hx hy hz        half extents or radii; cylinder and capsule stand along y: (radius, half length, radius)
#   r00 .. r22      world-from-shape rotation; cx cy cz its centre in the world
#   bound           radius of a ball around the centre that holds it; inf for the ground and a room
#   ar .. cb        three colours, linear; the rest see `textures.Texture`
SHAPE = np.dtype(
    [(name, np.int64) for name in ("kind", "pattern", "shadow")]
    + [(name, np.float64) for name in ("hx", "hy", "hz")]
    + [(f"r{i}{j}", np.float64) for i in range(3) for j in range(3)]
    + [(name, np.float64) for name in ("cx", "cy", "cz", "bound")]
    + [(f"{name}{channel}", np.float64) for name in "abc" for channel in "rgb"]
    + [(name, np.float64) for name in ("period_u", "period_v", "line", "noise", "grain", "stretch", "gloss", "offset")]
)


@compiled(error_model="numpy")
def _axis(o, d, h):
    """Where the ray is between -h and h of one axis, as (enter, leave)."""
    if d == 0.0:
        return (-inf, inf) if abs(o) <= h else (inf, -inf)
    a, b = (-h - o) / d, (h - o) / d
    return (a, b) if a < b else (b, a)


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def _tube(ox, oz, dx, dz, r):
    """First crossing of an endless tube along y."""
    a = dx * dx + dz * dz
    if a == 0.0:
        return inf
    s = -(ox * dx + oz * dz) / a
    px, pz = ox + s * dx, oz + s * dz
    q = r * r - (px * px + pz * pz)
    return s - sqrt(q / a) if q >= 0 else inf


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def _capsule(ox, oy, oz, dx, dy, dz, r, h):
    t = _tube(ox, oz, dx, dz, r)
    if NEAREST < t < inf and abs(oy + t * dy) <= h:
        return t, CURVED
    t = min(_ball(ox, oy - h, oz, dx, dy, dz, r), _ball(ox, oy + h, oz, dx, dy, dz, r))
    return t, CURVED


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def to_local(s, x, y, z):
    """A world direction in the axes of shape s."""
    return s.r00 * x + s.r10 * y + s.r20 * z, s.r01 * x + s.r11 * y + s.r21 * z, s.r02 * x + s.r12 * y + s.r22 * z


@compiled(error_model="numpy")
def to_world(s, x, y, z):
    """A direction of shape s in the world's axes."""
    return s.r00 * x + s.r01 * y + s.r02 * z, s.r10 * x + s.r11 * y + s.r12 * z, s.r20 * x + s.r21 * y + s.r22 * z


@compiled(error_model="numpy")
def meet(s, ox, oy, oz, dx, dy, dz):
    """Where a world ray first meets shape s: (multiple of the direction, face); (inf, 0) for never."""
    ox, oy, oz = to_local(s, ox - s.cx, oy - s.cy, oz - s.cz)
    dx, dy, dz = to_local(s, dx, dy, dz)
    if s.kind == BOX or s.kind == ROOM:  # noqa: PLR1714  (compiled)
        return _box(ox, oy, oz, dx, dy, dz, s.hx, s.hy, s.hz, s.kind == ROOM)
    if s.kind == ELLIPSOID:
        return _ball(ox / s.hx, oy / s.hy, oz / s.hz, dx / s.hx, dy / s.hy, dz / s.hz, 1.0), CURVED
    if s.kind == GROUND:
        t = -oy / dy if dy > 0 else inf
        return (t, 2) if t > NEAREST else (inf, 0)
    if s.kind == CYLINDER:
        return _cylinder(ox, oy, oz, dx, dy, dz, s.hx, s.hy)
    if s.kind == CAPSULE:
        return _capsule(ox, oy, oz, dx, dy, dz, s.hx, s.hy)
    return _gable(ox, oy, oz, dx, dy, dz, s.hx, s.hy, s.hz)


@compiled(error_model="numpy")
def normal(s, face, x, y, z):
    """Unit normal of shape s at a point, both in the shape's own axes; it points to where the ray came from."""
    if s.kind == GABLE and face < 2:  # noqa: PLR2004
        n = 1.0 / sqrt(4 * s.hy * s.hy + s.hx * s.hx)
        return (-2 * s.hy * n if face == 0 else 2 * s.hy * n), -s.hx * n, 0.0
    if face < CURVED:
        sign = 1.0 if (face & 1) != (s.kind == ROOM) else -1.0
        return (sign if face // 2 == 0 else 0.0), (sign if face // 2 == 1 else 0.0), (sign if face // 2 == 2 else 0.0)  # noqa: PLR2004
    if s.kind == ELLIPSOID:
        x, y, z = x / (s.hx * s.hx), y / (s.hy * s.hy), z / (s.hz * s.hz)
    elif s.kind == CAPSULE:
        y -= min(max(y, -s.hy), s.hy)
    else:
        y = 0.0
    n = 1.0 / sqrt(x * x + y * y + z * z)
    return x * n, y * n, z * n


@compiled(error_model="numpy")
def may_meet(s, ox, oy, oz, dx, dy, dz):
    """Whether a ray comes near enough to the ball around a shape."""
    x, y, z = s.cx - ox, s.cy - oy, s.cz - oz
    along = x * dx + y * dy + z * dz
    return x * x + y * y + z * z - along * along / (dx * dx + dy * dy + dz * dz) <= s.bound * s.bound * (1 + 1e-9)
